"""Weights files as the authors of published networks gave them away: which network, and which settings.

A file is recognised by all its keys and shapes: one tensor too many, too few or of another shape, and it is a
stranger's. What a network's authors call its weights stands at the end of the network's own file.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

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
    uformer,
    uretinex_net,
    zero_dce,
)
from pellucid.networks.published import Published, Weights

__all__ = ["PUBLISHED", "recognise"]

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


def _shapes(weights: Weights) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in weights.items()}
