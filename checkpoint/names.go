package checkpoint

import (
	"slices"
	"strings"
)

// attentionNames maps what diffusers' AttentionBlock called its projections to what Attention, which took its place
// in 2023, calls them (diffusers, modeling_utils.py, _convert_deprecated_attention_blocks).
var attentionNames = map[string]string{
	"query":     "to_q",
	"key":       "to_k",
	"value":     "to_v",
	"proj_attn": "to_out.0",
}

// ModernName returns the name that a tensor of a U-Net bears today. Only the projections of attention blocks have ever
// changed theirs:
//
//	mid_block.attentions.0.query.weight     → mid_block.attentions.0.to_q.weight
//	mid_block.attentions.0.proj_attn.bias   → mid_block.attentions.0.to_out.0.bias
func ModernName(name string) string {
	parts := strings.Split(name, ".")
	n := len(parts)
	if n < 4 || parts[n-4] != "attentions" || !slices.Contains([]string{"weight", "bias"}, parts[n-1]) {
		return name
	}
	if modern, ok := attentionNames[parts[n-2]]; ok {
		parts[n-2] = modern
	}
	return strings.Join(parts, ".")
}
