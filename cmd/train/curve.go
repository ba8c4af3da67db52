package main

import (
	"bytes"
	"encoding/json"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// curveName is the file with a picture of the loss over the steps.
const curveName = "loss.png"

// curve draws the loss of all steps of the run: smoothed, in all and per quarter of the noise levels.
func (r *run) curve() error {
	text, err := os.ReadFile(filepath.Join(r.dir, metricsName))
	if err != nil {
		return err
	}
	names := []string{"all t", "t in 1st quarter (little noise)", "2nd", "3rd", "4th (mostly noise)"}
	lines, losses := make([]plotter.XYs, len(names)), make([]smoothed, len(names))
	for line := range bytes.Lines(text) {
		var rec struct {
			Step      int
			Loss      *float64
			Quartiles [4]*float64 `json:"loss_quartile"`
		}
		if json.Unmarshal(line, &rec) != nil {
			continue
		}
		for i, v := range append([]*float64{rec.Loss}, rec.Quartiles[:]...) {
			if v != nil && *v > 0 {
				losses[i].add(*v)
				lines[i] = append(lines[i], plotter.XY{X: float64(rec.Step), Y: losses[i].value()})
			}
		}
	}
	if len(lines[0]) < 2 {
		return nil // no curve yet
	}
	return plotLines(filepath.Join(r.dir, curveName), names, lines)
}

// palette is Okabe and Ito's, which the colour-blind can tell apart.
var palette = []color.Color{
	color.RGBA{0, 0, 0, 255}, color.RGBA{86, 180, 233, 255}, color.RGBA{0, 158, 115, 255}, color.RGBA{230, 159, 0, 255}, color.RGBA{213, 94, 0, 255},
}

func plotLines(path string, names []string, lines []plotter.XYs) error {
	p := plot.New()
	p.Title.Text = "Loss, smoothed"
	p.X.Label.Text, p.Y.Label.Text = "step", "loss"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for i, xys := range lines {
		if len(xys) == 0 {
			continue
		}
		l, err := plotter.NewLine(xys)
		if err != nil {
			return err
		}
		l.Color, l.Width = palette[i], vg.Points(1)
		if i == 0 {
			l.Width = vg.Points(2)
		}
		p.Add(l)
		p.Legend.Add(names[i], l)
	}
	return p.Save(20*vg.Centimeter, 12*vg.Centimeter, path)
}
