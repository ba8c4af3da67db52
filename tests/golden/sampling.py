"""Network and scheduler together: images of the pipeline directory after ten steps, with recorded noise.

Computed in float64 (stock float32 tables) and stored as float32.
"""
import json

import torch
from diffusers import UNet2DModel
from safetensors.torch import save_file

from schedulers import CLASSES, path

STEPS = 10
RUNS = {  # kind, scheduler configuration beyond the defaults, arguments of step
    "ddpm": ("ddpm", dict(variance_type="fixed_large"), {}),
    "ddim": ("ddim", {}, dict(eta=0.0, use_clipped_model_output=True)),
    "dpmsolver": ("dpmsolver", dict(thresholding=True), {}),
}


def write(top):
    net = UNet2DModel.from_pretrained(top / "pipeline" / "unet").double()
    generator = torch.Generator().manual_seed(300)
    start = torch.randn(2, 1, 8, 8, generator=generator)
    noise = torch.randn(STEPS, 2, 1, 8, 8, generator=generator)
    tensors, index = {"start": start, "noise": noise}, []
    for name, (kind, config, step_args) in RUNS.items():
        scheduler = CLASSES[kind](**config)
        with torch.no_grad():
            states, used = path(kind, scheduler, dict(num_inference_steps=STEPS), start.double(), noise.double(), step_args,
                                model=lambda x, t: net(x, t).sample)
        tensors[name] = states[-1].float().contiguous()
        index.append(dict(name=name, scheduler={"_class_name": CLASSES[kind].__name__} | config,
                          timesteps=scheduler.timesteps.tolist(), draws=used) | step_args)
    save_file(tensors, top / "sampling.safetensors")
    with open(top / "sampling.json", "w", encoding="utf-8") as f:
        json.dump(dict(model="pipeline/unet", runs=index), f, indent=1)
        f.write("\n")
    print("sampling:", {k: f"rms {tensors[k].square().mean().sqrt():.3f}" for k in RUNS})
