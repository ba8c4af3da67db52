"""Five Adam steps on the net "two-level", in float64 from float32 data and weights, stored as float32."""
import copy
import json

import torch
from diffusers import DDPMScheduler
from safetensors.torch import save_file

import unets

STEPS, BATCH, RATE = 5, 4, 1e-3
KEPT = ("conv_in.weight", "conv_out.bias", "time_embedding.linear_1.weight", "mid_block.resnets.0.norm1.weight",
        "mid_block.attentions.0.to_q.weight", "down_blocks.0.downsamplers.0.conv.weight", "up_blocks.1.resnets.0.conv1.bias")


def train(net, batches, dtype):
    """Losses, global gradient norms (before the step) and the trained net."""
    net = copy.deepcopy(net).to(dtype)
    adam = torch.optim.Adam(net.parameters(), lr=RATE, foreach=False)
    losses, norms = [], []
    for noisy, noise, timesteps in batches:
        loss = torch.mean((net(noisy.to(dtype), timesteps).sample - noise.to(dtype)) ** 2)
        adam.zero_grad()
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.sqrt(sum((p.grad.double() ** 2).sum() for p in net.parameters())).item())
        adam.step()
    return losses, norms, net


def write(top):
    net, _ = unets.build("two-level")
    generator = torch.Generator().manual_seed(100)
    shape = (STEPS, BATCH, 1, 8, 8)
    clean = torch.rand(shape, generator=generator) * 2 - 1
    noise = torch.randn(shape, generator=generator)
    timesteps = torch.randint(0, 1000, (STEPS, BATCH), generator=generator)
    schedule = DDPMScheduler()
    noisy = torch.stack([schedule.add_noise(x, e, t) for x, e, t in zip(clean, noise, timesteps)])
    batches = list(zip(noisy, noise, timesteps))

    losses, norms, trained = train(net, batches, torch.float64)
    losses32, norms32, _ = train(net, batches, torch.float32)
    weights = dict(trained.named_parameters())
    save_file({"clean": clean, "noise": noise, "noisy": noisy}
              | {"weight." + k: weights[k].detach().float().contiguous() for k in KEPT}, top / "training.safetensors")
    off = max(abs(a / b - 1) for a, b in zip(losses32 + norms32, losses + norms))
    with open(top / "training.json", "w", encoding="utf-8") as f:
        json.dump(dict(model="pipeline/unet", optimizer=dict(name="Adam", lr=RATE, betas=[0.9, 0.999], eps=1e-8),
                       scheduler={"_class_name": "DDPMScheduler"}, timesteps=timesteps.tolist(), losses=losses,
                       gradient_norms=norms, torch_float32=off), f, indent=1)
        f.write("\n")
    print(f"training: losses {[round(x, 5) for x in losses]}, float32 is off by {off:.1e}")
