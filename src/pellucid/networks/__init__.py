"""F, the restoration networks: degraded image in, restored image out.

A network is an `nn.Module` with two attributes: `multiple` (its input's sides must divide by it; the restorer pads) and
`scale` (output sides over input sides); ours also keep their constructor's arguments in `settings`, from which a model file
builds them again. Anything else is adapted by `networks.external`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from pellucid.errors import PellucidError, SettingsError, one_line, unknown_name
from pellucid.networks.external import External
from pellucid.networks.nafnet import NAFNet
from pellucid.networks.unet import UNet

__all__ = [
    "NETWORKS",
    "External",
    "NAFNet",
    "UNet",
    "build_network",
    "input_multiple",
    "network_name",
    "output_scale",
]

NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "external": External,
    "nafnet": NAFNet,
    "unet": UNet,
}


def build_network(name: str, settings: Mapping[str, Any] | None = None) -> nn.Module:
    """The network called `name` in NETWORKS, with fresh weights.

    Raises:
        SettingsError: unknown name, or settings that the network does not take.
    """
    if name not in NETWORKS:
        raise SettingsError(unknown_name("network", name, NETWORKS))
    try:
        return NETWORKS[name](**(settings or {}))
    except PellucidError:
        raise
    except Exception as error:  # settings can be wrong in ways that only torch notices
        raise SettingsError(f"network {name!r}: {one_line(error)}") from error


def input_multiple(network: nn.Module) -> int:
    """What the sides of a network's input must divide by; 1 where it does not say so in a whole number."""
    multiple = getattr(network, "multiple", 1)
    return multiple if isinstance(multiple, int) and multiple > 0 else 1


def output_scale(network: nn.Module) -> int:
    """Output sides over input sides; 1 where the network does not say so in a whole number."""
    scale = getattr(network, "scale", 1)
    return scale if isinstance(scale, int) and scale > 0 else 1


def network_name(network: nn.Module) -> str | None:
    """The name in NETWORKS of a network's class; None for a foreign one."""
    return next((name for name, kind in NETWORKS.items() if type(network) is kind), None)
