// Package par runs independent pieces of work on all processors.
//
// The caller cuts the work into pieces by its shape alone and each piece computes the same thing wherever it runs, so
// results have the same bits for any GOMAXPROCS. Which worker takes which piece is decided as they go.
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
	procs := runtime.GOMAXPROCS(0)
	helpers := min(n, procs) - 1
	if helpers <= 0 {
		s := takeScratch()
		defer returnScratch(s)
		for i := range n {
			s.reset()
			f(i, s)
		}
		return
	}
	j := takeJob()
	j.n, j.f, j.run = int64(n), f, max(1, int64(n/(runsPerWorker*procs)))
	j.next.Store(0)
	j.left.Store(int64(n))
	j.done.Add(1)
	startWorkers(helpers)
	for range helpers {
		j.users.Add(1)
		select {
		case jobs <- j:
		default: // every worker is busy and the queue is full: the caller does what nobody else takes
			j.users.Add(-1)
		}
	}
	j.work()
	if !spin(func() bool { return j.left.Load() == 0 }) {
		j.done.Wait()
	}
	p := j.panicked.Swap(nil)
	j.leave()
	if p != nil {
		panic(*p)
	}
}

// runsPerWorker is the number of times a worker comes for more if all are equally fast: the more, the better the
// balance, and the more often they meet at the counter.
const runsPerWorker = 8

// A job is one call of For. Workers that receive it after its last piece was taken find nothing to do. It is used again
// when the caller and all workers that received it have left.
type job struct {
	n        int64
	run      int64 // pieces handed out at a time
	f        func(int, *Scratch)
	next     atomic.Int64   // the next piece to hand out
	left     atomic.Int64   // pieces that have not returned
	done     sync.WaitGroup // released by the last of them
	users    atomic.Int32
	panicked atomic.Pointer[any]
}

// work takes pieces until there are none left.
func (j *job) work() {
	i := j.next.Add(j.run) - j.run
	if i >= j.n {
		return
	}
	s := takeScratch()
	for ; i < j.n; i = j.next.Add(j.run) - j.run {
		end := min(i+j.run, j.n)
		j.pieces(int(i), int(end), s)
		if j.left.Add(i-end) == 0 {
			j.done.Done()
		}
	}
	returnScratch(s)
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

var (
	idleJobs struct {
		sync.Mutex
		list []*job
	}
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
		go serve()
	}
}

// serve works on jobs as they come.
func serve() {
	for {
		var j *job
		if !spin(func() bool {
			select {
			case j = <-jobs:
				return true
			default:
				return false
			}
		}) {
			j = <-jobs
		}
		j.work()
		j.leave()
	}
}

// spinTime is how long a goroutine waits awake. Between the calls of For in a training step there are a few
// microseconds; to sleep and be woken takes ten times as long.
const spinTime = 50 * time.Microsecond

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
