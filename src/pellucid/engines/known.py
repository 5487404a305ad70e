"""What has been calibrated: the embedded models by the file beside their weights, others in the cache folder."""

from importlib.resources import files
from pathlib import Path

from pellucid.engines.int8 import Rounding, load_ranges, save_ranges
from pellucid.files import cache_folder, written_whole

__all__ = ["EMBEDDED", "keep_ranges", "known_ranges"]

EMBEDDED = Path(str(files("pellucid") / "models" / "weights" / "int8.safetensors"))
"""What is known of the embedded models."""


def known_ranges() -> dict[str, Rounding]:
    """What is known of every network that has been calibrated, by its `weights_key`."""
    return load_ranges(EMBEDDED) | load_ranges(_kept())


def keep_ranges(ranges: dict[str, Rounding], path: Path | None = None) -> None:
    """Adds to what is known: in the cache folder, or in a file. Raises OSError."""
    path = path or _kept()
    path.parent.mkdir(parents=True, exist_ok=True)
    every = load_ranges(path) | ranges
    with written_whole(path) as partial:
        save_ranges(every, partial)


def _kept() -> Path:
    return cache_folder() / "int8.safetensors"
