"""The one place where F, G and R meet: from a network, a prior and a refinement to the model of them."""

from torch import nn

from pellucid.errors import SettingsError
from pellucid.networks import contract_of
from pellucid.priors import Prior
from pellucid.refinement import Boosted

__all__ = ["assemble"]


def assemble(
    network: nn.Module, prior: Prior | None = None, refinement: nn.Module | None = None, *, freeze_network: bool = False
) -> nn.Module:
    """The model of a network, alone or with a prior, refined or not.

    Args:
        network: F, of ours or not.
        prior: G; needed by a refinement, and by a network that must be told a vector.
        refinement: R, made for both (`models.refinements`).
        freeze_network: train R alone.

    Raises:
        SettingsError: a network or a refinement needs a prior and there is none, or there is one that nobody needs.
        ModelError: see `Boosted`.
    """
    told = contract_of(network).vector is not None
    if prior is None:
        if told or refinement is not None:
            needy = type(network).__name__ if told else "a refinement"
            raise SettingsError(f"{needy} must be told what a prior sees: give a prior")
        return network
    if refinement is None and not told:
        raise SettingsError(f"neither {type(network).__name__} nor a refinement is there to be told what a prior sees")
    return Boosted(network, prior, refinement, freeze_network=freeze_network)
