"""What a model file is, in a few words, and the rows of the lists of models and of published networks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.files import sha256_of
from pellucid.models.catalogue import CATALOGUE, is_commercial
from pellucid.models.file import describe_model
from pellucid.models.header import Header
from pellucid.models.hub import EMBEDDED, find_model
from pellucid.models.load import load_model
from pellucid.models.published import PUBLISHED
from pellucid.models.tables import NETWORKS, build_network
from pellucid.version import __version__

__all__ = ["describe", "embedded_rows", "file_key", "network_rows"]


def describe(header: Header) -> dict[str, Any]:
    """Network, channels, likely task, licence and paper of what a header describes; "" where not known."""
    name = str(header.network.get("name", ""))
    origin = CATALOGUE.get(name)
    own = str(header.card.get("licence", ""))
    published = not header.recipe  # weights of its authors, and not of a training here
    licence = origin.licence if origin is not None and published and origin.licence else own
    channels: int | None = None
    if name in NETWORKS and name not in ("external", "experts"):
        with torch.device("meta"):
            channels = build_network(name, header.network.get("settings")).contract.channels
    return {
        "is": name or "a network of your own",
        "channels": 3 if channels is None else channels,
        "task": str(header.card.get("task", "")),
        "licence": licence or "not known: ask its authors",
        "commercial": origin.commercial if origin is not None and published else is_commercial(own),
        "paper": origin.paper if origin is not None else "",
    }


def file_key(path: Path) -> str:
    """What the costs of a file's model are kept under."""
    return f"{__version__} {sha256_of(path)}"


def embedded_rows(commercial_ok: bool = False) -> Iterator[dict[str, Any]]:
    """The embedded models: name, summary, bytes, licence; with the key of their costs, and what builds them."""
    for name, embedded in EMBEDDED.items():
        path = find_model(name)
        if not path.is_file():  # an installation may come without some
            continue
        licence = str(describe_model(path).card.get("licence", ""))
        if commercial_ok and not is_commercial(licence):
            continue
        row = {"name": name, "summary": embedded.summary, "bytes": path.stat().st_size, "licence": licence}
        yield row | {
            "commercial": is_commercial(licence),
            "key": file_key(path),
            "build": lambda path=path: load_model(path).module,
        }


def network_rows(commercial_ok: bool = False) -> Iterator[dict[str, Any]]:
    """The published networks at their usual size: name, task, licence, paper; with key and builder, as above."""
    for name in sorted(PUBLISHED):
        origin = CATALOGUE.get(name)
        commercial = origin is not None and origin.commercial
        if commercial_ok and not commercial:
            continue
        row = {"name": name, "task": PUBLISHED[name].task, "licence": origin.licence if origin else ""}
        yield row | {
            "commercial": commercial,
            "paper": origin.paper if origin else "",
            "note": origin.note if origin else "",
            "key": f"{__version__} {name}",
            "build": lambda name=name: _without_weights(name),
        }


def _without_weights(name: str) -> nn.Module:
    """A network of the usual size that holds no numbers: enough to count by."""
    with torch.device("meta"):
        return build_network(name).eval()
