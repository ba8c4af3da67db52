package checkpoint

// JSON in two stricter senses than encoding/json's: read, a key may stand once only; written, keys are sorted, so that
// the same values are the same bytes.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// newWalker returns a decoder over data, which must be exactly one JSON value in valid UTF-8.
func newWalker(data []byte) (*json.Decoder, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not valid UTF-8")
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("is not valid JSON: %w", json.Unmarshal(data, new(json.RawMessage)))
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d, nil
}

// walkObject reads the object that comes next from d and calls field for each key; field reads the value.
// encoding/json itself lets the last of two equal keys win, and readers that disagree on that see two different files.
func walkObject(d *json.Decoder, field func(key string) error) error {
	if err := wantDelim(d, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key := token.(string) // in valid JSON nothing else can be a key
		if seen[key] {
			return fmt.Errorf("the key %q appears twice", key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	return wantDelim(d, '}')
}

// walkArray reads the array that comes next from d and calls element for each element; element reads the value.
func walkArray(d *json.Decoder, element func() error) error {
	if err := wantDelim(d, '['); err != nil {
		return err
	}
	for d.More() {
		if err := element(); err != nil {
			return err
		}
	}
	return wantDelim(d, ']')
}

func wantDelim(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("got %v, want %v", token, want)
	}
	return nil
}

func walkString(d *json.Decoder) (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("got %v, want a string", token)
	}
	return s, nil
}

// skipValue reads the value that comes next from d, whatever it is.
func skipValue(d *json.Decoder) error { return d.Decode(new(json.RawMessage)) }

// canonicalJSON returns v as diffusers writes its configurations: indented by 2, keys sorted, ended by a new line.
// v is whatever encoding/json can encode, JSON itself ([json.RawMessage]) included.
func canonicalJSON(v any) ([]byte, error) {
	first, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(first))
	d.UseNumber() // numbers stay as they are spelt
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(tree) // maps are written in the order of their keys
	return out.Bytes(), err
}
