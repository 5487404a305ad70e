"""Weights files as the authors of published networks gave them away: which network, and which settings.

A file is recognised by all its keys and shapes: one tensor too many, too few or of another shape, and it is a
stranger's. What a network's authors call its weights stands at the end of the network's own file.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import SettingsError
from pellucid.models.tables import build_network
from pellucid.networks import (
    aod_net,
    dncnn,
    drsformer,
    drunet,
    ffdnet,
    grid_dehaze_net,
    iat,
    llformer,
    maxim,
    mprnet,
    nafnet,
    pairlie,
    prenet,
    promptir,
    restormer,
    ruas,
    sci,
    sfnet,
    snr_aware,
    swinir,
    textir,
    uformer,
    uretinex_net,
    zero_dce,
)
from pellucid.networks.published import Published, Weights

__all__ = ["PUBLISHED", "near", "recognise"]

NEAR = 1 / 3
"""How many of a network's keys and of a file's must be alike for one to come near the other."""
LIGHTNING = "net."
"""Before every key in checkpoints of a Lightning module that calls its network so."""

PUBLISHED: Mapping[str, Published] = {
    "aod_net": aod_net.PUBLISHED,
    "uretinex_net": uretinex_net.PUBLISHED,
    "uformer": uformer.PUBLISHED,
    "swinir": swinir.PUBLISHED,
    "snr_aware": snr_aware.PUBLISHED,
    "sfnet": sfnet.PUBLISHED,
    "nafnet": nafnet.PUBLISHED,
    "mprnet": mprnet.PUBLISHED,
    "llformer": llformer.PUBLISHED,
    "grid_dehaze_net": grid_dehaze_net.PUBLISHED,
    "ffdnet": ffdnet.PUBLISHED,
    "drunet": drunet.PUBLISHED,
    "drsformer": drsformer.PUBLISHED,
    "dncnn": dncnn.PUBLISHED,
    "textir": textir.PUBLISHED,
    "iat": iat.PUBLISHED,
    "maxim": maxim.PUBLISHED,
    "pairlie": pairlie.PUBLISHED,
    "prenet": prenet.PUBLISHED,
    "promptir": promptir.PUBLISHED,
    "restormer": restormer.PUBLISHED,
    "ruas": ruas.PUBLISHED,
    "sci": sci.PUBLISHED,
    "zero_dce": zero_dce.PUBLISHED,
}
"""The networks whose authors' weights are known here, by their names in NETWORKS."""


def recognise(weights: Weights) -> tuple[str, dict[str, Any], dict[str, Tensor]] | None:
    """The network that published weights belong to.

    Args:
        weights: tensors by the authors' keys, as `checkpoints.read_weights` gives them.

    Returns:
        Its name in NETWORKS, its settings, and the weights by our keys; None where it is none of `PUBLISHED`.
    """
    if weights and all(key.startswith(LIGHTNING) for key in weights):
        weights = {key.removeprefix(LIGHTNING): value for key, value in weights.items()}
    for name, published in PUBLISHED.items():
        if not all(mark in weights for mark in published.marks):
            continue
        try:
            settings = published.settings(weights)
            with torch.device("meta"):  # shapes are enough
                expected = build_network(name, settings).state_dict()
        except Exception:  # a stranger may use the same keys for anything
            continue
        renamed = published.rename(weights)
        # Counters that only training reads; old files lack them.
        renamed |= {key: torch.tensor(0) for key in expected.keys() - renamed.keys() if key.endswith("_tracked")}
        if _shapes(renamed) == _shapes(expected):
            return name, settings, renamed
    return None


def near(weights: Weights) -> str:
    """What is to be said of weights that `recognise` does not know: what their keys look like, which networks of
    `PUBLISHED` come near, and in which keys they differ from the nearest.

    Two keys are alike where they differ in their numbers alone.
    """
    named = ", ".join(list(weights)[:4]) or "none"
    likenesses = {name: _likeness(name, weights) for name in PUBLISHED}
    found = sorted((name for name in PUBLISHED if likenesses[name][0] > NEAR), key=likenesses.__getitem__, reverse=True)
    if not found:
        return f"its first tensors: {named}; it comes near none of those known here: {', '.join(PUBLISHED)}"
    others = f" (and {' and '.join(found[1:3])})" if found[1:] else ""
    return f"its first tensors: {named}; it comes near {found[0]}{others}; {_differences(found[0], weights)}"


def _likeness(name: str, weights: Weights) -> tuple[float, float]:
    """How many of a network's keys and of the weights' are alike, of both together, 0 to 1; and how many are the same,
    of the same shape, which tells apart whose names are alike."""
    sides = _sides(name, weights)
    ours, theirs = ({re.sub(r"\d+", "#", key) for key in keys} for keys in sides)
    same, both = sides[0].items() & sides[1].items(), sides[0].keys() | sides[1].keys()
    return len(ours & theirs) / max(1, len(ours | theirs)), len(same) / max(1, len(both))


def _differences(name: str, weights: Weights) -> str:
    ours, theirs = _sides(name, weights)
    wrong = [key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]]
    lists = (
        ("missing", sorted(ours.keys() - theirs.keys())),
        ("unknown", sorted(theirs.keys() - ours.keys())),
        ("of another shape", sorted(wrong)),
    )
    said = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" for kind, keys in lists if keys
    ]
    return f"by our names, {'; '.join(said)}" if said else "only in its settings"


def _sides(name: str, weights: Weights) -> tuple[dict[str, torch.Size], dict[str, torch.Size]]:
    """Keys and shapes that a network has, by our names, and those of the weights, as if they were its."""
    published = PUBLISHED[name]
    try:
        settings = published.settings(weights)
    except Exception:  # keys that it reads are not there
        settings = {}
    try:
        with torch.device("meta"):
            ours = build_network(name, settings).state_dict()
    except SettingsError:
        with torch.device("meta"):
            ours = build_network(name).state_dict()
    try:
        renamed: Weights = published.rename(weights)
    except Exception:  # a shape that it does not expect
        renamed = weights
    counters = {key for key in ours if key.endswith("_tracked")}
    return _shapes({key: value for key, value in ours.items() if key not in counters}), _shapes(
        {key: value for key, value in renamed.items() if not key.endswith("_tracked")}
    )


def _shapes(weights: Weights) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in weights.items()}
