"""Weights of networks that pellucid does not write itself, through the library spandrel (the extra `spandrel`).

It knows some forty architectures by their keys: ESRGAN and Real-ESRGAN, SCUNet, GRL, HAT, Swin2SR, FBCNN, ... Nothing
in a file is executed; what spandrel reads are plain tensors.
"""

from dataclasses import dataclass
from typing import Any

from pellucid.networks import External
from pellucid.networks.published import Weights

__all__ = ["Foreign", "foreign", "is_there"]


@dataclass(frozen=True)
class Foreign:
    """A network of somebody else's, with its weights.

    Attributes:
        network: it, with the contract of ours.
        architecture: what spandrel calls it.
        purpose: likewise, such as `SR` or `Restoration`.
    """

    network: External
    architecture: str
    purpose: str


def is_there() -> bool:
    """Whether spandrel is installed, and what it needs."""
    return _spandrel() is not None


def foreign(weights: Weights) -> Foreign | None:
    """The network that spandrel takes the weights for; None where it knows none, takes another count of channels than
    ours, or is not installed."""
    spandrel = _spandrel()
    if spandrel is None:
        return None
    # `model.` before every key is a wrapper's to `read_weights`, and part of the names of ESRGAN and others.
    found = _loaded(spandrel, weights) or _loaded(spandrel, {f"model.{key}": value for key, value in weights.items()})
    if found is None:
        return None
    channels = found.input_channels
    of_images = isinstance(found, spandrel.ImageModelDescriptor)
    if not of_images or channels not in (1, 3) or found.output_channels != channels:
        return None
    sides = found.size_requirements
    step = max(1, sides.multiple_of)
    multiple = max(1, -(-sides.minimum // step)) * step  # of the smallest that it takes, too
    network = External(found.model.eval(), multiple=multiple, scale=found.scale, channels=channels)
    return Foreign(network, str(found.architecture.name), str(found.purpose))


def _loaded(spandrel: Any, weights: Weights) -> Any:
    try:
        return spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(weights))
    except Exception:  # a stranger's keys can mislead its constructors in any way
        return None


def _spandrel() -> Any:
    try:
        import spandrel
    except ImportError:
        return None
    return spandrel
