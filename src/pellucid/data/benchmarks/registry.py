"""The published sets, one record each: `registry.yaml`, and a table of files for each set in `files/NAME.tsv`.

A line of a table holds a file's path in the set, its bytes, its sha256, and for clean pictures of test sets the
fingerprint of `fingerprint.py` (empty where the picture was not at hand).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pellucid.data.benchmarks.layouts import PICTURES, PairLayout, match, translate
from pellucid.errors import SettingsError, unknown_name

__all__ = ["Benchmark", "PublishedFile", "benchmarks", "find_benchmark", "is_benchmark"]

REGISTRY = Path(__file__).with_name("registry.yaml")


@dataclass(frozen=True)
class PublishedFile:
    """A file of a published set.

    Attributes:
        path: in the folder of the set, relative and with slashes.
        bytes: its size.
        sha256: of its content, in hexadecimal.
        fingerprint: of the picture (`fingerprint.py`), or None.
        address: `owner/repository/commit/path`, quoted, below the address of the host.
    """

    path: str
    bytes: int
    sha256: str
    fingerprint: str | None
    address: str


@dataclass(frozen=True)
class Benchmark:
    """The record of a published set.

    Attributes:
        name: its key; also the name of its folder.
        title: its name in print.
        task: what it is for.
        split: `test`, `train` or `all`.
        count: pairs, or pictures where there are only clean ones.
        layouts: how its files may lie, the usual way first.
        paper: whose it is.
        licence: of the pictures, or `not stated`.
        notes: what to know before using it, the parts of a set that it lacks first of all.
        get: in words, where a set without a stable address is had.
        repository: `owner/name` of the public repository that its files are taken from; None without an address.
        commit: of that repository, in full.
        origin: (path here, path in the repository), as patterns of `layouts.translate`.
        scale: how many times longer the sides of the clean pictures are.
        part_of: the set of which this is a part, in whose folder it lies.
        stems: names of the clean pictures of the part.
        overlaps: sets with which it shares pictures.
        aliases: other names.
        suffixes: of its pictures.
        table: the file that lists its files; None without an address.
    """

    name: str
    title: str
    task: str
    split: str
    count: int
    layouts: tuple[PairLayout, ...]
    paper: str
    licence: str = "not stated"
    notes: str = ""
    get: str = ""
    repository: str | None = None
    commit: str = ""
    origin: tuple[tuple[str, str], ...] = ()
    scale: int = 1
    part_of: str | None = None
    stems: frozenset[str] = frozenset()
    overlaps: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = PICTURES
    table: Path | None = None

    @property
    def paired(self) -> bool:
        """Whether it holds degraded pictures, too."""
        return self.layouts[0].degraded is not None

    @property
    def unit(self) -> str:
        """What `count` counts."""
        return "pairs" if self.paired else "pictures"

    @property
    def fetchable(self) -> bool:
        """Whether it has a stable address and hashes."""
        return self.table is not None

    @property
    def files(self) -> tuple[PublishedFile, ...]:
        """Every file of the set, sorted by path; none for a set without an address."""
        return _files(self)

    @property
    def bytes(self) -> int:
        """The size of all files together; 0 for a set without an address."""
        return sum(file.bytes for file in self.files)

    def clean_files(self) -> list[PublishedFile]:
        """The clean pictures, each content once (several degraded ones may share it)."""
        paths = {clean for _, clean in match([file.path for file in self.files], self.layouts[0], self.suffixes).pairs}
        first: dict[str, PublishedFile] = {}
        for file in self.files:
            if file.path in paths:
                first.setdefault(file.sha256, file)
        return list(first.values())

    def as_dict(self) -> dict[str, Any]:
        """The record for JSON, without its files."""
        return {
            "name": self.name,
            "title": self.title,
            "task": self.task,
            "split": self.split,
            self.unit: self.count,
            "files": len(self.files) or None,
            "bytes": self.bytes or None,
            "repository": self.repository,
            "commit": self.commit or None,
            "get": self.get or None,
            "licence": self.licence,
            "paper": self.paper,
            "layouts": [str(layout) for layout in self.layouts],
            "part_of": self.part_of,
            "overlaps": list(self.overlaps),
            "notes": self.notes or None,
        }


@cache
def _files(benchmark: Benchmark) -> tuple[PublishedFile, ...]:
    if benchmark.table is None:
        return ()
    files = []
    for line in benchmark.table.read_text(encoding="utf-8").splitlines():
        path, size, sha256, fingerprint = line.split("\t")
        stem = path.rpartition("/")[2].rpartition(".")[0]
        if benchmark.stems and stem not in benchmark.stems:
            continue
        there = quote(f"{benchmark.repository}/{benchmark.commit}/{translate(path, benchmark.origin)}")
        files.append(PublishedFile(path, int(size), sha256, fingerprint or None, there))
    return tuple(files)


@cache
def _read(registry: Path) -> Mapping[str, Benchmark]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    records: dict[str, Benchmark] = {}
    for name, record in yaml.load(registry.read_text(encoding="utf-8"), loader).items():  # a safe loader, either way
        whole = records.get(record.get("part_of"))
        if whole:  # a part has the files, the source and the layout of the whole
            same = (
                "layouts",
                "repository",
                "commit",
                "origin",
                "paper",
                "licence",
                "task",
                "scale",
                "table",
                "suffixes",
            )
            record = {key: getattr(whole, key) for key in same} | record
        else:
            record["layouts"] = tuple(PairLayout(**layout) for layout in record["layouts"])
            record["origin"] = tuple(record.get("origin", {}).items())
            record["table"] = registry.parent / "files" / f"{name}.tsv" if record.get("repository") else None
        for key in ("overlaps", "aliases", "suffixes"):
            if key in record:
                record[key] = tuple(record[key])
        record["stems"] = frozenset(str(stem) for stem in record.get("stems", ()))
        records[name] = Benchmark(name=name, **record)
    return records


def benchmarks() -> Mapping[str, Benchmark]:
    """Every record by its name, in the order of the registry."""
    return _read(REGISTRY)


def _by_any_name() -> dict[str, str]:
    known = benchmarks()
    return {other: name for name, record in known.items() for other in (name, *record.aliases)}


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def is_benchmark(name: str) -> bool:
    """Whether `name` is that of a set; case, and - for _, do not matter."""
    return _plain(name) in _by_any_name()


def find_benchmark(name: str) -> Benchmark:
    """The record of a set; case, and - for _, do not matter.

    Raises:
        SettingsError: there is no such set; lists those there are.
    """
    names = _by_any_name()
    if _plain(name) not in names:
        raise SettingsError(unknown_name("data set", name, benchmarks()))
    return benchmarks()[names[_plain(name)]]
