"""What people see: PNG files with the pixels of the originals and nothing else that could tell A from B."""

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyvips
import torch

from pellucid import images
from pellucid.errors import DataError
from pellucid.images import Metadata, Photograph
from pellucid.studies.preference.files import StudyFiles
from pellucid.studies.preference.plan import Plan, PlannedPhotograph

__all__ = ["picture_path", "prepare"]

_COLOUR_TAGS = (b"gAMA", b"cHRM", b"sRGB", b"cICP")


def picture_path(folder: Path, entry: PlannedPhotograph, role: str) -> Path:
    """The PNG file of a photograph: `role` is a, b, input or clean. Its name follows from what the originals hold."""
    # A and B are brought to one format, so what is written of one depends on the other.
    content = [entry.a, entry.b] if role in ("a", "b") else [getattr(entry, role)]
    return folder / (hashlib.sha256("\n".join([role, *content]).encode()).hexdigest()[:32] + ".png")


def prepare(
    plan: Plan, sources: list[StudyFiles], folder: Path, *, progress: Callable[[int, str], None] = lambda *_: None
) -> None:
    """Writes the PNG files that are not yet in `folder`.

    Values are those of the originals, at full resolution; 16 bits stay 16 bits and colour profiles are kept. A and B of
    one photograph get the same depth, channels and profile, so that nothing but what is seen tells them apart: the
    greater depth, colour and alpha where one of them has it. Where their profiles differ, both are converted to sRGB,
    in 16 bits. EXIF and all other metadata stay behind.

    Args:
        plan: the study.
        sources: its files, in the order of the plan.
        folder: where to write; made where it is missing.
        progress: called with how many photographs are done, and the name of the next.

    Raises:
        DataError: two pictures of one photograph do not fit together, or the folder cannot be made.
        ImageError: a picture cannot be read or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror})") from error
    for number, (entry, source) in enumerate(zip(plan.photographs, sources, strict=True)):
        progress(number, source.name)
        roles = ["a", "b", "input"] + (["clean"] if source.clean else [])
        paths = {role: picture_path(folder, entry, role) for role in roles}
        if all(path.exists() for path in paths.values()):
            continue
        pictures = {role: images.read(getattr(source, role)) for role in roles}
        _check_sizes(source, pictures)
        same = _same_colours(pictures["a"], pictures["b"])
        a, b = _alike(pictures["a"], pictures["b"], same)
        for role, picture in ({role: _bare(picture) for role, picture in pictures.items()} | {"a": a, "b": b}).items():
            beside = folder / ".new.png"  # a picture that is there is whole and final
            images.write(picture, beside)
            if role in ("a", "b") and not same:
                _to_srgb(beside)
            beside.replace(paths[role])


def _check_sizes(source: StudyFiles, pictures: dict[str, Photograph]) -> None:
    """Raises DataError unless A, B and clean have one size, and the input that size divided by a whole number."""
    sizes = {role: picture.pixels.shape[-2:] for role, picture in pictures.items()}
    height, width = sizes["a"]
    for role in ("b", "clean"):
        if sizes.get(role, sizes["a"]) != sizes["a"]:
            raise DataError(_misfit(source, role, sizes))
    small_height, small_width = sizes["input"]
    scale = width // small_width
    if (height, width) != (scale * small_height, scale * small_width):
        raise DataError(_misfit(source, "input", sizes) + " (only a whole number of times smaller would do)")


def _misfit(source: StudyFiles, role: str, sizes: dict[str, torch.Size]) -> str:
    here, there = (f"{width} x {height}" for height, width in (sizes[role], sizes["a"]))
    return f"{getattr(source, role)}: {here} pixels, but {source.a} has {there}"


def _same_colours(a: Photograph, b: Photograph) -> bool:
    """Whether the values of two photographs mean the same colours; a grey profile fits no colour picture."""
    return _profile(a) == _profile(b) and (a.grey == b.grey or not a.metadata.icc)


def _alike(a: Photograph, b: Photograph, same: bool) -> Iterator[Photograph]:
    """Two photographs in one format, without metadata; each in its own colours where they are not the same."""
    alpha = a.alpha is not None or b.alpha is not None
    bits = max(a.bits, b.bits) if same else 16
    for picture in (a, b):
        opaque = torch.ones_like(picture.pixels[:, :1]) if alpha and picture.alpha is None else picture.alpha
        # What has a grey profile is grey until it is converted.
        grey = a.grey and b.grey if same else picture.grey and bool(picture.metadata.icc)
        yield replace(_bare(picture), grey=grey, bits=bits, alpha=opaque)


def _bare(picture: Photograph) -> Photograph:
    """The photograph without metadata, but for what says how its colours are meant."""
    icc, tags = _profile(picture)
    return replace(picture, metadata=Metadata(icc=icc, chunks=tags))


def _profile(picture: Photograph) -> tuple[bytes, bytes]:
    """What a photograph says about its colours: an ICC profile, and tags of PNG."""
    chunks, tags, at = picture.metadata.chunks, b"", 0
    while at + 8 <= len(chunks):
        size, name = struct.unpack_from(">L4s", chunks, at)
        if name in _COLOUR_TAGS:
            tags += chunks[at : at + 12 + size]
        at += 12 + size
    return picture.metadata.icc, tags


def _to_srgb(path: Path) -> None:
    """Makes a PNG file one in sRGB, in 16 bits, without a profile."""
    image = pyvips.Image.new_from_buffer(path.read_bytes(), "")  # a name would be answered from libvips' cache
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=16)
    data = image.pngsave_buffer(keep="none")
    path.write_bytes(data)
