package diffusion

import (
	"fmt"
	"math"
)

// Prediction is what the network's output estimates, given x_t = √ᾱ_t·x_0 + √(1-ᾱ_t)·ε. Any two of x_t, x_0, ε and v
// give the others, so predictions are convertible into each other; they differ in what a loss on them weighs most.
type Prediction uint8

const (
	Epsilon Prediction = iota // ε, the noise (DDPM §3.2)
	X0                        // x_0, the image
	V                         // v = √ᾱ_t·ε - √(1-ᾱ_t)·x_0 (Salimans and Ho, arXiv:2202.00512, §4), good at every noise level
)

// predictions are the names of diffusers' prediction_type.
var predictions = names[Prediction]{Epsilon: "epsilon", X0: "sample", V: "v_prediction"}

// String returns diffusers' name for p.
func (p Prediction) String() string { return predictions.of(p) }

// ParsePrediction returns the prediction of that name, as String gives it.
func ParsePrediction(name string) (Prediction, error) { return predictions.parse("prediction", name) }

// Target returns the factors of x_0 and ε in what the network learns to output: c0·x_0 + ce·ε.
func (p Prediction) Target(alphaBar float64) (c0, ce float64) {
	switch p {
	case Epsilon:
		return 0, 1
	case X0:
		return 1, 0
	case V:
		return -math.Sqrt(1 - alphaBar), math.Sqrt(alphaBar)
	}
	panic(fmt.Sprintf("diffusion: Prediction: got %d, want Epsilon, X0 or V", p))
}

// In expresses prediction q through x_t and an output of kind p, at noise level ᾱ_t: q = cx·x_t + co·output. An ε at
// ᾱ_t = 0 says nothing of x_0, and an x_0 at ᾱ_t = 1 nothing of ε; the factors are then infinite.
func (p Prediction) In(q Prediction, alphaBar float64) (cx, co float64) {
	if p == q {
		return 0, 1
	}
	// x_t and p's output are two linear forms in (x_0, ε); Cramer's rule expresses the third in them.
	xs, xe := math.Sqrt(alphaBar), math.Sqrt(1-alphaBar)
	ps, pe := p.Target(alphaBar)
	qs, qe := q.Target(alphaBar)
	det := xs*pe - xe*ps
	return (qs*pe - qe*ps) / det, (xs*qe - xe*qs) / det
}

// names maps the values of an enumeration, counted from 0, to their names in configuration files.
type names[E ~uint8] []string

func (n names[E]) of(v E) string {
	if int(v) >= len(n) {
		return fmt.Sprintf("unknown(%d)", v)
	}
	return n[v]
}

func (n names[E]) parse(what, name string) (E, error) {
	for i, known := range n {
		if known == name {
			return E(i), nil
		}
	}
	return 0, fmt.Errorf("diffusion: unknown %s %q, want one of %q", what, name, []string(n))
}
