package tests

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBadInput gives the commands what they cannot use: one line that says where and what to do, and the code of its kind.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(small, "-steps", "1", "-out", "run")...)
	model := filepath.Join("run", "step-00000001")
	idx := func(magic, n, h, w uint32, pixels int) []byte {
		b := binary.BigEndian.AppendUint32(nil, magic)
		for _, v := range []uint32{n, h, w} {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		return append(b, make([]byte, pixels)...)
	}
	const images = "train-images-idx3-ubyte"
	put(t, dir, "truncated/"+images, idx(0x803, 3, 4, 4, 40))
	put(t, dir, "magic/"+images, idx(0x123, 3, 4, 4, 48))
	put(t, dir, "overflow/"+images, idx(0x803, 1<<31, 1<<31, 1<<31, 48))
	put(t, dir, "overflow-gz/"+images+".gz", zipped(t, idx(0x803, 1<<31, 1<<31, 1<<31, 48)))
	put(t, dir, "huge/a.png", hugePNG())
	put(t, dir, "text/a.txt", []byte("not a picture"))
	put(t, dir, "empty/.keep", nil)

	// Models without a manifest, as they come from elsewhere: every file is judged by what it says.
	copyModel := func(name string) string {
		require.NoError(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(dir, model))))
		require.NoError(t, os.Remove(filepath.Join(dir, name, "manifest.json")))
		return filepath.Join(dir, name, "unet")
	}
	edit(t, filepath.Join(copyModel("offsets"), "diffusion_pytorch_model.safetensors"), `"data_offsets":[0,`, `"data_offsets":[8,`)
	edit(t, filepath.Join(copyModel("mismatch"), "config.json"), `"layers_per_block": 1`, `"layers_per_block": 2`)
	edit(t, filepath.Join(copyModel("unknown"), "config.json"), `"DownBlock2D"`, `"SkipDownBlock2D"`)
	cut := filepath.Join(copyModel("cut"), "diffusion_pytorch_model.safetensors")
	require.NoError(t, os.Truncate(cut, 1000))

	train := func(flags string) []string {
		return append([]string{"train"}, with(small, strings.Fields(flags)...)...)
	}
	sample := func(flags string) []string { return append([]string{"sample"}, strings.Fields(flags)...) }
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"truncated IDX", train("-data truncated"), 3, []string{images}},
		{"wrong magic", train("-data magic"), 3, []string{images}},
		{"sizes that overflow", train("-data overflow"), 3, []string{images}},
		{"sizes that overflow, zipped", train("-data overflow-gz"), 3, []string{images}},
		{"PNG of 50 gigapixels", train("-data huge -side 8"), 3, []string{"a.png"}},
		{"folder with a text file", train("-data text -side 8"), 3, []string{"a.txt"}},
		{"empty folder", train("-data empty -side 8"), 3, []string{"empty"}},
		{"no such data", train("-data nowhere"), 3, []string{"nowhere"}},
		{"side", train("-side 9"), 2, []string{"-side 9", "-side 10"}},
		{"groups", train("-groups 3"), 2, []string{"-channels", "-groups 3"}},
		{"attention", train("-attention 1,0,1"), 2, []string{"-attention"}},
		{"accumulation", train("-accumulate 3"), 2, []string{"-accumulate", "-batch"}},
		{"unknown preset", []string{"train", "-preset", "x"}, 2, []string{"digits"}},
		{"unknown flag", []string{"train", "-x"}, 2, []string{"-h"}},
		{"an argument", []string{"train", "digits"}, 2, []string{"digits"}},
		{"CIFAR-10 without data", []string{"train", "-preset", "cifar10"}, 2, []string{"data_batch_1.bin", "-data"}},
		{"a directory in use", train("-out run"), 2, []string{"-resume"}},
		{"out below a file", train("-out truncated/" + images + "/x"), 5, []string{"-out"}},
		{"contradiction", []string{"train", "-resume", "-out", "run", "-lr", "0.5"}, 2, []string{"-lr 0.001", "-lr 0.5"}},
		{"resume nothing", []string{"train", "-resume", "-out", "empty"}, 3, []string{"empty"}},
		{"init from nowhere", []string{"train", "-init", "nowhere"}, 3, []string{"nowhere"}},
		{"no run", sample("-model nowhere"), 3, []string{"nowhere"}},
		{"offsets", sample("-model offsets"), 3, []string{"offsets"}},
		{"weights of another network", sample("-model mismatch"), 3, []string{"mismatch"}},
		{"unknown block", sample("-model unknown"), 3, []string{"SkipDownBlock2D"}},
		{"cut off", sample("-model cut"), 3, []string{"cut"}},
		{"too many steps", sample("-model run -steps 1001"), 2, []string{"-steps 1001", "1000"}},
		{"no classes", sample("-model run -class 3"), 2, []string{"-classes"}},
		{"eta of another sampler", sample("-model run -eta 0.5"), 2, []string{"-sampler ddim"}},
		{"unknown sampler", sample("-model run -sampler x"), 2, []string{"dpmpp"}},
		{"grid below a file", sample("-model run -n 1 -steps 1 -out truncated/" + images + "/x.png"), 5, []string{images}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := tree(t, dir)
			got := run(t, prepared(t, dir, c.args[0], c.args[1:]...))
			require.Equal(t, c.code, got.code, got.errors)
			require.Equal(t, 1, strings.Count(got.errors, "\n"), "one line: %s", got.errors)
			require.True(t, strings.HasPrefix(got.errors, c.args[0]+": "), got.errors)
			for _, word := range c.says {
				require.Contains(t, got.errors, word)
			}
			require.Equal(t, before, tree(t, dir), "nothing is lost, nothing left behind")
		})
	}
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// hugePNG returns the header of a picture of 223,606×223,606 pixels.
func hugePNG() []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), 223_606)
	header = binary.BigEndian.AppendUint32(header, 223_606)
	header = append(header, 8, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(header)-4))
	b = append(b, header...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(header))
}
