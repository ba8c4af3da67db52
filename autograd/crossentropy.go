package autograd

import "ddpm/tensor"

// CrossEntropy returns the mean of a classifier's cross-entropies over a batch, one number, and each image's own:
//
//	per[n] = −ln softmax(logits_n)[labels[n]],  loss = (1/N) Σ_n per[n]
//
// logits [N … K] with a row for each of the labels [N].
func (t *Tape) CrossEntropy(logits *Var, labels []int) (loss *Var, per []float64) {
	loss, per = t.Temp(1), make([]float64, len(labels))
	loss.Data[0] = float32(tensor.CrossEntropy(per, logits.Tensor, labels))
	t.keep(logits)
	return t.record(loss, func() {
		tensor.CrossEntropyGrad(t.sum(logits), logits.Tensor, labels, float64(loss.Grad.Data[0]))
	}, logits), per
}
