// Package par runs independent pieces of work on all processors.
//
// The caller cuts the work into pieces by its shape alone and each piece computes the same thing wherever it runs, so
// results have the same bits for any GOMAXPROCS. Which worker takes which piece is decided as they go.
package par

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// For calls f(0, …), …, f(n-1, …), each once, on up to GOMAXPROCS workers, and returns when all have returned. The
// calling goroutine is one of the workers, so For may be called from within a piece. The Scratch is the worker's own,
// for memory that the piece needs while it runs. A panic in a piece is raised again in the caller.
func For(n int, f func(i int, s *Scratch)) {
	helpers := min(n, runtime.GOMAXPROCS(0)) - 1
	if helpers <= 0 {
		s := takeScratch()
		defer returnScratch(s)
		for i := range n {
			s.reset()
			f(i, s)
		}
		return
	}
	j := &job{n: int64(n), f: f}
	j.pending.Add(n)
	startWorkers(helpers)
	for range helpers {
		select {
		case jobs <- j:
		default: // every worker is busy and the queue is full: the caller does what nobody else takes
		}
	}
	j.work()
	j.pending.Wait()
	if p := j.panicked.Load(); p != nil {
		panic(*p)
	}
}

// A job is one call of For. Workers that receive it after its last piece was taken find nothing to do.
type job struct {
	n        int64
	f        func(int, *Scratch)
	next     atomic.Int64 // the next piece to hand out
	pending  sync.WaitGroup
	panicked atomic.Pointer[any]
}

// work takes pieces until there are none left.
func (j *job) work() {
	i := j.next.Add(1) - 1
	if i >= j.n {
		return
	}
	s := takeScratch()
	for ; i < j.n; i = j.next.Add(1) - 1 {
		s.reset()
		j.piece(int(i), s)
	}
	returnScratch(s)
}

func (j *job) piece(i int, s *Scratch) {
	defer j.pending.Done()
	defer func() {
		if p := recover(); p != nil {
			first := p // a copy, so that only a panic allocates
			j.panicked.CompareAndSwap(nil, &first)
		}
	}()
	j.f(i, s)
}

var (
	jobs    = make(chan *job, 64)
	workers struct {
		sync.Mutex
		n int
	}
)

// startWorkers makes sure that at least n goroutines wait for jobs. They live as long as the program.
func startWorkers(n int) {
	workers.Lock()
	defer workers.Unlock()
	for ; workers.n < n; workers.n++ {
		go func() {
			for j := range jobs {
				j.work()
			}
		}()
	}
}
