package data

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"strings"

	"ddpm/internal/par"
)

// maxPixels bounds a picture before it is decoded: as many as the largest cameras take, at up to 15 bytes each while it
// is read.
const maxPixels = 1 << 26

// A codec reads one picture format. Files are told apart by how they begin, not by their names.
type codec struct {
	magic  string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

var codecs = []codec{
	{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
	{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
}

// A picture is a file of a folder, and what its header says.
type picture struct {
	name          string
	class         int // of the sub-folder it lies in; -1: it lies in none
	codec         *codec
	width, height int
}

// openImages reads a folder of PNG and JPEG images. All are checked by their headers before the first is decoded.
func openImages(d directory, entries []entry, opt Options) (*Set, error) {
	d, entries, err := splitFolder(d, entries, opt.Split)
	if err != nil {
		return nil, err
	}
	pictures, classes, err := listPictures(d, entries)
	if err != nil {
		return nil, err
	}
	if err := probeAll(d, pictures); err != nil {
		return nil, err
	}
	h, w := opt.Side, opt.Side
	if opt.Side == 0 {
		if h, w, err = commonSize(d, pictures); err != nil {
			return nil, err
		}
	}
	s := &Set{H: h, W: w, C: 3, Classes: len(classes), ClassNames: classes}
	if s.Pixels, err = allocate(d.path, len(pictures), h, w, 3); err != nil {
		return nil, err
	}
	if err := decodeAll(d, pictures, s); err != nil {
		return nil, err
	}
	for _, p := range pictures {
		if p.class >= 0 {
			s.Labels = append(s.Labels, p.class)
		}
	}
	if opt.Channels == 0 && grey(s.Pixels) {
		return s.toChannels(1)
	}
	return s, nil
}

// splitFolder goes down to the folder of a split, where a directory has nothing but folders train or test.
func splitFolder(d directory, entries []entry, split string) (directory, []entry, error) {
	isSplit := func(e entry) bool { return e.dir && (e.name == "train" || e.name == "test") }
	if len(entries) > 0 && !slices.ContainsFunc(entries, func(e entry) bool { return !isSplit(e) }) {
		if !slices.Contains(entries, entry{split, true}) {
			return d, nil, &Error{d.path, "holds no folder " + split, "add it or choose the other split", nil}
		}
		sub, err := d.sub(split)
		if err != nil {
			return d, nil, err
		}
		entries, err = sub.entries(".")
		return sub, entries, err
	}
	if split != "train" {
		return d, nil, &Error{d.path, "holds no folder " + split, "move the images into folders train and test", nil}
	}
	return d, entries, nil
}

// listPictures returns the files of a folder, or those of its sub-folders and the sub-folders' names as classes.
func listPictures(d directory, entries []entry) (pictures []picture, classes []string, err error) {
	var files, folders []string
	for _, e := range entries {
		if e.dir {
			folders = append(folders, e.name)
		} else {
			files = append(files, e.name)
		}
	}
	if len(files) > 0 && len(folders) > 0 {
		detail := fmt.Sprintf("holds both files (%s) and folders (%s)", brief(files), brief(folders))
		remedy := "keep only images in it, or only one folder of images for each class, or " + accepted
		return nil, nil, &Error{d.path, detail, remedy, nil}
	}
	for _, name := range files {
		pictures = append(pictures, picture{name: name, class: -1})
	}
	for class, folder := range folders {
		in, err := d.entries(folder)
		if err != nil {
			return nil, nil, err
		}
		if len(in) == 0 {
			return nil, nil, &Error{d.join(folder), "holds no images", "remove it or fill it", nil}
		}
		for _, e := range in {
			if e.dir {
				const remedy = "give the directory that holds the folders of the classes"
				return nil, nil, &Error{d.join(e.name), "is a folder within the folder of a class", remedy, nil}
			}
			pictures = append(pictures, picture{name: e.name, class: class})
		}
	}
	if len(pictures) == 0 {
		return nil, nil, &Error{d.path, "is empty", accepted, nil}
	}
	return pictures, folders, nil
}

// brief names the first few of a list.
func brief(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}

// probeAll fills in what the pictures' headers say. A folder with no picture at all is no folder of pictures.
func probeAll(d directory, pictures []picture) error {
	err := firstError(len(pictures), func(i int) error { return probe(d, &pictures[i]) })
	if err != nil {
		return err
	}
	var others []string
	for _, p := range pictures {
		if p.codec == nil {
			others = append(others, p.name)
		}
	}
	if len(others) == len(pictures) {
		return &Error{d.path, "holds nothing known as a data set: " + brief(others), accepted, nil}
	}
	if len(others) > 0 {
		return &Error{d.join(others[0]), "is neither PNG nor JPEG", "convert it or move it out of the images' folder", nil}
	}
	return nil
}

// probe reads a file's header. The codec of a file that is no picture stays nil.
func probe(d directory, p *picture) error {
	f, _, err := d.open(p.name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for i := range codecs {
		begin, err := r.Peek(len(codecs[i].magic))
		if err == nil && bytes.Equal(begin, []byte(codecs[i].magic)) {
			p.codec = &codecs[i]
		}
	}
	if p.codec == nil {
		return nil
	}
	c, err := p.codec.config(r)
	if err != nil {
		return &Error{d.join(p.name), "has a damaged header", "replace or remove it", err}
	}
	if c.Width < 1 || c.Height < 1 || int64(c.Width) > maxPixels/int64(c.Height) {
		detail := fmt.Sprintf("claims %d×%d pixels, the limit is %d in all", c.Width, c.Height, maxPixels)
		return &Error{d.join(p.name), detail, "make it smaller or remove it", nil}
	}
	p.width, p.height = c.Width, c.Height
	return nil
}

// commonSize returns the size that all pictures share.
func commonSize(d directory, pictures []picture) (h, w int, err error) {
	first := pictures[0]
	for _, p := range pictures {
		if p.width != first.width || p.height != first.height {
			detail := fmt.Sprintf("is %d×%d pixels, but %s is %d×%d", p.width, p.height, first.name, first.width, first.height)
			return 0, 0, &Error{d.join(p.name), detail, "choose a side that all are resized to", nil}
		}
	}
	return first.height, first.width, nil
}

// decodeAll reads the pictures into s.Pixels [N H W 3]. As many are in memory at once as there are processors.
func decodeAll(d directory, pictures []picture, s *Set) error {
	size := s.H * s.W * 3
	return firstError(len(pictures), func(i int) error {
		return decode(d, pictures[i], s.Pixels[i*size:][:size], s.H, s.W)
	})
}

// decode reads a picture into dst [H W 3]. One of another size is cropped to its centred square and resized.
func decode(d directory, p picture, dst []byte, h, w int) error {
	f, _, err := d.open(p.name)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := p.codec.decode(bufio.NewReader(f))
	if err != nil {
		return &Error{d.join(p.name), "cannot be decoded", "replace or remove it", err}
	}
	b := m.Bounds()
	if b.Dx() != p.width || b.Dy() != p.height {
		return &Error{d.join(p.name), "has changed while it was read", "try again", nil}
	}
	if p.width == w && p.height == h {
		flatten(dst, m, b)
		return nil
	}
	size := min(p.width, p.height)
	corner := b.Min.Add(image.Pt((p.width-size)/2, (p.height-size)/2))
	square := make([]byte, size*size*3)
	flatten(square, m, image.Rectangle{Min: corner, Max: corner.Add(image.Pt(size, size))})
	newScaler(size, w).resize(dst, square, 3)
	return nil
}

// flatten copies the part r of m, laid on white where it is transparent, to dst [H W 3].
func flatten(dst []byte, m image.Image, r image.Rectangle) {
	rgba := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
	draw.Draw(rgba, rgba.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(rgba, rgba.Rect, m, r.Min, draw.Over)
	for i := range len(dst) / 3 {
		copy(dst[3*i:][:3], rgba.Pix[4*i:])
	}
}

// grey reports whether no pixel of [… 3] has colour.
func grey(pixels []byte) bool {
	for i := 0; i < len(pixels); i += 3 {
		if pixels[i] != pixels[i+1] || pixels[i] != pixels[i+2] {
			return false
		}
	}
	return true
}

// firstError calls f for 0…n-1 on all processors and returns the error of the lowest number, so that the same folder
// always gives the same message.
func firstError(n int, f func(i int) error) error {
	errs := make([]error, n)
	par.For(n, func(i int, _ *par.Scratch) { errs[i] = f(i) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
