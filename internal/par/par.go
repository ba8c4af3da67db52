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
	procs := runtime.GOMAXPROCS(0)
	helpers := min(n, procs) - 1
	if helpers <= 0 {
		s := takeScratch(0)
		defer returnScratch(0, s)
		for i := range n {
			s.reset()
			f(i, s)
		}
		return
	}
	j := takeJob()
	j.f, j.run = f, max(1, int64(n/(runsPerWorker*procs)))
	j.share(n, helpers+1)
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
	j.work(0)
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
const runsPerWorker = 32

// A job is one call of For. Workers that receive it after its last piece was taken find nothing to do. It is used again
// when the caller and all workers that received it have left.
type job struct {
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

// work takes pieces until there are none left, at first those of a worker's own share.
func (j *job) work(worker int) {
	if j.left.Load() == 0 {
		return
	}
	s := takeScratch(worker)
	for k := range j.shares {
		own := &j.shares[(worker+k)%len(j.shares)]
		for i := own.next.Add(j.run) - j.run; i < own.end; i = own.next.Add(j.run) - j.run {
			end := min(i+j.run, own.end)
			j.pieces(int(i), int(end), s)
			if j.left.Add(i-end) == 0 {
				j.done.Done()
			}
		}
	}
	returnScratch(worker, s)
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
		go serve(workers.n + 1)
	}
}

// serve works on jobs as they come. The goroutine that calls For is worker 0, those that help it are counted from 1.
func serve(worker int) {
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
		j.work(worker)
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
