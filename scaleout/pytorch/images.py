"""Training sets as the Go program sees them: bytes [N H W C], labels, and the order of the samples."""
import gzip
import hashlib
import json
import pathlib

import numpy as np

import philox

EMBEDDED = pathlib.Path(__file__).resolve().parents[2] / "data" / "embedded"
IDX = ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz")


class Set:
    def __init__(self, pixels, labels, classes):
        self.pixels, self.labels, self.classes = pixels, labels, classes

    def digest(self):
        """The SHA-256 that train_state.json has, by which a run knows its data again."""
        h = hashlib.sha256(" ".join(map(str, (*self.pixels.shape, self.classes))).encode() + b"\n")
        h.update(self.pixels.tobytes())
        if self.labels is not None:
            h.update(self.labels.astype("<u4").tobytes())
        return h.hexdigest()


def open_set(spec):
    """What spec names: digits or mnist, a directory with IDX files, or one that the command export wrote."""
    if spec in ("digits", "mnist"):
        return from_idx(EMBEDDED / f"{spec}-images-idx3-ubyte.gz")
    directory = pathlib.Path(spec)
    if (directory / "images.npy").is_file():
        pixels = np.load(directory / "images.npy", allow_pickle=False)
        labels = directory / "labels.npy"
        labels = np.load(labels, allow_pickle=False) if labels.is_file() else None
        return Set(pixels, labels, json.loads((directory / "set.json").read_text())["classes"])
    for name in IDX:
        if (directory / name).is_file():
            return from_idx(directory / name)
    raise SystemExit(f"train_ddp.py: {spec} holds neither IDX files nor images.npy; write it with: go run ./cmd/export -run RUN -out DIR, and give --data DIR")


def from_idx(images):
    pixels = read_idx(images, 3)[..., None]
    path = images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))
    if not path.is_file():
        return Set(pixels, None, 0)
    labels = read_idx(path, 1).astype(np.int64)
    return Set(pixels, labels, int(labels.max()) + 1)


def read_idx(path, rank):
    data = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    if data[:4] != bytes([0, 0, 8, rank]):
        raise SystemExit(f"train_ddp.py: {path} is not an IDX file of bytes with {rank} dimensions")
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


class Order:
    """Which image a sample is: the epochs follow one another without a gap, each in an order of its own."""

    def __init__(self, seed, n):
        self.seed, self.n, self.epochs = seed, n, {}

    def indices(self, samples):
        epochs = samples // self.n
        for epoch in np.unique(epochs):
            if epoch not in self.epochs:
                self.epochs = {e: o for e, o in self.epochs.items() if e == epoch - 1}  # the last may still be in use
                self.epochs[epoch] = philox.permutation(self.seed, int(epoch), self.n)
        return np.array([self.epochs[e][s] for e, s in zip(epochs, samples % self.n)])
