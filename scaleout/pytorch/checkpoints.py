"""The checkpoint directories of the Go program: found, verified, read, and written whole or not at all."""
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil

from safetensors.torch import load_file, save_file

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
STATE, TENSORS, MANIFEST = "train_state.json", "train_state.safetensors", "manifest.json"


def steps(run):
    """The run's checkpoints, the newest first."""
    found = [d for d in pathlib.Path(run).glob("step-*") if re.fullmatch(r"step-\d{8,}", d.name)]
    return sorted(found, key=lambda d: int(d.name[5:]), reverse=True)


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def fault(directory):
    """What is wrong with a checkpoint by its manifest, or None."""
    try:
        files = json.loads((directory / MANIFEST).read_text())["files"]
        for name, entry in files.items():
            path = directory / name
            if path.stat().st_size != entry["size"] or sha256(path) != entry["sha256"]:
                return f"{path} was changed or damaged"
        return None if STATE in files else f"{directory} holds no {STATE}"
    except (OSError, ValueError, KeyError) as e:
        return f"{directory}: {e}"


class Checkpoint:
    def __init__(self, directory):
        self.directory = directory
        self.state = json.loads((directory / STATE).read_text())
        self.published = load_file(directory / WEIGHTS)
        self.tensors = load_file(directory / TENSORS)

    def group(self, prefix):
        return {name.removeprefix(prefix): x for name, x in self.tensors.items() if name.startswith(prefix)}


def newest(run):
    """The run's newest whole checkpoint; what is wrong with newer ones is printed."""
    for directory in steps(run):
        problem = fault(directory)
        if problem is None:
            return Checkpoint(directory)
        print(f"train_ddp.py: warning: passed over a checkpoint: {problem}", flush=True)
    raise SystemExit(f"train_ddp.py: there is no whole checkpoint in {run}; begin the run with the command train")


def write(old, run, state, published, tensors):
    """Writes the checkpoint of state["step"], with the configuration of the checkpoint old."""
    final = pathlib.Path(run) / f"step-{state['step']:08d}"
    temp = final.with_name(f".tmp-{final.name}-{secrets.token_hex(4)}")  # what train -resume removes if it stays
    try:
        for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json", "README.md"):
            (temp / name).parent.mkdir(parents=True, exist_ok=True)
            text = (old / name).read_text(encoding="utf-8")
            if name == "README.md":
                text = re.sub(r"after [\d,]+ training steps", f"after {state['step']:,} training steps", text)
            (temp / name).write_text(text, encoding="utf-8")
        save_file(published, temp / WEIGHTS, {"format": "pt"})
        save_file(tensors, temp / TENSORS, {"format": "pt"})
        write_json(temp / STATE, state)
        files = [p for p in sorted(temp.rglob("*")) if p.is_file()]
        write_json(temp / MANIFEST, {"files": {p.relative_to(temp).as_posix(): {"size": p.stat().st_size, "sha256": sha256(p)} for p in files}})
        for path in (*files, temp / MANIFEST, *(p for p in temp.rglob("*") if p.is_dir()), temp):
            sync(path)
        if final.exists():
            shutil.rmtree(final)
        os.rename(temp, final)
        sync(final.parent)
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return final


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def prune(run, keep):
    for directory in steps(run)[keep:]:
        doomed = directory.with_name(f".tmp-{directory.name}-{secrets.token_hex(4)}")
        os.rename(directory, doomed)
        shutil.rmtree(doomed)
