"""One score per row, and where rows are kept, so that an evaluation that was interrupted goes on where it was."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.errors import DataError
from pellucid.evaluation.candidates import Candidate
from pellucid.metrics import Protocol
from pellucid.version import __version__

__all__ = ["Row", "RowStore", "key_of"]


@dataclass(frozen=True)
class Row:
    """The scores of one candidate on one photograph.

    Attributes:
        model: the candidate's name.
        data: the set or folder.
        condition: how the photograph was degraded.
        protocol: the name of the protocol that the numbers were made by.
        photograph: its name.
        psnr: in dB; infinite where nothing differs.
        ssim: by the protocol's variant.
        seconds: that the restoration took; None for the input as it is.
        memory: the peak in bytes while restoring: of the device's memory on a GPU, of the whole process elsewhere; None
            where the system does not tell.
        extra: further metrics by name.
        degradation: what was done to this photograph, where its condition is a degradation or a family of them; else
            None.
    """

    model: str
    data: str
    condition: str
    protocol: str
    photograph: str
    psnr: float
    ssim: float
    seconds: float | None = None
    memory: int | None = None
    extra: dict[str, float] = field(default_factory=dict)
    degradation: str | None = None

    @property
    def column(self) -> tuple[str, str, str]:
        """What numbers must share to be compared: data, condition, protocol."""
        return self.data, self.condition, self.protocol

    def as_dict(self) -> dict[str, Any]:
        """The row for JSON, which has no infinity: a PSNR of identical pictures is null, no degradation is left out."""
        entries = asdict(self) | {"psnr": self.psnr if math.isfinite(self.psnr) else None}
        if self.degradation is None:
            del entries["degradation"]
        return entries

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> "Row":
        """The row that `as_dict` wrote. Raises TypeError, KeyError or ValueError for anything else."""
        row = cls(**entries | {"psnr": math.inf if entries["psnr"] is None else entries["psnr"]})
        numbers = [row.psnr, row.ssim, row.seconds or 0.0, *row.extra.values()]
        texts = [row.model, row.data, row.condition, row.protocol, row.photograph]
        if not all(isinstance(number, int | float) for number in numbers) or any(
            math.isnan(number) for number in numbers
        ):
            raise ValueError("a score that is no number")
        texts += [] if row.degradation is None else [row.degradation]
        if not all(isinstance(text, str) for text in texts) or not isinstance(row.memory, int | None):
            raise TypeError("a row of another kind")
        return row


def key_of(
    candidate: Candidate,
    protocol: Protocol,
    degraded: Tensor,
    clean: Tensor,
    extra: tuple[str, ...],
    degradation: str | None = None,
) -> str | None:
    """What a row's numbers depend on, as a hash: the pixels themselves, model, protocol, the degradation if there is
    a text of it, this version.

    None where the candidate does not tell what its results depend on.
    """
    if candidate.identity is None:
        return None
    parts = [__version__, candidate.identity, protocol.describe(), *extra]
    parts += [] if degradation is None else [f"degradation {degradation}"]
    digest = hashlib.sha256("\0".join(parts).encode())
    for image in (degraded, clean):
        digest.update(str(tuple(image.shape)).encode())
        digest.update(image.contiguous().numpy().data)
    return digest.hexdigest()


class RowStore:
    """The rows of an evaluation's folder: one line of JSON each, written as soon as it is known.

    Every process writes a file of its own (`part`) and reads those of all, so that several may share one folder.

    Args:
        folder: made where it is not there.
        part: names this process among those that write at the same time.

    Raises:
        DataError: the folder cannot be written.
    """

    def __init__(self, folder: Path, part: str = "") -> None:
        self._path = folder / f"rows{part}.jsonl"
        self._rows: dict[str, Row] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("rows*.jsonl")):
                self._rows |= _rows_in(path.read_bytes())
            with self._path.open("ab") as file:
                if file.tell() and not self._path.read_bytes().endswith(b"\n"):
                    file.write(b"\n")  # the process that wrote the last line was stopped in the middle of it
        except OSError as error:
            raise _unwritable(folder, error) from error

    def get(self, key: str | None) -> Row | None:
        """The row of that key, if it is known."""
        return self._rows.get(key) if key else None

    def add(self, key: str | None, row: Row) -> None:
        """Keeps a row; one without a key is not kept."""
        if key is None:
            return
        line = json.dumps({"key": key, **row.as_dict()}) + "\n"
        try:
            with self._path.open("ab") as file:
                file.write(line.encode())
        except OSError as error:
            raise _unwritable(self._path.parent, error) from error
        self._rows[key] = row


def _rows_in(data: bytes) -> dict[str, Row]:
    """The rows of a file, without lines that are damaged: they are computed again."""
    rows = {}
    for line in data.splitlines():
        try:
            entries = json.loads(line)
            key = entries.pop("key")
            rows[key] = Row.from_dict(entries)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return rows


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder}: results cannot be written ({error.strerror or error})")
