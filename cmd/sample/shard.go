package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"ddpm/cmd/internal/exit"
)

// Image i depends on the model, the sampler, the seed and i alone, so many machines can share a drawing without a word
// to each other: each takes the ids of its shard.

// shard is one of the parts of about equal size that a drawing is split in.
type shard struct{ number, of int } // number is 1…of

// maxShards is far more than any engine starts.
const maxShards = 1_000_000

// bounds returns the ids of the shard's images, first…end-1, of n in all: the parts meet without gap or overlap, and
// their sizes differ by one at most.
func (s shard) bounds(n int) (first, end int) {
	until := func(parts int) int { return n/s.of*parts + n%s.of*parts/s.of } // ⌊n·parts/of⌋ without overflow
	return until(s.number - 1), until(s.number)
}

func (s shard) String() string { return fmt.Sprintf("%d/%d", s.number, s.of) }

// directory is the name of the directory that holds the shard.
func (s shard) directory() string { return fmt.Sprintf("shard-%03d-of-%03d", s.number, s.of) }

// parseDirectory is the reverse of directory.
func parseDirectory(name string) (s shard, ok bool) {
	_, err := fmt.Sscanf(name, "shard-%d-of-%d", &s.number, &s.of)
	return s, err == nil && s.valid() && s.directory() == name
}

func (s shard) valid() bool { return 1 <= s.number && s.number <= s.of && s.of <= maxShards }

// parseShard reads -shard: K/N, the K-th of N; auto/N, the one of N whose number, counted from 0, the engine has put in
// the environment; or auto, where the engine says the number of shards, too.
func parseShard(text string) (shard, error) {
	place, count, both := strings.Cut(text, "/")
	of, err := strconv.Atoi(count)
	if both && (err != nil || of < 1 || of > maxShards) || !both && text != "auto" {
		return shard{}, exit.Usage("-shard %s: want K/N, as 3/16 for the third of 16, or auto or auto/N below an engine that numbers its tasks", text)
	}
	var s shard
	if place == "auto" {
		if s, err = fromEngine(of); err != nil {
			return s, err
		}
	} else if s.number, err = strconv.Atoi(place); err == nil {
		s.of = of
	}
	if err != nil || !s.valid() {
		return s, exit.Usage("-shard %s: there is no shard %s of %d; they are counted from 1", text, place, of)
	}
	return s, nil
}

// engine is a system that starts one command many times, and tells each by its environment which it is.
type engine struct {
	name        string
	index       string // variable that holds the number of the task
	count       string // variable that holds how many there are
	first, last string // variables that hold the lowest and the highest number; none: the lowest is 0
}

var engines = []engine{
	{name: "Slurm", index: "SLURM_ARRAY_TASK_ID", count: "SLURM_ARRAY_TASK_COUNT", first: "SLURM_ARRAY_TASK_MIN", last: "SLURM_ARRAY_TASK_MAX"},
	// Kubernetes has no variable for the number of completions; a manifest can set this one.
	{name: "Kubernetes", index: "JOB_COMPLETION_INDEX", count: "JOB_COMPLETIONS"},
	{name: "AWS Batch", index: "AWS_BATCH_JOB_ARRAY_INDEX", count: "AWS_BATCH_JOB_ARRAY_SIZE"},
	{name: "Google Cloud Batch", index: "BATCH_TASK_INDEX", count: "BATCH_TASK_COUNT"},
}

// fromEngine returns the shard that the environment names, of the given number or, for 0, of the engine's own.
func fromEngine(of int) (shard, error) {
	for _, e := range engines {
		if os.Getenv(e.index) != "" {
			return e.shard(of)
		}
	}
	return shard{}, exit.Usage("-shard auto: no engine has numbered this task: none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, BATCH_TASK_INDEX is set; give -shard K/N")
}

func (e engine) shard(of int) (shard, error) {
	index, err := e.number(e.index)
	if err != nil {
		return shard{}, err
	}
	if of > 0 {
		if index >= of {
			return shard{}, exit.Usage("-shard auto/%d: %s=%d, want 0…%d; let %s number its tasks from 0", of, e.index, index, of-1, e.name)
		}
		return shard{index + 1, of}, nil
	}
	count, err := e.number(e.count)
	if err != nil {
		return shard{}, err
	}
	first, last := 0, count-1
	if e.first != "" {
		if first, err = e.number(e.first); err != nil {
			return shard{}, err
		}
		if last, err = e.number(e.last); err != nil {
			return shard{}, err
		}
	}
	// A part of an array that is started again has numbers of its own, which would be taken for those of fewer, larger
	// shards.
	if first > 1 || last-first+1 != count || index < first || index > last {
		return shard{}, exit.Usage("-shard auto: task %d of %s is one of %d, numbered %d…%d; want all numbers from 0 or 1 on, or say how many shards there are: -shard auto/N, with numbers 0…N-1", index, e.name, count, first, last)
	}
	return shard{index - first + 1, count}, nil
}

// number reads a variable of the environment.
func (e engine) number(name string) (int, error) {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil || n < 0 || n > maxShards {
		return 0, exit.Usage("-shard auto: %s has set %s, but %s=%q is not a number of tasks; give -shard auto/N or K/N", e.name, e.index, name, os.Getenv(name))
	}
	return n, nil
}
