package autograd

import "ddpm/tensor"

// Attention returns multi-head scaled dot-product attention of q, k, v [N … heads·D]; see tensor.Attention. k and v may
// be one Var.
func (t *Tape) Attention(q, k, v *Var, heads int) *Var {
	y := t.Temp(q.Shape...)
	t.MACs += 2 * len(y.Data) * len(y.Data) / y.Shape[0] / y.Shape[len(y.Shape)-1] // q·kᵀ and ·v
	tensor.Attention(y.Tensor, q.Tensor, k.Tensor, v.Tensor, heads)
	t.keep(q, k, v)
	return t.record(y, func() {
		var dst tensor.AttentionGrads
		dst.V, dst.AddV = t.grad(v)
		dst.Q, dst.AddQ = t.grad(q)
		dst.K, dst.AddK = t.grad(k)
		tensor.AttentionGrad(dst, q.Tensor, k.Tensor, v.Tensor, y.Grad, heads)
	}, q, k, v)
}
