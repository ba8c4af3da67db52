package simd

import "fmt"

// Loops over images [pixels c] and one row [c].

// AddRows adds row to every pixel of y.
func AddRows(y, row []float32) {
	p := pixels("AddRows", row, y)
	switch {
	case useAVX512:
		addRowsAVX512(y, row, p)
	case useAVX2:
		addRowsAVX2(y, row, p)
	default:
		addRowsGo(y, row)
	}
}

func addRowsGo(y, row []float32) {
	for ; len(y) > 0; y = y[len(row):] {
		for j, r := range row {
			y[j] += r
		}
	}
}

// CopyPixels computes y[p·yPix + j] (+)= x[p·xPix + j] for p < pixels and j < c: it moves some of the channels of
// pixels that have yPix in all, or xPix. add says whether to add. yPix must be at least c. y and x must not overlap.
func CopyPixels(y []float32, yPix int, x []float32, xPix, pixels, c int, add bool) {
	if checkApart("CopyPixels", y, yPix, x, xPix, pixels, c) {
		return
	}
	switch {
	case useAVX512 && add:
		addPixelsAVX512(y, yPix, x, xPix, pixels, c)
	case useAVX512:
		copyPixelsAVX512(y, yPix, x, xPix, pixels, c)
	case useAVX2 && add:
		addPixelsAVX2(y, yPix, x, xPix, pixels, c)
	case useAVX2:
		copyPixelsAVX2(y, yPix, x, xPix, pixels, c)
	default:
		copyPixelsGo(y, yPix, x, xPix, pixels, c, add)
	}
}

// checkApart panics unless y and x hold c channels of pixels that lie yPix and xPix apart, and reports whether there is
// nothing to do.
func checkApart(op string, y []float32, yPix int, x []float32, xPix, pixels, c int) (none bool) {
	if checkSpread(op, "y", y, yPix, pixels, c) {
		return true
	}
	checkReach(op, "x", len(x), c, pixels-1, xPix, 0, 0)
	return false
}

// checkSpread is checkApart for one image, whose pixels must not overlap.
func checkSpread(op, name string, y []float32, yPix, pixels, c int) (none bool) {
	if yPix < c {
		panic(fmt.Sprintf("simd: %s: got pixels %d elements apart, want at least the %d channels", op, yPix, c))
	}
	if checkCounts(op, pixels, c) {
		return true
	}
	checkReach(op, name, len(y), c, pixels-1, yPix, 0, 0)
	return false
}

func copyPixelsGo(y []float32, yPix int, x []float32, xPix, pixels, c int, add bool) {
	for p := range pixels {
		dst, src := y[p*yPix:][:c], x[p*xPix:][:c]
		if !add {
			copy(dst, src)
			continue
		}
		for j, v := range src {
			dst[j] += v
		}
	}
}

// ChannelSums adds to sum the sum of x over the pixels, channel by channel. The
// error is that of adding a block of 64 pixels, then the blocks, in float32:
// 1e-7·√pixels of a typical element, in a random walk.
func ChannelSums(sum, x []float32) {
	p := pixels("ChannelSums", sum, x)
	switch {
	case useAVX512:
		channelSumsAVX512(sum, x, p)
	case useAVX2:
		channelSumsAVX2(sum, x, p)
	case byFours(len(sum)):
		channelSumsFours(sum, x, p)
	default:
		channelSumsGo(sum, x)
	}
}

func channelSumsGo(sum, x []float32) {
	c := len(sum)
	for b := 0; b < len(x); b += blockPixels * c {
		n := min(len(x), b+blockPixels*c)
		for j := range c {
			var s [2]float32
			for i, chain := b+j, 0; i < n; i, chain = i+c, 1-chain {
				s[chain] += x[i]
			}
			sum[j] += s[0] + s[1]
		}
	}
}

// ChannelSquares adds to sum the sum of (x - mean)² over the pixels, channel by
// channel, with the precision of ChannelSums.
func ChannelSquares(sum, x, mean []float32) {
	p := pixels("ChannelSquares", sum, x)
	sameLen("ChannelSquares rows", sum, mean)
	switch {
	case useAVX512:
		channelSquaresAVX512(sum, x, mean, p)
	case useAVX2:
		channelSquaresAVX2(sum, x, mean, p)
	case byFours(len(sum)):
		channelSquaresFours(sum, x, mean, p)
	default:
		channelSquaresGo(sum, x, mean)
	}
}

func channelSquaresGo(sum, x, mean []float32) {
	c := len(sum)
	for b := 0; b < len(x); b += blockPixels * c {
		n := min(len(x), b+blockPixels*c)
		for j := range c {
			var s [2]float32
			for i, chain := b+j, 0; i < n; i, chain = i+c, 1-chain {
				d := x[i] - mean[j]
				s[chain] += float32(d * d)
			}
			sum[j] += s[0] + s[1]
		}
	}
}
