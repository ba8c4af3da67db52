#!/usr/bin/env python3
"""Writes the fixtures of this directory with real torch and diffusers.

usage: generate.py [unets] [training] [schedulers] [sampling] [noise]     (default: all of them)

Deterministic: fixed seeds, one thread. Fixtures are written beside this file, see README.md.
"""
import pathlib
import sys

import diffusers
import torch
from safetensors.torch import save_file

import sampling
import schedulers
import training
import unets

HERE = pathlib.Path(__file__).resolve().parent


def noise(top):
    """torch.randn on the CPU: MT19937, 16 at a time from n = 16 on, in pairs below that."""
    draws = {}
    for n in (5, 16, 20, 64):  # pairs with an odd end, one block, a block with its tail drawn again, four blocks
        torch.manual_seed(0)
        draws[f"randn.{n}"] = torch.randn(n)
    save_file(draws, top / "noise.safetensors")


FIXTURES = {"unets": unets.write, "training": training.write, "schedulers": schedulers.write, "sampling": sampling.write, "noise": noise}


def main():
    wanted = sys.argv[1:] or list(FIXTURES)
    unknown = set(wanted) - set(FIXTURES)
    if unknown:
        sys.exit(f"generate.py: unknown fixture {', '.join(sorted(unknown))}\n{__doc__}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    diffusers.utils.logging.set_verbosity_error()
    for name in wanted:
        FIXTURES[name](HERE)
    total = sum(f.stat().st_size for f in HERE.rglob("*") if f.suffix in (".json", ".safetensors"))
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}: {total / 1e6:.2f} MB of fixtures")


if __name__ == "__main__":
    main()
