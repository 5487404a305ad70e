"""R, the refinement: (restored, degraded, feature of the prior) to refined; or the same for a feature map inside a
network."""

from pellucid.refinement.ablations import ABLATIONS
from pellucid.refinement.boosted import Boosted, Refined, network_of
from pellucid.refinement.colour_matrix import ColourMatrix
from pellucid.refinement.features import FeatureRefinement
from pellucid.refinement.ptgrm import PTGRM

__all__ = [
    "ABLATIONS",
    "PTGRM",
    "Boosted",
    "ColourMatrix",
    "FeatureRefinement",
    "Refined",
    "network_of",
]
