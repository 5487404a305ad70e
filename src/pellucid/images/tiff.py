"""TIFF files, table by table: what they hold beside their pixels, which page is the picture, and writing one.

The specifications: TIFF 6.0, its supplements, and BigTIFF.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pellucid.images.colour import Colour
from pellucid.images.exif import (
    DESCRIPTIVE,
    EXIF_TABLE,
    GPS_TABLE,
    MAKER_NOTE,
    ExifTables,
    exif_block,
    exif_tables,
    laid_tables,
    movable_note,
    ratio,
)
from pellucid.images.large_file import Content
from pellucid.images.photoshop import sorted_resources
from pellucid.images.samples import Samples
from pellucid.images.tiff_tables import Structure, Table, numbers, packed, table_bytes

__all__ = ["TiffParts", "page_starts", "parts_of_tiff", "tiff_file"]

_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION, _ORIENTATION, _SAMPLES = 254, 258, 259, 262, 270, 274, 277
_SUB_TABLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 330, 338, 339
_XMP, _IPTC, _PHOTOSHOP, _ICC, _LAYERS = 700, 33723, 34377, 34675, 37724
# How pixels lie, and how they were printed or scanned: made anew.
_LAYOUT = {
    254,
    255,
    *range(256, 267),
    273,
    274,
    *range(277, 285),
    *range(286, 304),
    317,
    318,
    319,
    *range(320, 336),
    338,
}
_LAYOUT |= {*range(339, 348), *range(512, 533), 32781, 32932, 32995, 32996, 32997, 32998, 34016, 34022, 40965, 50341}
_LAYOUT |= {50674, 59932, 59933}  # of the compression LERC, and room that Windows leaves
_LIGHT = {318, 319}  # white and primaries, which an ICC profile says, too
_ELSEWHERE = {_XMP, _IPTC, _PHOTOSHOP, _ICC, EXIF_TABLE, GPS_TABLE}
_STRIP = 2**18  # bytes of pixels in a strip, about
_BAND = 2**24  # bytes of pixels that are in memory at once, about
_MOST_CLASSIC = 2**32 - 2**20
_AT_ONCE = 2**18  # bytes that are looked at together


@dataclass
class TiffParts:
    """What a TIFF file holds beside its pixels, and where its picture is."""

    page: int = 0
    """Number of the picture among the pages in a row."""
    branch: int = -1
    """Number of the picture among the tables below that page; -1 for the page itself."""
    pages: int = 1
    """How many pictures the file has, without thumbnails and masks."""
    masked: bool = False
    """Whether one of the pages is a mask."""
    orientation: int = 1
    dpi: tuple[float, float] | None = None
    shape: tuple[float, float] | None = None
    """Pixels across and down an unknown length, where they are not square."""
    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    icc: bytes = b""
    resources: bytes = b""
    extra: tuple[int, ...] = ()
    """What the channels beside the colours are: 0 not said, 1 associated alpha, 2 alpha."""
    colour: Colour | None = None
    """What the colours mean, by the tags for primaries and a table of light for each value."""
    samples: tuple[int, int] = (8, 1)
    """Bits of a sample, and its format: 1 unsigned, 2 signed, 3 floating."""
    planar: bool = False
    """Whether each channel lies by itself."""
    tiled: bool = False
    inks: int = 0
    """How many inks, where the picture is one of inks."""
    compression: int = 1
    photometric: int = 2
    damage: str = ""
    """What is wrong with the pixels, in words: libvips passes over some of that in silence."""
    unread: tuple[str, ...] = ()


def parts_of_tiff(data: Content) -> TiffParts:
    """What is in a TIFF file; what is damaged is left out."""
    found = TiffParts()
    try:
        structure = Structure(data)
        start = _choose(structure, found)
        first = structure.table(start)
    except struct.error:
        return found
    _describe(first, found)
    found.damage = _damage(data, first, found.compression)
    try:
        tables = exif_tables(structure, start)
        if start != structure.first:  # a page behind a thumbnail: the first table may say more about the photograph
            other = exif_tables(structure)
            tables = replace(
                tables,
                first={**other.first, **tables.first},
                below=tables.below or other.below,
                note_at=tables.note_at or other.note_at,
            )
    except struct.error:
        tables = ExifTables(structure.order)
    kept = DESCRIPTIVE if found.photometric > 2 else DESCRIPTIVE | _LIGHT  # others are converted
    said = {tag: entry for tag, entry in tables.first.items() if tag in kept}
    if said.get(_DESCRIPTION, (0, 0, b""))[2].startswith((b'{"shape"', b"ImageJ=")):
        del said[_DESCRIPTION]  # a program's own description of how the pixels lie
    if _ORIENTATION in tables.first:
        said[_ORIENTATION] = packed(3, 1)  # the pixels become upright
    lost: list[str] = []
    if said or tables.below:
        found.exif, lost = exif_block(replace(tables, first=said))
    unknown = sorted(tables.first.keys() - DESCRIPTIVE - _LAYOUT - _ELSEWHERE - {_LAYERS})
    lost += ["a mask among its pages"] if found.masked else []
    lost += ["Photoshop layers"] if _LAYERS in tables.first else []
    lost += [f"TIFF tags {', '.join(map(str, unknown))}"] if unknown else []
    found.unread = tuple(lost)
    return found


def tiff_file(
    samples: Samples,
    *,
    grey: bool,
    extra: tuple[int, ...],
    dpi: tuple[float, float] | None,
    shape: tuple[float, float] | None,
    exif: bytes,
    xmp: bytes,
    icc: bytes,
    iptc: bytes,
    resources: bytes,
) -> tuple[Callable[[BinaryIO], None], list[str]]:
    """What writes a TIFF file into one that is open at its beginning, strip by strip, and what cannot go into it, in
    words.

    The EXIF block is its beginning, byte for byte but for the offset of its first table, so that the offsets in maker
    notes stay right. The samples are compressed by deflate, integers after the horizontal predictor.

    Args:
        samples: (H, W, C) of uint8, uint16 or float32; grey or RGB, then the extra channels.
        grey: whether the first channel is all of the picture.
        extra: what each further channel is: 0 not said, 2 alpha.
        dpi: resolution; None for none.
        shape: pixels across and down an unknown length, where they are not square.
        exif: an EXIF block; its descriptive tags, EXIF, GPS and interoperability tables are taken.
        xmp: the packet.
        icc: the profile.
        iptc: the records.
        resources: those of Photoshop.
    """
    lost: list[str] = []
    try:
        tables = exif_tables(Structure(exif)) if exif else ExifTables()
    except struct.error:
        tables, exif = ExifTables(), b""
    big = samples.nbytes > _MOST_CLASSIC
    order = tables.order
    if big:
        note = tables.below.get(EXIF_TABLE, {}).get(MAKER_NOTE)
        if note and not movable_note(note[2]):
            lost.append("maker notes")
            del tables.below[EXIF_TABLE][MAKER_NOTE]
        head = (b"II+\0" if order == "<" else b"MM\0+") + struct.pack(order + "HHQ", 8, 0, 0)
    else:
        head = exif or b"II*\0" + bytes(4)
    head += b"\0" * (len(head) % 2)
    height, width, channels = samples.shape
    itemsize, floating = samples.dtype.itemsize, samples.dtype.kind == "f"
    rows = max(1, _STRIP // (width * channels * itemsize))
    kept = DESCRIPTIVE | _LIGHT if icc else DESCRIPTIVE
    first: Table = {tag: entry for tag, entry in tables.first.items() if tag in kept}
    strange = sorted(tables.first.keys() - DESCRIPTIVE - _LAYOUT - _ELSEWHERE)
    lost += [f"EXIF tags {', '.join(map(str, strange))}"] if strange else []
    first |= {_ORIENTATION: packed(3, 1)} if _ORIENTATION in tables.first else {}
    told = dpi or shape
    own = {tag: tables.first.get(tag, (5, 1, ratio(1))) for tag in (282, 283)}
    first |= {
        _SUBFILE: packed(4, 0),
        256: packed(4, width),
        257: packed(4, height),
        _BITS: packed(3, *[8 * itemsize] * channels),
        _COMPRESSION: packed(3, 8),
        _PHOTOMETRIC: packed(3, 1 if grey else 2),
        _SAMPLES: packed(3, channels),
        278: packed(4, rows),
        282: (5, 1, ratio(told[0])) if told else own[282],
        283: (5, 1, ratio(told[1])) if told else own[283],
        284: packed(3, 1),
        296: packed(3, 2 if dpi else 1),
        317: packed(3, 1 if floating else 2),
        _SAMPLE_FORMAT: packed(3, *[3 if floating else 1] * channels),
    }
    if extra:
        first[_EXTRA_SAMPLES] = packed(3, *extra)
    for tag, kind, blob in ((_XMP, 1, xmp), (_IPTC, 7, iptc), (_PHOTOSHOP, 1, resources), (_ICC, 7, icc)):
        if blob:
            first[tag] = (kind, len(blob), blob)

    def write(file: BinaryIO) -> None:
        file.write(head)
        begins, sizes, at = [], [], len(head)
        many = max(1, _BAND // (rows * width * channels * itemsize)) * rows
        for top in range(0, height, many):
            band = samples[top : min(top + many, height)]
            for strip in range(0, len(band), rows):
                packed_strip = zlib.compress(_predicted(band[strip : strip + rows], order), 6)
                begins.append(at)
                sizes.append(len(packed_strip))
                packed_strip += b"\0" * (len(packed_strip) % 2)
                file.write(packed_strip)
                at += len(packed_strip)
        long = 16 if big else 4
        whole = first | {273: packed(long, *begins), 279: packed(long, *sizes)}
        if big:
            tail, start = laid_tables(replace(tables, first=whole), at, big=True)
        else:
            links = Structure(exif).integers(Structure(exif).first) if exif else {}
            whole |= {
                tag: packed(4, links[tag]) for tag in (EXIF_TABLE, GPS_TABLE) if tag in links and tag in tables.below
            }
            tail, start = table_bytes(whole, at, order), at
        file.write(tail)
        file.seek(8 if big else 4)
        file.write(struct.pack(order + ("Q" if big else "L"), start))

    return write, lost


def page_starts(data: bytes) -> list[int]:
    """Where the tables of the pages lie that are no thumbnails and no masks."""
    structure = Structure(data)
    return [page for page in structure.chain() if not _reduced(structure.integers(page))]


def _choose(structure: Structure, found: TiffParts) -> int:
    """The table of the picture: the first page that is no thumbnail and no mask, or one below a page; counts the
    pages."""
    pages = structure.chain()
    kinds = [structure.integers(page) for page in pages]
    full = [number for number, tags in enumerate(kinds) if not _reduced(tags)]
    found.pages = max(1, len(full))
    found.masked = any(tags.get(_SUBFILE, 0) & 0b100 for tags in kinds)
    if full:
        found.page = full[0]
        return pages[full[0]]
    for number, page in enumerate(pages):
        for branch, start in enumerate(numbers(structure.table(page).get(_SUB_TABLES, (4, 0, b"")))):
            try:
                tags = structure.integers(start)
            except struct.error:
                continue
            if 256 in tags and not _reduced(tags):
                found.page, found.branch = number, branch
                return start
    return structure.first


def _reduced(tags: dict[int, int]) -> bool:
    """Whether a table is of a smaller version or of a mask, by the new tag or the old one."""
    return bool(tags.get(_SUBFILE, 0) & 0b101) or (_SUBFILE not in tags and tags.get(255) == 2)


def _describe(first: Table, found: TiffParts) -> None:
    found.orientation = next(iter(numbers(first.get(_ORIENTATION, packed(3, 1)))), 1)
    if not 1 <= found.orientation <= 8:
        found.orientation = 1
    inch = {2: 1.0, 3: 2.54}.get((numbers(first.get(296, packed(3, 2))) or [2])[0])
    across, down = (_ratios(first.get(tag)) for tag in (282, 283))
    if inch and across and down:
        found.dpi = (across[0] * inch, down[0] * inch)
    elif across and down and min(across[0], down[0]) > 0 and across[0] != down[0]:
        found.shape = (across[0], down[0])
    found.extra = tuple(numbers(first.get(_EXTRA_SAMPLES, (3, 0, b""))))
    colours = {0: 1, 1: 1, 2: 3}.get((numbers(first.get(_PHOTOMETRIC, packed(3, 9))) or [9])[0])
    samples = (numbers(first.get(_SAMPLES, packed(3, 1))) or [1])[0]
    if colours is not None and samples >= colours:  # the tag may be missing or too short
        found.extra = (*found.extra, *(0,) * samples)[: samples - colours]
    bits, kind = numbers(first.get(_BITS, packed(3, 1))), numbers(first.get(_SAMPLE_FORMAT, packed(3, 1)))
    found.samples = (bits[0] if bits else 1, kind[0] if kind else 1)
    found.xmp = first.get(_XMP, (1, 0, b""))[2]
    found.iptc = first.get(_IPTC, (7, 0, b""))[2]
    found.compression = (numbers(first.get(_COMPRESSION, packed(3, 1))) or [1])[0]
    found.planar = (numbers(first.get(284, packed(3, 1))) or [1])[0] == 2
    found.tiled = 324 in first
    found.photometric = (numbers(first.get(_PHOTOMETRIC, packed(3, 2))) or [2])[0]
    found.inks = samples - len(found.extra) if found.photometric == 5 else 0
    found.icc = first.get(_ICC, (7, 0, b""))[2]
    found.colour = _colour(first)
    inner, found.resources = sorted_resources(first.get(_PHOTOSHOP, (1, 0, b""))[2])
    if found.iptc and found.iptc[0] != 0x1C and found.iptc[3:4] == b"\x1c":  # written as numbers of four bytes
        found.iptc = np.frombuffer(found.iptc, ">u4").astype("<u4").tobytes()
    found.iptc = found.iptc or inner


def _damage(data: Content, first: Table, compression: int) -> str:
    """What is wrong with the strips or tiles: outside the file, or not what their checksums say."""
    for begins, sizes in ((273, 279), (324, 325)):
        places = zip(numbers(first.get(begins, (4, 0, b""))), numbers(first.get(sizes, (4, 0, b""))), strict=False)
        for begin, size in places:
            if begin + size > len(data):
                return "its pixels reach outside the file"
            if compression in (8, 32946) and size and not _whole(data, begin, size):
                return "damaged pixels"
    return ""


def _whole(data: Content, begin: int, size: int) -> bool:
    """Whether a stream of deflate is whole and right."""
    stream = zlib.decompressobj()
    try:
        for at in range(begin, begin + size, _AT_ONCE):
            some = data[at : min(at + _AT_ONCE, begin + size)]
            while some and not stream.eof:
                stream.decompress(some, 2**22)
                some = stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof


def _colour(first: Table) -> Colour | None:
    """The colours by the tags WhitePoint, PrimaryChromaticities and TransferFunction; None where they are not there."""
    white, primaries = (_ratios(first.get(tag)) for tag in (318, 319))
    table = numbers(first.get(301, (4, 0, b"")))
    if not table and len(primaries) != 6:
        return None
    base = Colour().chromaticities
    a, b = white if len(white) == 2 and white[1] > 0 else base[:2]
    c, d, e, f, g, h = primaries if len(primaries) == 6 and min(primaries[1::2]) > 0 else base[2:]
    levels = 1 << min((numbers(first.get(_BITS, packed(3, 8))) or [8])[0], 16)
    if len(table) not in (levels, 3 * levels):
        return Colour((a, b, c, d, e, f, g, h))
    return Colour((a, b, c, d, e, f, g, h), tuple(table[:levels]))


def _ratios(entry: tuple[int, int, bytes] | None) -> list[float]:
    """The values of a RATIONAL entry."""
    if entry is None or entry[0] != 5:
        return []
    values = struct.unpack(f"<{2 * entry[1]}L", entry[2])
    return [above / below if below else 0.0 for above, below in zip(values[::2], values[1::2], strict=True)]


def _predicted(strip: NDArray[Any], order: str) -> bytes:
    """A strip (rows, W, C) in the order of bytes; integers as differences to the pixel before."""
    if strip.dtype.kind != "f":
        strip = np.concatenate([strip[:, :1], np.diff(strip, axis=1)], 1)  # wraps around, as it must
    return strip.astype(strip.dtype.newbyteorder(">" if order == ">" else "<")).tobytes()
