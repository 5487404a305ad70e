"""The manifest of a run: what became of each photograph, so that a run that was killed goes on where it stopped.

A file of lines of JSON to which is only ever added. The first line of a run tells its settings; then each photograph
has a line when the writing of its output begins, and one when it has ended, with the source's size, date and SHA-256,
the key of the settings, and the output's size. A photograph that cannot be restored has a line with the error instead.
Of several lines for one output the last holds; a line in whose middle a run was killed is passed over.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pellucid import images
from pellucid.batch.plan import Job, same_file
from pellucid.errors import DataError, ImageError, SettingsError
from pellucid.images.messages import name_of, reason
from pellucid.version import __version__

__all__ = ["MANIFEST", "Content", "Manifest", "Past", "manifest_for"]

MANIFEST = "pellucid-manifest.jsonl"
"""The name of a manifest in a folder."""


@dataclass(frozen=True)
class Content:
    """What is in a source: bytes, nanoseconds since 1970, and the SHA-256 of all of it."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Of a file as it is now. Raises ImageError where it cannot be read."""
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                state = os.fstat(file.fileno())
        except (OSError, ValueError) as error:
            raise ImageError(f"{name_of(path)}: cannot be read: {reason(error)}") from error
        return cls(state.st_size, state.st_mtime_ns, digest)

    def still_of(self, path: Path) -> bool:
        """Whether a file has the same size and date."""
        try:
            state = path.stat()
        except OSError:
            return False
        return (state.st_size, state.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True)
class Past:
    """What a manifest knows of an output.

    Attributes:
        content: of the source when it was last done, or failed; None where that was never.
        settings: the key of those it was done with.
        error: why it failed; None where it is done.
        begun: its writing began and did not end.
        left: bytes of the output when it was last written; None where that was never.
    """

    content: Content | None = None
    settings: str = ""
    error: str | None = None
    begun: bool = False
    left: int | None = None


class Manifest:
    """A manifest, as a context that adds to it.

    Read outside of the context, it changes nothing on the disk.

    Args:
        path: the file, there or not.
        settings: all that decides what a photograph becomes, JSON-able.

    Raises:
        SettingsError: the file is something else.
        DataError: it cannot be read; in the context: written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = dict(settings)
        text = json.dumps(self.settings, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.keep_dates = bool(self.settings.get("keep_dates"))
        self._folder = Path(os.path.realpath(self.path.parent))
        self._past: dict[str, Past] = {}
        self._file: int | None = None
        self._load()

    def past(self, job: Job) -> Past | None:
        """What is known of the output of a job."""
        return self._past.get(self._name(job.target))

    def made(self, path: Path) -> bool:
        """Whether a file is an output of a run that the manifest knows."""
        past = self._past.get(self._name(path))
        return past is not None and (past.begun or past.left is not None)

    def same(self, past: Past, content: Content) -> bool:
        """Whether an output was made of this content with these settings. The date counts where it is kept."""
        known = past.content
        return (
            known is not None
            and past.settings == self.key
            and (known.size, known.sha256) == (content.size, content.sha256)
            and (not self.keep_dates or known.mtime_ns == content.mtime_ns)
        )

    def refuse(self, jobs: Iterable[Job]) -> None:
        """Raises DataError where the manifest is one of the photographs of jobs."""
        if any(same_file(self.path, path) for job in jobs for path in (job.source, job.target, job.compared) if path):
            raise DataError(f"{name_of(self.path)}: is one of the photographs; choose another manifest")

    def begin(self, job: Job) -> None:
        """The writing of an output begins."""
        self._add({"status": "begun", "target": self._name(job.target), "source": str(job.source)})

    def end(self, job: Job, content: Content, status: str) -> None:
        """An output is written."""
        self._add(self._line(job, content, status) | {"written": job.target.stat().st_size})

    def fail(self, job: Job, content: Content, error: str) -> None:
        """A photograph cannot be restored: it is not tried again."""
        self._add(self._line(job, content, "failed") | {"error": error})

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            broken = self.path.is_file() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size > 0
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise self._unwritable(error) from error
        if broken:
            self._write(b"\n")
        self._add({"run": self.key, "pellucid": __version__, "settings": self.settings})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def sweep(self, folders: Iterable[Path]) -> None:
        """Removes the halves of files that killed runs have left in folders, where no other run has this manifest.

        Every run holds a lock that ends with its process, and so knows whether it is alone.
        """
        try:
            import fcntl
        except ImportError:  # not on this system: they stay, hidden
            return
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for folder in set(folders):
                for half in folder.glob(".pellucid-*.tmp"):
                    with suppress(OSError):
                        half.unlink()
        except OSError:  # another run has it, or the file system has no locks
            pass
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def _line(self, job: Job, content: Content, status: str) -> dict[str, Any]:
        return {
            "status": status,
            "target": self._name(job.target),
            "source": str(job.source),
            "size": content.size,
            "mtime_ns": content.mtime_ns,
            "sha256": content.sha256,
            "settings": self.key,
        }

    def _name(self, target: Path) -> str:
        """Of an output: below the folder of the manifest, so that both can be moved; else the whole path."""
        whole = Path(os.path.realpath(target.parent), target.name)
        return whole.relative_to(self._folder).as_posix() if whole.is_relative_to(self._folder) else whole.as_posix()

    def _load(self) -> None:
        try:
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        except OSError as error:
            raise DataError(f"{name_of(self.path)}: the manifest cannot be read ({reason(error)})") from error
        if lines and not lines[0].startswith(b'{"run":'):
            raise SettingsError(f"{name_of(self.path)}: is no manifest of a run; choose another file")
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # cut short, or of a newer version
                self._note(json.loads(line))

    def _note(self, line: Mapping[str, Any]) -> None:
        if "run" in line:
            return
        past = self._past.get(line["target"], Past())
        if line["status"] == "begun":
            past = replace(past, begun=True)
        else:
            content = Content(line["size"], line["mtime_ns"], line["sha256"])
            failed = line["status"] == "failed"
            past = Past(
                content,
                line["settings"],
                line["error"] if failed else None,
                begun=past.begun and failed,
                left=past.left if failed else line["written"],
            )
        self._past[line["target"]] = past

    def _add(self, line: Mapping[str, Any]) -> None:
        self._write(json.dumps(line).encode("ascii") + b"\n")
        self._note(line)

    def _write(self, data: bytes) -> None:
        """In one piece, so that the lines of several runs never mix."""
        assert self._file is not None
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"{name_of(self.path)}: the manifest cannot be written ({reason(error)})")


def manifest_for(out: Path, given: Path | None = None, *, wanted: bool = False) -> Path | None:
    """The file of the manifest of a run.

    Args:
        out: where the run writes to, a folder or a file in one.
        given: a file, or a folder for it.
        wanted: one in the folder of `out`, where none is given.

    Returns:
        None where nobody wants one, and none is in the folder of `out`.
    """
    folder = out.parent if images.supported(out) and not os.path.isdir(out) else out
    if given is not None:
        return given / MANIFEST if os.path.isdir(given) or same_file(given, folder) else given
    return folder / MANIFEST if wanted or os.path.isfile(folder / MANIFEST) else None
