"""Where the published sets lie on this machine."""

import os
from pathlib import Path

from pellucid.data.benchmarks.layouts import best_layout, files_below, match
from pellucid.data.benchmarks.registry import Benchmark, find_benchmark
from pellucid.files import cache_folder

__all__ = ["data_root", "folder_of", "how_to_get", "present", "weights_root"]


def weights_root() -> Path:
    """The folder of weights that were trained by others: PELLUCID_WEIGHTS, or else `weights` beside the data."""
    told = os.environ.get("PELLUCID_WEIGHTS")
    return Path(told).expanduser() if told else data_root().parent / "weights"


def data_root() -> Path:
    """The folder of all sets: the environment variable PELLUCID_DATA, or `pellucid/data` in the platform's cache."""
    told = os.environ.get("PELLUCID_DATA")
    if told:
        return Path(told).expanduser()
    return cache_folder() / "data"


def folder_of(name: str, *, root: Path | None = None) -> Path:
    """The folder of a set below `root` (the default is `data_root()`), whether it is there or not.

    A part of a set lies in the folder of the whole.

    Raises:
        SettingsError: there is no such set.
    """
    benchmark = find_benchmark(name)
    return (root or data_root()) / (benchmark.part_of or benchmark.name)


def how_to_get(benchmark: Benchmark, folder: Path) -> str:
    """In words, what to do to have the set in `folder`."""
    if benchmark.fetchable:
        size = f"{benchmark.bytes / 1e6:.1f} MB"
        return (
            f"`pellucid data fetch {benchmark.name}` downloads it ({size}), "
            f"`pellucid data fetch {benchmark.name} --from DIR` takes it from a copy that you have"
        )
    ways = ", or ".join(str(layout) for layout in benchmark.layouts)
    return (
        f"it has no stable address to download from; get it from {benchmark.get}, "
        f"put it into {folder} as {ways}, then `pellucid data verify {benchmark.name}`"
    )


def present(benchmark: Benchmark, *, root: Path | None = None) -> int:
    """Pairs or pictures that seem to be there, by names and sizes alone: quick, and no proof."""
    folder = folder_of(benchmark.name, root=root)
    if not folder.is_dir():
        return 0
    if not benchmark.fetchable:
        return len(best_layout(files_below(folder), benchmark.layouts, benchmark.suffixes)[1].pairs)

    def right(path: str, size: int) -> bool:
        try:
            return (folder / path).stat().st_size == size
        except OSError:
            return False

    there = [file.path for file in benchmark.files if right(file.path, file.bytes)]
    return len(match(there, benchmark.layouts[0], benchmark.suffixes).pairs)
