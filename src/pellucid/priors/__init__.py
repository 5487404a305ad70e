"""G: what frozen pre-trained models know about an image, as one vector; and the controls that know nothing.

`models.priors` has them by name. Others are built from what is there already: `ModuleFeatures`, a layer of any network,
such as a restoration model; `Student`, trained to imitate a prior; `Shuffled`, another image's vector; `Cached`, any of
them with its vectors kept on disk. Importing this package imports neither transformers nor diffusers nor torchvision.
"""

from pellucid.priors.blip2 import Blip2Prior
from pellucid.priors.cache import Cached
from pellucid.priors.classifier import ClassifierPrior
from pellucid.priors.clip import ClipPrior
from pellucid.priors.contract import FrozenPrior, Prior, feature_maps, unit_rms, whole_view
from pellucid.priors.controls import RandomVectors, Shuffled, Zeros
from pellucid.priors.degradation_encoder import DegradationEncoder
from pellucid.priors.dinov2 import Dinov2Prior
from pellucid.priors.features import ModuleFeatures
from pellucid.priors.joined import Joined
from pellucid.priors.oracle import TOLD, Oracle, shown
from pellucid.priors.quarters import Quarters
from pellucid.priors.several_layers import SeveralLayers
from pellucid.priors.snr import SnrPrior, snr_map
from pellucid.priors.stable_diffusion import StableDiffusionPrior
from pellucid.priors.statistics import STATISTICS, Statistics, image_statistics
from pellucid.priors.student import Student

__all__ = [
    "STATISTICS",
    "TOLD",
    "Blip2Prior",
    "Cached",
    "ClassifierPrior",
    "ClipPrior",
    "DegradationEncoder",
    "Dinov2Prior",
    "FrozenPrior",
    "Joined",
    "ModuleFeatures",
    "Oracle",
    "Prior",
    "Quarters",
    "RandomVectors",
    "SeveralLayers",
    "Shuffled",
    "SnrPrior",
    "StableDiffusionPrior",
    "Statistics",
    "Student",
    "Zeros",
    "feature_maps",
    "image_statistics",
    "shown",
    "snr_map",
    "unit_rms",
    "whole_view",
]
