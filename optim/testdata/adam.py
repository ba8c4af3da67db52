"""Writes adam.json: ten steps of PyTorch's optimisers, against which optim is tested.

    python3 adam.py            (written with torch 1.13)

Every case is a vector of float32 weights w0 and, for each step, the gradient g, the learning rate lr, the norm that
clip_grad_norm_ found (limit 0: no clipping) and the weights w afterwards. Nine digits give a float32 exactly.
"""
import json
import os

import torch

N, STEPS = 21, 10


def floats(t):
    return [float(f"{x:.9g}") for x in t.tolist()]


def case(name, make, beta1, beta2, eps, decay, limit, seed):
    torch.manual_seed(seed)
    w = torch.nn.Parameter(torch.randn(N))
    optimiser = make([w], lr=1.0, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    steps = []
    start = floats(w.detach())
    for k in range(1, STEPS + 1):
        lr = 0.01 * k  # a schedule, so that the rate of the wrong step shows
        g = torch.randn(N) * 10.0 ** torch.randint(-4, 2, (N,))
        w.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_([w], limit).item() if limit else g.norm().item()
        optimiser.param_groups[0]["lr"] = lr
        optimiser.step()
        steps.append({"lr": lr, "g": floats(g), "norm": norm, "w": floats(w.detach())})
    return {"name": name, "beta1": beta1, "beta2": beta2, "eps": eps, "decay": decay, "limit": limit,
            "w0": start, "steps": steps}


cases = [
    case("Adam", torch.optim.Adam, 0.9, 0.999, 1e-8, 0.0, 0.0, 1),
    case("Adam, other constants", torch.optim.Adam, 0.5, 0.9, 1e-3, 0.0, 0.0, 2),
    case("Adam, clipped", torch.optim.Adam, 0.9, 0.999, 1e-8, 0.0, 1.0, 3),
    case("AdamW", torch.optim.AdamW, 0.9, 0.999, 1e-8, 0.1, 0.0, 4),
]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "adam.json"), "w") as f:
    text = json.dumps({"torch": torch.__version__, "cases": cases})
    f.write(text.replace('{"lr"', '\n{"lr"').replace('{"name"', '\n{"name"') + "\n")
