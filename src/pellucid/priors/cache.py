"""Vectors kept on disk, so that a prior sees every picture once: for fixed data, and for every later run over it.

A folder holds one SQLite database. A vector's key is the SHA-256 of what it depends on: the content of the view (the image
and all that was done to it) and the identity of the prior (see `prior_identity`). A change of either is another key, and
never a stale vector. Each vector carries a checksum: one that does not fit is computed again, and a database that is damaged
is set aside and begun anew. Any number of processes and threads may use a folder at once.
"""

import hashlib
import sqlite3
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pellucid import __version__
from pellucid.errors import SettingsError, one_line
from pellucid.priors.protocol import FrozenPrior, Prior, feature_maps

__all__ = ["Cached", "prior_identity"]

FORMAT = 1
"""Raised when the file's layout changes, or what any prior computes from the same weights: older vectors are forgotten."""
FILE = "vectors.sqlite"
PATIENCE = 60.0
"""How long to wait for another process to finish writing, in seconds."""
AT_ONCE = 500
"""Keys per query; SQLite takes no more than 999 everywhere."""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Cached(FrozenPrior):
    """A prior whose vectors are kept in a folder; a prior itself, in its stead and under its name.

    The first time it computes what the prior computes, bit for bit, in batches as they come, and keeps it; from then on it
    reads. Feature maps are too large to keep and are computed. Mixed precision is switched off around the prior, because
    what is kept serves callers with and without it; convert the prior itself for a lower precision.

    Args:
        prior: any prior; frozen by this, and kept, not copied. Its weights may still be replaced or converted: that is
            noticed, unless it is done behind torch's back, through `.data`.
        folder: made where it is not there. Several priors may share one.
        precision: of the kept numbers. "float16" halves the file; its rounding, of about 0.0005, is then that of every
            vector, also of those just computed.

    Raises SettingsError when the folder cannot be used.
    """

    def __init__(
        self, prior: Prior, folder: str | Path, *, precision: Literal["float32", "float16"] = "float32"
    ) -> None:
        if precision not in ("float32", "float16"):
            raise SettingsError(f"cache: precision is float32 or float16, got {precision!r}")
        super().__init__(prior.name, prior.width, prior.size)
        self.view_channels = prior.view_channels
        self.prior: Any = prior
        self.precision = np.dtype(precision)
        self.found = 0
        """Vectors that were read instead of computed."""
        self.computed = 0
        """Vectors that the prior computed."""
        self._store = _Store(Path(folder))
        self._stamp: list[tuple[Any, ...]] | None = None
        self._identity = ""
        self.freeze()

    def prepare(self, image: Tensor) -> Tensor:
        """The prior's own view of (B, 3, H, W)."""
        view: Tensor = self.prior.prepare(image)
        return view

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, view_channels, *size) to vectors (B, width), float32, on the views' device; kept ones are read."""
        keys = self._keys(view)
        length = self.width * self.precision.itemsize
        kept = self._store.get(list(set(keys)))
        known = {key: np.frombuffer(blob, self.precision) for key, blob in kept.items() if len(blob) == length}
        missing = {key: row for row, key in enumerate(keys) if key not in known}
        if missing:
            rows = list(missing.values())
            with torch.autocast(view.device.type, enabled=False):
                vectors = self.prior.encode(view if len(rows) == len(view) else view[rows])
            fresh = dict(zip(missing, vectors.float().cpu().numpy().astype(self.precision), strict=True))
            self._store.put({key: vector.tobytes() for key, vector in fresh.items() if np.isfinite(vector).all()})
            known |= fresh
        self.computed += len(missing)
        self.found += len(keys) - len(missing)
        return torch.from_numpy(np.stack([known[key] for key in keys]).astype(np.float32)).to(view.device)

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The prior's feature maps (B, C, h, w), not kept. Raises ModelError where it has none."""
        return feature_maps(self.prior, image)

    def _keys(self, view: Tensor) -> list[bytes]:
        stamp = [(one.data_ptr(), one.dtype, _version(one)) for _, one in _tensors(self.prior)]
        if stamp != self._stamp:
            self._stamp, self._identity = stamp, prior_identity(self.prior)
        start = f"{self._identity} {self.precision} {view.dtype} {tuple(view.shape[1:])} ".encode()
        return [hashlib.sha256(start + hashlib.sha256(row).digest()).digest() for row in _rows(view)]


def prior_identity(prior: Any) -> str:
    """The SHA-256 of what decides a prior's vectors: its printed structure and settings, and every bit of its weights.

    A setting that a module of your own does not print (`extra_repr`) is not seen.

    It changes with the version of pellucid, and where a part has a configuration of transformers or diffusers, with that.
    """
    digest = hashlib.sha256(f"{FORMAT} {__version__} {type(prior).__qualname__} {prior!r}".encode())
    configurations: dict[int, Any] = {
        id(one): one for one in (getattr(part, "config", None) for part in prior.modules())
    }
    for one in configurations.values():
        if hasattr(one, "to_json_string"):
            digest.update(one.to_json_string().encode())
        elif isinstance(one, Mapping):
            digest.update(repr(dict(one)).encode())
    for name, tensor in _tensors(prior):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_rows(tensor.reshape(1, -1))[0])
    return digest.hexdigest()


def _tensors(prior: Any) -> Iterator[tuple[str, Tensor]]:
    """All weights by name, those that are not saved included."""
    return chain(prior.named_parameters(), prior.named_buffers())


def _rows(tensor: Tensor) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """The bytes of (B, ...) as (B, n), without a copy where it is contiguous and on the CPU."""
    rows: np.ndarray[Any, np.dtype[np.uint8]] = tensor.detach().cpu().contiguous().flatten(1).view(torch.uint8).numpy()
    return rows


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to in place."""
    return 0 if tensor.is_inference() else tensor._version


class _Store:
    """Bytes by key, in one SQLite file of a folder.

    It is opened for every call: that takes a tenth of a millisecond, and leaves nothing that a forked process, a thread or
    a pickle could share by mistake.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._open():
                pass
        except (OSError, sqlite3.Error) as error:
            if not self._set_aside(error):
                raise SettingsError(f"{folder}: cannot keep vectors here ({one_line(error)})") from error

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is kept under some keys, whole; nothing for those that are not there, or are damaged."""
        rows: list[tuple[Any, Any, Any]] = []
        try:
            with self._open() as base:
                for start in range(0, len(keys), AT_ONCE):
                    some = keys[start : start + AT_ONCE]
                    marks = ", ".join("?" * len(some))
                    query = f"SELECT key, vector, checksum FROM vectors WHERE key IN ({marks})"
                    rows += base.execute(query, some).fetchall()
        except sqlite3.Error as error:
            self._set_aside(error)
        return {key: vector for key, vector, checksum in rows if checksum == _checksum(key, vector)}

    def put(self, blobs: Mapping[bytes, bytes]) -> None:
        """Keeps bytes by key, all or none; where the file cannot be written to, none, with a warning."""
        rows = [(key, blob, _checksum(key, blob)) for key, blob in blobs.items()]
        for _ in range(2):
            try:
                with self._open() as base, base:
                    base.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
            except sqlite3.Error as error:
                if self._set_aside(error):
                    continue
                warnings.warn(f"{self.path}: the vectors could not be kept ({error})", stacklevel=4)
            return

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as base:
            # Not waiting for the disk: what a power failure damages is noticed, and computed again.
            base.execute("PRAGMA synchronous = OFF")
            base.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB, checksum INTEGER)")
            yield base

    def _set_aside(self, error: Exception) -> bool:
        """Moves the file away if that is what an error says it is: damaged. True if so, and a new one may be begun."""
        # Two processes may notice at once, and one move away what the other has begun: then it is computed again.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in DAMAGED:
            return False
        with suppress(OSError):
            self.path.replace(self.path.with_suffix(".damaged"))
            self.path.with_name(FILE + "-journal").unlink(missing_ok=True)
        return True


def _checksum(key: Any, vector: Any) -> int | None:
    return zlib.crc32(key + vector) if isinstance(key, bytes) and isinstance(vector, bytes) else None
