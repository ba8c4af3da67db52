package checkpoint

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"ddpm/tensor"
)

func encoded(t *testing.T, list ...Named) *Reader {
	t.Helper()
	var file bytes.Buffer
	if err := Encode(&file, list); err != nil {
		t.Fatal(err)
	}
	r, err := readBytes(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLoad(t *testing.T) {
	r := encoded(t,
		Plain("conv.weight", tensor.From([]float32{1, 2, 3, 4}, 2, 2, 1, 1)),
		Plain("mid_block.attentions.0.query.weight", tensor.From([]float32{5, 6, 7, 8}, 2, 2, 1, 1)),
		Plain("mid_block.attentions.0.proj_attn.bias", tensor.From([]float32{9, 10}, 2)))
	conv, q, bias := tensor.New(2, 2, 1, 1), tensor.New(2, 2), tensor.New(2)
	err := Load(r, []Named{
		Plain("mid_block.attentions.0.to_out.0.bias", bias),
		Plain("mid_block.attentions.0.to_q.weight", q),
		Plain("conv.weight", conv),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(conv.Data, []float32{1, 2, 3, 4}) || !slices.Equal(q.Data, []float32{5, 6, 7, 8}) || !slices.Equal(bias.Data, []float32{9, 10}) {
		t.Errorf("got %v %v %v", conv, q, bias)
	}
}

func TestLoadGivesSetTheShapeWanted(t *testing.T) {
	r := encoded(t, Plain("w", tensor.New(2, 3, 1)))
	var got []int
	err := Load(r, []Named{{Name: "w", Shape: []int{2, 3}, Set: func(x tensor.Tensor) { got = x.Shape }}})
	if err != nil || !slices.Equal(got, []int{2, 3}) {
		t.Errorf("got shape %v (%v), want [2 3]", got, err)
	}
}

func TestLoadNamesEveryDifference(t *testing.T) {
	r := encoded(t, Plain("a", tensor.New(2)), Plain("b", tensor.New(2, 3)), Plain("x", tensor.New(1)), Plain("k", tensor.New(2, 2, 1, 1)), Plain("q", tensor.New(2, 2, 3, 1)))
	touched := false
	set := func(tensor.Tensor) { touched = true }
	err := Load(r, []Named{
		{Name: "a", Shape: []int{2}, Set: set},
		{Name: "b", Shape: []int{3, 2}, Set: set},
		{Name: "c", Shape: []int{1}, Set: set},
		{Name: "d", Shape: []int{1}, Set: set},
		{Name: "k", Shape: []int{4}, Set: set},
		{Name: "q", Shape: []int{2, 2}, Set: set},
	})
	wantError(t, err, "2 missing (c, d), 1 unexpected (x), 3 of another shape (b is [2 3], want [3 2], k is [2 2 1 1], want [4], q is [2 2 3 1], want [2 2])")
	if touched {
		t.Error("Set was called although the names did not match")
	}
}

func TestLoadListsOnlyTheFirstOfMany(t *testing.T) {
	var list []Named
	for i := range 328 {
		list = append(list, Plain(fmt.Sprintf("p%03d", i), tensor.New(1)))
	}
	wantError(t, Load(encoded(t), list), "328 missing (p000, p001, p002, p003, p004, …)")
}

func TestLoadRefusesTwoNamesOfOneTensor(t *testing.T) {
	x := tensor.New(1)
	r := encoded(t, Plain("attentions.0.to_q.bias", x), Plain("attentions.0.query.bias", x))
	wantError(t, Load(r, []Named{Plain("attentions.0.to_q.bias", x)}), "two names of one tensor")
}

func TestLoadRefusesNonFinite(t *testing.T) {
	file := container(`{"norm.weight":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 0)
	for bits, want := range map[string]string{"\x00\x00\x00\x7e": "NaN", "\x00\x00\x00\x7c": "+Inf"} {
		r, err := readBytes(append(slices.Clone(file), bits...))
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, Load(r, []Named{Plain("norm.weight", tensor.New(2))}), `"norm.weight" holds `+want+` at element 1`)
	}
	if err := checkFinite([]float32{0, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32}); err != nil {
		t.Error(err)
	}
}

func TestModernName(t *testing.T) {
	for old, modern := range map[string]string{
		"down_blocks.1.attentions.0.query.weight": "down_blocks.1.attentions.0.to_q.weight",
		"down_blocks.1.attentions.1.key.bias":     "down_blocks.1.attentions.1.to_k.bias",
		"mid_block.attentions.0.value.weight":     "mid_block.attentions.0.to_v.weight",
		"up_blocks.2.attentions.2.proj_attn.bias": "up_blocks.2.attentions.2.to_out.0.bias",
		"ema.mid_block.attentions.0.key.weight":   "ema.mid_block.attentions.0.to_k.weight",
		"attentions.0.query.bias":                 "attentions.0.to_q.bias",
	} {
		if got := ModernName(old); got != modern {
			t.Errorf("%s: got %s, want %s", old, got, modern)
		}
		if got := ModernName(modern); got != modern {
			t.Errorf("%s is modern, but became %s", modern, got)
		}
	}
	for _, name := range []string{
		"", "weight", "query.weight", "0.query.weight", "mid_block.attentions.0.group_norm.weight", "mid_block.attentions.0.query",
		"mid_block.resnets.0.key.weight", "mid_block.attentions.0.query.weight.extra", "mid_block.attentions.0.proj_attn.weight_g",
	} {
		if got := ModernName(name); got != name {
			t.Errorf("%q: became %q, want it unchanged", name, got)
		}
	}
}
