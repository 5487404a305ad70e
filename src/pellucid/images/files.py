"""Reading a photograph from a file and writing it: names, errors, and files that appear whole or not at all."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyvips

from pellucid.errors import ImageError, SettingsError
from pellucid.images.decode import decode, format_of
from pellucid.images.encode import encode
from pellucid.images.messages import name_of, reason
from pellucid.images.photograph import Photograph
from pellucid.images.values import check_pixels

__all__ = ["SUFFIXES", "read", "readable", "supported", "write", "write_change"]

SUFFIXES: Mapping[str, str] = {
    ".avif": "avif",
    ".bmp": "bmp",
    ".jpeg": "jpeg",
    ".jpg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
"""Suffixes of the files that are read and written, in small letters, and their formats."""

# Camera raw files look like TIFF; what would be read from them is their little preview.
_RAW = {".3fr", ".arw", ".cr2", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".nef", ".nrw", ".pef", ".sr2", ".srw"}


def readable(path: str | os.PathLike[str]) -> bool:
    """Whether the suffix of `path` is that of a picture that is read, and perhaps not written; the file is not looked at."""
    return supported(path) or Path(path).suffix.lower() == ".gif"


def supported(path: str | os.PathLike[str]) -> bool:
    """Whether the suffix of `path` is one of `SUFFIXES`; the file is not looked at."""
    return Path(path).suffix.lower() in SUFFIXES


def read(path: str | os.PathLike[str]) -> Photograph:
    """Reads the picture in the file at `path`, upright, whatever characters its name has.

    Raises `ImageError` where there is no such file, or it is empty, truncated, damaged, or not a picture.
    """
    name = name_of(path)
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be read: {reason(error)}") from error
    if not data:
        raise ImageError(f"{name}: the file is empty")
    kind = format_of(data, name)
    if kind == "tiff" and Path(path).suffix.lower() in _RAW:
        raise ImageError(f"{name}: a camera raw file cannot be read; develop it to TIFF first")
    try:
        return decode(data, kind, name)
    except (pyvips.Error, UnicodeDecodeError) as error:  # the second where libvips quotes the damaged bytes
        raise ImageError(f"{name}: truncated, damaged or of an unknown sort of {kind} ({reason(error)})") from error
    except MemoryError as error:
        raise ImageError(f"{name}: the picture is too large for the memory of this machine") from error


def write(photograph: Photograph, path: str | os.PathLike[str], *, quality: int = 95, overwrite: bool = True) -> None:
    """Writes `photograph` to the file at `path`, in the format of its suffix.

    `quality` (1 to 100) is that of JPEG (chroma at full resolution), WebP and AVIF; PNG and TIFF are lossless. The file
    appears whole or not at all: it is written beside its place under another name and then moved there. With
    `overwrite=False` an existing file is left alone, and that is an error.

    Raises `ImageError` where the suffix is unknown, the pixels hold NaN, or the file cannot be written, and
    `SettingsError` for a wrong quality.
    """
    name, target = name_of(path), Path(path)
    kind = SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise ImageError(f"{name}: cannot write files with the suffix {target.suffix!r}; known: {', '.join(SUFFIXES)}")
    if not 1 <= quality <= 100:
        raise SettingsError(f"the quality must lie in 1 to 100, got {quality}")
    check_pixels(photograph.pixels, name)
    try:
        data = encode(photograph, kind, quality)
    except pyvips.Error as error:
        raise ImageError(f"{name}: cannot be written as {kind}: {reason(error)}") from error
    _put(target, data, overwrite)


def write_change(
    changed: Photograph,
    path: str | os.PathLike[str],
    photograph: Photograph,
    source: str | os.PathLike[str],
    *,
    overwrite: bool = True,
) -> None:
    """Writes what became of a photograph that was read from `source`, as `write` does.

    Where nothing was done to it, so that `changed` is the very photograph, and the format is the same, the file is copied:
    written anew, a JPEG would lose a little more.
    """
    same = SUFFIXES.get(Path(path).suffix.lower()) == SUFFIXES.get(Path(source).suffix.lower())
    if changed is not photograph or not same:
        write(changed, path, overwrite=overwrite)
        return
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise ImageError(f"{name_of(source)}: cannot be read: {reason(error)}") from error
    _put(Path(path), data, overwrite)


def _put(target: Path, data: bytes, overwrite: bool) -> None:
    name = name_of(target)
    try:
        if target.exists() and not (overwrite and target.is_file()):
            raise ImageError(f"{name}: {'exists already' if target.is_file() else 'is a folder or a device'}")
        _replace(target, data)
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be written: {reason(error)}") from error


def _replace(target: Path, data: bytes) -> None:
    """Puts `data` in the file `target` in one step; on any failure the target is as before and nothing else is left."""
    target = Path(os.path.realpath(target))  # a link stays a link
    beside = target.with_name(f".pellucid-{secrets.token_hex(6)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data)
        if target.exists():
            os.chmod(beside, target.stat().st_mode)
        os.replace(beside, target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
