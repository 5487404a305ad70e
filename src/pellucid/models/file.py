"""Model files as they lie on the disk: header and tensors, read without running any code, written whole or not at all.

A file without our header, and .pth, .pt and .ckpt, may hold the weights of a published network: where
`models.published` recognises them, such a file is read like a model file that has a network only.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.checkpoints import read_weights, without_subnormals
from pellucid.errors import ModelError
from pellucid.files import written_whole
from pellucid.models.foreign import Foreign, foreign, is_there
from pellucid.models.header import Header, parse_header
from pellucid.models.published import PUBLISHED, near, recognise

__all__ = ["StrangerError", "describe_model", "fill", "has_header", "open_model", "read_tensors", "write_tensors"]


class StrangerError(ModelError):
    """Weights that are nobody's who is known here.

    Attributes:
        weights: by the keys of their file.
    """

    def __init__(self, message: str, weights: Mapping[str, Tensor]) -> None:
        super().__init__(message)
        self.weights = weights


PRIOR_KEYS: Mapping[str, frozenset[str]] = {
    "efficientnet_lite0": frozenset({"_conv_stem.weight", "_blocks.0._depthwise_conv.weight", "_fc.weight"}),
    "mobilenet_v2": frozenset({"features.1.conv.0.0.weight", "features.18.0.weight", "classifier.1.weight"}),
    "squeezenet1_0": frozenset({"features.3.squeeze.weight", "features.12.expand3x3.weight", "classifier.1.weight"}),
}
"""Some keys of the weights that priors read, by which a file of them is known."""
RENAMED: Mapping[str, str] = {"grows": "upsamples", "shrinks": "downsamples"}
"""Modules of our networks that format 1 called otherwise."""


def describe_model(path: Path) -> Header:
    """The header of a model file, without loading its weights; for weights of a published network, what was recognised.

    Raises:
        ModelError: missing, damaged, not ours and not recognised, or of a newer format.
    """
    try:
        return _open(path, weights=False)[0]
    except StrangerError as error:
        found = foreign(error.weights)
        if found is None:
            raise
        return header_of_foreign(found)


def header_of_foreign(found: Foreign) -> Header:
    """What is known of a network that spandrel recognises."""
    card = {
        "about": f"weights of {found.architecture}, loaded through spandrel; their authors' licence applies",
        "purpose": found.purpose,
    }
    settings = {name: found.network.settings[name] for name in ("multiple", "scale", "channels")}
    return Header(network={"name": "external", "settings": settings}, card=card)


def open_model(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """The header of a model file, and all its tensors, each under `network.`, `refinement.` or `prior.`.

    Raises:
        ModelError: as `describe_model`.
    """
    return _open(path, weights=True)


def has_header(path: Path) -> bool:
    """Whether a file has our header, readable or not."""
    try:
        with safe_open(path, "pt") as file:
            return "pellucid" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file by their names. Raises SafetensorError or OSError."""
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def write_tensors(tensors: Mapping[str, Tensor], path: Path, header: Header | None = None) -> None:
    """Writes tensors, and a header where there is one, whole or not at all.

    Raises:
        ModelError: they are not finite, or the file cannot be written.
    """
    if not all(value.isfinite().all() for value in tensors.values()):
        raise ModelError(f"{path}: the weights to be stored are not finite; the training has diverged")
    metadata = None if header is None else {"pellucid": json.dumps(header.as_dict(), sort_keys=True)}
    try:
        with written_whole(path) as partial:
            save_file(dict(tensors), partial, metadata=metadata)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror or error})") from error


def fill(module: nn.Module, tensors: Mapping[str, Tensor], part: str, path: Path) -> None:
    """Gives a module its weights among the tensors of a model file, in float32.

    Raises:
        ModelError: they do not fit, or are not finite.
    """
    state = {key.removeprefix(f"{part}."): value for key, value in tensors.items() if key.startswith(f"{part}.")}
    try:
        # Copies, since how a tensor lies in a file decides in which order its sums are taken: the last bits would
        # follow.
        kinds = {key: torch.float32 if value.is_floating_point() else value.dtype for key, value in state.items()}
        given = {key: without_subnormals(value.to(kinds[key], copy=True)) for key, value in state.items()}
        module.load_state_dict(given, assign=True)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights of its {part} do not fit ({str(error).splitlines()[-1].strip()})"
        ) from error
    if not all(value.isfinite().all() for value in state.values()):
        raise ModelError(f"{path}: the weights of its {part} are not finite")


def _open(path: Path, *, weights: bool) -> tuple[Header, dict[str, Tensor]]:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    if path.suffix != ".safetensors":
        return _open_published(path)
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("pellucid")
        tensors = read_tensors(path) if weights and text is not None else {}
        tensors = {_present_name(key): value for key, value in tensors.items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable .safetensors file ({error})".splitlines()[0]) from error
    header = parse_header(text, path)
    return _open_published(path) if header is None else (header, tensors)


def _present_name(key: str) -> str:
    """The name that a tensor of a file of format 1 has now."""
    for old, new in RENAMED.items():
        key = key.replace(f".{old}.", f".{new}.")
    return key


def _open_published(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """The header and the tensors that a model file of the same network would have."""
    read = read_weights(path)
    found = recognise(read)
    if found is None:
        if prior := next((name for name, keys in PRIOR_KEYS.items() if read.keys() >= keys), None):
            raise ModelError(
                f"{path}: weights of the prior {prior}, no network that restores: prior.name={prior}, "
                f"prior.weights=FILE in a recipe, or --prior {prior}=FILE"
            )
        hint = "" if is_there() else ", nor is the extra spandrel installed, which knows further ones"
        raise StrangerError(
            f"{path}: not a pellucid model file, nor the published weights of a network{hint}; {near(read)}", read
        )
    name, settings, weights = found
    card = {
        "about": f"weights of {name} as its authors published them; their licence applies",
        "task": PUBLISHED[name].task,
    }
    header = Header(network={"name": name, "settings": settings}, card=card)
    return header, {f"network.{key}": value for key, value in weights.items()}
