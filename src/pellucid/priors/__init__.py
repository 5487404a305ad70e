"""G: what frozen pre-trained models know about an image, as one vector; and the controls that know nothing.

A prior is named by a spec, `NAME` or `NAME:ARGUMENT`:

    mobilenet_v2, squeezenet1_0     ImageNet classifiers from a file of weights (see `imagenet` for its conventions)
    torchvision:MODEL               any classifier of torchvision
    clip, clip:NAME_OR_FOLDER       CLIP's or SigLIP's image tower, through transformers
    zeros:WIDTH                     no prior
    random:WIDTH[:SEED]             a meaningless vector per image

Two more are built from others: `Student`, trained to imitate a prior, and `Shuffled`, another image's vector.
Importing this package imports neither transformers nor torchvision.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from pellucid.errors import SettingsError, unknown_name
from pellucid.priors.classifier import ClassifierPrior, torchvision_prior
from pellucid.priors.clip import DEFAULT_CLIP, ClipPrior, clip
from pellucid.priors.imagenet import mobilenet_v2, squeezenet1_0
from pellucid.priors.protocol import FrozenPrior, Prior, unit_rms, whole_view
from pellucid.priors.simple import RandomVectors, Shuffled, Zeros
from pellucid.priors.student import Student

__all__ = [
    "PRIORS",
    "ClassifierPrior",
    "ClipPrior",
    "FrozenPrior",
    "Prior",
    "RandomVectors",
    "Shuffled",
    "Student",
    "Zeros",
    "build_prior",
    "unit_rms",
    "whole_view",
]

Builder = Callable[[str, str | Path | None], Prior]


def _mobilenet_v2(convention: str, weights: str | Path | None) -> Prior:
    return mobilenet_v2(_required("mobilenet_v2", weights), convention or "tensorflow")


def _squeezenet1_0(convention: str, weights: str | Path | None) -> Prior:
    return squeezenet1_0(_required("squeezenet1_0", weights), convention or "caffe")


def _torchvision(model: str, weights: str | Path | None) -> Prior:
    if not model:
        raise SettingsError("prior 'torchvision' needs a model's name, as in torchvision:resnet50")
    return torchvision_prior(model, weights)


def _clip(source: str, weights: str | Path | None) -> Prior:
    _refuse("clip", weights, "give a folder as clip:FOLDER")
    return clip(source or DEFAULT_CLIP)


def _zeros(argument: str, weights: str | Path | None) -> Prior:
    _refuse("zeros", weights, "leave it out")
    (width,) = _integers("zeros:WIDTH, as in zeros:512", argument, most=1)
    return Zeros(width)


def _random(argument: str, weights: str | Path | None) -> Prior:
    _refuse("random", weights, "leave it out")
    return RandomVectors(*_integers("random:WIDTH or random:WIDTH:SEED, as in random:512", argument, most=2))


PRIORS: Mapping[str, Builder] = {
    "clip": _clip,
    "mobilenet_v2": _mobilenet_v2,
    "random": _random,
    "squeezenet1_0": _squeezenet1_0,
    "torchvision": _torchvision,
    "zeros": _zeros,
}
"""The priors by name: from what follows the colon, and a file of weights or None, to the prior."""


def build_prior(spec: str, *, weights: str | Path | None = None) -> Prior:
    """The prior that `spec` names, such as "clip", "mobilenet_v2" or "zeros:512"; its `name` is such a spec again.

    `weights` is a file, for the priors that are read from one. Raises SettingsError for an unknown or malformed spec,
    ModelError when weights are missing or wrong, and MissingExtraError when an optional package is needed.
    """
    name, _, argument = spec.partition(":")
    if name not in PRIORS:
        raise SettingsError(unknown_name("prior", name, PRIORS))
    return PRIORS[name](argument, weights)


def _required(name: str, weights: str | Path | None) -> str | Path:
    if weights is None:
        raise SettingsError(
            f"prior {name!r} needs a file of weights: weights=FILE, a .safetensors with torchvision's keys; "
            f"torchvision's own published file does too, with the prior {name + ':torchvision'!r}"
        )
    return weights


def _refuse(name: str, weights: str | Path | None, remedy: str) -> None:
    if weights is not None:
        raise SettingsError(f"prior {name!r} takes no file of weights, got {weights}; {remedy}")


def _integers(form: str, argument: str, most: int) -> list[int]:
    parts = argument.split(":")
    if len(parts) > most or not all(part.isascii() and part.isdigit() for part in parts) or int(parts[0]) < 1:
        raise SettingsError(f"malformed prior: expected {form}, got {argument!r} after the colon")
    return [int(part) for part in parts]
