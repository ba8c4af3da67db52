package par

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func withProcs(n int, f func()) {
	old := runtime.GOMAXPROCS(n)
	defer runtime.GOMAXPROCS(old)
	f()
}

func TestForRunsEachPieceOnce(t *testing.T) {
	for _, procs := range []int{1, 2, 7} {
		for _, n := range []int{0, 1, 2, 3, 100} {
			withProcs(procs, func() {
				count := make([]atomic.Int32, n)
				For(n, func(i int, _ *Scratch) { count[i].Add(1) })
				for i := range count {
					if c := count[i].Load(); c != 1 {
						t.Errorf("GOMAXPROCS %d, n %d: piece %d ran %d times", procs, n, i, c)
					}
				}
			})
		}
	}
}

func TestForNested(t *testing.T) {
	withProcs(3, func() {
		var sum atomic.Int64
		For(20, func(i int, _ *Scratch) {
			For(20, func(j int, _ *Scratch) { sum.Add(int64(20*i + j)) })
		})
		if got, want := sum.Load(), int64(399*400/2); got != want {
			t.Errorf("got sum %d, want %d", got, want)
		}
	})
}

// TestForIsHelped has two pieces wait for each other: in calls one after another, after the worker has gone to sleep, and
// when it is late for one call and wanted for the next.
func TestForIsHelped(t *testing.T) {
	withProcs(2, func() {
		for i := 0; i < 200 && !t.Failed(); i++ {
			switch i % 4 {
			case 1:
				time.Sleep(2 * spinTime)
			case 3:
				For(2, func(int, *Scratch) {}) // over before anybody can help
			}
			var here atomic.Int32
			For(2, func(int, *Scratch) {
				here.Add(1)
				for start := time.Now(); here.Load() < 2; runtime.Gosched() {
					if time.Since(start) > 10*time.Second {
						t.Errorf("call %d: nobody helped", i)
						here.Add(2)
					}
				}
			})
		}
	})
}

// TestWorkerWokenForNothing wakes a worker whose mail is empty, which happens when it has already helped with the job that
// it is woken for. It must go back to sleep, and be there for the next.
func TestWorkerWokenForNothing(t *testing.T) {
	withProcs(2, func() {
		w := startWorkers(1)[0]
		for !w.asleep.CompareAndSwap(true, false) {
			time.Sleep(spinTime)
		}
		w.wake <- struct{}{}
		for !w.asleep.Load() {
			time.Sleep(spinTime)
		}
		For(2, func(int, *Scratch) {})
	})
}

// TestForByMany calls For from several goroutines at once, which want the same workers.
func TestForByMany(t *testing.T) {
	withProcs(3, func() {
		var sum atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 100 {
					For(10, func(i int, _ *Scratch) { sum.Add(int64(i)) })
				}
			})
		}
		all.Wait()
		if got, want := sum.Load(), int64(8*100*45); got != want {
			t.Errorf("got sum %d, want %d", got, want)
		}
	})
}

// TestApart has For, called within a piece, leave all its pieces to that, in order, while the pieces run at once. After it,
// or a panic in one, For uses all workers again.
func TestApart(t *testing.T) {
	withProcs(3, func() {
		var met sync.WaitGroup
		met.Add(3)
		var orders [3][]int
		Apart(3, func(i int) {
			met.Done()
			met.Wait() // for the others
			for range 50 {
				orders[i] = orders[i][:0]
				For(20, func(k int, _ *Scratch) { orders[i] = append(orders[i], k) })
			}
			if got := Workers(); got != 1 {
				t.Errorf("got %d workers within, want 1", got)
			}
		})
		for i, order := range orders {
			for k := range 20 {
				if len(order) != 20 || order[k] != k {
					t.Errorf("piece %d: got order %v, want 0…19", i, order)
				}
			}
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("got no panic, want that of a piece")
				}
			}()
			Apart(3, func(int) { panic("in a piece") })
		}()
		if got := Workers(); got != 3 {
			t.Errorf("got %d workers after, want 3", got)
		}
	})
}

// TestScratchComesFromItsPlace has memory return to where it was given back, whatever was given back since.
func TestScratchComesFromItsPlace(t *testing.T) {
	list := idle.list
	defer func() { idle.list = list }()
	other := &Scratch{place: Place{new(byte)}}
	for try := 0; ; try++ { // the scheduler may move the test, and the race detector makes pools forget
		mine := &Scratch{place: Here()}
		idle.list = []*Scratch{other, mine, {place: Place{new(byte)}}}
		if s := takeScratch(); s == mine {
			break
		}
		if try == 100 {
			t.Fatal("got memory of another place, a hundred times")
		}
	}
	if len(idle.list) != 2 {
		t.Errorf("got %d left, want 2", len(idle.list))
	}
	idle.list = idle.list[:1]
	if s := takeScratch(); s != other || len(idle.list) != 0 {
		t.Error("got new memory, want that of another place")
	}
}

// TestScratchOnce has each worker fill its memory in the first of its pieces of a call, whatever else these ask for.
func TestScratchOnce(t *testing.T) {
	withProcs(3, func() {
		for call := range 3 {
			var firsts atomic.Int32
			For(100, func(_ int, s *Scratch) {
				for i := range s.Floats(50) {
					s.Floats(1)[0] = float32(-i)
				}
				x, first := s.Once(20 + 10*call)
				if first {
					firsts.Add(1)
					for i := range x {
						x[i] = float32(call)
					}
				}
				for i, v := range x {
					if len(x) != 20+10*call || v != float32(call) {
						t.Errorf("call %d: got %v at %d of %d, want %d of %d", call, v, i, len(x), call, 20+10*call)
					}
				}
			})
			if n := firsts.Load(); n < 1 || n > 3 {
				t.Errorf("call %d: got %d first pieces, want 1 to 3", call, n)
			}
		}
	})
}

func TestForRaisesPanics(t *testing.T) {
	for _, procs := range []int{1, 4} {
		withProcs(procs, func() {
			defer func() {
				if p := recover(); p != "piece 5" {
					t.Errorf("GOMAXPROCS %d: got panic %v, want piece 5", procs, p)
				}
			}()
			For(9, func(i int, _ *Scratch) {
				if i == 5 {
					panic("piece 5")
				}
			})
		})
	}
}

func TestScratchSlicesAreDisjoint(t *testing.T) {
	var s Scratch
	for range 3 {
		s.reset()
		var all [][]float32
		for k := range 50 {
			x := s.Floats(1 + 997*k%5000)
			for i := range x {
				x[i] = float32(k)
			}
			all = append(all, x)
		}
		for k, x := range all {
			for _, v := range x {
				if v != float32(k) {
					t.Fatalf("slice %d was overwritten by slice %v", k, v)
				}
			}
		}
	}
	if got := testing.AllocsPerRun(10, func() { s.reset(); s.Floats(40000); s.Floats(50000) }); got != 0 {
		t.Errorf("steady use allocates %v times", got)
	}
}

func TestScratchWithin(t *testing.T) {
	var s Scratch
	loop := func() {
		s.reset()
		kept := s.Floats(1000)
		kept[999] = 7
		for range 5 {
			s.Within(func() {
				x := s.Floats(70000)
				x[0], x[69999] = 1, 1
			})
		}
		if kept[999] != 7 {
			t.Fatal("memory within overlaps memory around")
		}
	}
	loop()
	if got := testing.AllocsPerRun(5, loop); got != 0 {
		t.Errorf("steady use allocates %v times", got)
	}
	if len(s.block) > 2*71008 {
		t.Errorf("holds %d floats for a need of 71008", len(s.block))
	}
}

func TestPoison(t *testing.T) {
	Poison = true
	defer func() { Poison = false }()
	var s Scratch
	for _, v := range s.Floats(100) {
		if !math.IsNaN(float64(v)) {
			t.Fatal("poisoned scratch memory holds a number")
		}
	}
}
