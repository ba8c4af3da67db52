package model

import (
	"ddpm/autograd"
	"ddpm/layers"
)

// Conditional is a network with classes as samplers ask it.
type Conditional struct{ *layers.UNet }

// DenoiseClass returns the network's output for the given labels.
func (c Conditional) DenoiseClass(tp *autograd.Tape, xt *autograd.Var, t, labels []int) *autograd.Var {
	return c.Forward(tp, xt, t, layers.Condition{Labels: labels})
}
