"""The bytes of a large file, of which only those that are looked at are in memory, and no longer than that."""

import mmap
from typing import Any, BinaryIO

import pyvips

__all__ = ["LARGE", "Content", "MappedFile"]

LARGE = 64 << 20
"""Bytes of a file that is not read as a whole."""


class MappedFile(mmap.mmap):
    """A file's bytes, used like `bytes`; slices are copies.

    Args:
        file: open, not empty; it must stay open for `source`.
    """

    def __new__(cls, file: BinaryIO) -> "MappedFile":
        """Maps the file."""
        return super().__new__(cls, file.fileno(), 0, access=mmap.ACCESS_READ)

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._seen = file, 0

    def __getitem__(self, where: Any) -> Any:
        found = super().__getitem__(where)
        self._seen += len(found) if isinstance(found, bytes) else 0
        if self._seen > LARGE:
            self.release()
        return found

    def startswith(self, prefix: bytes, at: int = 0) -> bool:
        """As `bytes.startswith`."""
        return bool(self[at : at + len(prefix)] == prefix)

    def source(self) -> pyvips.Source:
        """The file for a reader of libvips, from its beginning."""
        self._file.seek(0)
        return pyvips.Source.new_from_descriptor(self._file.fileno())

    def release(self) -> None:
        """Gives the memory back that pages of the file have."""
        self._seen = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self.madvise(mmap.MADV_DONTNEED)


Content = bytes | MappedFile
"""The bytes of a file."""
