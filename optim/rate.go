package optim

import (
	"fmt"
	"math"
)

// Rate is a schedule of the learning rate: it grows linearly to Base in the first Warmup steps, and then either stays
// there or falls along half a cosine wave (Loshchilov and Hutter, "SGDR" 2017, eq. 5) to Floor at the last step:
//
//	step ≤ Warmup:  Base·step/Warmup
//	else, Total=0:  Base
//	else:           Floor + (Base-Floor)·½(1 + cos π·(step-Warmup)/(Total-Warmup))
//
// The DDPM paper uses a constant rate, and Ho's code grows it over the first 5000 steps.
type Rate struct {
	Base   float64
	Warmup int     // 0: none
	Total  int     // last step of the cosine; 0: constant after the warm-up
	Floor  float64 // rate at step Total and after it
}

// At returns the learning rate of a step, which counts from 1. It is Base/Warmup at step 1, Base at step Warmup and
// Floor from step Total on. It panics if the cosine would end within the warm-up.
func (r Rate) At(step int) float64 {
	if step < 1 {
		panic(fmt.Sprintf("optim: Rate: got step %d, want a count from 1", step))
	}
	if r.Total != 0 && r.Total <= r.Warmup {
		panic(fmt.Sprintf("optim: Rate: got %d steps in total, want more than the %d of the warm-up", r.Total, r.Warmup))
	}
	switch {
	case step <= r.Warmup:
		return r.Base * float64(step) / float64(r.Warmup)
	case r.Total == 0:
		return r.Base
	case step >= r.Total:
		return r.Floor
	}
	done := float64(step-r.Warmup) / float64(r.Total-r.Warmup)
	return r.Floor + (r.Base-r.Floor)*(1+math.Cos(math.Pi*done))/2
}
