"""Boosting in one call: a refinement put on a network, under the guidance of any prior that has a name."""

from typing import Any

import torch
from torch import nn

from pellucid.errors import SettingsError
from pellucid.models.assemble import assemble
from pellucid.models.priors import Weights, find_prior
from pellucid.models.refinements import refinement_for
from pellucid.priors import Prior
from pellucid.refinement import Boosted

__all__ = ["boost"]


def boost(
    network: nn.Module,
    prior: str | Prior = "clip",
    *,
    weights: Weights = None,
    freeze_network: bool = False,
    refinement: str = "ptgrm",
    **settings: Any,
) -> Boosted:
    """Puts a refinement guided by a prior on any restoration network.

    Untrained, the boosted network returns what the network returns; `pellucid train` or your own loop teaches it more.

    Args:
        network: any module, images (B, 3, H, W) to images of the same size, as `Boosted` takes it. It is only called;
            frozen, its parameters need no gradients any more, and it stays in evaluation mode.
        prior: a prior, or its name: `clip`, `clip:FOLDER`, `mobilenet_v2`, `diagnosis`, `restorer:FILE`, ...
        weights: the named prior's weights file, where it needs one; files by name, where several priors joined do.
        freeze_network: train R alone.
        refinement: "ptgrm" for the network's result; "ptgrm-features" for the map of its layer `layer`, or of its
            deepest.
        settings: of `PTGRM` or `FeatureRefinement`, such as `width`, or one of `ABLATIONS`; not those that follow from
            the prior and the layer.

    Raises:
        SettingsError: an unknown prior, refinement, setting or layer, what is no network or no prior, or weights for a
            prior that is built already.
        ModelError: its weights are missing or damaged, or the network changes the size or cannot be run.
        MissingExtraError: it needs a package that is not installed.
    """
    if not isinstance(network, nn.Module):
        raise SettingsError(
            f"boost: expected a network that is a torch.nn.Module, got {type(network).__name__}; "
            "call a function from a module's forward"
        )
    if not isinstance(prior, str | Prior):
        raise SettingsError(
            f"boost: expected a prior or its name, got {type(prior).__name__}; "
            "pellucid.priors.ModuleFeatures(network, name=...) makes a prior of a network"
        )
    if weights is not None and not isinstance(prior, str):
        raise SettingsError("boost: weights are for a prior that is named; this one is built already")
    guide = find_prior(prior, weights=weights) if isinstance(prior, str) else prior
    made = refinement_for(network, guide, refinement, settings)
    boosted = assemble(network, guide, made, freeze_network=freeze_network)
    assert isinstance(boosted, Boosted)
    place = next(network.parameters(), torch.empty(0)).device
    boosted.prior.to(place)
    made.to(place)
    return boosted
