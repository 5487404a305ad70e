"""Published networks that other frameworks' packages hold, made into model files of ours."""

import json
import tarfile
from pathlib import Path
from typing import Any

from pellucid.errors import ModelError, SettingsError
from pellucid.models.catalogue import CATALOGUE
from pellucid.models.file import write_tensors
from pellucid.models.header import Header
from pellucid.models.published import recognise
from pellucid.models.tfjs import read_graph_model

__all__ = ["import_model"]


def import_model(package: Path, out: Path) -> Header:
    """Makes a model file of the network in a package of TensorFlow.js.

    Args:
        package: the .tgz that `npm pack` fetches, or the folder that it unpacks to.
        out: the model file, .safetensors.

    Returns:
        The header of the file.

    Raises:
        SettingsError: `out` is not a name of model files, or there already.
        ModelError: the package is missing, damaged, incomplete, or holds no network that is known here.
    """
    if out.suffix != ".safetensors":
        raise SettingsError(f"{out}: model files are .safetensors; give {out.with_suffix('.safetensors').name}")
    if out.exists():
        raise SettingsError(f"{out}: exists already")
    weights = read_graph_model(package)
    found = recognise(weights)
    if found is None:
        named = ", ".join(list(weights)[:3]) or "none"
        raise ModelError(
            f"{package}: its {len(weights)} parameters (the first: {named}) are not those of a network known here; "
            "of TensorFlow.js it is MAXIM"
        )
    name, settings, tensors = found
    header = Header(network={"name": name, "settings": settings}, card=_card(package, name))
    write_tensors({f"network.{key}": value for key, value in tensors.items()}, out, header)
    return header


TASKS = {
    "denois": "denoising",
    "deblur": "deblurring",
    "derain": "deraining",
    "haz": "dehazing",
    "enhanc": "low light",
    "light": "low light",
}
"""Tasks as the registry of test sets calls them, by what is in a package's name."""


def _card(package: Path, network: str) -> dict[str, Any]:
    """What the model is for, where it is from, and its licence, as the package itself says them."""
    told = _description(package)
    name, version = str(told.get("name") or package.name), str(told.get("version") or "")
    return {
        "about": f"weights of {network} as their authors published them, from the package {name} {version}".rstrip(),
        "task": next((task for part, task in TASKS.items() if part in name.lower()), ""),
        "licence": f"weights: {CATALOGUE[network].licence}; package: {told.get('license') or 'not said'}",
    }


def _description(package: Path) -> dict[str, Any]:
    """The package's `package.json`; empty where it has none that can be read."""
    try:
        if package.is_file():
            with tarfile.open(package) as archive:
                opened = archive.extractfile("package/package.json")
                text = opened.read() if opened else b""
        else:
            text = (package / "package.json").read_bytes()
        told = json.loads(text)
    except (OSError, KeyError, ValueError, tarfile.TarError):
        return {}
    return told if isinstance(told, dict) else {}
