"""Weights of parity vectors: filled by a rule from their names and shapes, so that no vector holds any."""

import zlib

import numpy as np
import torch


def filled(keys, settings, plus_one, gain, salt):
    """Weights by the authors' keys, as the rule fills them; those that it leaves are those that the network makes."""
    weights, first = {}, {}
    for name, shape in keys.items():
        if name in settings["_unchanged"]:
            weights[name] = torch.zeros(shape)
            continue
        if name.endswith("body.1.weight") and shape == [1]:  # MPRNet's one slope, under many names
            name, own = first.setdefault("slope", name), name
            weights[own] = rule(name, shape, gain, salt, set())
            continue
        weights[name] = rule(name, shape, gain, salt, plus_one)
    return weights


def rule(name, shape, gain, salt, plus_one):
    count = int(np.prod(shape))
    wave = 0.2 * np.sin(0.37 * np.arange(count) + zlib.crc32((salt + name).encode()) % 1000)
    if len(shape) > 1:
        fan = shape[1] if len(shape) == 4 and shape[0] == 1 and shape[2:] == [1, 1] else count // shape[0]
        wave = wave * gain / np.sqrt(fan)
    if name.endswith("running_var"):
        wave = 1 + 0.1 * np.abs(wave)
    elif name in plus_one:
        wave = 1 + wave
    return torch.from_numpy(wave.reshape(shape).astype(np.float32))
