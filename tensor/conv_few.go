package tensor

import "ddpm/internal/par"

// A convolution to a few channels, like the network's last, would leave most of the kernel's 32 columns empty. So here
// the taps are columns too: a matrix product z = x̄·w makes, of every pixel of the bordered image x̄, its product with
// each tap, and
//
//	y[n i j co] = b[co] + Σ_{kh kw} z[n, i+kh, j+kw, kh kw co]
//
// adds up those that belong together.

// few reports whether d is computed so.
func (d convDims) few() bool {
	return d.Stride == 1 && d.kh*d.kw > 1 && d.kh*d.kw*d.cout <= panelWidth
}

// toFew is direct for a few channels.
func (d convDims) toFew(y Tensor, s *source, w Tensor, e epilogue, packs *Packs) {
	taps := d.kh * d.kw
	wp := packs.packed(w, tapPanels, panelSize(d.cin, taps*d.cout), func(p []float32) {
		m := takeWork(len(w.Data)) // [Cin KH KW Cout]
		for i, v := range w.Data {
			tap, ci, co := i/d.cout/d.cin, i/d.cout%d.cin, i%d.cout
			m[(ci*taps+tap)*d.cout+co] = v
		}
		packPanels(p, m, d.cin, taps*d.cout)
		giveWork(m)
	})
	defer wp.done()
	eachBand(d.n, 1, d.oh, s, func(n, _, r0, r1 int, mem *par.Scratch) {
		rows := r1 - r0 + d.kh - 1
		p, z := mem.Floats(rows*d.cols*d.cin), mem.Floats(rows*d.cols*taps*d.cout)
		s.fill(p, d.cols*d.cin, n, r0, r0+rows, d.Top, d.Left)
		addRows(z, taps*d.cout, p, wp.data, rows*d.cols, d.cin, d.cin, taps*d.cout, nil, false)
		start := e.start(n, d.cout, mem)
		for r := r0; r < r1; r++ {
			at := (n*d.oh + r) * d.outRow
			d.sumTaps(y.Data[at:][:d.outRow], z[(r-r0)*d.cols*taps*d.cout:], e.residual, at, start)
		}
	})
}

// sumTaps sets a row of the result, element at on, to the sum of its products in z, whose first row is that of the
// first tap.
func (d convDims) sumTaps(y, z []float32, residual Tensor, at int, start []float32) {
	pixel := d.kh * d.kw * d.cout
	for i := range y {
		j, co := i/d.cout, i%d.cout
		var sum float32
		if start != nil {
			sum = start[co]
		}
		if !residual.Empty() {
			sum += residual.Data[at+i]
		}
		for k := range d.kh {
			first := z[((k*d.cols+j)*d.kh*d.kw+k*d.kw)*d.cout+co:]
			for l := range d.kw {
				sum += first[l*(pixel+d.cout)]
			}
		}
		y[i] = sum
	}
}
