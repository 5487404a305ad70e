"""The tables of what models are made of, by the names that recipes and model files give them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from pellucid.diffusion.network import Generative
from pellucid.errors import PellucidError, SettingsError, one_line, unknown_name
from pellucid.networks import (
    IAT,
    MAXIM,
    RUAS,
    SCI,
    AODNet,
    Colorizer,
    Deconvolution,
    DnCNN,
    DRSformer,
    DRUNet,
    Experts,
    External,
    FFDNet,
    GridDehazeNet,
    Guided,
    Identity,
    Inpainter,
    LightCurves,
    LLFormer,
    MPRNet,
    NAFNet,
    Network,
    PairLIE,
    PReNet,
    PromptIR,
    Restormer,
    Results,
    SFNet,
    SNRAware,
    SwinIR,
    TextIR,
    Uformer,
    UNet,
    Upscaler,
    URetinexNet,
    ZeroDCE,
)
from pellucid.refinement import PTGRM, ColourMatrix, FeatureRefinement

__all__ = ["NETWORKS", "REFINEMENTS", "build_network", "module_within", "network_name"]


def _experts(experts: Sequence[Mapping[str, Any]], prior_width: int = 64, hidden: int = 32) -> Experts:
    """Experts from what recipes say of each: `{"name": ..., "settings": {...}, "kinds": [...]}`."""
    for expert in experts:
        if not isinstance(expert, Mapping) or not {"name"} <= set(expert) <= {"name", "settings", "kinds"}:
            raise ValueError(f"experts: each has a name, settings and perhaps kinds, got {expert!r}")
        if expert["name"] == "external":  # a model file that names one would import whatever it likes
            raise ValueError("experts: networks that pellucid has itself, and not 'external'")
        kinds = expert.get("kinds")
        if isinstance(kinds, str):
            raise ValueError(f"experts: kinds are a list, as in [{kinds}]")
        if kinds is not None and not (isinstance(kinds, list | tuple) and kinds and set(map(type, kinds)) == {str}):
            raise ValueError(f"experts: kinds are a list of one name or more, and none for the rest; got {kinds!r}")
    networks = [build_network(one["name"], one.get("settings")) for one in experts]
    settings = {
        "experts": [
            {"name": one["name"], "settings": dict(one.get("settings") or {})}
            | ({} if one.get("kinds") is None else {"kinds": list(one["kinds"])})
            for one in experts
        ],
        "prior_width": prior_width,
        "hidden": hidden,
    }
    kinds_of_all = [one.get("kinds") for one in experts]
    return Experts(networks, kinds_of_all, prior_width=prior_width, hidden=hidden, settings=settings)


def _guided(network: Mapping[str, Any], **settings: Any) -> Guided:
    """A guided network from what recipes say of the one within: `{"name": ..., "settings": {...}}`."""
    if not isinstance(network, Mapping) or not {"name"} <= set(network) <= {"name", "settings"}:
        raise ValueError(f"network: has a name and perhaps settings, got {network!r}")
    if network["name"] == "external":  # a model file that names one would import whatever it likes
        raise ValueError("network: one that pellucid has itself, and not 'external'")
    built = build_network(network["name"], network.get("settings"))
    spec = {"network": {"name": network["name"], "settings": built.settings}, **settings}
    return Guided(built, **settings, settings=spec)


NETWORKS: Mapping[str, Callable[..., Network]] = {
    "aod_net": AODNet,
    "uretinex_net": URetinexNet,
    "uformer": Uformer,
    "swinir": SwinIR,
    "snr_aware": SNRAware,
    "sfnet": SFNet,
    "mprnet": MPRNet,
    "light_curves": LightCurves,
    "llformer": LLFormer,
    "grid_dehaze_net": GridDehazeNet,
    "ffdnet": FFDNet,
    "drunet": DRUNet,
    "drsformer": DRSformer,
    "colorizer": Colorizer,
    "deconvolution": Deconvolution,
    "dncnn": DnCNN,
    "experts": _experts,
    "external": External,
    "generative": Generative,
    "guided": _guided,
    "iat": IAT,
    "identity": Identity,
    "inpainter": Inpainter,
    "maxim": MAXIM,
    "nafnet": NAFNet,
    "pairlie": PairLIE,
    "prenet": PReNet,
    "promptir": PromptIR,
    "restormer": Restormer,
    "results": Results,
    "ruas": RUAS,
    "sci": SCI,
    "textir": TextIR,
    "unet": UNet,
    "upscaler": Upscaler,
    "zero_dce": ZeroDCE,
}
"""F: what builds each network, given its settings."""

REFINEMENTS: Mapping[str, Callable[..., nn.Module]] = {
    "colour-matrix": ColourMatrix,
    "ptgrm": PTGRM,
    "ptgrm-features": FeatureRefinement,
}
"""R: the refinement of an image, the humblest one that it must beat, and that of a network's features."""


def build_network(name: str, settings: Mapping[str, Any] | None = None) -> Network:
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


def network_name(network: nn.Module) -> str | None:
    """The name in NETWORKS of a network's class; None for a foreign one."""
    kinds = {**NETWORKS, "experts": Experts, "guided": Guided}
    return next((name for name, kind in kinds.items() if type(network) is kind), None)


def module_within(network: nn.Module, name: str) -> nn.Module:
    """The module of this name within a network, as `named_modules` has it, such as `experts.0`.

    Raises:
        SettingsError: there is none; the near ones are named.
    """
    known: dict[str, nn.Module] = {key: module for key, module in network.named_modules() if key}
    if name not in known:
        raise SettingsError(unknown_name("module of the network", name, known))
    return known[name]
