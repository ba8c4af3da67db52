package layers

import (
	"math"

	"ddpm/autograd"
	"ddpm/tensor"
)

// timeEmbedding writes the sinusoidal embedding of the time steps t (Vaswani et al. 2017, §3.5; Ho et al. 2020,
// appendix B) to y [N C]: with h = C/2 and frequencies f_k = 10000^(−k/(h−shift)), k = 0…h−1,
//
//	y[n] = [sin(t_n·f), cos(t_n·f)]
//
// or the cosines first if flip. The frequencies are the checkpoint's own: shift 1 in the paper's code, 0 in later ones.
func timeEmbedding(y tensor.Tensor, t []int, flip bool, shift float64) {
	_, c := y.Dims2()
	h := c / 2
	sin, cos := y.Data, y.Data[h:]
	if flip {
		sin, cos = cos, sin
	}
	for k := range h {
		// In float32 up to the product, as every implementation that the published weights come from has it.
		f := float32(math.Exp(-math.Log(10000) * float64(k) / (float64(h) - shift)))
		for n, tn := range t {
			s, co := math.Sincos(float64(float32(tn) * f))
			sin[n*c+k], cos[n*c+k] = float32(s), float32(co)
		}
	}
}

// embedTime returns SiLU of what the blocks see of time and class: linear_2(SiLU(linear_1(sinusoids))) + class row.
func (u *UNet) embedTime(c *call, t, labels []int) *autograd.Var {
	e := c.Temp(len(t), u.Config.BlockOutChannels[0])
	timeEmbedding(e.Tensor, t, u.Config.FlipSinToCos, u.Config.FreqShift)
	e = replaced(c, e, u.time1.forward(c, e))
	e = replaced(c, e, c.SiLU(e))
	e = replaced(c, e, u.time2.forward(c, e))
	if u.classes != nil {
		class := c.Embed(u.classes, labels)
		e = replaced(c, e, c.Add(e, class))
		c.Release(class)
	}
	return replaced(c, e, c.SiLU(e))
}
