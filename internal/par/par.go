// Package par runs independent pieces of work on all processors.
//
// The caller cuts the work into pieces by its shape alone and each piece computes the same thing wherever it runs, so
// results have the same bits for any GOMAXPROCS. Which worker takes which piece is decided as they go: at first each
// has its own share, neighbouring pieces and the same ones in every call, so that what one call leaves in a core's cache
// is there for the next; who is done early helps the others.
package par

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// For calls f(0, …), …, f(n-1, …), each once, on up to GOMAXPROCS workers, and returns when all have returned. The
// calling goroutine is one of the workers, so For may be called from within a piece. The Scratch is the worker's own,
// for memory that the piece needs while it runs. A panic in a piece is raised again in the caller.
func For(n int, f func(i int, s *Scratch)) {
	procs := Workers()
	helpers := min(n, procs) - 1
	s := takeScratch()
	defer returnScratch(s)
	s.call = calls.Add(1)
	if helpers <= 0 {
		for i := range n {
			s.reset()
			f(i, s)
		}
		return
	}
	j := takeJob()
	j.f, j.call, j.run = f, s.call, max(1, int64(n/(runsPerWorker*procs)))
	j.share(n, helpers+1)
	j.done.Add(1)
	for _, w := range startWorkers(helpers) {
		w.offer(j)
	}
	j.work(0, s)
	if !spin(func() bool { return j.left.Load() == 0 }) {
		j.done.Wait()
	}
	p := j.panicked.Swap(nil)
	j.leave()
	if p != nil {
		panic(*p)
	}
}

// Apart is For for large pieces that are to keep to their workers: while any of them runs, For leaves its caller all the
// work. So what a piece computes with many calls of For stays in the caches of one core, and the cores wait for one another
// once. Calls from goroutines that have nothing to do with it are left to their callers too.
//
// A piece may wait for earlier ones: these are under way or done, or the caller comes to them, for it takes the pieces in
// order.
func Apart(n int, f func(i int)) {
	For(n, func(i int, _ *Scratch) {
		apart.Add(1)
		defer apart.Add(-1)
		f(i)
	})
}

var apart atomic.Int32 // pieces of Apart that run

// Workers is the number of workers that For would use now.
func Workers() int {
	if apart.Load() > 0 {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

var calls atomic.Int64 // of For

// runsPerWorker is the number of times a worker comes for more if all are equally fast: the more, the better the
// balance.
const runsPerWorker = 64

// A job is one call of For. Workers that receive it after its last piece was taken find nothing to do. It is used again
// when the caller and all workers that received it have left.
type job struct {
	call     int64 // its number
	run      int64 // pieces handed out at a time
	f        func(int, *Scratch)
	shares   []share
	left     atomic.Int64   // pieces that have not returned
	done     sync.WaitGroup // released by the last of them
	users    atomic.Int32
	panicked atomic.Pointer[any]
}

// A share is the pieces that one worker takes first.
type share struct {
	next atomic.Int64 // the next piece to hand out
	end  int64
	_    [48]byte // shares lie in cache lines of their own
}

// share cuts n pieces in equal shares.
func (j *job) share(n, shares int) {
	if cap(j.shares) < shares {
		j.shares = make([]share, shares)
	}
	j.shares = j.shares[:shares]
	for k := range j.shares {
		j.shares[k].next.Store(int64(k * n / shares))
		j.shares[k].end = int64((k + 1) * n / shares)
	}
	j.left.Store(int64(n))
}

// work takes pieces until there are none left, at first those of a worker's own share. It reports what it did once, for
// a counter that two cores write costs as much as a short piece if they share no cache.
func (j *job) work(worker int, s *Scratch) {
	var did int64
	for k := range j.shares {
		own := &j.shares[(worker+k)%len(j.shares)]
		for i := own.next.Add(j.run) - j.run; i < own.end; i = own.next.Add(j.run) - j.run {
			end := min(i+j.run, own.end)
			j.pieces(int(i), int(end), s)
			did += end - i
		}
	}
	if did > 0 && j.left.Add(-did) == 0 {
		j.done.Done()
	}
}

func (j *job) pieces(i, end int, s *Scratch) {
	defer func() {
		if p := recover(); p != nil {
			first := p // a copy, so that only a panic allocates
			j.panicked.CompareAndSwap(nil, &first)
		}
	}()
	for ; i < end; i++ {
		s.reset()
		j.f(i, s)
	}
}

// leave says that the caller or a worker will not touch j again.
func (j *job) leave() {
	if j.users.Add(-1) == 0 {
		j.f = nil
		idleJobs.Lock()
		idleJobs.list = append(idleJobs.list, j)
		idleJobs.Unlock()
	}
}

// takeJob returns a job that nobody uses, with the caller as its first user.
func takeJob() *job {
	idleJobs.Lock()
	defer idleJobs.Unlock()
	var j *job
	if n := len(idleJobs.list); n > 0 {
		j, idleJobs.list = idleJobs.list[n-1], idleJobs.list[:n-1]
	} else {
		j = new(job)
	}
	j.users.Store(1)
	return j
}

var idleJobs struct {
	sync.Mutex
	list []*job
}

// A worker is a goroutine that helps callers of For. It lives as long as the program.
type worker struct {
	index  int                 // from 1 on; the goroutine that calls For is worker 0
	mail   atomic.Pointer[job] // the job it is asked to help with next
	asleep atomic.Bool
	wake   chan struct{}
	_      [64]byte // workers lie in cache lines of their own
}

var workers struct {
	sync.Mutex // for starting more
	list       atomic.Pointer[[]*worker]
}

// startWorkers returns n workers.
func startWorkers(n int) []*worker {
	if list := workers.list.Load(); list != nil && len(*list) >= n {
		return (*list)[:n]
	}
	workers.Lock()
	defer workers.Unlock()
	var list []*worker
	if old := workers.list.Load(); old != nil {
		list = append(list, *old...)
	}
	for len(list) < n {
		w := &worker{index: len(list) + 1, wake: make(chan struct{}, 1)}
		list = append(list, w)
		go w.serve()
	}
	workers.list.Store(&list)
	return list[:n]
}

// offer asks w to help with j, instead of what it was asked before and has not begun: that may be over, and if not, its
// caller does what nobody else takes.
func (w *worker) offer(j *job) {
	j.users.Add(1)
	if old := w.mail.Swap(j); old != nil {
		old.leave()
	}
	if w.asleep.CompareAndSwap(true, false) {
		w.wake <- struct{}{}
	}
}

// serve works on jobs as they come.
func (w *worker) serve() {
	var s Scratch
	for {
		if !spin(func() bool { return w.mail.Load() != nil }) {
			w.asleep.Store(true)
			// An offer either is seen here, or sees that w sleeps and wakes it.
			if w.mail.Load() == nil || !w.asleep.CompareAndSwap(true, false) {
				<-w.wake
			}
		}
		if j := w.mail.Swap(nil); j != nil { // nil: woken for a job it has already helped with
			s.call = j.call
			j.work(w.index, &s)
			s.reset()
			j.leave()
		}
	}
}

// spinTime is how long a goroutine waits awake. Between the calls of For in a training step there are a few
// microseconds, now and then a hundred; to sleep and be woken takes about as long.
const spinTime = 200 * time.Microsecond

// Await returns when ready does so with true.
func Await(ready func() bool) {
	for !spin(ready) {
		time.Sleep(spinTime)
	}
}

// spin calls ready until it returns true, for up to spinTime, and reports whether it did.
func spin(ready func() bool) bool {
	for start := time.Now(); ; {
		for range 64 {
			if ready() {
				return true
			}
		}
		if time.Since(start) > spinTime {
			return false
		}
	}
}
