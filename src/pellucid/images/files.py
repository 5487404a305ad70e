"""Reading a photograph from a file and writing it: names, errors, and files that appear whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pyvips

from pellucid.errors import ImageError, SettingsError
from pellucid.images.decode import decode, format_of
from pellucid.images.encode import Data, encode
from pellucid.images.large_file import LARGE, LargeFile
from pellucid.images.messages import name_of, reason
from pellucid.images.pages import decode_pages, encode_pages
from pellucid.images.photograph import Photograph
from pellucid.images.values import check_pixels

__all__ = ["SUFFIXES", "read", "supported", "write", "write_change"]

SUFFIXES: Mapping[str, str] = {
    ".apng": "png",
    ".avif": "avif",
    ".bmp": "bmp",
    ".btf": "tiff",
    ".dib": "bmp",
    ".jfif": "jpeg",
    ".jif": "jpeg",
    ".jpe": "jpeg",
    ".jpeg": "jpeg",
    ".jpg": "jpeg",
    ".jps": "jpeg",
    ".mpo": "jpeg",
    ".pjpeg": "jpeg",
    ".png": "png",
    ".tf8": "tiff",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
"""Suffixes of the files that are read and written, in small letters, and their formats."""


def supported(path: str | os.PathLike[str]) -> bool:
    """Whether the suffix of `path` is one of `SUFFIXES`; the file is not looked at."""
    return Path(path).suffix.lower() in SUFFIXES


def read(path: str | os.PathLike[str], *, memory: int | None = None, every_page: bool = False) -> Photograph:
    """Reads the picture in the file at `path`, upright, whatever characters its name has.

    A picture that needs more than so many bytes of `memory`, with the copies that are made of it while it is restored,
    lies on the disk (`pellucid.scratch`); without that number every one is held in memory.

    With `every_page` all pages of a TIFF and all frames of an APNG, a WebP or a GIF are read, in memory, the first with
    the others in it (`Photograph.others`); they are written again where the format can hold them.

    Raises `ImageError` where there is no such file, or it is empty, truncated, damaged, or not a picture.
    """
    name = name_of(path)
    try:
        with open(path, "rb") as file:
            data = LargeFile(file) if os.fstat(file.fileno()).st_size > LARGE else file.read()
            if not data:
                raise ImageError(f"{name}: the file is empty")
            kind = format_of(data, name, Path(path).suffix)
            try:
                return decode_pages(bytes(data), kind, name) if every_page else decode(data, kind, name, memory)
            except (pyvips.Error, UnicodeDecodeError) as error:  # the second where libvips quotes the damaged bytes
                raise ImageError(
                    f"{name}: truncated, damaged or of an unknown sort of {kind} ({reason(error)})"
                ) from error
            except MemoryError as error:
                raise ImageError(f"{name}: the picture is too large for the memory of this machine") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be read: {reason(error)}") from error


def write(
    photograph: Photograph,
    path: str | os.PathLike[str],
    *,
    quality: int | None = None,
    overwrite: bool = True,
    strict: bool = False,
) -> tuple[str, ...]:
    """Writes `photograph` to the file at `path`, in the format of its suffix, and returns what could not be kept, in
    words.

    `quality` (1 to 100) is that of JPEG, WebP and AVIF; PNG and TIFF are lossless. Without it, a format follows the
    photograph's own coding where it was read from that format: the quantisation tables (of a quality of 90 at least),
    the sampling of the chroma and the progressive order of JPEG, the lossless coding of WebP, the depth and the
    sampling of AVIF; else it is 95, chroma at full resolution. The file appears whole or not at all: it is written
    beside its place under another name and then moved there. With `overwrite=False` an existing file is left alone, and
    that is an error.

    Raises `ImageError` where the suffix is unknown, the pixels hold NaN, the file cannot be written, or `strict` is set
    and something of the file that was read could not be kept; and `SettingsError` for a wrong quality.
    """
    name, target = name_of(path), Path(path)
    kind = SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise ImageError(f"{name}: cannot write files with the suffix {target.suffix!r}; known: {', '.join(SUFFIXES)}")
    if quality is not None and not 1 <= quality <= 100:
        raise SettingsError(f"the quality must lie in 1 to 100, got {quality}")
    check_pixels(photograph.pixels, name)
    try:
        data, words = (encode_pages if photograph.others else encode)(photograph, kind, quality)
    except (pyvips.Error, OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be written as {kind}: {reason(error)}") from error
    lost = tuple(dict.fromkeys([*photograph.lost, *words]))
    if strict and lost:
        raise ImageError(f"{name}: not written, for it would not keep {'; '.join(lost)}")
    _put(target, data, overwrite)
    return lost


def write_change(
    changed: Photograph,
    path: str | os.PathLike[str],
    photograph: Photograph,
    source: str | os.PathLike[str],
    *,
    quality: int | None = None,
    overwrite: bool = True,
    strict: bool = False,
) -> tuple[str, ...]:
    """Writes what became of a photograph that was read from `source`, as `write` does, and returns what could not be
    kept.

    Where nothing was done to it, so that `changed` is the very photograph, and the format is the same, the file is
    copied: written anew, a JPEG would lose a little more.
    """
    kind = SUFFIXES.get(Path(path).suffix.lower())
    if changed is not photograph or kind != photograph.format or kind != SUFFIXES.get(Path(source).suffix.lower()):
        return write(changed, path, quality=quality, overwrite=overwrite, strict=strict)

    def copy(file: BinaryIO) -> None:
        with open(source, "rb") as original:
            shutil.copyfileobj(original, file, 2**20)

    _put(Path(path), copy, overwrite)
    return ()


def _put(target: Path, data: Data, overwrite: bool) -> None:
    name = name_of(target)
    try:
        if target.exists() and not (overwrite and target.is_file()):
            raise ImageError(f"{name}: {'exists already' if target.is_file() else 'is a folder or a device'}")
        _replace(target, data)
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be written: {reason(error)}") from error


def _replace(target: Path, data: Data) -> None:
    """Puts `data` in the file `target` in one step; on any failure the target is as before and nothing else is left."""
    target = Path(os.path.realpath(target))  # a link stays a link
    beside = target.with_name(f".pellucid-{secrets.token_hex(6)}.tmp")
    try:
        with open(beside, "xb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                data(file)
        if target.exists():
            os.chmod(beside, target.stat().st_mode)
        os.replace(beside, target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
