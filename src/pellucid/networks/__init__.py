"""F, the restoration networks: degraded image in, restored image out.

A network is an `nn.Module` with two attributes: `multiple` (its input's sides must divide by it; the restorer pads) and
`scale` (output sides over input sides); ours also keep their constructor's arguments in `settings`, from which a model file
builds them again. One with statistics of the whole picture may have `whole(image)`, which gives them, and take them as
`whole=` with each tile: `seeing_whole` does that. One that has a `guide_width` takes a prior's vector of that length beside the
image; `refinement.Guided` gives it. Anything else is adapted by `networks.external`. Files of weights as the
authors of these networks published them are recognised by `networks.published`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError, SettingsError, one_line, unknown_name
from pellucid.networks.aod_net import AODNet
from pellucid.networks.deconvolution import Deconvolution
from pellucid.networks.dncnn import DnCNN
from pellucid.networks.experts import Experts
from pellucid.networks.external import External
from pellucid.networks.iat import IAT
from pellucid.networks.identity import Identity
from pellucid.networks.nafnet import NAFNet
from pellucid.networks.pairlie import PairLIE
from pellucid.networks.prenet import PReNet
from pellucid.networks.promptir import PromptIR
from pellucid.networks.restormer import Restormer
from pellucid.networks.ruas import RUAS
from pellucid.networks.sci import SCI
from pellucid.networks.unet import UNet
from pellucid.networks.zero_dce import ZeroDCE

__all__ = [
    "IAT",
    "NETWORKS",
    "RUAS",
    "SCI",
    "AODNet",
    "Deconvolution",
    "DnCNN",
    "Experts",
    "External",
    "Identity",
    "NAFNet",
    "PReNet",
    "PairLIE",
    "PromptIR",
    "Restormer",
    "UNet",
    "ZeroDCE",
    "build_network",
    "input_multiple",
    "module_within",
    "network_name",
    "output_scale",
    "seeing_whole",
]

NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "aod_net": AODNet,
    "deconvolution": Deconvolution,
    "dncnn": DnCNN,
    "experts": Experts,
    "external": External,
    "iat": IAT,
    "identity": Identity,
    "nafnet": NAFNet,
    "pairlie": PairLIE,
    "prenet": PReNet,
    "promptir": PromptIR,
    "restormer": Restormer,
    "ruas": RUAS,
    "sci": SCI,
    "unet": UNet,
    "zero_dce": ZeroDCE,
}

_SEEING: ContextVar[object | None] = ContextVar("seeing", default=None)
"""Who shows a network tiles. A context variable, so that another thread that runs the same network is left alone."""


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


def module_within(network: nn.Module, name: str) -> nn.Module:
    """The module of this name within a network, as `named_modules` has it, such as `experts.0`.

    Raises:
        SettingsError: there is none; the near ones are named.
    """
    known: dict[str, nn.Module] = {key: module for key, module in network.named_modules() if key}
    if name not in known:
        raise SettingsError(unknown_name("module of the network", name, known))
    return known[name]


def input_multiple(network: nn.Module) -> int:
    """What the sides of a network's input must divide by; 1 where it does not say so in a whole number."""
    multiple = getattr(network, "multiple", 1)
    return multiple if isinstance(multiple, int) and multiple > 0 else 1


def output_scale(network: nn.Module) -> int:
    """Output sides over input sides; 1 where the network does not say so in a whole number."""
    scale = getattr(network, "scale", 1)
    return scale if isinstance(scale, int) and scale > 0 else 1


@contextmanager
def seeing_whole(network: nn.Module, image: Tensor) -> Iterator[None]:
    """A context in which a network may be given tiles: one that has `whole` is told what it says of the whole picture.

    So is every network within it, such as an expert. It is asked when the first tile comes. The picture itself, padded to the
    network's multiple or not, is told nothing, for of that the network sees all, unless it says by `minds_padding` that this
    would be too much. Who is told already is told no more. In another thread, that runs the same network on another picture,
    nothing happens.

    Args:
        network: any; to most it makes no difference.
        image: the whole picture, (1, 3, H, W).
    """
    multiple = input_multiple(network)
    padded = torch.Size(-(-side // multiple) * multiple for side in image.shape[2:])
    mark, hooks = object(), []
    for module in network.modules():
        if callable(getattr(module, "whole", None)):
            full = {image.shape[2:]} if getattr(module, "minds_padding", False) else {image.shape[2:], padded}
            hooks.append(module.register_forward_pre_hook(_telling(module, image, full, mark), with_kwargs=True))
    before = _SEEING.set(mark)
    try:
        yield
    finally:
        _SEEING.reset(before)
        for hook in hooks:
            hook.remove()


def _telling(network: Any, image: Tensor, full: set[torch.Size], mark: object) -> Callable[..., Any]:
    """The hook that tells a network of the whole picture, unless it sees a picture of a size of `full`."""
    told = dict[str, Any]()

    def tell(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any] | None:
        if _SEEING.get() is not mark or "whole" in named or (inputs and inputs[0].shape[2:] in full):
            return None
        if not told:
            # A context of its own: what a refinement changes within the network, it changes for the tile alone.
            told["whole"] = Context().run(network.whole, image)
        return inputs, named | told

    return tell


def network_name(network: nn.Module) -> str | None:
    """The name in NETWORKS of a network's class; None for a foreign one."""
    return next((name for name, kind in NETWORKS.items() if type(network) is kind), None)
