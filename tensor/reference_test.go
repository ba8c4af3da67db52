package tensor_test

import (
	"math"

	"ddpm/tensor"
)

// The operations as their definitions have them, in float64: slow, and short enough to be seen to be right.

func float64s(x Tensor) []float64 {
	y := make([]float64, len(x.Data))
	for i, v := range x.Data {
		y[i] = float64(v)
	}
	return y
}

// size64 returns zeros for every element of x.
func size64(x Tensor) []float64 { return make([]float64, len(x.Data)) }

// convDefinition calls f for every tap that falls inside the image, with where the channels of the result's pixel, one
// channel of the image's and that channel's weights start.
func convDefinition(y, x, w Tensor, v tensor.Window, f func(y, x, w int)) {
	n, h, wd, cin := x.Dims4()
	kh, kw, _, cout := w.Dims4()
	_, oh, ow, _ := y.Dims4()
	for i := range n * oh * ow * kh * kw {
		b, r, c, k, l := i/(oh*ow*kh*kw), i/(ow*kh*kw)%oh, i/(kh*kw)%ow, i/kw%kh, i%kw
		xr, xc := r*v.Stride+k-v.Top, c*v.Stride+l-v.Left
		if xr < 0 || xr >= h || xc < 0 || xc >= wd {
			continue
		}
		for ci := range cin {
			f(((b*oh+r)*ow+c)*cout, ((b*h+xr)*wd+xc)*cin+ci, ((k*kw+l)*cin+ci)*cout)
		}
	}
}

// convGradients holds the result of a convolution and its gradients.
type convGradients struct{ y, dx, dw, db []float64 }

// convReference computes a convolution of x with w plus b, and its gradients for dy.
func convReference(x, w, b, dy Tensor, v tensor.Window) convGradients {
	g := convGradients{size64(dy), size64(x), size64(w), size64(b)}
	x64, w64, dy64 := float64s(x), float64s(w), float64s(dy)
	cout := w.Shape[3]
	for i := range dy.Data {
		g.y[i] = float64(b.Data[i%cout])
		g.db[i%cout] += dy64[i]
	}
	convDefinition(dy, x, w, v, func(yi, xi, wi int) {
		xv, dx := x64[xi], 0.0
		y, dw, wv, d := g.y[yi:yi+cout], g.dw[wi:wi+cout], w64[wi:wi+cout], dy64[yi:yi+cout]
		for c := range y {
			y[c] += xv * wv[c]
			dx += d[c] * wv[c]
			dw[c] += d[c] * xv
		}
		g.dx[xi] += dx
	})
	return g
}

// normGradients holds the result of a group normalisation and its gradients.
type normGradients struct{ y, dx, dgamma, dbeta []float64 }

// normReference computes GroupNorm and its gradients for dy, the one for x from the Jacobian
// ∂x̂_j/∂x_i = r·(δ_ij − 1/M − x̂_i·x̂_j/M) of the M elements of a group.
func normReference(x, dy Tensor, m tensor.Norm) normGradients {
	n, h, w, c := x.Dims4()
	g := normGradients{size64(x), size64(x), size64(m.Gamma), size64(m.Beta)}
	width := c / m.Groups
	for k := range n * m.Groups {
		var at []int // the elements of one image's group
		for p := range h * w {
			for j := range width {
				at = append(at, (k/m.Groups*h*w+p)*c+k%m.Groups*width+j)
			}
		}
		size := float64(len(at))
		mean, variance := 0.0, 0.0
		for _, i := range at {
			mean += float64(x.Data[i]) / size
		}
		for _, i := range at {
			d := float64(x.Data[i]) - mean
			variance += d * d / size
		}
		r := 1 / math.Sqrt(variance+m.Eps)
		hat, du := make([]float64, len(at)), make([]float64, len(at))
		for k, i := range at {
			gamma, d := float64(m.Gamma.Data[i%c]), float64(dy.Data[i])
			hat[k] = (float64(x.Data[i]) - mean) * r
			du[k] = d * gamma
			g.y[i] = hat[k]*gamma + float64(m.Beta.Data[i%c])
			g.dgamma[i%c] += d * hat[k]
			g.dbeta[i%c] += d
		}
		for k, i := range at {
			for j := range at {
				jacobian := -(1 + hat[k]*hat[j]) / size
				if k == j {
					jacobian++
				}
				g.dx[i] += r * jacobian * du[j]
			}
		}
	}
	return g
}

// attentionGradients holds the result of an attention and its gradients.
type attentionGradients struct{ y, dq, dk, dv []float64 }

// attentionReference computes Attention of q, k, v [N T C] and its gradients for dy, the softmax's from its Jacobian
// ∂p_j/∂s_i = p_j·(δ_ij − p_i).
func attentionReference(q, k, v, dy Tensor, heads int) attentionGradients {
	g := attentionGradients{size64(q), size64(q), size64(q), size64(q)}
	n, t, c := q.Shape[0], q.Shape[1], q.Shape[2]
	d := c / heads
	scale := 1 / math.Sqrt(float64(d))
	q64, k64, v64, dy64 := float64s(q), float64s(k), float64s(v), float64s(dy)
	for i := range n * heads * t { // one query of one head of one image
		image, head, a := i/(heads*t), i/t%heads, i%t
		at := func(position int) int { return (image*t+position)*c + head*d }
		p, dp := make([]float64, t), make([]float64, t)
		sum := 0.0
		for b := range t {
			for j := range d {
				p[b] += q64[at(a)+j] * k64[at(b)+j] * scale
				dp[b] += dy64[at(a)+j] * v64[at(b)+j]
			}
			p[b] = math.Exp(p[b])
			sum += p[b]
		}
		for b := range t {
			p[b] /= sum
		}
		for b := range t {
			ds := 0.0
			for e := range t {
				delta := 0.0
				if e == b {
					delta = 1
				}
				ds += dp[e] * p[e] * (delta - p[b])
			}
			for j := range d {
				g.y[at(a)+j] += p[b] * v64[at(b)+j]
				g.dv[at(b)+j] += p[b] * dy64[at(a)+j]
				g.dq[at(a)+j] += ds * scale * k64[at(b)+j]
				g.dk[at(b)+j] += ds * scale * q64[at(a)+j]
			}
		}
	}
	return g
}

// sigmoid is σ(x) = 1/(1+e⁻ˣ).
func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
