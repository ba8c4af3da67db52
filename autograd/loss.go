package autograd

import "ddpm/tensor"

// MSE returns the weighted mean squared error of a batch, one number, and each image's own, unweighted:
//
//	per[n] = mean over elements of (a−b)²,  loss = (1/N) Σ_n weight[n]·per[n]
//
// a, b [N …]; a nil weight is 1 for every image.
func (t *Tape) MSE(a, b *Var, weight []float64) (loss *Var, per []float64) {
	loss, per = t.Temp(1), make([]float64, a.Shape[0])
	loss.Data[0] = float32(tensor.MSE(per, a.Tensor, b.Tensor, weight))
	t.keep(a, b)
	return t.record(loss, func() {
		tensor.MSEGrad(t.sum(a), t.sum(b), a.Tensor, b.Tensor, weight, float64(loss.Grad.Data[0]))
	}, a, b), per
}
