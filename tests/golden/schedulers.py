"""Schedulers: tables, and sampling paths of DDPM, DDIM and DPM-Solver++ with recorded noise.

The network is played by ε(x, t) = x·t/(t+1), the dummy of diffusers' own tests (whatever the prediction type says it is).
Paths are what the stock float32 code computes; float64_difference says how far they move when its tables of β and ᾱ are
made in float64 instead, which is the part of a difference that belongs to diffusers and not to the reader of the fixture.
"""
import itertools
import json
from unittest import mock

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from safetensors.torch import save_file

SHAPE = (2, 3, 4, 4)
DRAWS = 50
CLASSES = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler, "dpmsolver": DPMSolverMultistepScheduler}
NOISE_SOURCE = {k: c.__module__ + ".randn_tensor" for k, c in CLASSES.items()}
ANCHORS = [0, 1, 2, 10, 99, 100, 249, 487, 499, 500, 750, 998, 999]


def dummy(x, t):
    return x * (t / (t + 1))


def float64_tables(kind, scheduler):
    """Replaces β and ᾱ by the same formulas in float64."""
    n, lo, hi = scheduler.config.num_train_timesteps, scheduler.config.beta_start, scheduler.config.beta_end
    name = scheduler.config.beta_schedule
    if name == "linear":
        betas = torch.linspace(lo, hi, n, dtype=torch.float64)
    elif name == "scaled_linear":
        betas = torch.linspace(lo ** 0.5, hi ** 0.5, n, dtype=torch.float64) ** 2
    elif name == "sigmoid":
        betas = torch.sigmoid(torch.linspace(-6, 6, n, dtype=torch.float64)) * (hi - lo) + lo
    else:  # squaredcos_cap_v2
        bar = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = torch.tensor(np.minimum(1 - bar[1:] / bar[:-1], 0.999))
    alpha_bar = torch.cumprod(1 - betas, 0)
    if scheduler.config.rescale_betas_zero_snr:
        root = alpha_bar.sqrt()
        alpha_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        if kind == "dpmsolver":
            alpha_bar[-1] = 2.0 ** -24
    scheduler.alphas_cumprod = alpha_bar
    if kind == "ddim":
        scheduler.final_alpha_cumprod = torch.tensor(1.0) if scheduler.config.set_alpha_to_one else alpha_bar[0]
    return scheduler


def path(kind, scheduler, steps, start, noise, step_args, model=dummy):
    """All states after the start, and how many of the recorded draws were used. The step at index i uses noise[i]."""
    scheduler.set_timesteps(**steps)
    x, states, used = start, [], 0

    def recorded(shape, **_):
        nonlocal used
        used += 1
        return noise[i].to(x.dtype)

    with mock.patch(NOISE_SOURCE[kind], recorded):
        for i, t in enumerate(scheduler.timesteps):
            x = scheduler.step(model(x, t.to(x.dtype)), t, x, **step_args).prev_sample
            states.append(x)
    return torch.stack(states), used


def cases():
    """(name, kind, scheduler configuration beyond the defaults, steps, arguments of step)."""
    spacings, predictions = ("leading", "linspace", "trailing"), ("epsilon", "v_prediction", "sample")
    short = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
    quantile = dict(thresholding=True, dynamic_thresholding_ratio=0.8, sample_max_value=1.5)

    def clipping(clip, prediction):
        """The dummy's x̂0 is small when its output is taken for ε: a range of 1 would never bite."""
        return dict(clip_sample=clip) | (dict(clip_sample_range=0.1) if clip and prediction == "epsilon" else {})


    for variance, clip, n, spacing, prediction in itertools.product(
            ("fixed_small", "fixed_large"), (True, False), (10, 50), spacings, predictions):
        name = f"ddpm-{variance[6:]}-{'clip' if clip else 'free'}-{spacing}-{n}-{short[prediction]}"
        yield name, "ddpm", dict(
            variance_type=variance, timestep_spacing=spacing, prediction_type=prediction, **clipping(clip, prediction)), n, {}
    for prediction in ("v_prediction", "sample"):
        yield f"ddpm-quantile-{short[prediction]}", "ddpm", dict(prediction_type=prediction, **quantile), 10, {}
    yield "ddpm-list", "ddpm", {}, [980, 700, 650, 333, 100, 17, 3, 0], {}
    yield "ddpm-list-without-0", "ddpm", dict(variance_type="fixed_large"), [980, 700, 650, 333, 100, 17, 3], {}
    yield "ddpm-7-leading", "ddpm", {}, 7, {}
    yield "ddpm-7-trailing", "ddpm", dict(timestep_spacing="trailing"), 7, {}
    for beta in ("scaled_linear", "squaredcos_cap_v2", "sigmoid"):
        yield f"ddpm-{beta}", "ddpm", dict(beta_schedule=beta), 10, {}
    yield "ddpm-zero-snr-v", "ddpm", dict(rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"), 10, {}

    for eta, (clip, rederive), spacing, prediction in itertools.product(
            (0.0, 0.5, 1.0), ((False, False), (True, False), (True, True)), ("leading", "trailing"), predictions):
        style = "free" if not clip else "rederive" if rederive else "clip"
        yield (f"ddim-{eta}-{style}-{spacing}-10-{short[prediction]}", "ddim",
               dict(timestep_spacing=spacing, prediction_type=prediction, **clipping(clip, prediction)), 10,
               dict(eta=eta, use_clipped_model_output=rederive))
    for eta in (0.0, 0.5):
        yield f"ddim-{eta}-rederive-leading-50-eps", "ddim", {}, 50, dict(eta=eta, use_clipped_model_output=True)
    yield "ddim-offset-1", "ddim", dict(steps_offset=1, clip_sample=False), 10, {}
    yield "ddim-final-alpha-0", "ddim", dict(set_alpha_to_one=False, clip_sample=False), 10, {}
    yield "ddim-zero-snr-v", "ddim", dict(rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"), 10, {}
    yield "ddim-cosine", "ddim", dict(beta_schedule="squaredcos_cap_v2"), 10, dict(use_clipped_model_output=True)
    yield "ddim-quantile", "ddim", dict(prediction_type="sample", **quantile), 10, dict(use_clipped_model_output=True)

    for sde, spacing, final, threshold, prediction in itertools.product(
            (False, True), ("linspace", "leading", "trailing"), ("zero", "sigma_min"), (True, False), predictions):
        name = f"dpm{'-sde' if sde else ''}-{spacing}-{final}-{'threshold' if threshold else 'free'}-{short[prediction]}"
        yield (name, "dpmsolver", dict(algorithm_type="sde-dpmsolver++" if sde else "dpmsolver++", timestep_spacing=spacing,
                                       final_sigmas_type=final, thresholding=threshold, prediction_type=prediction), 10, {})
    for n in (1, 2, 14, 15, 20):  # below 15 steps the last one is of first order whatever the final sigma
        yield f"dpm-{n}-steps", "dpmsolver", dict(final_sigmas_type="sigma_min", thresholding=True), n, {}
    yield "dpm-order-1", "dpmsolver", dict(solver_order=1, thresholding=True), 10, {}
    yield "dpm-heun", "dpmsolver", dict(solver_type="heun", thresholding=True), 10, {}
    yield "dpm-sde-heun", "dpmsolver", dict(algorithm_type="sde-dpmsolver++", solver_type="heun", thresholding=True), 10, {}
    yield "dpm-quantile", "dpmsolver", dict(prediction_type="sample", **quantile), 10, {}
    yield "dpm-cosine-clipped-lambda", "dpmsolver", dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1, thresholding=True), 10, {}


def kept(n):
    """Which states of n are stored, counted from 1: enough to see where a path leaves, few enough to stay small."""
    return sorted({1, min(2, n), (n + 1) // 2, n})


def write_paths(top):
    generator = torch.Generator().manual_seed(200)
    start = torch.randn(SHAPE, generator=generator)
    noise = torch.randn((DRAWS,) + SHAPE, generator=generator)
    tensors, index = {"start": start, "noise": noise}, []
    for name, kind, config, n, step_args in cases():
        steps = dict(timesteps=n) if isinstance(n, list) else dict(num_inference_steps=n)
        scheduler = CLASSES[kind](**config)
        states, used = path(kind, scheduler, steps, start, noise, step_args)
        exact, _ = path(kind, float64_tables(kind, CLASSES[kind](**config)), steps, start.double(), noise.double(), step_args)
        assert states.isfinite().all(), name
        keep = kept(len(states))
        kept_states = states[[k - 1 for k in keep]].contiguous()
        twin = [other for other, held in tensors.items() if torch.equal(held, kept_states)]
        assert not twin, f"{name} is no different from {twin}"
        tensors[name] = kept_states
        entry = dict(name=name, scheduler={"_class_name": CLASSES[kind].__name__} | config)
        if step_args:
            entry |= step_args
        entry |= dict(timesteps=scheduler.timesteps.tolist(), kept=keep, draws=used)
        if kind == "dpmsolver":
            entry["sigmas"] = [float(s) for s in scheduler.sigmas]
        entry["float64_difference"] = float(f"{(states - exact).abs().max():.1e}")
        index.append(entry)
    save_file(tensors, top / "schedulers.safetensors")
    return index


def tables():
    """β and ᾱ at anchor indices, as diffusers has them in float32."""
    for name, config in {
        "linear": {}, "scaled_linear": dict(beta_schedule="scaled_linear"), "squaredcos_cap_v2": dict(beta_schedule="squaredcos_cap_v2"),
        "sigmoid": dict(beta_schedule="sigmoid"), "linear-zero-snr": dict(rescale_betas_zero_snr=True),
        "scaled_linear-zero-snr": dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, rescale_betas_zero_snr=True),
        "linear-100": dict(num_train_timesteps=100), "trained": dict(num_train_timesteps=4, trained_betas=[0.1, 0.2, 0.4, 0.8]),
    }.items():
        s = DDPMScheduler(**config)
        at = [i for i in ANCHORS if i < len(s.betas)] if name != "trained" else list(range(4))
        yield dict(name=name, scheduler={"_class_name": "DDPMScheduler"} | config, index=at,
                   betas=[float(s.betas[i]) for i in at], alphas_cumprod=[float(s.alphas_cumprod[i]) for i in at])


def forward_process():
    """add_noise and get_velocity on one number, clean 0.5 and noise −1.25, so that they are √ᾱ and √(1−ᾱ) in disguise."""
    s, clean, eps = DDPMScheduler(), torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), -1.25)
    for t in (0, 1, 99, 500, 999):
        yield dict(t=t, clean=0.5, noise=-1.25, noisy=s.add_noise(clean, eps, torch.tensor([t])).item(),
                   velocity=s.get_velocity(clean, eps, torch.tensor([t])).item())


def lines(items):
    """A JSON list with one item per line."""
    return "[\n" + ",\n".join(json.dumps(i) for i in items) + "\n]"


def write(top):
    for kind, cls in CLASSES.items():
        cls().save_pretrained(top / "scheduler-configs" / kind)
    index = write_paths(top)
    with open(top / "schedulers.json", "w", encoding="utf-8") as f:
        f.write('{\n"tables": ' + lines(tables()) + ',\n"forward": ' + lines(forward_process()) + ',\n"paths": ' + lines(index) + "\n}\n")
    worst = sorted(index, key=lambda e: -e["float64_difference"])[:8]
    print(f"schedulers: {len(index)} paths; furthest from float64 tables: "
          + ", ".join(f"{e['name']} {e['float64_difference']:.0e}" for e in worst))
