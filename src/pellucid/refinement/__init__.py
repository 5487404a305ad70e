"""R, the refinement: (restored, degraded, feature of the prior) to refined."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from pellucid.errors import SettingsError, one_line, unknown_name
from pellucid.refinement.boost import Boosted, boost
from pellucid.refinement.ptgrm import PTGRM

__all__ = ["PTGRM", "REFINEMENTS", "Boosted", "boost", "build_refinement"]

REFINEMENTS: Mapping[str, Callable[..., nn.Module]] = {
    "ptgrm": PTGRM,
}


def build_refinement(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """The refinement called `name`, with fresh weights.

    Raises:
        SettingsError: unknown name, or settings that it does not take.
    """
    if name not in REFINEMENTS:
        raise SettingsError(unknown_name("refinement", name, REFINEMENTS))
    try:
        return REFINEMENTS[name](**settings)
    except Exception as error:  # settings can be wrong in ways that only torch notices
        raise SettingsError(f"refinement {name!r}: {one_line(error)}") from error
