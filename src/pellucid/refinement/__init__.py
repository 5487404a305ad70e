"""R, the refinement: (restored, degraded, feature of the prior) to refined; or the same for a feature map inside a network."""

from pellucid.refinement.ablations import ABLATIONS
from pellucid.refinement.boosted import Boosted
from pellucid.refinement.build import (
    REFINEMENTS,
    build_refinement,
    feature_width,
    has_maps,
    refinement_for,
    refinement_name,
)
from pellucid.refinement.features import FeatureRefinement
from pellucid.refinement.guided import Guided
from pellucid.refinement.ptgrm import PTGRM

__all__ = [
    "ABLATIONS",
    "PTGRM",
    "REFINEMENTS",
    "Boosted",
    "FeatureRefinement",
    "Guided",
    "build_refinement",
    "feature_width",
    "has_maps",
    "refinement_for",
    "refinement_name",
]
