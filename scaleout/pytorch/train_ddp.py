#!/usr/bin/env python3
"""Goes on with a training run of the Go program on many processes, with PyTorch's DistributedDataParallel.

    torchrun --nproc-per-node 8 scaleout/pytorch/train_ddp.py --out runs/NAME --steps 800000

It reads the run's newest checkpoint and writes the next ones beside it, in the same files: train -resume goes on from
there, sample and diffusers draw from them. Data, time steps and noise are the Go program's own, number by number, as is
the optimiser, so the loss of each step is what Go's would have been, up to rounding; dropout alone is PyTorch's.
"""
import argparse
import json
import math
import os
import pathlib
import signal
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
from diffusers import DDPMScheduler, UNet2DModel
from torch.nn.parallel import DistributedDataParallel

import checkpoints
import images
import philox

# Settings of a run that this program follows; those that are in the checkpoint's configurations too, or that only the Go
# program has a use for; and of some settings, the values that it can do. A run that was started with anything else is
# refused.
FOLLOWED = {"data", "seed", "batch", "accumulate", "lr", "rate", "warmup", "floor", "steps", "weight_decay", "clip", "ema", "flip",
            "classes", "label_dropout", "save_every", "keep", "draw"}
ELSEWHERE = {"preset", "init", "for", "sample_every", "log", "convolution",  # and, in the checkpoint's configurations:
             "side", "in_channels", "channels", "layers", "attention", "groups", "heads", "dropout",
             "recipe", "schedule", "timesteps", "zero_snr", "prediction", "variance"}
ONLY = {"rate": ("constant", "cosine"), "draw": ("uniform", "stratified"), "weight": ("simple",)}
PATIENCE = 10  # steps in a row without a finite gradient, after which a run has diverged
DIVERGED, STOPPED = 4, 128  # exit codes, as in cmd/internal/exit; STOPPED is added to the signal


def refuse(settings, net):
    """Says what the run asks for that this program does not do."""
    for name, value in settings.items():
        if value and (name in ONLY and value not in ONLY[name] or name not in FOLLOWED | ELSEWHERE | ONLY.keys()):
            raise SystemExit(f"train_ddp.py: the run was started with {name} = {value}, which only the command train can do")
    if net.config.out_channels != net.config.in_channels:
        raise SystemExit("train_ddp.py: the network learns the variance, which only the command train can do")


class Objective:
    """L_simple: t and ε of an image are functions of (seed, step, place of the image in the step)."""

    def __init__(self, directory, settings):
        scheduler = DDPMScheduler.from_pretrained(directory / "scheduler")
        betas = scheduler.betas.double().numpy()
        self.alpha_bar = np.cumprod(1 - betas)
        self.prediction = scheduler.config.prediction_type
        self.seed, self.batch = settings["seed"], settings["batch"]
        self.stratified = settings.get("draw") == "stratified"

    def times(self, step, places):
        """t - 1 of each image, which is what the network sees."""
        u, T = philox.uniform(self.seed, philox.TIMESTEP, places, step), len(self.alpha_bar)
        if self.stratified:
            u = (places + u) / self.batch
        return np.minimum((u * T).astype(np.int64), T - 1)

    def noised(self, x0, step, places, t):
        """x_t, and what the network is to make of it. x0 [N H W C]."""
        eps = philox.normal(self.seed, philox.NOISE, places, step, x0[0].size).reshape(x0.shape).astype(np.float64)
        signal, noise = (np.sqrt(a)[:, None, None, None] for a in (self.alpha_bar[t], 1 - self.alpha_bar[t]))
        target = {"epsilon": eps, "sample": x0, "v_prediction": signal * eps - noise * x0}[self.prediction]
        return signal * x0 + noise * eps, target


class Data:
    """The samples of a step."""

    def __init__(self, spec, state, net):
        self.set = images.open_set(spec)
        if self.set.digest() != state["data_sha256"]:
            raise SystemExit(f"train_ddp.py: the images of {spec} are not those that the run was trained on; write these with: "
                             "go run ./cmd/export -run RUN -out DIR, and give --data DIR")
        self.settings = state["settings"]
        self.order = images.Order(self.settings["seed"], len(self.set.pixels))
        self.unknown = net.config.num_class_embeds - 1 if self.settings["classes"] else None

    def batch(self, step, places):
        """x_0 [N H W C] in [-1, 1], float64, and labels or None."""
        seed = self.settings["seed"]
        samples = (step - 1) * self.settings["batch"] + places
        index = self.order.indices(samples)
        x0 = (2 * self.set.pixels[index].astype(np.float64) - 255) / 255
        x0 = x0.astype(np.float32).astype(np.float64)
        if self.settings["flip"]:
            mirrored = (philox.words(seed, philox.FLIP, samples, 0, 1)[:, 0] & np.uint64(1)).astype(bool)
            x0[mirrored] = x0[mirrored][:, :, ::-1]
        if self.unknown is None:
            return x0, None
        dropped = philox.uniform(seed, philox.LABEL, places, step) < self.settings["label_dropout"]
        return x0, np.where(dropped, self.unknown, self.set.labels[index])


def rate(settings, update):
    """The learning rate of an update, counted from 1."""
    base, warmup, steps, floor = settings["lr"], settings["warmup"], settings["steps"], settings.get("floor", 0)
    if update <= warmup:
        return base * update / warmup
    if settings.get("rate", "constant") == "constant":
        return base
    if update >= steps:
        return floor
    return floor + (base - floor) * (1 + math.cos(math.pi * (update - warmup) / (steps - warmup))) / 2


class Run:
    """A training in progress, on one rank of many."""

    def __init__(self, args, rank, world, device):
        self.args, self.rank, self.world, self.device = args, rank, world, device
        c = checkpoints.newest(args.out)
        self.old, self.state, self.settings = c.directory, c.state, c.state["settings"]
        self.settings["steps"] = args.steps  # as train -resume -steps does, which matters to a cosine
        self.net = UNet2DModel.from_config(UNet2DModel.load_config(c.directory / "unet"))
        refuse(self.settings, self.net)
        self.net.load_state_dict(c.group("weights/"))
        self.net.to(device).train()
        self.data = Data(args.data or self.settings["data"], self.state, self.net)
        self.objective = Objective(c.directory, self.settings)
        self.names, self.weights = zip(*sorted(self.net.named_parameters()))
        self.adam = self.optimiser(c)
        self.averages = []
        if rank == 0:
            for i, decay in enumerate(self.settings["ema"]):
                average = c.group(f"ema.{i}/") if i else c.published
                self.averages.append((decay, [average[name].to(device) for name in self.names]))
        self.local = self.settings["batch"] // world
        if self.local * world != self.settings["batch"]:
            raise SystemExit(f"train_ddp.py: a step of {self.settings['batch']} images does not divide among {world} processes")
        wanted = -(-self.settings["accumulate"] // world) if args.parts is None else args.parts
        self.parts = next(p for p in range(max(wanted, 1), self.local + 1) if self.local % p == 0)
        self.ddp = DistributedDataParallel(self.net, device_ids=[device] if device.type == "cuda" else None)
        self.began, self.spent, self.saved = time.monotonic(), self.state["spent"], self.state["step"]
        self.stop = 0  # the signal that asks for the end

    def optimiser(self, c):
        """Adam as the checkpoint left it."""
        s = self.settings
        adam = torch.optim.AdamW(self.weights, lr=s["lr"], betas=(0.9, 0.999), eps=1e-8, weight_decay=s.get("weight_decay", 0))
        m, v = c.group("adam.m/"), c.group("adam.v/")
        for name, w in zip(self.names, self.weights):
            adam.state[w] = {"step": torch.tensor(float(self.state["updates"])),
                             "exp_avg": m[name].to(self.device), "exp_avg_sq": v[name].to(self.device)}
        return adam

    def gradient(self, step):
        """Sets the gradients to those of the whole step's loss; returns t and the losses of this rank's images."""
        torch.manual_seed((self.settings["seed"] * 1_000_003 + step) * self.world + self.rank & 2**63 - 1)  # dropout
        self.adam.zero_grad(set_to_none=True)
        places = self.rank * self.local + np.arange(self.local)
        losses = []
        for k, part in enumerate(np.split(places, self.parts)):
            x0, labels = self.data.batch(step, part)
            t = self.objective.times(step, part)
            xt, target = (torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2).contiguous().to(self.device)
                          for x in self.objective.noised(x0, step, part, t))
            labels = None if labels is None else torch.from_numpy(labels).to(self.device)
            self.ddp.require_backward_grad_sync = k == self.parts - 1  # gradients meet once a step
            out = self.ddp(xt, torch.from_numpy(t).to(self.device), class_labels=labels).sample
            each = (out - target).square().mean((1, 2, 3))
            (each.mean() / self.parts).backward()
            losses.append(each.detach())
        return torch.cat(losses)

    def step(self):
        """One step of algorithm 1; returns its line of metrics.jsonl."""
        began, s = time.monotonic(), self.state
        s["step"] += 1
        mine = torch.cat([self.gradient(s["step"]), torch.tensor([float(self.stop)], device=self.device)])
        gathered = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(gathered, mine)  # losses for the report; and all ranks stop together
        losses = torch.stack(gathered).double().cpu().numpy()
        self.stop, losses = int(losses[:, -1].max()), losses[:, :-1].ravel()
        # In float64, as a sum of many squares; the gradients are the same on all ranks, and so is all that follows.
        norm = math.sqrt(sum(float(w.grad.double().square().sum()) for w in self.weights))
        lr = rate(self.settings, s["updates"] + 1)
        if math.isfinite(norm) and np.isfinite(losses).all():
            self.update(norm, lr)
        else:
            s["skipped"] += 1
            s["skipped_in_a_row"] += 1
        speed = self.settings["batch"] / (time.monotonic() - began)
        return {"step": s["step"], "loss": number(losses.mean()), "grad_norm": number(norm), "lr": lr, "images_per_s": round(speed, 1),
                "skipped": s["skipped"], "loss_quartile": self.quartiles(losses)}

    @torch.no_grad()
    def update(self, norm, lr):
        s, clip = self.state, self.settings["clip"] or math.inf
        scale = min(1, clip / (norm + 1e-6))
        if scale < 1:
            torch._foreach_mul_([w.grad for w in self.weights], scale)
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        s["updates"] += 1
        s["skipped_in_a_row"] = 0
        for decay, average in self.averages:
            decay = min(decay, (1 + s["updates"]) / (10 + s["updates"]))
            torch._foreach_lerp_(average, [w.detach() for w in self.weights], 1 - decay)

    def quartiles(self, losses):
        """Mean loss of the images with t in each quarter of 1…T."""
        t = self.objective.times(self.state["step"], np.arange(len(losses)))
        quarter = t * 4 // len(self.objective.alpha_bar)
        return [number(losses[quarter == q].mean()) if (quarter == q).any() else None for q in range(4)]

    def save(self):
        """Writes a checkpoint, on the first rank."""
        bad = next((n for n, w in zip(self.names, self.weights) if not w.isfinite().all()), None)
        if bad:
            fail(f"the weights of {bad} are no numbers any more after step {self.state['step']}, which is not saved", DIVERGED)
        self.saved = self.state["step"]
        if self.rank:
            return
        groups = {"weights/": self.weights, "adam.m/": [self.adam.state[w]["exp_avg"] for w in self.weights],
                  "adam.v/": [self.adam.state[w]["exp_avg_sq"] for w in self.weights]}
        groups |= {f"ema.{i}/": average for i, (_, average) in enumerate(self.averages) if i}
        tensors = {prefix + n: x.detach().cpu().contiguous() for prefix, group in groups.items() for n, x in zip(self.names, group)}
        published = {n: x.cpu().contiguous() for n, x in zip(self.names, self.averages[0][1])}
        self.state["spent"] = self.spent + int(1e9 * (time.monotonic() - self.began))
        self.old = checkpoints.write(self.old, self.args.out, self.state, published, tensors)
        checkpoints.prune(self.args.out, self.args.keep or self.settings["keep"])
        print(f"step {self.state['step']}: saved {self.old}", flush=True)

    def train(self):
        every = self.args.save_every or self.settings["save_every"]
        metrics = Metrics(self.args.out, self.state["step"]) if self.rank == 0 else None
        while self.state["step"] < self.args.steps and not self.stop:
            line = self.step()
            if metrics:
                metrics.add(line)
            if self.state["skipped_in_a_row"] >= PATIENCE:
                fail(f"diverged: the loss or the gradient is not finite, {PATIENCE} steps in a row up to step {self.state['step']}; "
                     "the checkpoints are from before", DIVERGED)
            if self.state["step"] % every == 0:
                self.save()
        if self.saved != self.state["step"]:
            self.save()
        dist.barrier()  # until the first rank has saved


class Metrics:
    """metrics.jsonl, a line for every step, and now and then a line on the screen."""

    def __init__(self, run, step):
        path, self.shown = pathlib.Path(run) / "metrics.jsonl", 0.0
        old = path.read_text().splitlines() if path.exists() else []
        path.write_text("".join(line + "\n" for line in old if json.loads(line)["step"] <= step))
        self.file = open(path, "a", buffering=1)

    def add(self, line):
        self.file.write(json.dumps(line, separators=(",", ":")) + "\n")
        if time.monotonic() - self.shown > 10:
            self.shown = time.monotonic()
            print(f"step {line['step']}  loss {line['loss']}  gradient {line['grad_norm']}  {line['images_per_s']} images/s", flush=True)


def number(x):
    """A number that JSON can say."""
    return float(x) if math.isfinite(x) else None


def fail(text, code):
    print("train_ddp.py: " + text, file=sys.stderr, flush=True)
    os._exit(code)  # the other ranks come to the same end, or torchrun ends them


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", required=True, help="the run's directory, which holds its checkpoints")
    ap.add_argument("--steps", type=int, required=True, help="steps in all, those of the Go program included")
    ap.add_argument("--data", help="where the images are, if not where the run's settings say: digits, mnist, IDX files, or what export wrote")
    ap.add_argument("--save-every", type=int, help="steps between checkpoints; the run's setting if not given")
    ap.add_argument("--keep", type=int, help="checkpoints kept; the run's setting if not given")
    ap.add_argument("--parts", type=int, help="parts that a rank computes its images in, for memory; the run's -accumulate, shared among ranks, if not given")
    ap.add_argument("--tf32", action="store_true", help="faster and less exact convolutions on the GPU")
    args = ap.parse_args()
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
    run = Run(args, rank, world, device)
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda n, _: setattr(run, "stop", n))
    if rank == 0:
        print(f"Resuming at step {run.state['step']}: {world} processes on {device.type}, {run.local} images each in {run.parts} parts", flush=True)
    run.train()
    dist.destroy_process_group()
    sys.exit(STOPPED + run.stop if run.stop else 0)


if __name__ == "__main__":
    main()
