// Package screen is what a command shows while it works: lines of text and, below them, one line that changes.
package screen

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Screen writes to a file, which may be a terminal. It is not for concurrent use.
type Screen struct {
	file     *os.File
	terminal bool
	shown    bool // a changing line stands below the text
	last     time.Time
}

const (
	redraw = 100 * time.Millisecond // between changes of the line in a terminal
	plain  = 10 * time.Second       // between lines where there is no terminal
)

// New returns a screen on a file.
func New(f *os.File) *Screen {
	return &Screen{file: f, terminal: term.IsTerminal(int(f.Fd())), last: time.Now()}
}

// Printf writes a line of text. Errors of the file are of no concern: the work is more than its reports.
func (s *Screen) Printf(format string, args ...any) {
	s.clear()
	fmt.Fprintf(s.file, format+"\n", args...)
}

// Progress shows how far a piece of work is: in a terminal as a bar that is redrawn ten times a second, elsewhere as a
// line every ten seconds. done is in [0, 1], or negative if nobody knows; text makes what stands beside the bar.
func (s *Screen) Progress(done float64, text func() string) {
	every := plain
	if s.terminal {
		every = redraw
	}
	if now := time.Now(); now.Sub(s.last) >= every {
		s.last = now
		s.show(done, text())
	}
}

func (s *Screen) show(done float64, text string) {
	if !s.terminal {
		if done >= 0 {
			text = fmt.Sprintf("%3.0f %%  %s", 100*done, text)
		}
		fmt.Fprintln(s.file, text)
		return
	}
	width, _, err := term.GetSize(int(s.file.Fd()))
	if err != nil || width < 1 {
		width = 80
	}
	if room := min(width-utf8.RuneCountInString(text)-3, 40); done >= 0 && room >= 5 {
		text = Bar(done, room) + "  " + text
	}
	if r := []rune(text); len(r) >= width { // a line that wraps cannot be taken back
		text = string(r[:width-1])
	}
	fmt.Fprint(s.file, "\r"+text+"\x1b[K")
	s.shown = true
}

// clear takes the changing line away.
func (s *Screen) clear() {
	if s.shown {
		fmt.Fprint(s.file, "\r\x1b[K")
		s.shown = false
	}
}

// Command returns how the user has called a command of this module, to be copied for the next call.
func Command(name string) string {
	self := os.Args[0]
	switch {
	case strings.Contains(self, "go-build"): // a temporary file of go run
		return "go run ./cmd/" + name
	case strings.TrimSuffix(filepath.Base(self), ".exe") == name: // the same
		return self
	default: // another, which lies beside it
		return filepath.Join(filepath.Dir(self), name)
	}
}

// Bar draws a part of a whole in n characters.
func Bar(done float64, n int) string {
	eighths := int(min(max(done, 0), 1)*float64(8*n) + 0.5)
	full, rest := eighths/8, eighths%8
	b := strings.Repeat("█", full)
	if rest > 0 {
		b += string([]rune("▏▎▍▌▋▊▉")[rest-1])
		full++
	}
	return b + strings.Repeat("░", n-full)
}

// Duration writes a time as people do: 8 s, 3 min 20 s, 2 h 05 min, 3 d 4 h.
func Duration(d time.Duration) string {
	switch s := int(d.Round(time.Second).Seconds()); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case s < 100:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	case s < 48*3600:
		return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
	}
}

// Count writes a number with a comma between thousands.
func Count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
