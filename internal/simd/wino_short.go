package simd

import "fmt"

// A row or column of 4×4 tiles at the edge of an image may have 1, 2 or 3 rows left to compute. F(r, 3) with r < 4 gets
// by with r+2 points, and any r+1 finite ones will do besides ∞: with the first of 0, a, −a, b, −b its transformed
// kernels are those of F(4, 3) at these points. So tiles cut short share the products of the whole ones, and are just
// left out at the points they do not have. (r+2)(s+2) positions of the 36 remain for a tile of r×s.
//
// For points P, with N_p = Π (p−q) over the other four of all five finite points, as G has it, and N'_p the same
// within P, the polynomials of Toom and Cook give
//
//	Bᵀ row p:  N_p/N'_p · Π_{q∈P, q≠p} (x−q)      Aᵀ: pⁱ for i < r
//	   row ∞:             Π_{q∈P} (x−q)               1 in row r−1 for ∞
//
// where a row of Bᵀ lists the coefficients of 1, x, x² …

// short holds the matrices of F(r, 3), row-major, six numbers to a row.
type short struct {
	input  [36]float32 // Bᵀ [r+2 r+2]
	output [36]float32 // Aᵀ [r r+2]
	grad   [36]float32 // A [r+2 r]
	at     [6]int      // where in 0…5 the transformed rows belong
}

// shorts[r] is that of F(r, 3), r = 1 … 4.
var shorts = func() (s [5]short) {
	points := []float64{0, wino4PointA, -wino4PointA, wino4PointB, -wino4PointB}
	product := func(points []float64, except int) []float64 { // coefficients of Π (x−q)
		c := []float64{1}
		for i, q := range points {
			if i == except {
				continue
			}
			next := make([]float64, len(c)+1)
			for k, v := range c {
				next[k+1] += v
				next[k] -= q * v
			}
			c = next
		}
		return c
	}
	value := func(c []float64, x float64) (y float64) {
		for k := len(c) - 1; k >= 0; k-- {
			y = y*x + c[k]
		}
		return y
	}
	for r := 1; r <= 4; r++ {
		last := r + 1 // the row of ∞
		for i, p := range points[:r+1] {
			s[r].at[i] = i
			row := product(points[:r+1], i)
			scale := value(product(points, i), p) / value(row, p)
			for k, v := range row {
				s[r].input[6*i+k] = float32(scale * v)
			}
			power := 1.
			for k := range r {
				s[r].output[6*k+i], s[r].grad[6*i+k] = float32(power), float32(power)
				power *= p
			}
		}
		s[r].at[last] = 5
		for k, v := range product(points[:r+1], -1) {
			s[r].input[6*last+k] = float32(v)
		}
		s[r].output[6*(r-1)+last], s[r].grad[6*last+r-1] = 1, 1
	}
	return s
}()

// WinogradShortScratch is the number of floats per channel that the functions for short tiles need.
const WinogradShortScratch = 2 * 36

// Winograd4ShortInput is Winograd4Input for one tile with rows×cols outputs, 1 to 4 each. It reads rows+2 rows of
// cols+2 pixels, which lie side by side (xPix = c), and writes the positions that the tile has. tmp is memory for
// WinogradShortScratch·c floats.
func Winograd4ShortInput(v []float32, vPos int, x []float32, xRow, rows, cols, c int, tmp []float32) {
	const op = "Winograd4ShortInput"
	checkShort(op, rows, cols, len(tmp), c)
	if checkCounts(op, rows, c) {
		return
	}
	checkReach(op, "v", len(v), c, lastPosition(4, vPos))
	checkReach(op, "x", len(x), (cols+2)*c, [2]int{rows + 1, xRow})
	wide := (cols + 2) * c
	combine(tmp, steps(wide), x, steps(xRow), wide, &shorts[rows].input, rows+2, rows+2)
	for i := range rows + 2 {
		combine(v[shorts[rows].at[i]*6*vPos:], positionSteps(cols, vPos), tmp[i*wide:], steps(c), c, &shorts[cols].input, cols+2, cols+2)
	}
}

// Winograd4ShortOutput is Winograd4Output for one tile with rows×cols outputs, 1 to 4 each.
func Winograd4ShortOutput(y []float32, yRow, yPix int, m []float32, mPos int, residual, start []float32, rows, cols, c int, tmp []float32) {
	const op = "Winograd4ShortOutput"
	checkShort(op, rows, cols, len(tmp), c)
	if checkWinogradOutput(op, 4, y, yRow, yPix, m, mPos, 0, residual, start, rows, cols, c) {
		return
	}
	half, wide := tmp[36*c:], (cols+2)*c
	for j := range cols + 2 { // column j of M, all its rows
		combine(half[j*c:], steps(wide), m[shorts[cols].at[j]*mPos:], positionSteps(rows, 6*mPos), c, &shorts[rows].output, rows, rows+2)
	}
	for i := range rows {
		u := tmp[:cols*c]
		combine(u, steps(c), half[i*wide:], steps(c), c, &shorts[cols].output, cols, cols+2)
		if len(start) > 0 {
			AddRows(u, start[:c])
		}
		for s := range cols {
			at := i*yRow + s*yPix
			if len(residual) > 0 {
				Add(y[at:at+c], u[s*c:][:c], residual[at:at+c])
			} else {
				copy(y[at:at+c], u[s*c:][:c])
			}
		}
	}
}

// Winograd4ShortGradOutput is Winograd4GradOutput for one tile with rows×cols outputs, 1 to 4 each, whose pixels lie
// side by side (dyPix = c).
func Winograd4ShortGradOutput(d []float32, dPos int, dy []float32, dyRow, rows, cols, c int, tmp []float32) {
	const op = "Winograd4ShortGradOutput"
	checkShort(op, rows, cols, len(tmp), c)
	if checkWinogradGradOutput(op, 4, d, dPos, 0, dy, dyRow, c, rows, cols, c) {
		return
	}
	wide := cols * c
	combine(tmp, steps(wide), dy, steps(dyRow), wide, &shorts[rows].grad, rows+2, rows)
	for i := range rows + 2 {
		combine(d[shorts[rows].at[i]*6*dPos:], positionSteps(cols, dPos), tmp[i*wide:], steps(c), c, &shorts[cols].grad, cols+2, cols)
	}
}

func checkShort(op string, rows, cols, tmp, c int) {
	if rows < 1 || rows > 4 || cols < 1 || cols > 4 {
		panic(fmt.Sprintf("simd: %s: got a tile of %d×%d, want 1×1 to 4×4", op, rows, cols))
	}
	if tmp < WinogradShortScratch*c {
		panic(fmt.Sprintf("simd: %s: got memory for %d floats, want %d", op, tmp, WinogradShortScratch*c))
	}
}

// steps are the places of up to six vectors a stride apart.
func steps(stride int) [6]int {
	return [6]int{0, stride, 2 * stride, 3 * stride, 4 * stride, 5 * stride}
}

// positionSteps are the places of the positions of F(r, 3), of which 0…5 are a stride apart.
func positionSteps(r, stride int) (at [6]int) {
	for i, p := range shorts[r].at {
		at[i] = p * stride
	}
	return at
}

// combineGo multiplies the matrix t [outs ins], six numbers to a row, by vectors of n elements: vector i of y, which
// starts at yAt[i], is Σ_j t[i][j]·vector j of x.
func combineGo(y []float32, yAt [6]int, x []float32, xAt [6]int, n int, t *[36]float32, outs, ins int) {
	for i := range outs {
		for k := range n {
			var sum float32
			for j := range ins {
				sum += float32(t[6*i+j] * x[xAt[j]+k])
			}
			y[yAt[i]+k] = sum
		}
	}
}
