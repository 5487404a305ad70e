"""Refinements by name, and made to measure for a network and a prior."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pellucid.errors import ModelError, PellucidError, SettingsError, one_line, unknown_name
from pellucid.layers import find_layer, is_compiled
from pellucid.models.tables import REFINEMENTS
from pellucid.networks import contract_of
from pellucid.priors import Prior

__all__ = [
    "build_refinement",
    "feature_width",
    "has_maps",
    "maps_width",
    "refinement_for",
    "refinement_name",
]

FOLLOWING: Mapping[str, str] = {"prior_width": "the prior", "channels": "the layer"}
"""Settings that nobody chooses where a refinement is made to measure, and what they follow from."""


def build_refinement(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """The refinement called `name`, with fresh weights; settings that are not given take their defaults.

    Raises:
        SettingsError: unknown name, or settings that it does not take.
    """
    if name not in REFINEMENTS:
        raise SettingsError(unknown_name("refinement", str(name), REFINEMENTS))
    try:
        return REFINEMENTS[name](**settings)
    except Exception as error:  # settings can be wrong in ways that only torch notices
        raise SettingsError(f"refinement {name!r}: {one_line(error)}") from error


def refinement_name(refinement: nn.Module) -> str:
    """The name in REFINEMENTS of a refinement's class.

    Raises:
        ModelError: the refinement is not one of ours.
    """
    for name, kind in REFINEMENTS.items():
        if type(refinement) is kind:
            return name
    raise ModelError(f"{type(refinement).__name__} is none of the refinements: {', '.join(REFINEMENTS)}")


def refinement_for(
    network: nn.Module, prior: Prior, name: str = "ptgrm", settings: Mapping[str, Any] | None = None
) -> nn.Module:
    """The refinement called `name`, made for a prior's width and, inside a network, for one of its layers.

    Args:
        network: the network to refine; only "ptgrm-features" looks at it, and leaves it as it was.
        prior: the prior that guides.
        name: of REFINEMENTS.
        settings: of the refinement, without `prior_width` and `channels`; without `layer` the deepest layer is taken.

    Raises:
        SettingsError: unknown name, wrong settings, no such layer, maps wanted of a prior that has none, or a network
            that is compiled and was to be refined inside.
        ModelError: the network cannot be run to find its layers.
    """
    settings = dict(settings or {})
    for key, source in FOLLOWING.items():
        if key in settings:
            raise SettingsError(f"refinement {name!r}: {key} follows from {source}; leave it out")
    settings["prior_width"] = feature_width(prior, settings)
    if name == "ptgrm-features" and contract_of(network).vector is not None:
        raise SettingsError(
            "refinement 'ptgrm-features': which layers run depends on the photograph where a prior guides the network; "
            "use 'ptgrm'"
        )
    if name == "ptgrm-features" and is_compiled(network):
        raise SettingsError(
            "refinement 'ptgrm-features' works inside the network, which a compiled network does not let it; boost the "
            "network "
            "as it was before torch.compile, and compile R alone, with boosted.refinement.compile()"
        )
    if name == "ptgrm-features":
        layer = find_layer(network, settings.get("layer"), multiple=contract_of(network).multiple)
        settings |= {"layer": layer.name, "channels": layer.channels}
    return build_refinement(name, settings)


def feature_width(prior: Any, settings: Mapping[str, Any]) -> int:
    """How many numbers, at each place, a refinement of such settings takes of a prior: channels of its maps, or its
    width.

    Raises:
        SettingsError: maps are wanted of a prior that has none.
    """
    return maps_width(prior) if settings.get("guidance") == "concatenated-maps" else int(prior.width)


def has_maps(prior: Any) -> bool:
    """Whether a prior has maps that R can take."""
    try:
        return maps_width(prior) > 0
    except SettingsError:
        return False


def maps_width(prior: Any) -> int:
    """Channels of a prior's maps.

    Raises:
        SettingsError: it has none, or none of its view: training shows R crops, and the prior's view of the whole.
    """
    maps = getattr(prior, "maps", None)
    try:
        if maps is None:
            raise SettingsError("it gives vectors only")
        if prior.view_channels != 3:
            raise SettingsError("its view is not an image, of which to make maps")
        device = next(prior.parameters(), torch.empty(0)).device
        return int(maps(torch.full((1, 3, *prior.size), 0.5, device=device)).shape[1])
    except PellucidError as error:
        raise SettingsError(
            f"guidance 'concatenated-maps' needs a prior with maps, which {prior.name!r} has not ({error})"
        ) from error
