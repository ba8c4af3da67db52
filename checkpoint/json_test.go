package checkpoint

import (
	"encoding/json"
	"math"
	"testing"
)

func TestCanonicalJSON(t *testing.T) {
	v := struct {
		Z     int             `json:"z"`
		A     []int           `json:"a"`
		Class string          `json:"_class_name"`
		Raw   json.RawMessage `json:"raw"`
		Empty []string        `json:"empty"`
	}{1, []int{8, 16}, "a<b>&é", json.RawMessage(`{"y":1.0,"x":1e-05,"big":9007199254740993}`), []string{}}
	got, err := canonicalJSON(v)
	const want = `{
  "_class_name": "a<b>&é",
  "a": [
    8,
    16
  ],
  "empty": [],
  "raw": {
    "big": 9007199254740993,
    "x": 1e-05,
    "y": 1.0
  },
  "z": 1
}
`
	if err != nil || string(got) != want {
		t.Errorf("got %v\n%s, want\n%s", err, got, want)
	}
	again, err := canonicalJSON(json.RawMessage(got))
	if err != nil || string(again) != want {
		t.Errorf("a second time: got %v\n%s", err, again)
	}
	if _, err := canonicalJSON(math.NaN()); err == nil {
		t.Error("NaN was written as JSON")
	}
}
