package model

import (
	"strings"

	"ddpm/layers"
)

// Work returns the multiply-adds of one image's forward pass at the given side, each layer counted as its definition
// has it, whatever cheaper way computes it. A training step costs three times that: forward, and both gradients.
func Work(c layers.Config, side int) int64 {
	widths, temb := c.BlockOutChannels, 4*c.BlockOutChannels[0]
	if c.TimeEmbeddingDim != nil {
		temb = *c.TimeEmbeddingDim
	}
	block := func(area, in, out int, attends bool) int64 {
		n := area*9*out*(in+out) + temb*out
		if in != out {
			n += area * in * out
		}
		if attends {
			n += area*4*out*out + 2*area*area*out
		}
		return int64(n)
	}
	total := int64(side*side*9*widths[0]*(c.InChannels+c.OutChannels) + temb*(widths[0]+temb))
	skips := []int{widths[0]}
	in, area := widths[0], side*side
	last := len(widths) - 1
	for i, out := range widths {
		for range c.LayersPerBlock {
			total += block(area, in, out, strings.HasPrefix(c.DownBlockTypes[i], "Attn"))
			in = out
			skips = append(skips, out)
		}
		if i < last {
			area /= 4
			total += int64(area * 9 * out * out)
			skips = append(skips, out)
		}
	}
	if c.MidBlockType != nil {
		total += block(area, in, in, c.AddAttention) + block(area, in, in, false)
	}
	for i := range widths {
		out := widths[last-i]
		for range c.LayersPerBlock + 1 {
			total += block(area, in+skips[len(skips)-1], out, strings.HasPrefix(c.UpBlockTypes[i], "Attn"))
			in, skips = out, skips[:len(skips)-1]
		}
		if i < last {
			area *= 4
			total += int64(area * 9 * out * out)
		}
	}
	return total
}
