"""Vectors kept on disk, so that a prior sees every picture once: for fixed data, and for every later run over it.

A folder holds one SQLite database. A vector's key is the SHA-256 of what it depends on: the content of the view (the
image and all that was done to it) and the identity of the prior (see `prior_identity`). A change of either is another
key, and never a stale vector. Each vector carries a checksum: one that does not fit is computed again, and a database
that is damaged is set aside and begun anew. Any number of processes and threads may use a folder at once.
"""

import hashlib
import sqlite3
import warnings
import zlib
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, NoneType, SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError, one_line
from pellucid.priors.contract import FrozenPrior, Prior, feature_maps
from pellucid.version import __version__

__all__ = ["Cached", "prior_identity"]

FORMAT = 2
"""Raised when the file's layout changes, or what any prior computes from the same weights: older vectors are
forgotten."""
FILE = "vectors.sqlite"
PATIENCE = 60.0
"""How long to wait for another process to finish writing, in seconds."""
MOST_OF_MAPS = 4 << 20
"""Bytes of the largest maps of one picture that are kept."""
AT_ONCE = 500
"""Keys per query; SQLite takes no more than 999 everywhere."""
NUMBERS = (bool, int, float, complex, np.generic, torch.Size)
PLAIN = (*NUMBERS, str, bytes, NoneType, Enum, PurePath, torch.device, torch.dtype, np.dtype)
"""Kinds whose printed form says all."""
FUNCTIONS = (type, FunctionType, BuiltinFunctionType, MethodType)
TORCHS_OWN = frozenset(vars(nn.Module())) - {"training"}
"""Attributes of every module that are not its settings: its parts, which are described on their own, and hooks."""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Cached(FrozenPrior):
    """A prior whose vectors are kept in a folder; a prior itself, in its stead and under its name.

    The first time it computes what the prior computes, bit for bit, in batches as they come, and keeps it; from then on
    it reads. Feature maps of up to 4 MB for a picture are kept as float16, whose rounding is then theirs, also of those
    just computed; larger ones are computed each time. Mixed precision is switched off around the prior, because what is
    kept serves callers with and without it; convert the prior itself for a lower precision.

    Args:
        prior: any prior; frozen by this, and kept, not copied. Its weights may still be replaced or converted, and its
            settings changed: that is noticed, unless it is done behind torch's back, through `.data`.
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
        self._stamp = ""
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
        """The prior's feature maps of (B, 3, H, W): (B, C, h, w), float32. Raises ModelError where it has none."""
        keys = [b"maps" + key for key in self._keys(self.prepare(image))]
        unpacked = {key: _unpacked(blob) for key, blob in self._store.get(list(set(keys))).items()}
        kept = {key: maps for key, maps in unpacked.items() if maps is not None}
        if any(key not in kept for key in keys):
            with torch.autocast(image.device.type, enabled=False):
                maps = feature_maps(self.prior, image)
            self.computed += len(maps)
            half = maps.half()
            if half[0].nbytes > MOST_OF_MAPS or not half.isfinite().all():
                return maps
            self._store.put({key: _packed(one) for key, one in zip(keys, half, strict=True)})
            return half.float()
        self.found += len(keys)
        return torch.stack([kept[key] for key in keys]).float().to(image.device)

    def _keys(self, view: Tensor) -> list[bytes]:
        stamp = _description(self.prior, _place)
        if stamp != self._stamp:
            self._stamp, self._identity = stamp, prior_identity(self.prior)
        start = f"{self._identity} {self.precision} {view.dtype} {tuple(view.shape[1:])} ".encode()
        return [hashlib.sha256(start + hashlib.sha256(row).digest()).digest() for row in _rows(view)]


def prior_identity(prior: Any) -> str:
    """The SHA-256 of what decides a prior's vectors: the classes and settings of all its modules, and every bit of its
    weights.

    A module's settings are its attributes, however they are called: numbers, texts, tensors, functions by their names,
    lists, dictionaries and data classes of these, and the configurations of transformers and diffusers. Of other
    objects only the class counts. A number that a module changes while it runs, such as a counter, makes it another
    prior.

    It changes with the version of pellucid, too.
    """
    described = f"{FORMAT} {__version__} {_description(prior, _content)}"
    return hashlib.sha256(described.encode(errors="surrogatepass")).hexdigest()


def _description(prior: Any, tensor: Callable[[Tensor], str]) -> str:
    """What decides a prior's vectors as a text, the same in every process; `tensor` says what stands in it for a
    tensor."""
    written: list[str] = []
    seen: dict[int, int] = {}
    """How many objects had been met before one: what is met again, perhaps within itself, is not described again."""

    def write(value: Any) -> None:
        if isinstance(value, PLAIN) or (type(value) is tuple and all(isinstance(part, PLAIN) for part in value)):
            written.append(repr(value))
        elif isinstance(value, Tensor):
            written.append(f"{type(value).__name__}{tensor(value)}")
        elif isinstance(value, np.ndarray):
            written.append(f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}")
        elif isinstance(value, set | frozenset):
            written.append(repr(sorted(map(repr, value))))
        elif id(value) in seen:
            written.append(f"<{seen[id(value)]}>")
        else:
            if not isinstance(value, tuple):  # Python may or may not make equal ones one
                seen[id(value)] = len(seen)
            write_parts(value)

    def write_parts(value: Any) -> None:
        kind = value if isinstance(value, FUNCTIONS) else type(value)
        written.append(f"{kind.__module__}.{kind.__qualname__}(")
        for name, part in _parts(value):
            written.append(f" {name}=")
            write(part)
        written.append(")")

    write(prior)
    return "".join(written)


def _parts(value: Any) -> Iterator[tuple[object, Any]]:
    """What an object is made of, by name or place; in an order that is the same in every process."""
    if isinstance(value, Cached):  # what it has found so far is no setting
        yield from (("precision", value.precision.name), ("prior", value.prior))
    elif isinstance(value, nn.Module):
        yield from value.named_parameters(recurse=False)
        yield from value.named_buffers(recurse=False)  # those that are not saved included
        yield from ((name, part) for name, part in vars(value).items() if name not in TORCHS_OWN)
        yield from value.named_children()
    elif isinstance(value, Mapping):
        # Which arguments a configuration of diffusers was not given is no setting, and stands in it in no order.
        yield from ((name, part) for name, part in sorted(value.items(), key=_name) if name != "_use_default_values")
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif hasattr(value, "to_json_string"):
        yield "json", value.to_json_string()
    elif isinstance(value, partial):
        yield from (("function", value.func), ("arguments", value.args), ("keywords", value.keywords))
    elif isinstance(value, SimpleNamespace | Namespace) or (is_dataclass(value) and not isinstance(value, type)):
        yield from vars(value).items()


def _name(item: tuple[Any, Any]) -> str:
    return repr(item[0])


def _content(tensor: Tensor) -> str:
    """The shape, precision and bits of a tensor."""
    return f"{tensor.dtype}{tuple(tensor.shape)}{hashlib.sha256(_rows(tensor.reshape(1, -1))[0]).hexdigest()}"


def _place(tensor: Tensor) -> str:
    """Where a tensor lies, and how often it was written to in place: other content has another place, or another
    number."""
    return f"{tensor.dtype}{tensor.data_ptr()}{tuple(tensor.shape)}{_version(tensor)}"


def _rows(tensor: Tensor) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """The bytes of (B, ...) as (B, n), without a copy where it is contiguous and on the CPU."""
    rows: np.ndarray[Any, np.dtype[np.uint8]] = tensor.detach().cpu().contiguous().flatten(1).view(torch.uint8).numpy()
    return rows


def _packed(maps: Tensor) -> bytes:
    """Maps (C, h, w), float16, with their sides before them."""
    sides = np.array(maps.shape, np.int32).tobytes()
    return sides + maps.cpu().contiguous().numpy().tobytes()


def _unpacked(blob: bytes) -> Tensor | None:
    """The maps of `_packed`; None where that is not what the bytes are."""
    sides = np.frombuffer(blob[:12], np.int32) if len(blob) >= 12 else np.zeros(3, np.int32)
    if not sides.all() or len(blob) != 12 + 2 * int(sides.prod()):
        return None
    return torch.from_numpy(np.frombuffer(blob[12:], np.float16).reshape(sides).copy())


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to in place."""
    return 0 if tensor.is_inference() else tensor._version


class _Store:
    """Bytes by key, in one SQLite file of a folder.

    It is opened for every call: that takes a tenth of a millisecond, and leaves nothing that a forked process, a thread
    or a pickle could share by mistake.
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
