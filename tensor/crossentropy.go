package tensor

import (
	"fmt"
	"math"
)

// CrossEntropy computes how little a classifier believes in the label of each image,
//
//	per[n] = −ln softmax(x_n)[labels[n]] = ln Σ_k exp(x_nk − m) − (x_n,labels[n] − m),  m = max_k x_nk,
//
// and returns the mean over the batch, summed in order in float64. logits x [N … K] with N·… = len(labels) rows,
// labels and per [N]. It panics if a label is outside 0…K−1.
func CrossEntropy(per []float64, logits Tensor, labels []int) float64 {
	k := checkLabels(logits, labels, len(per))
	sum := 0.0
	for n, label := range labels {
		x := logits.Data[n*k:][:k]
		peak, total := partition(x)
		per[n] = math.Log(total) + peak - float64(x[label])
		sum += per[n]
	}
	return sum / float64(len(per))
}

// CrossEntropyGrad adds the gradient of CrossEntropy: dx += dy·(softmax(x) − 1 at the label, − 0 elsewhere)/N.
func CrossEntropyGrad(dlogits, logits Tensor, labels []int, dy float64) {
	k := checkLabels(logits, labels, len(labels))
	sameShape("CrossEntropyGrad", dlogits, logits)
	for n, label := range labels {
		x, dx := logits.Data[n*k:][:k], dlogits.Data[n*k:][:k]
		peak, total := partition(x)
		for i, v := range x {
			p := math.Exp(float64(v)-peak) / total
			if i == label {
				p--
			}
			dx[i] += float32(dy * p / float64(len(labels)))
		}
	}
}

// partition returns the largest element m of x, and Σ exp(x_k − m): no exponential overflows, and one is 1.
func partition(x []float32) (peak, total float64) {
	peak = math.Inf(-1)
	for _, v := range x {
		peak = max(peak, float64(v))
	}
	for _, v := range x {
		total += math.Exp(float64(v) - peak)
	}
	return peak, total
}

// checkLabels returns the number of classes.
func checkLabels(logits Tensor, labels []int, per int) int {
	k := logits.Shape[len(logits.Shape)-1]
	if len(labels) == 0 || len(labels)*k != len(logits.Data) || per != len(labels) {
		panic(fmt.Sprintf("tensor: CrossEntropy: got %d labels and room for %d results, want as many as logits of shape %v have rows", len(labels), per, logits.Shape))
	}
	for _, label := range labels {
		if label < 0 || label >= k {
			panic(fmt.Sprintf("tensor: CrossEntropy: got label %d, want 0…%d", label, k-1))
		}
	}
	return k
}
