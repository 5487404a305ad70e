"""Files of several pages or frames: taken apart into files of one picture each, and put together again.

TIFF holds pages, each with what is said of it. PNG (APNG), WebP and GIF hold frames, with the time that each is shown,
of which some are only what has changed; they are read as what is seen, and written whole. GIF is only read.

The specifications: TIFF 6.0; Portable Network Graphics (Third Edition), W3C, for APNG; RFC 9649 for WebP.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from pellucid.errors import ImageError
from pellucid.images.decode import decode
from pellucid.images.encode import Encoded, encode
from pellucid.images.photograph import Motion, Photograph
from pellucid.images.png import chunk, chunks_of
from pellucid.images.tiff import page_starts
from pellucid.images.tiff_tables import INTEGERS, Structure
from pellucid.images.webp import chunks_of_webp, framed_webp

__all__ = ["decode_pages", "encode_pages"]

_WORD = "the other "
_MOST_RATIO, _MOST_BYTES = 2000, 2**32  # of all frames in memory; what claims more for so few bytes is an attack
_LINKS = (330, 34665, 34853, 40965)  # tags that hold where other tables lie
_STARTS = (273, 324)  # and where pixels lie


def decode_pages(data: bytes, kind: str, name: str) -> Photograph:
    """The photograph in a file, as `decode` gives it, with all its pages or frames in `others`; of a format that has
    none, or that is not taken apart here, as `decode` gives it.

    Raises what `decode` raises.
    """
    first = decode(data, kind, name)
    if first.pages == 1 or kind not in _READERS:
        return first
    height, width = first.pixels.shape[2:]
    if kind != "tiff" and 12 * height * width * first.pages > _MOST_BYTES + _MOST_RATIO * len(data):
        raise ImageError(f"{name}: claims {first.pages} pictures of {width} x {height}, in a file of {len(data)} bytes")
    pages, motion = _READERS[kind](data, name, first)
    said = tuple(word for word in first.lost if not word.startswith(_WORD))
    if kind == "png" and first.pages > len(pages):
        said += ("the picture that is shown where frames are not known",)
    first, *others = (replace(page, lost=(), pages=len(pages)) for page in pages)
    return replace(first, others=tuple(others), motion=motion, lost=said)


def encode_pages(photograph: Photograph, kind: str, quality: int | None) -> Encoded:
    """The bytes of a file of all pages or frames of a photograph, as `encode` does for one; of the first alone where
    the format cannot hold the others, which is said."""
    pages = [replace(photograph, others=(), motion=None), *photograph.others]
    frames = photograph.motion is not None and len({page.pixels.shape for page in pages}) == 1
    lost: list[str] = []
    if kind not in _WRITERS or (kind != "tiff" and not frames):
        data, lost = encode(pages[0], kind, quality)
        what = "pictures" if photograph.motion else "pages"
        return data, [*lost, f"{_WORD}{len(pages) - 1} of its {len(pages)} {what}"]
    if kind == "tiff":
        pages = _in_one_order(pages)
        lost += ["how long its pictures are shown"] if photograph.motion else []
    files = []
    for page in pages:
        data, words = encode(page, kind, quality)
        if not isinstance(data, bytes):
            file = BytesIO()
            data(file)
            data = file.getvalue()
        files.append(data)
        lost += words
    motion = photograph.motion or Motion((Fraction(0),) * len(pages))
    whole, words = _WRITERS[kind](files, motion)
    return whole, list(dict.fromkeys([*lost, *words]))


Pages = tuple[list[Photograph], Motion | None]


def _tiff_pages(data: bytes, name: str, first: Photograph) -> Pages:
    """Each page is the picture of a file whose first table is that of the page."""
    structure, pages = Structure(data), []
    letter, at = (structure.order + "Q", 8) if structure.big else (structure.order + "L", 4)
    for start in page_starts(data):
        size = struct.calcsize(letter)
        pages.append(decode(data[:at] + struct.pack(letter, start) + data[at + size :], "tiff", name))
    words = {word for page in pages for word in page.lost if not word.startswith(_WORD)}
    pages[0] = replace(pages[0], lost=tuple(words))
    return pages, None


def _frames_of_vips(data: bytes, loader: str, name: str, first: Photograph) -> Pages:
    """What is seen of each frame, as libvips lays them one below the other."""
    source = pyvips.Source.new_from_memory(data)
    roll = pyvips.Operation.call(loader, source, n=-1, fail_on="error").copy_memory()
    height = roll.get("page-height")
    count = roll.height // height
    delays = roll.get("delay") if roll.get_typeof("delay") else [0] * count
    frames = [_like_first(roll.crop(0, number * height, roll.width, height), first, name) for number in range(count)]
    loops = roll.get("loop") if roll.get_typeof("loop") else 0
    return frames, Motion(tuple(Fraction(delay, 1000) for delay in delays[:count]), loops)


def _like_first(frame: pyvips.Image, first: Photograph, name: str) -> Photograph:
    """A frame with all that is known of the first."""
    for field in frame.get_fields():
        if field in ("page-height", "n-pages", "delay", "loop"):
            frame = frame.copy()
            frame.remove(field)
    found = decode(bytes(frame.pngsave_buffer(compression=1, keep="icc")), "png", name)
    if found.pixels.shape != first.pixels.shape:
        raise ImageError(f"{name}: its frames are turned by EXIF, which is not understood")
    return replace(first, pixels=found.pixels, alpha=found.alpha, beyond=found.beyond)


def _png_frames(data: bytes, name: str, first: Photograph) -> Pages:
    """The frames of an APNG, as they are seen one after the other (its section on dispose_op and blend_op)."""
    chunks = list(chunks_of(data, pixels=True))
    head = next(body for kind, body, _ in chunks if kind == b"IHDR")
    wide, high = struct.unpack_from(">LL", head)
    colours = b"".join(whole for kind, _, whole in chunks if kind in (b"PLTE", b"tRNS"))
    shared = b"".join(whole for kind, _, whole in chunks if kind not in _PIXELS)
    parts: list[tuple[bytes, bytes]] = []
    loops = 0
    for kind, body, _ in chunks:
        if kind == b"acTL":
            (loops,) = struct.unpack_from(">L", body, 4)
        elif kind == b"fcTL" and len(body) == 26:
            parts.append((body, b""))
        elif kind == b"IDAT" and parts:
            parts[-1] = (parts[-1][0], parts[-1][1] + body)
        elif kind == b"fdAT" and parts:
            parts[-1] = (parts[-1][0], parts[-1][1] + body[4:])
    canvas: NDArray[Any] = np.zeros(0)
    seen: list[NDArray[Any]] = []
    durations = []
    for number, (control, packed) in enumerate(parts):
        across, down, left, top, above, below, dispose, blend = struct.unpack_from(">LLLLHHBB", control, 4)
        if left + across > wide or top + down > high:
            raise ImageError(f"{name}: damaged: a frame reaches beyond the picture")
        own = _png(struct.pack(">LL", across, down) + head[8:], colours, packed)
        new = _with_alpha(pyvips.Image.pngload_buffer(own, fail_on="error").numpy().reshape(down, across, -1))
        canvas = canvas if number else np.zeros((high, wide, new.shape[2]), new.dtype)
        before, place = canvas.copy(), (slice(top, top + down), slice(left, left + across))
        canvas[place] = _over(new, canvas[place]) if blend else new
        seen.append(canvas.copy())
        durations.append(Fraction(above, below or 100))
        if dispose == 1 or (dispose == 2 and not number):
            canvas[place] = 0
        elif dispose == 2:
            canvas = before
    clear = any(bool((frame[..., -1] < np.iinfo(frame.dtype).max).any()) for frame in seen)
    frames = [_png_of(frame if clear else frame[..., :-1], shared) for frame in seen]
    if not frames:
        raise ImageError(f"{name}: damaged: it has no frames")
    return [decode(frame, "png", name) for frame in frames], Motion(tuple(durations), loops)


_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"sBIT", b"bKGD", b"hIST")


def _png(head: bytes, colours: bytes, packed: bytes) -> bytes:
    """A PNG file of one picture."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + colours + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _png_of(array: NDArray[Any], shared: bytes) -> bytes:
    """A PNG file of samples (H, W, C), with more chunks in it."""
    deep = array.itemsize == 2
    kind = ("grey16" if deep else "b-w") if array.shape[2] < 3 else ("rgb16" if deep else "srgb")
    picture = pyvips.Image.new_from_array(np.ascontiguousarray(array)).copy(interpretation=kind)
    saved = bytes(picture.pngsave_buffer(compression=1, keep="none"))
    packed = b"".join(whole for name, _, whole in chunks_of(saved, pixels=True) if name == b"IDAT")
    return saved[:33] + shared + packed + chunk(b"IEND", b"")


def _with_alpha(array: NDArray[Any]) -> NDArray[Any]:
    """Samples (H, W, C) of grey or RGB with an alpha; opaque where they have none."""
    if array.shape[2] in (2, 4):
        return array
    opaque = np.full((*array.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
    return np.concatenate([array, opaque], -1)


def _over(new: NDArray[Any], old: NDArray[Any]) -> NDArray[Any]:
    """A frame laid over what was there, by its alpha, which is its last channel."""
    most = float(np.iinfo(new.dtype).max)
    above, below = new[..., -1:].astype(np.float64) / most, old[..., -1:].astype(np.float64) / most
    alpha = above + below * (1 - above)
    colours = (new[..., :-1] * above + old[..., :-1] * below * (1 - above)) / np.where(alpha > 0, alpha, 1)
    laid: NDArray[Any] = np.rint(np.concatenate([colours, alpha * most], -1)).astype(new.dtype)
    return laid


def _in_one_order(pages: Sequence[Photograph]) -> list[Photograph]:
    """Pages for one TIFF file, whose tables are all of the byte order of the first."""
    orders = [page.metadata.exif[:2] for page in pages if page.metadata.exif]
    order = orders[0] if orders else b"II"
    sign, found = ("<" if order == b"II" else ">"), []
    for page in pages:
        if page.metadata.exif[:2] != order and page is not pages[0]:
            none = order + struct.pack(sign + "HLHL", 42, 8, 0, 0)
            lost = ("EXIF of a page in another byte order",) if page.metadata.exif else ()
            page = replace(page, metadata=replace(page.metadata, exif=none), lost=(*page.lost, *lost))
        elif not page.metadata.exif:
            page = replace(page, metadata=replace(page.metadata, exif=order + struct.pack(sign + "HLHL", 42, 8, 0, 0)))
        found.append(page)
    return found


def _joined_tiff(files: Sequence[bytes], _: Motion) -> Encoded:
    """Files of one page each as one; what lies in a later one is moved, and so are the offsets that tell where."""
    whole = bytearray(files[0])
    first = Structure(whole)
    if first.big or sum(map(len, files)) > 2**32 - 2**20:
        raise ValueError("too many pages for a file of 4 GB")
    link = first.next_link(first.first)
    for file in files[1:]:
        whole += bytes(len(whole) % 2)
        page, base = bytearray(file), len(whole)
        structure = Structure(page)
        if structure.big or structure.order != first.order:
            raise ValueError("its pages do not fit into one file")
        start, following = structure.first, structure.next_link(structure.first)
        _move(structure, page, start, base)
        struct.pack_into(first.order + "L", whole, link, base + start)
        link = base + following
        whole += page
    return bytes(whole), []


def _move(structure: Structure, page: bytearray, start: int, base: int) -> None:
    """Adds `base` to every offset in a table and the tables below it."""
    count, begin = struct.unpack_from(structure.order + "H", page, start)[0], start + 2
    entries = {tag: (kind, number, where) for tag, kind, number, where in structure.entries(start)}
    for at in range(begin, begin + 12 * count, 12):
        (tag,) = struct.unpack_from(structure.order + "H", page, at)
        if tag not in entries:
            continue
        kind, number, where = entries[tag]
        if tag in _LINKS and kind in INTEGERS:
            for below in struct.unpack_from(f"{structure.order}{number}{INTEGERS[kind]}", page, where):
                _move(structure, page, below, base)
        if tag in _LINKS or tag in _STARTS:
            letters = f"{structure.order}{number}{INTEGERS[kind]}"
            moved = (value + base for value in struct.unpack_from(letters, page, where))
            struct.pack_into(letters, page, where, *moved)
        if where != at + 8:
            struct.pack_into(structure.order + "L", page, at + 8, where + base)


def _animated_png(files: Sequence[bytes], motion: Motion) -> Encoded:
    """Files of one picture each as the frames of one: those behind the first follow it."""
    heads = {file[8:33] for file in files}
    if len(heads) > 1:
        raise ValueError("its frames are not of one kind")
    first = list(chunks_of(files[0], pixels=True))
    before = b"".join(whole for kind, _, whole in first if kind not in (b"IDAT", b"IEND"))
    parts = [files[0][:8], before[:25], chunk(b"acTL", struct.pack(">LL", len(files), motion.loops)), before[25:]]
    numbers = iter(range(2 * sum(map(len, files))))
    size = files[0][16:24]
    for place, (file, duration) in enumerate(zip(files, motion.durations, strict=True)):
        told = duration.limit_denominator(65535)
        above, below = (told.numerator, told.denominator) if told.numerator < 65536 else (65535, 1)
        control = struct.pack(">L", next(numbers)) + size + struct.pack(">LLHHBB", 0, 0, above, below, 0, 0)
        parts.append(chunk(b"fcTL", control))
        for kind, body, whole in chunks_of(file, pixels=True):
            if kind == b"IDAT":
                parts.append(chunk(b"fdAT", struct.pack(">L", next(numbers)) + body) if place else whole)
    return b"".join([*parts, chunk(b"IEND", b"")]), []


def _animated_webp(files: Sequence[bytes], motion: Motion) -> Encoded:
    durations = [min(round(duration * 1000), 2**24 - 1) for duration in motion.durations]
    return framed_webp([list(chunks_of_webp(file)) for file in files], durations, motion.loops), []


def _webp_frames(data: bytes, name: str, first: Photograph) -> Pages:
    return _frames_of_vips(data, "webpload_source", name, first)


def _gif_frames(data: bytes, name: str, first: Photograph) -> Pages:
    return _frames_of_vips(data, "gifload_source", name, first)


_READERS: dict[str, Callable[[bytes, str, Photograph], Pages]] = {
    "tiff": _tiff_pages,
    "png": _png_frames,
    "webp": _webp_frames,
    "gif": _gif_frames,
}
_WRITERS: dict[str, Callable[[Sequence[bytes], Motion], Encoded]] = {
    "tiff": _joined_tiff,
    "png": _animated_png,
    "webp": _animated_webp,
}
