"""The random numbers of the Go program, in numpy: Philox4x32-10 (Salmon et al. 2011), many streams at once.

A stream is a function of (seed, purpose, i, t), so every rank makes the numbers of its own images, and they are those
that the Go program would have made.
"""
import numpy as np

# Purposes, as in internal/rng/stream.go.
TIMESTEP, NOISE, SHUFFLE, LABEL, FLIP = 2, 3, 6, 8, 9

LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox(c0, c1, c2, c3, k0, k1):
    """The block function on arrays of uint64 that hold 32 bits each."""
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & LOW, (k1 + np.uint64(0xBB67AE85)) & LOW
    return c0, c1, c2, c3


def words(seed, purpose, i, t, blocks):
    """The first 4·blocks words of the streams numbered i [N], as uint64 [N, 4·blocks]."""
    i = np.asarray(i, np.uint64)[:, None]
    block = np.arange(blocks, dtype=np.uint64)[None, :]
    shape = np.broadcast_shapes(i.shape, block.shape)
    counter = (block, np.uint64(t), i & LOW, np.uint64(purpose << 24) | i >> HALF)
    key = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)
    result = philox(*(np.broadcast_to(c, shape) for c in counter), *key)
    return np.stack(result, -1).reshape(shape[0], -1)


def uniform(seed, purpose, i, t):
    """The first Float64 of each stream: [N] in [0, 1)."""
    w = words(seed, purpose, i, t, 1)
    return ((w[:, 0] | w[:, 1] << HALF) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(seed, purpose, i, t, count):
    """The first count normal numbers of each stream, by Box and Muller: float32 [N, count]."""
    w = words(seed, purpose, i, t, -(-count // 4)).reshape(len(i), -1, 2).astype(np.float64)
    radius = np.sqrt(-2 * np.log((w[..., 0] + 1) * 2.0**-32))
    angle = w[..., 1] * (2 * np.pi * 2.0**-32)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return pairs.reshape(len(i), -1)[:, :count].astype(np.float32)


def permutation(seed, epoch, n):
    """The order in which an epoch visits n images: Fisher–Yates, from the last place to the first."""
    source = numbers(seed, epoch)
    order = list(range(n))
    for k in range(n - 1, 0, -1):
        size = k + 1
        product = next(source) * size  # Lemire's unbiased integer below size
        while product & (2**64 - 1) < 2**64 % size:
            product = next(source) * size
        j = product >> 64
        order[k], order[j] = order[j], order[k]
    return np.array(order)


def numbers(seed, epoch, blocks=4096):
    """The stream's 64-bit numbers, one after another."""
    key = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)
    for first in range(0, 2**32, blocks):
        block = np.arange(first, first + blocks, dtype=np.uint64)
        zero = np.zeros_like(block)
        w0, w1, w2, w3 = philox(block, zero + np.uint64(epoch), zero, zero + np.uint64(SHUFFLE << 24), *key)
        yield from (int(x) for x in np.stack([w0 | w1 << HALF, w2 | w3 << HALF], -1).ravel())
