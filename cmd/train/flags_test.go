package main

import (
	"flag"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ddpm/cmd/internal/exit"
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
	require.Equal(t, want.Channels, ints{32, 64, 128}, "the preset itself is as it was")
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

// TestBenchNetworks holds the presets to the networks that speed is compared on.
func TestBenchNetworks(t *testing.T) {
	for name, want := range map[string]struct{ params, batch int }{"tiny": {701_345, 128}, "mnist": {3_939_393, 128}, "cifar10": {35_746_307, 16}} {
		s, _, err := parse([]string{"-preset", name, "-bench", "1"})
		require.NoError(t, err)
		net, err := layers.New(s.network(0), 0)
		require.NoError(t, err)
		require.Equal(t, want.params, net.Params.Count(), name)
		require.Equal(t, want.batch, s.Batch, name)
	}
}

func TestResumeTakesWhatDoesNotContradict(t *testing.T) {
	saved, _, err := parse(nil)
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
