#!/usr/bin/env python3
"""Opens a model directory in diffusers, strictly, and runs it: the live half of the round trip.

usage: roundtrip.py --model DIR --case IN.safetensors --out OUT.safetensors [--steps 5]

IN    input [N C H W]; timesteps [N], any dtype; class_labels [N] where the net has classes; further tensors are ignored
OUT   output [N C' H W]: the net at (input, timesteps)
      ddim [steps N C H W]: input taken as pure noise, after each deterministic DDIM step (η = 0) on the directory's own
      schedule, spacing and clipping, ε re-derived after clipping; absent where the net's output has other channels
Exit codes: 0 done, 1 the directory does not open strictly (the reason is on stderr), 2 usage.
"""
import argparse
import pathlib
import sys

import torch
from diffusers import DDIMScheduler, DDPMPipeline, UNet2DModel
from diffusers.utils import logging
from safetensors.torch import load_file, save_file


def open_strictly(model):
    """The pipeline, once every name and shape of its weights is known to be the one the configuration asks for."""
    if not (model / "unet" / "config.json").is_file():  # diffusers would look for it on the network
        raise FileNotFoundError("no unet/config.json in it")
    net, info = UNet2DModel.from_pretrained(model / "unet", output_loading_info=True, low_cpu_mem_usage=False)
    faults = [f"{kind.replace('_', ' ')}: {', '.join(map(str, keys))}" for kind, keys in info.items() if keys]
    if faults:
        raise ValueError("; ".join(faults))
    for name, p in net.named_parameters():
        if not p.isfinite().all():
            raise ValueError(f"{name} holds NaN or Inf")
    pipeline = DDPMPipeline.from_pretrained(model, low_cpu_mem_usage=False)
    if type(pipeline.unet) is not UNet2DModel:
        raise ValueError(f"unet is a {type(pipeline.unet).__name__}")
    return pipeline


@torch.no_grad()
def run(pipeline, case, steps):
    net = pipeline.unet.float().eval()
    x, timesteps = case["input"].float(), case["timesteps"].long()
    labels = case["class_labels"].long() if "class_labels" in case else None
    result = {"output": net(x, timesteps, class_labels=labels).sample}
    if result["output"].shape != x.shape:
        return result
    scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(steps)
    states = []
    for t in scheduler.timesteps:
        x = scheduler.step(net(x, t, class_labels=labels).sample, t, x, eta=0.0, use_clipped_model_output=True).prev_sample
        states.append(x)
    return result | {"ddim": torch.stack(states)}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", type=pathlib.Path, required=True)
    ap.add_argument("--case", type=pathlib.Path, required=True)
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--steps", type=int, default=5)
    a = ap.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        pipeline = open_strictly(a.model)
    except Exception as e:  # whatever diffusers raises, the caller needs one line
        print(f"roundtrip.py: {a.model}: {type(e).__name__}: {' '.join(str(e).split())}", file=sys.stderr)
        return 1
    results = run(pipeline, load_file(a.case), a.steps)
    save_file({name: x.contiguous() for name, x in results.items()}, a.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
