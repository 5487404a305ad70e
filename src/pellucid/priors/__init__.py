"""G: what frozen pre-trained models know about an image, as one vector; and the controls that know nothing.

A prior is named by a spec, `NAME` or `NAME:ARGUMENT`:

    mobilenet_v2, squeezenet1_0     ImageNet classifiers from a file of weights (see `imagenet` for its conventions)
    torchvision:MODEL               any classifier of torchvision
    clip, clip:NAME_OR_FOLDER       CLIP's or SigLIP's image tower, through transformers
    dinov2, dinov2:NAME_OR_FOLDER   DINOv2's class token, through transformers
    blip2, blip2:NAME_OR_FOLDER     BLIP-2's Q-Former, without its language model, through transformers
    stable-diffusion, stable-diffusion:NAME_OR_FOLDER@TIMESTEP
                                    the middle of Stable Diffusion's UNet, through diffusers
    degradations, degradations:FOLDER
                                    our own small encoder, taught what can be wrong with a photograph
    statistics                      the image's own colours, gradients, noise, blur and blocks
    snr                             the image's own signal-to-noise map
    joined(SPEC, SPEC, ...)         several of these, end to end
    quarters(SPEC)                  the mean of what it sees in the picture's quarters, twice as closely
    zeros:WIDTH                     no prior
    random:WIDTH[:SEED]             a meaningless vector per image

Others are built from what is there already: `ModuleFeatures`, a layer of any network, such as a restoration model;
`Student`, trained to imitate a prior; `Shuffled`, another image's vector; `Cached`, any of them with its vectors kept on disk.
Importing this package imports neither transformers nor diffusers nor torchvision.
"""

from pellucid.priors.blip2 import Blip2Prior
from pellucid.priors.cache import Cached
from pellucid.priors.classifier import ClassifierPrior
from pellucid.priors.clip import ClipPrior
from pellucid.priors.contract import FrozenPrior, Prior, feature_maps, unit_rms, whole_view
from pellucid.priors.controls import RandomVectors, Shuffled, Zeros
from pellucid.priors.degradation_encoder import DegradationEncoder
from pellucid.priors.dinov2 import Dinov2Prior
from pellucid.priors.features import ModuleFeatures, deepest_layer
from pellucid.priors.joined import Joined
from pellucid.priors.quarters import Quarters
from pellucid.priors.snr import SnrPrior, snr_map
from pellucid.priors.specs import PRIORS, build_prior
from pellucid.priors.stable_diffusion import StableDiffusionPrior
from pellucid.priors.statistics import STATISTICS, Statistics, image_statistics
from pellucid.priors.student import Student

__all__ = [
    "PRIORS",
    "STATISTICS",
    "Blip2Prior",
    "Cached",
    "ClassifierPrior",
    "ClipPrior",
    "DegradationEncoder",
    "Dinov2Prior",
    "FrozenPrior",
    "Joined",
    "ModuleFeatures",
    "Prior",
    "Quarters",
    "RandomVectors",
    "Shuffled",
    "SnrPrior",
    "StableDiffusionPrior",
    "Statistics",
    "Student",
    "Zeros",
    "build_prior",
    "deepest_layer",
    "feature_maps",
    "image_statistics",
    "snr_map",
    "unit_rms",
    "whole_view",
]
