#!/usr/bin/env python3
"""Trains and samples the same U-Net in PyTorch and here, in turn, and prints how the two compare. Standard library only.

usage: compare.py [CONFIG ...] [--torch-python PATH]... [--compile] [--rounds 3] [--steps 7] [--threads N]

Every round runs each side once: torch eager, torch channels-last, (torch.compile,) Go, so that a slow minute of a shared
machine falls on all of them. A run takes its own median over --steps training steps and as many denoising steps. The table
shows the median over rounds and its ratio to Go's (above 1: Go is faster, or smaller); below it stands the fastest of torch's
formats, by medians and by each side's quietest round: believe the smaller, other people's load hurts torch's threads more.
Peak memory is that of training steps, as the largest resident set of the process: Go's as it reports it itself, before it
goes on to inference, whose tape keeps all weights in the layout of the kernels; torch's of the whole run, as its script says
none. The line of each run has the whole run's too. What torch has already taken once it is imported is printed beside it,
since a build with CUDA brings hundreds of unused megabytes.

The PyTorch side is a script that takes CONFIG and prints one JSON line (--peer-script). The Go side is `train -bench`, built
here with `go build` unless --train names a binary. A side that fails is reported with the last line it said and left out of
the rest; the exit code is then 1.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading

TOP = pathlib.Path(__file__).resolve().parents[2]
METRICS = {"train_ms": "train ms", "infer_ms": "infer ms", "train_peak_rss_mb": "peak MB"}

# The networks of the peer script, as flags of train. The batch is given on both sides.
CONFIGS = {
    "tiny": ("-side 8 -in-channels 1 -channels 32,64 -attention 0,1 -layers 1 -groups 8", 128),
    "mnist": ("-side 28 -in-channels 1 -channels 32,64,128 -attention 0,0,1 -layers 2 -groups 8", 128),
    "cifar": ("-side 32 -in-channels 3 -channels 128,256,256,256 -attention 0,1,0,0 -layers 2 -groups 32", 16),
}
# Settings of the machine's OpenBLAS, which some builds of PyTorch also read, to its loss.
NOT_FOR_TORCH = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class Failed(Exception):
    pass


left_out = []  # what was asked for and did not run


def leave_out(what, why):
    left_out.append(what)
    print(f"{what} left out: {why}", file=sys.stderr)


def measure(command, env, timeout):
    """Runs a command to its end and returns the JSON of its last such line, with its peak resident set as peak_rss_mb, and
    as that of training if it does not say so itself."""
    with tempfile.TemporaryFile() as err:
        try:
            p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, env=env)
        except OSError as e:
            raise Failed(str(e)) from None
        late = threading.Timer(timeout, p.kill)
        late.start()
        out = p.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(p.pid, 0)  # the usage of this child alone, not of all children so far
        p.returncode = os.waitstatus_to_exitcode(status)
        timed_out = not late.is_alive()
        late.cancel()
        err.seek(0)
        said = err.read().decode(errors="replace").strip().splitlines()
    if p.returncode != 0:
        why = f"no result after {timeout} s" if timed_out else f"exit {p.returncode}"
        raise Failed(f"{why}: {said[-1] if said else 'nothing on stderr'}")
    for line in reversed(out.splitlines()):
        if line.lstrip().startswith("{"):
            try:
                result = json.loads(line)
            except ValueError as e:
                raise Failed(f"bad JSON: {e}") from None
            kilo = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB on Linux
            result["peak_rss_mb"] = round(usage.ru_maxrss * kilo / 1e6, 1)
            result.setdefault("train_peak_rss_mb", result["peak_rss_mb"])
            return result
    raise Failed("it printed no JSON line")


def torch_sides(a):
    """(label, command without CONFIG) for every Python and format."""
    for python in a.torch_python:
        try:
            probe = measure([python, "-c", 'import torch; print(\'{"version": "%s"}\' % torch.__version__)'],
                            environment(True, a.threads), a.timeout)
        except Failed as e:
            leave_out(python, f"no torch there: {e}")
            continue
        version = probe["version"].split("+")[0]
        print(f"torch {version} ({python}): {probe['peak_rss_mb']} MB once imported", file=sys.stderr)
        formats = [("eager", []), ("channels-last", ["--channels-last"])]
        if a.compile:
            if int(version.split(".")[0]) < 2:
                print(f"torch {version}: has no torch.compile, that format is left out", file=sys.stderr)
            else:
                formats += [("compile", ["--compile"]), ("compile channels-last", ["--compile", "--channels-last"])]
        for name, flags in formats:
            yield f"torch {version} {name}", lambda config, batch, p=python, f=flags: [
                p, str(a.peer_script), config, "--threads", str(a.threads), "--steps", str(a.steps), "--batch", str(batch), *f]


def go_side(a, folder):
    """(label, command) of the Go side, or nothing and a word why."""
    train = a.train
    if train is None:
        train = pathlib.Path(folder) / "train"
        if not any((TOP / "cmd" / "train").glob("*.go")):
            leave_out("Go", f"no cmd/train in {TOP}")
            return
        build = subprocess.run(["go", "build", "-o", str(train), "./cmd/train"], cwd=TOP, capture_output=True, text=True)
        if build.returncode:
            leave_out("Go", "go build ./cmd/train failed:\n" + build.stderr.strip())
            return
    yield "Go", lambda config, batch: [
        str(train), *CONFIGS[config][0].split(), "-batch", str(batch), "-bench", str(a.steps), *a.train_flags.split()]


def environment(for_torch, threads):
    env = {k: v for k, v in os.environ.items() if not (for_torch and k in NOT_FOR_TORCH)}
    env["OMP_NUM_THREADS" if for_torch else "GOMAXPROCS"] = str(threads)
    return env


def table(config, results):
    """Prints medians and ratios to Go, and returns them."""
    results = {label: runs for label, runs in results.items() if runs}
    medians, lows = ({label: {m: pick(r[m] for r in runs) for m in METRICS} for label, runs in results.items()}
                     for pick in (statistics.median, min))
    go = medians.get("Go")
    width = max([len(label) for label in results] + [10])
    print(f"\n{config.ljust(width)}" + "".join(f"{h:>11}{'ratio' if go else '':>8}" for h in METRICS.values()) + "   train ms of the runs")
    for label, row in medians.items():
        cells = "".join(f"{row[m]:11.1f}" + (f"{row[m] / go[m]:8.2f}" if go else f"{'':8}") for m in METRICS)
        print(label.ljust(width) + cells + f"   {', '.join(str(r['train_ms']) for r in results[label])}")
    summary = {"config": config, "medians": medians, "quietest": lows}
    for name, kept in (("eager", lambda k: "compile" not in k), ("compile", lambda k: "compile" in k)):
        rivals = [label for label in results if label != "Go" and kept(label)]
        if go and rivals:
            over = {which: {m: round(min(t[k][m] for k in rivals) / t["Go"][m], 3) for m in METRICS}
                    for which, t in (("medians", medians), ("quietest", lows))}
            summary[f"best_{name}_over_go"] = over
            print(f"best of torch {name} over Go: " + ", ".join(
                f"{h.split()[0]} {over['medians'][m]} ({over['quietest'][m]})" for m, h in METRICS.items()) + "   medians (quietest)")
    return summary


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("config", nargs="*", help=f"of {', '.join(CONFIGS)}; default tiny mnist")
    ap.add_argument("--torch-python", action="append", metavar="PATH", help="a Python with torch; may repeat; default: this one")
    ap.add_argument("--peer-script", type=pathlib.Path, default=TOP.parent / "shared" / "peer" / "torch_unet.py", metavar="PATH")
    ap.add_argument("--train", type=pathlib.Path, metavar="PATH", help="a built train command")
    ap.add_argument("--train-flags", default="", metavar="FLAGS", help="added to the Go command, in one string")
    ap.add_argument("--compile", action="store_true", help="torch.compile too")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--steps", type=int, default=7)
    ap.add_argument("--batch", type=int, help="instead of the configuration's own")
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--timeout", type=int, default=1800, metavar="SECONDS", help="of one run")
    a = ap.parse_args()
    a.torch_python = a.torch_python or [sys.executable]
    a.config = a.config or ["tiny", "mnist"]
    unknown = set(a.config) - set(CONFIGS)
    if unknown:
        ap.error(f"unknown configuration {', '.join(sorted(unknown))}; there are {', '.join(CONFIGS)}")
    if a.rounds < 1 or a.steps < 1 or a.threads < 1:
        ap.error("--rounds, --steps and --threads must be at least 1")

    with tempfile.TemporaryDirectory() as folder:
        sides = []
        if a.peer_script.is_file():
            sides += torch_sides(a)
        else:
            leave_out("PyTorch", f"no {a.peer_script} (--peer-script)")
        sides += go_side(a, folder)
        if not sides:
            sys.exit("compare.py: nothing to run")
        summaries = []
        for config in a.config:
            batch = a.batch or CONFIGS[config][1]
            results, gone = {label: [] for label, _ in sides}, set()
            for turn in range(a.rounds):
                for label, command in sides:
                    if label in gone:
                        continue
                    try:
                        r = measure(command(config, batch), environment(label != "Go", a.threads), a.timeout)
                        lacks = [m for m in METRICS if m not in r]
                        if lacks:
                            raise Failed(f"its JSON lacks {', '.join(lacks)}")
                    except Failed as e:
                        gone.add(label)
                        leave_out(f"{config}: {label}", e)
                        continue
                    results[label].append(r)
                    print(f"{config} {turn + 1}/{a.rounds} {label}: train {r['train_ms']} ms, infer {r['infer_ms']} ms, "
                          f"peak {r['train_peak_rss_mb']} MB, of the whole run {r['peak_rss_mb']} MB", file=sys.stderr)
            counts = {r["params"] for runs in results.values() for r in runs if "params" in r}
            if len(counts) > 1:
                print(f"{config}: NOT THE SAME NETWORK: parameter counts {sorted(counts)}", file=sys.stderr)
            summaries.append(table(config, results) | {"batch": batch, "params": sorted(counts)})
    print("\n" + json.dumps({"threads": a.threads, "rounds": a.rounds, "steps": a.steps, "configs": summaries}))
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
