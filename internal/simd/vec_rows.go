package simd

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
