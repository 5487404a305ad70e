"""A published set as code uses it: there, whole and checked, or an error that says how to get it."""

from pathlib import Path

from pellucid.data.benchmarks.checking import verify
from pellucid.data.benchmarks.layouts import best_layout, files_below, match
from pellucid.data.benchmarks.places import how_to_get
from pellucid.data.benchmarks.registry import find_benchmark
from pellucid.errors import DataError

__all__ = ["locate", "pairs"]


def locate(name: str, *, root: Path | None = None) -> Path:
    """The folder of a set that is there, with every file read and compared with the published hashes.

    A folder may hold more than one set (a part lies with the whole): `pairs` names the pictures to score.

    Raises:
        SettingsError: there is no such set.
        DataError: it is not there, incomplete, or not what was published; says what to do.
    """
    check = verify(name, root=root)
    benchmark = check.benchmark
    if not check.there:
        raise DataError(f"{benchmark.name}: not in {check.folder}; {how_to_get(benchmark, check.folder)}")
    if not check.right:
        remedy = (
            f"`pellucid data fetch {benchmark.name}` puts right what is missing or wrong"
            if benchmark.fetchable and not check.extra
            else f"`pellucid data verify {benchmark.name}` names every file"
        )
        raise DataError(f"{check.summary()}, in {check.folder}; {remedy}")
    return check.folder


def pairs(name: str, *, root: Path | None = None) -> list[tuple[Path | None, Path]]:
    """The pictures of a set that is there, as `locate` checks it: (degraded or None, clean), sorted.

    Raises:
        SettingsError: there is no such set.
        DataError: it is not there, or not what was published.
    """
    benchmark, folder = find_benchmark(name), locate(name, root=root)
    if benchmark.fetchable:
        found = match([file.path for file in benchmark.files], benchmark.layouts[0], benchmark.suffixes)
    else:
        _, found = best_layout(files_below(folder), benchmark.layouts, benchmark.suffixes)
    return [(folder / degraded if degraded else None, folder / clean) for degraded, clean in found.pairs]
