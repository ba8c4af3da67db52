package screen

import (
	"testing"
	"time"
)

func TestBar(t *testing.T) {
	for _, c := range []struct {
		done float64
		want string
	}{{0, "░░░░"}, {0.5, "██░░"}, {0.53, "██▏░"}, {1, "████"}, {-1, "░░░░"}, {7, "████"}} {
		if got := Bar(c.done, 4); got != c.want {
			t.Errorf("Bar(%v, 4): got %s, want %s", c.done, got, c.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		2340 * time.Millisecond: "2.3 s", 61 * time.Second: "61 s", 200 * time.Second: "3 min 20 s",
		2*time.Hour + 5*time.Minute: "2 h 05 min", 76 * time.Hour: "3 d 4 h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d): got %s, want %s", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 35746307: "35,746,307"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d): got %s, want %s", n, got, want)
		}
	}
}
