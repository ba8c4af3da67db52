package main

import (
	"flag"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/cmd/internal/exit"
)

func TestHelpNamesEveryFlag(t *testing.T) {
	flags(&options{}).VisitAll(func(f *flag.Flag) {
		require.Regexp(t, `(?m)(^|\s)-`+regexp.QuoteMeta(f.Name)+`\s`, help)
	})
}

// TestRefusals gives flags that no model can follow, or that do not go together: the message names the flag and what to do.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-n 0", "at least 1"},
		{"-batch 0", "at least 1"},
		{"-steps 0", "at least 1"},
		{"-sampler euler", "dpmpp-sde"},
		{"-eta -0.1", "0 (no noise) to 1"},
		{"-eta 1.1", "0 (no noise) to 1"},
		{"-eta NaN", "0 (no noise) to 1"},
		{"-churn -1", "0 or more"},
		{"-clip -1", "0 for none"},
		{"-threshold 1.5", "0.995"},
		{"-strength 0.5", "-from"},
		{"-from p -strength 0", "more than 0"},
		{"-from p -strength 1.5", "to 1"},
		{"-from p -inpaint p -mask m", "give one of them"},
		{"-inpaint p -mask m -interpolate p q", "give one of them"},
		{"-inpaint p", "-mask"},
		{"-mask m", "-inpaint"},
		{"-resample 2", "-inpaint"},
		{"-jump 2", "-inpaint"},
		{"-inpaint p -mask m -resample 0", "RePaint has 10"},
		{"-inpaint p -mask m -jump 0", "at least 1"},
		{"-from p -dir d -shard 1/2", "-shard"},
		{"-interpolate p", "-interpolate A B"},
		{"-interpolate p q -n 1", "at least 2"},
		{"-interpolate p q -eta 1", "leave it out"},
		{"-interpolate p q -clip 1", "leave it out"},
		{"-interpolate p q -threshold 0.9", "leave it out"},
		{"-interpolate p q -sampler heun", "-sampler ddim"},
		{"-interpolate p q r", "no flag"},
		{"-out= -n 3", "-dir"},
		{"picture.png", "no flag"},
	} {
		_, err := parse(strings.Fields(c.args))
		require.Equal(t, exit.BadUsage, exit.Code(err), "%s: %v", c.args, err)
		require.ErrorContains(t, err, c.says, c.args)
	}
}

// TestSecondPicture reads the one flag that has two values, wherever it stands.
func TestSecondPicture(t *testing.T) {
	for _, args := range []string{"-interpolate a.png b.png -n 5", "-n 5 -interpolate a.png b.png", "-interpolate=a.png b.png -n 5"} {
		o, err := parse(strings.Fields(args))
		require.NoError(t, err, args)
		require.Equal(t, []any{"a.png", "b.png", 5}, []any{o.between, o.and, o.n}, args)
	}
}
