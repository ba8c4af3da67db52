package main

import (
	"flag"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
	"ddpm/diffusion"
	"ddpm/layers"
)

func TestHelpNamesEveryFlag(t *testing.T) {
	flags(&settings{}).VisitAll(func(f *flag.Flag) {
		require.Regexp(t, `(?m)(^|\s)-`+regexp.QuoteMeta(f.Name)+`\s`, help)
	})
}

func TestFlagsOverridePresets(t *testing.T) {
	s, _, err := parse(nil)
	require.NoError(t, err)
	require.Equal(t, defaultPreset, s.Preset)

	s, _, err = parse([]string{"-batch", "7", "-preset", "mnist", "-channels", "16,32", "-side", "20"})
	require.NoError(t, err)
	want := presets["mnist"]
	require.Equal(t, want.Steps, s.Steps)
	require.Equal(t, 7, s.Batch)
	require.Equal(t, ints{16, 32}, s.Channels)
	require.Equal(t, bools{false, false}, s.Attention, "at the sizes that there are")
	require.Len(t, want.Channels, 3, "the preset itself is as it was")
}

func TestDataChoosesThePreset(t *testing.T) {
	for data, want := range map[string]string{"digits": "digits", "mnist": "mnist", "some/folder": dataPreset} {
		s, _, err := parse([]string{"-data", data})
		require.NoError(t, err)
		require.Equal(t, want, s.Preset)
	}
	s, _, err := parse([]string{"-data", "some/folder"})
	require.NoError(t, err)
	require.Zero(t, s.Side, "the data's own")
}

func TestTimeAloneLiftsTheLimitOfSteps(t *testing.T) {
	s, _, err := parse([]string{"-for", "10m"})
	require.NoError(t, err)
	require.Equal(t, 10*time.Minute, s.For)
	require.Zero(t, s.Steps)
	s, _, err = parse([]string{"-for", "10m", "-steps", "9"})
	require.NoError(t, err)
	require.Equal(t, 9, s.Steps)
}

func TestPresetsCanBe(t *testing.T) {
	for name := range presets {
		s, _, err := parse([]string{"-preset", name, "-data", "digits", "-side", "32", "-in-channels", "3"})
		require.NoError(t, err, name)
		_, err = layers.New(s.network(10), 0)
		require.NoError(t, err, name)
	}
}

// TestBenchNetworks holds -bench to the networks that speed is compared on.
func TestBenchNetworks(t *testing.T) {
	for flags, want := range map[string]struct{ params, batch int }{
		"-preset tiny":    {701_345, 128},
		"-preset cifar10": {35_746_307, 16},
		"-side 28 -in-channels 1 -channels 32,64,128 -attention 0,0,1 -layers 2 -groups 8 -batch 128": {3_939_393, 128},
	} {
		s, _, err := parse(append(strings.Fields(flags), "-bench", "1"))
		require.NoError(t, err)
		net, err := layers.New(s.network(0), 0)
		require.NoError(t, err)
		require.Equal(t, want.params, net.Params.Count(), flags)
		require.Equal(t, want.batch, s.Batch, flags)
	}
}

// TestRefusals gives flags that cannot be, or do not go together: the message names the flag and what can be.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-recipe x", "improved, paper"},
		{"-schedule quadratic", "sigmoid-jabri"},
		{"-timesteps 0", "1…"},
		{"-timesteps 100", "linear-rescaled"}, // its x_T would be half image
		{"-timesteps 20 -schedule linear-rescaled", "cosine"},
		{"-timesteps 1 -zero-snr -prediction v -schedule cosine", "at least 2"},
		{"-prediction noise", "eps, x0 or v"},
		{"-zero-snr", "-prediction v"},
		{"-variance range", "learned"},
		{"-weight p2", "min-snr"},
		{"-variance learned -weight vlb", "leave -weight out"},
		{"-draw importance", "second-moment"},
		{"-rate linear", "cosine"},
		{"-floor 1e-5", "-rate cosine"},
		{"-rate cosine -floor 1", "-lr"},
		{"-rate cosine -steps 0", "-steps"},
		{"-rate cosine -steps 50 -warmup 50", "-warmup 50"},
		{"-weight-decay -1", "0 (plain Adam)"},
		{"-ema 0.9,1", "below 1"},
		{"-accumulate 3", "-batch"},
	} {
		_, _, err := parse(strings.Fields(c.args))
		require.Equal(t, exit.BadUsage, exit.Code(err), "%s: %v", c.args, err)
		require.ErrorContains(t, err, c.says, c.args)
		require.ErrorContains(t, err, strings.Fields(c.args)[0][1:], c.args)
	}
}

// TestRecipes holds that the default is the paper's, to the field, and that flags override a recipe.
func TestRecipes(t *testing.T) {
	s, _, err := parse(nil)
	require.NoError(t, err)
	require.Equal(t, model.Paper(), s.scheduler())
	s, _, err = parse(strings.Fields("-recipe improved -schedule sigmoid-jabri -timesteps 300"))
	require.NoError(t, err)
	require.Equal(t, recipe{Recipe: "improved", Schedule: "sigmoid-jabri", T: 300, Prediction: "eps", Variance: "learned", Weight: "simple", Draw: "uniform"}, s.recipe)
	require.Equal(t, 2, s.network(0).OutChannels, "a second channel for the variance")
}

// TestScheduler holds the configuration that is written to the schedule of the same name.
func TestScheduler(t *testing.T) {
	for _, c := range []struct {
		args string
		want diffusion.Schedule
	}{
		{"-schedule linear-rescaled -timesteps 250", diffusion.LinearFor(250)},
		{"-schedule scaled-linear", diffusion.ScaledLinear(1000, 1e-4, 0.02)},
		{"-schedule cosine -timesteps 50", diffusion.Cosine(50)},
		{"-schedule sigmoid", diffusion.Sigmoid(1000, 1e-4, 0.02)},
		{"-schedule sigmoid-jabri", diffusion.SigmoidJabri(1000, -3, 3, 1)},
		{"-schedule cosine -zero-snr -prediction x0", diffusion.Cosine(1000).ZeroTerminalSNR()},
	} {
		s, _, err := parse(strings.Fields(c.args))
		require.NoError(t, err, c.args)
		got, err := s.scheduler().Schedule()
		require.NoError(t, err, c.args)
		require.InDeltaSlice(t, c.want.AlphaBar, got.AlphaBar, 1e-12, c.args)
	}
}

func TestResumeOfACosineKeepsItsEnd(t *testing.T) {
	saved, _, err := parse(strings.Fields("-rate cosine -steps 900"))
	require.NoError(t, err)
	for args, want := range map[string]int{"-steps 900": exit.Done, "-steps 901": exit.BadUsage, "-for 1h": exit.Done} {
		s, given, err := parse(append(strings.Fields(args), "-resume"))
		require.NoError(t, err)
		merged, err := merge(saved, s, given)
		require.Equal(t, want, exit.Code(err), args)
		if err == nil {
			require.Equal(t, 900, merged.Steps, args)
		}
	}
}

func TestResumeTakesWhatDoesNotContradict(t *testing.T) {
	saved, _, err := parse([]string{"-batch", "128", "-channels", "32,64"})
	require.NoError(t, err)
	for _, c := range []struct {
		args []string
		ok   bool
	}{
		{[]string{"-steps", "9000"}, true},
		{[]string{"-for", "1h", "-save-every", "7", "-sample-every", "0", "-log", "json", "-keep", "9"}, true},
		{[]string{"-batch", "128", "-channels", "32,64"}, true}, // what it was started with
		{[]string{"-batch", "64"}, false},
		{[]string{"-channels", "32,32"}, false},
		{[]string{"-seed", "1"}, false},
		{[]string{"-ema", "0.9"}, false},
	} {
		s, given, err := parse(append(c.args, "-resume"))
		require.NoError(t, err)
		merged, err := merge(saved, s, given)
		if !c.ok {
			require.Equal(t, exit.BadUsage, exit.Code(err), c.args)
			require.Contains(t, err.Error(), c.args[0]+" "+c.args[1])
			continue
		}
		require.NoError(t, err, c.args)
		require.Equal(t, saved.Batch, merged.Batch)
	}
	s, given, err := parse([]string{"-resume", "-steps", "9000"})
	require.NoError(t, err)
	merged, err := merge(saved, s, given)
	require.NoError(t, err)
	require.Equal(t, 9000, merged.Steps)
}
