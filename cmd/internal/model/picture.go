package model

import (
	"image"
	"math"
	"os"
	"path/filepath"

	"ddpm/data"
)

// Scale returns how many times a grid of n images of the given side is enlarged to fill about width pixels.
func Scale(side, n, width int) int {
	columns := int(math.Ceil(math.Sqrt(float64(n))))
	return min(max(width/(columns*side), 1), 16)
}

// WritePNG writes a picture, and makes the directory it is to lie in.
func WritePNG(path string, m image.Image) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return data.WritePNG(path, m)
}
