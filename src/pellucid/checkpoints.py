"""Weights files: tensors by name, read without running any code in them, and put where they belong."""

import argparse
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.errors import ModelError

__all__ = ["load_weights", "read_weights", "without_subnormals"]

# What training scripts wrap weights in, the best of several first: averaged weights before those of the last step.
_WRAPPINGS: tuple[str, ...] = (
    "params_ema",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "ema",
    "ema_model",
    "ema_params",
    "net_g_ema",
    "netG_ema",
    "generator_ema",
    "g_ema",
    "params",
    "state_dict",
)
_WRAPPINGS += ("model_state_dict", "network_state_dict", "model_state", "weights", "generator", "netG", "net_g")
_WRAPPINGS += ("G", "net", "network", "model", "module", "params_g", "gen", "model_G", "netG_state_dict")
_WRAPPINGS += ("net_state_dict", "generator_state_dict", "network_g", "model_dict", "state")
# What wrappers put before every name: torch.compile, DataParallel, Lightning, a GAN's generator.
_PREFIXES: tuple[str, ...] = (
    "_orig_mod.",
    "module.",
    "model.",
    "netG.",
    "net_g.",
    "generator.",
    "network.",
    "net.",
    "params_ema.",
    "params.",
)
_PREFIXES += ("state_dict.", "ema.", "ema_model.", "model_ema.", "generator_ema.", "net_g_ema.")
# Averages of the weights that lie beside those of the last step, under names of their own.
_AVERAGES: tuple[str, ...] = ("ema_model.", "model_ema.", "generator_ema.", "net_g_ema.", "params_ema.")
# What lies beside a network in one dictionary: the other half of a GAN, networks of losses, counters.
_COMPANIONS: tuple[str, ...] = (
    "netD.",
    "net_d.",
    "discriminator.",
    "D.",
    "loss.",
    "loss_fn.",
    "criterion.",
    "lpips.",
    "perceptual.",
)
_COMPANIONS += ("vgg.", "n_averaged", "global_step", "step", "epoch", "iteration")
_MOST_NAMES = 6
_ZIP = b"PK\x03\x04"


def _plain_dictionary(*_: object) -> dict[Any, Any]:
    """In the stead of a dictionary with defaults, which torch's reader would not fill."""
    return {}


def _plain_list(*_: object) -> list[Any]:
    """In the stead of a queue, likewise."""
    return []


_PATHS = ((PosixPath, "PosixPath"), (PurePosixPath, "PurePosixPath"), (PureWindowsPath, "WindowsPath"))

# Beside tensors, scripts save their settings and best scores: plain data, which run no code when they are read.
_multiarray: Any = np._core.multiarray  # type: ignore[attr-defined]  # where NumPy makes its scalars and arrays again
_HARMLESS: list[Any] = [argparse.Namespace, SimpleNamespace, PosixPath, PurePosixPath, np.dtype, np.ndarray]
_HARMLESS += [(_plain_dictionary, "collections.defaultdict"), Counter, datetime, timedelta, list, dict, set, int, float]
_HARMLESS += [
    (_plain_list, "collections.deque"),
    frozenset,
    slice,
    Decimal,
    Fraction,
    (PureWindowsPath, "pathlib.WindowsPath"),
    PureWindowsPath,
]
_HARMLESS += [(kind, f"pathlib._local.{name}") for kind, name in _PATHS]  # as Python 3.13 calls them
_HARMLESS += [_multiarray.scalar, _multiarray._reconstruct]
_HARMLESS += [(_multiarray.scalar, "numpy.core.multiarray.scalar")]
_HARMLESS += [(_multiarray._reconstruct, "numpy.core.multiarray._reconstruct")]
_HARMLESS += [
    type(np.dtype(kind))
    for kind in (
        "?",
        "i1",
        "i2",
        "i4",
        "i8",
        "u1",
        "u2",
        "u4",
        "u8",
        "f2",
        "f4",
        "f8",
        "c8",
        "c16",
        "S1",
        "U1",
        "O",
        "M8",
        "m8",
    )
]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth / .pt / .ckpt read without running any code in it.

    The usual wrappings (`params_ema`, `params`, `state_dict`, `model`, `netG`) and prefixes (`module.`, `_orig_mod.`,
    `model.`) are taken off, however they are nested. Plain data beside the tensors (numbers of NumPy, settings of
    argparse) are allowed.

    Raises:
        ModelError: missing, corrupted, something else than weights, or more than tensors and plain data in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if text := _no_weights(head) or _archived(path):
        raise ModelError(f"{path}: {text}")
    try:
        if path.suffix.lower() == ".safetensors" or _is_safetensors(head):
            from safetensors.torch import load_file

            weights: Any = load_file(path)
        else:
            with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old kinds of pickles; what cannot be read is said below
                weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader fails in its own way; torch's own words give unsafe advice
        raise ModelError(f"{path}: not a readable weights file, or holds more than tensors{_blamed(error)}") from error
    return _without_prefixes(_unwrapped(weights, path))


def load_weights(module: nn.Module, path: str | Path) -> dict[str, Tensor]:
    """Fills a module with the tensors of a weights file, and returns them; every tensor must find its place.

    Raises:
        ModelError: the file cannot be read, or does not fit; names the first keys that differ.
    """
    weights = read_weights(path)
    own: Mapping[str, Tensor] = module.state_dict()
    while prefix := next(_common(own), None):  # the module may itself be a wrapper, or have one part that is called so
        own = {key.removeprefix(prefix): value for key, value in own.items()}
    missing, surplus = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    misshapen = [
        f"{key} is {tuple(weights[key].shape)}, expected {tuple(own[key].shape)}"
        for key in sorted(own.keys() & weights.keys())
        if own[key].shape != weights[key].shape
    ]
    problems = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in (("missing", missing), ("unknown", surplus), ("of another shape", misshapen))
        if keys
    ]
    if problems:
        raise ModelError(f"{path}: does not fit {type(module).__name__}: {'; '.join(problems)}")
    names = dict(zip(own, module.state_dict(), strict=True))
    module.load_state_dict({names[key]: without_subnormals(value) for key, value in weights.items()})
    return weights


def without_subnormals(value: Tensor) -> Tensor:
    """The tensor with zeros for numbers below the smallest normal one of its kind (1.2e-38 in float32).

    Weight decay leaves such in weights: a quarter of IAT's and of Zero-DCE's published ones. They change no result, and
    a processor takes a hundred times as long for each.
    """
    if not value.is_floating_point():
        return value
    return value.masked_fill(value.abs() < torch.finfo(value.dtype).tiny, 0)


def _unwrapped(found: Any, path: Path) -> dict[str, Tensor]:
    """The dictionary of tensors in what a file holds, at whatever depth of the usual wrappings."""
    for _ in range(8):
        if (
            isinstance(found, Mapping)
            and found
            and all(isinstance(value, Tensor | np.ndarray) for value in found.values())
        ):
            return {
                str(key): value if isinstance(value, Tensor) else torch.from_numpy(value)
                for key, value in found.items()
            }
        if not isinstance(found, Mapping):
            break
        wrapped = [found[key] for key in _WRAPPINGS if isinstance(found.get(key), Mapping)]
        if not wrapped:
            break
        found = wrapped[0]
    if isinstance(found, Mapping):
        if not found:
            return {}
        tensors = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
        others = [value for value in found.values() if not isinstance(value, Tensor)]
        if tensors and not any(isinstance(value, Mapping | nn.Module) for value in others):
            return tensors  # a step or a score among the tensors
    names = [repr(key) for key in found] if isinstance(found, Mapping) else [f"a {type(found).__name__}"]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    raise ModelError(f"{path}: holds no dictionary of tensors; at its top: {', '.join(names[:_MOST_NAMES])}{more}")


def _without_prefixes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their names in the network itself."""
    for beginning in _AVERAGES:
        average = {key: value for key, value in weights.items() if key.startswith(beginning)}
        if len(average) > len(weights) / 3:  # as many as there are in the network
            weights = average
    own = {key: value for key, value in weights.items() if not key.startswith(_COMPANIONS)}
    if own and len(own) < len(weights) and next(_common(own), None):  # the rest is all of one network
        weights = own
    while prefix := next(_common(weights), None):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _common(weights: Mapping[str, Tensor]) -> Iterator[str]:
    """The known prefixes that every name has."""
    for prefix in _PREFIXES:
        if weights and all(key.startswith(prefix) for key in weights):
            yield prefix


def _no_weights(head: bytes) -> str:
    """What a file is, by its first bytes, where it surely holds no weights."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "not a readable weights file, for it is empty"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the weights: fetch them with `git lfs pull`"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, not the weights: the download gave a page that asks or refuses; open it in a browser"
    if start.startswith((b'{"error', b'{"message', b"not found", b"404", b"access denied", b"entry not found")):
        return "an error message of a server, not the weights; download it again"
    if head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")):
        return "a packed archive; unpack it first"
    return ""


def _archived(path: Path) -> str:
    """What a ZIP file is that torch has not written for its tensors, or only a part of; empty for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        with path.open("rb") as file:  # torch's files are ZIP files, too, whose list of contents stands at the end
            return "not a readable weights file, for its end is missing; fetch it again" if file.read(4) == _ZIP else ""
    except (OSError, ValueError, NotImplementedError):
        return ""
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript archive, which is code; save the network's state_dict() instead"
    return "" if any(name.endswith("data.pkl") for name in names) else "a packed archive; unpack it first"


def _is_safetensors(head: bytes) -> bool:
    """Whether a file is one of safetensors, whatever its suffix: a length, then a header in JSON."""
    return len(head) > 10 and head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 2**27


def _blamed(error: Exception) -> str:
    """What torch would not load, where it names it."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f" ({found[1]})" if found else ""
