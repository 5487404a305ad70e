"""The bytes of a large file, of which only those that are asked for are read.

They are read, not mapped: a mapped file that somebody else cuts short meanwhile ends the process.
"""

import os
from typing import IO, Any

import pyvips

__all__ = ["LARGE", "Content", "LargeFile"]

LARGE = 64 << 20
"""Bytes of a file that is not read as a whole."""


class LargeFile:
    """A file's bytes by indices and slices, like `bytes`.

    Args:
        file: open, and to stay so.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self._size = file, os.fstat(file.fileno()).st_size
        self._sources: list[pyvips.SourceCustom] = []

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, where: Any) -> Any:
        if not isinstance(where, slice):
            return self[where : where + 1][0]
        start, stop, _ = where.indices(self._size)
        self.file.seek(start)
        return self.file.read(max(0, stop - start))

    def __bytes__(self) -> bytes:
        whole: bytes = self[:]
        return whole

    def startswith(self, prefix: bytes, at: int = 0) -> bool:
        """As `bytes.startswith`."""
        return bool(self[at : at + len(prefix)] == prefix)

    def source(self) -> pyvips.SourceCustom:
        """The file for a reader of libvips, from its beginning, as long as this is there; libvips itself would map
        it."""
        at = 0

        def read(size: int) -> bytes:
            nonlocal at
            some: bytes = self[at : at + size]
            at += len(some)
            return some

        def seek(offset: int, whence: int) -> int:
            nonlocal at
            at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: at, os.SEEK_END: len(self)}[whence])
            return at

        source = pyvips.SourceCustom()
        source.on_read(read)
        source.on_seek(seek)
        self._sources.append(source)  # pyvips forgets what it calls as soon as nobody holds it
        return source


Content = bytes | LargeFile
"""The bytes of a file."""
