"""A network of the user's own in model files: it is not stored, for its code is not ours to run.

Such a file holds the refinement alone, or only says which network it is. The network's weights lie beside it: those of
`boosted.safetensors` in `boosted.network.safetensors`; in a run folder, and beside older files, in
`network.safetensors`. The network comes from the user:

    load_model(path, network=...)           the user's module, which is wrapped in `External` with the settings that
                                            the file was made with; one that is `External` already is taken as it is
    load_model(path, import_network=True)   the class that the file's recipe names is imported and called; no file is
                                            ever loaded so unless somebody asks for it

Either way its weights must be those that the file was made with, by their SHA-256. A network with others is filled from
the weights beside the file, whose tensors are checked first, before a network is imported and before one is changed.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError
from pellucid.models.file import read_tensors, write_tensors
from pellucid.models.header import Header
from pellucid.networks import External, Network, module_of
from pellucid.refinement import network_of

__all__ = [
    "NETWORK_FILE",
    "bytes_of",
    "file_beside",
    "fill_own_network",
    "fingerprint",
    "network_file",
    "own_network",
    "own_weights",
    "save_own_network",
]

NETWORK_FILE = "network.safetensors"
"""Beside the one model file of a folder: the weights of the user's own network, by the names that they have in it."""


def network_file(path: Path) -> Path:
    """Where the weights of the user's own network go that a model file is for: no two model files share them."""
    return path.with_name(f"{path.stem}.{NETWORK_FILE}")


def file_beside(path: Path) -> Path:
    """Where they are: in the file of that name or, in a run folder and beside older files, `network.safetensors`."""
    named = network_file(path)
    return named if named.is_file() else path.with_name(NETWORK_FILE)


def save_own_network(module: nn.Module, folder: Path, name: str = NETWORK_FILE) -> bool:
    """Writes the weights of a network of the user's own to a folder, beside the model file there, whole or not at all.

    Args:
        module: a network that is not ours, in `External` or as it is, or `Boosted` on one; of any other nothing is
            written.
        folder: where the file goes.
        name: of the file.

    Returns:
        Whether the module has such a network.

    Raises:
        ModelError: the weights are not finite, or the file cannot be written.
    """
    network = network_of(module)
    if isinstance(network, Network) and not isinstance(network, External):
        return False
    own = module_of(network)
    # Copies: weights that several layers share are stored for each, for the format knows of no sharing.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in own.state_dict().items()}
    write_tensors(tensors, folder / name)
    return True


def own_network(given: nn.Module | None, header: Header, path: Path, *, imported: bool) -> nn.Module:
    """The network of the user's own that a file is for, with the weights that it was made with.

    Args:
        given: the user's module; None where it is to be imported.
        header: of the file.
        path: the file.
        imported: whether the user asked for that.

    Raises:
        ModelError: no network was given, or it cannot be imported, or its weights cannot be had.
    """
    settings = _external_settings(header)
    if given is None:
        if not imported:
            raise ModelError(
                f"{path}: is for a network of your own; --import-network imports it, which runs its code, "
                "and pellucid.load(file, network=...) takes it"
            )
        if settings is None or "target" not in settings:
            raise ModelError(f"{path}: does not say which network to import; use pellucid.load(file, network=...)")
        weights = own_weights(header, path)  # first: of a file that is not whole no code runs
        try:
            network = External(**settings)
        except SettingsError as error:
            raise ModelError(f"{path}: {error}") from error
        fill_own_network(network, weights, path)
        return network
    if not isinstance(given, External) and settings is not None:
        how = {key: value for key, value in settings.items() if key not in ("target", "arguments")}
        given = External(given, **how)
    wanted = header.network.get("sha256")
    if wanted in (fingerprint(given), _fingerprint(given.state_dict())):  # older files say the second of plain modules
        return given
    if not file_beside(path).is_file():
        raise ModelError(
            f"{path}: was made for a network with other weights than the one given, and no {network_file(path).name} "
            f"or {NETWORK_FILE} lies beside it"
        )
    fill_own_network(given, own_weights(header, path), path)
    return given


def own_weights(header: Header, path: Path) -> dict[str, Tensor]:
    """The tensors of the user's own network beside a model file, which are those that it was made with.

    Raises:
        ModelError: the file is missing or damaged, or holds others.
    """
    beside = file_beside(path)
    try:
        tensors = read_tensors(beside)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{beside}: the weights of the network of {path.name} cannot be read ({error})") from error
    if _fingerprint({f"network.{key}": value for key, value in tensors.items()}) != header.network.get("sha256"):
        raise ModelError(f"{beside}: holds other weights than those that {path.name} was made with")
    return tensors


def fill_own_network(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Gives a network of the user's own its weights. Raises ModelError where they do not fit."""
    own = module_of(network)
    try:
        own.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights of its network do not fit {type(own).__name__} "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error


def fingerprint(network: nn.Module) -> str:
    """The SHA-256 of a network's weights and their names; of one of the user's own the same in `External` and as it
    is."""
    own = module_of(network)
    return _fingerprint({f"network.{key}": value for key, value in own.state_dict().items()})


def bytes_of(value: Tensor) -> bytes:
    """The bytes of a tensor's numbers."""
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        digest.update(key.encode())
        digest.update(bytes_of(value))
    return digest.hexdigest()


def _external_settings(header: Header) -> dict[str, Any] | None:
    """The settings of `External` that a file was made with, as it says itself; what to import, only its recipe says."""
    network = header.recipe.get("network")
    recipe = network.get("settings") if isinstance(network, dict) and network.get("name") == "external" else None
    stored = header.network.get("settings")
    if not isinstance(recipe, dict) and not isinstance(stored, dict):
        return None
    settings = dict(recipe) if isinstance(recipe, dict) else {}
    if isinstance(stored, dict):
        settings |= {key: value for key, value in stored.items() if key not in ("target", "arguments")}
    return settings
