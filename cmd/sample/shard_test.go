package main

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBounds holds that shards part the images: in order, without gap or overlap, their sizes differing by one at most.
func TestBounds(t *testing.T) {
	for _, n := range []int{1, 7, 64, 1000, 50_000, math.MaxInt} {
		for _, of := range []int{1, 2, 3, 16, 64, 999} {
			at, least, most := 0, math.MaxInt, 0
			for number := 1; number <= of; number++ {
				first, end := shard{number, of}.bounds(n)
				require.Equal(t, at, first, "shard %d/%d of %d images", number, of, n)
				least, most, at = min(least, end-first), max(most, end-first), end
			}
			require.Equal(t, n, at)
			require.LessOrEqual(t, most-least, 1)
		}
	}
}

func TestShardDirectories(t *testing.T) {
	for _, s := range []shard{{1, 1}, {3, 16}, {12345, 1_000_000}} {
		got, ok := parseDirectory(s.directory())
		require.True(t, ok)
		require.Equal(t, s, got)
	}
	for _, name := range []string{"shard-3-of-16", "shard-017-of-016", "shard-000-of-016", ".tmp-shard-003-of-016-ABCD", "shard-003-of-016x", "all"} {
		_, ok := parseDirectory(name)
		require.False(t, ok, name)
	}
}

func TestParseShard(t *testing.T) {
	slurm := "SLURM_ARRAY_TASK_ID=%s SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=15 SLURM_ARRAY_TASK_COUNT=16"
	for _, c := range []struct {
		text, env string
		want      shard // the zero value: refused
		says      string
	}{
		{"3/16", "", shard{3, 16}, ""},
		{"1/1", "", shard{1, 1}, ""},
		{"16/16", slurm, shard{16, 16}, ""},
		{"0/16", "", shard{}, "counted from 1"},
		{"17/16", "", shard{}, "counted from 1"},
		{"3", "", shard{}, "K/N"},
		{"3/x", "", shard{}, "K/N"},
		{"x/3", "", shard{}, "-shard x/3"},
		{"3/0", "", shard{}, "K/N"},
		{"1/99999999999999999999", "", shard{}, "K/N"},
		{"", "", shard{}, "K/N"},
		{"auto", "", shard{}, "SLURM_ARRAY_TASK_ID"},

		{"auto", strings.Replace(slurm, "%s", "0", 1), shard{1, 16}, ""},
		{"auto", strings.Replace(slurm, "%s", "15", 1), shard{16, 16}, ""},
		{"auto", "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=16 SLURM_ARRAY_TASK_COUNT=16", shard{1, 16}, ""},
		{"auto/16", "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=2", shard{8, 16}, ""},
		{"auto", "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=2", shard{}, "auto/N"},
		{"auto", "SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_COUNT=2", shard{}, "auto/N"},
		{"auto/16", "SLURM_ARRAY_TASK_ID=16", shard{}, "0…15"},

		{"auto", "JOB_COMPLETION_INDEX=2 JOB_COMPLETIONS=8", shard{3, 8}, ""},
		{"auto/8", "JOB_COMPLETION_INDEX=7", shard{8, 8}, ""},
		{"auto", "JOB_COMPLETION_INDEX=2", shard{}, "JOB_COMPLETIONS"},
		{"auto", "AWS_BATCH_JOB_ARRAY_INDEX=0 AWS_BATCH_JOB_ARRAY_SIZE=4", shard{1, 4}, ""},
		{"auto", "AWS_BATCH_JOB_ARRAY_INDEX=4 AWS_BATCH_JOB_ARRAY_SIZE=4", shard{}, "AWS Batch"},
		{"auto", "BATCH_TASK_INDEX=3 BATCH_TASK_COUNT=4", shard{4, 4}, ""},
		{"auto", "BATCH_TASK_INDEX=-1 BATCH_TASK_COUNT=4", shard{}, "BATCH_TASK_INDEX"},
	} {
		t.Run(c.text+" "+c.env, func(t *testing.T) {
			for _, e := range engines {
				for _, name := range []string{e.index, e.count, e.first, e.last} {
					if name != "" {
						t.Setenv(name, "")
					}
				}
			}
			for _, pair := range strings.Fields(c.env) {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			got, err := parseShard(c.text)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}
