// Command export writes the images that a run is trained on, as the run sees them, for programs that do not read every
// kind of training set: scaleout/pytorch is one. export -h says more.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
	"ddpm/cmd/internal/npy"
	"ddpm/cmd/internal/screen"
	"ddpm/data"
)

const help = `Write the images that a run is trained on, cropped and resized as the run has them. Usage: export [flags]

  export -run runs/photos-20250101-120000 -out photos

  -run DIR         the run, or one of its checkpoints; the newest run under runs/ if not given
  -data SET        where its images are now, if they have moved
  -out DIR         where to write:
                     images.npy    uint8 [N H W C], for numpy.load
                     labels.npy    int32 [N], if the images have labels
                     set.json      the name of the set and the number of its classes
                     manifest.json size and SHA-256 of these
`

func main() { exit.With("export", command(os.Args[1:])) }

func command(args []string) error {
	f := flag.NewFlagSet("export", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	run, from, out := f.String("run", "", ""), f.String("data", "", ""), f.String("out", "", "")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(os.Stdout, help)
		return err
	case err != nil:
		return exit.Usage("%v; export -h lists the flags", err)
	case f.NArg() > 0:
		return exit.Usage("%q is no flag; export -h lists them", f.Arg(0))
	case *out == "":
		return exit.Usage("say where to write with -out DIR")
	}
	set, err := open(*run, *from)
	if err != nil {
		return err
	}
	if err := write(*out, set); err != nil {
		return err
	}
	fmt.Printf("Wrote %s images of %d×%d×%d to %s.\n", screen.Count(set.Len()), set.W, set.H, set.C, *out)
	return nil
}

// open opens the set that a run was trained on. from says where it is, if not where it was.
func open(run, from string) (*data.Set, error) {
	m, skipped, err := model.Open(run)
	for _, err := range skipped {
		fmt.Fprintf(os.Stderr, "export: warning: passed over a checkpoint: %v\n", err)
	}
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if m.State == nil {
		return nil, exit.Bad(m.Dir, errors.New("is a model without the state of its training; name a run of the command train"))
	}
	var state struct {
		Settings struct {
			Data    string
			Side    int
			Colours int `json:"in_channels"`
		}
	}
	if err := json.Unmarshal(m.State, &state); err != nil {
		return nil, exit.Bad(m.Dir, err)
	}
	s := state.Settings
	if from == "" {
		from = s.Data
	}
	return data.Open(from, data.Options{Side: s.Side, Channels: s.Colours})
}

// write writes a set to a directory, whole or not at all.
func write(dir string, s *data.Set) error {
	return checkpoint.Write(dir, func(w *checkpoint.Writer) error {
		w.File("images.npy", func(f io.Writer) error {
			if _, err := f.Write(npy.Header(npy.Uint8, s.Len(), s.H, s.W, s.C)); err != nil {
				return err
			}
			_, err := f.Write(s.Pixels)
			return err
		})
		if s.Labels != nil {
			w.File("labels.npy", func(f io.Writer) error {
				b := npy.Header(npy.Int32, s.Len())
				for _, l := range s.Labels {
					b = binary.LittleEndian.AppendUint32(b, uint32(l))
				}
				_, err := f.Write(b)
				return err
			})
		}
		w.JSON("set.json", map[string]any{"name": s.Name, "classes": s.Classes})
		return nil
	})
}
