"""An EXIF block, a TIFF structure without the `Exif\\0\\0` before it: made true for upright pixels of another size, and
fitted.

The specification: Exif 2.32, CIPA DC-008.
"""

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pellucid.images.tiff_tables import INTEGERS, Structure, Table, packed, table_bytes
from pellucid.images.turning import turned_point

__all__ = [
    "DESCRIPTIVE",
    "EXIF_TABLE",
    "GPS_TABLE",
    "MAKER_NOTE",
    "ExifTables",
    "exif_block",
    "exif_tables",
    "fitted",
    "grown",
    "laid_tables",
    "movable_note",
    "moved",
    "orientation_of",
    "ratio",
    "resolution",
    "says_adobe_rgb",
    "sized",
    "tidied",
    "turned",
    "with_resolution",
    "with_sides_exchanged",
]

EXIF_TABLE, GPS_TABLE, INTEROPERABILITY_TABLE, MAKER_NOTE = 0x8769, 0x8825, 0xA005, 0x927C
_DESCRIPTION = 270
_GEOGRAPHIC = {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113}
DESCRIPTIVE = {269, _DESCRIPTION, 271, 272, 285, 305, 306, 315, 316, 337, 18246, 18249, 33432, *range(40091, 40096)}
DESCRIPTIVE |= {
    33434,
    33437,
    34850,
    34852,
    *range(34855, 34861),
    *range(34864, 34870),
    36867,
    36868,
    *range(36880, 36883),
}
DESCRIPTIVE |= {*range(37377, 37388), *range(37393, 37399), 37520, 37521, 37522}  # TIFF/EP has them in its first table
DESCRIPTIVE |= {18247, 18248, 50708, 50709, 50735, 50736, 65000, 65001, 65002, *range(65100, 65113)}
DESCRIPTIVE |= _GEOGRAPHIC
"""What the first table of a TIFF file says about the photograph, not about how its pixels lie: names of document and
page, description, maker, model, software, date, artist, computer, ratings, copyright, the title, comment, author,
keywords and subject of Windows, exposure, history, camera and lens as TIFF/EP, DNG and Camera Raw say them, and where
on Earth it lies (GeoTIFF, GDAL)."""

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_THUMBNAIL_START, _THUMBNAIL_SIZE = 0x0201, 0x0202
_PIXELS_ACROSS, _PIXELS_DOWN, _COLOUR_SPACE = 0xA002, 0xA003, 0xA001
_SUBJECT_AREA, _SUBJECT_LOCATION = 0x9214, 0xA214

# Maker notes that hold no offsets, or offsets into themselves: they may be moved.
_MOVABLE = (b"Nikon\0\x02", b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"Apple iOS\0", b"PENTAX \0", b"HDRP")

_NAMES = {MAKER_NOTE: "maker notes", 37510: "the user's comment", _DESCRIPTION: "the description", 37724: "layers"}


@dataclass(frozen=True)
class ExifTables:
    """An EXIF block taken apart."""

    order: str = "<"
    """Byte order, `<` or `>`."""
    first: Table = field(default_factory=dict)
    """Maker, model, dates and the like; without the links to the other tables."""
    below: dict[int, Table] = field(default_factory=dict)
    """The tables of the camera's settings, of the place, and of the interoperability, by the tags that link to them."""
    note_at: int = 0
    """Where the maker note lay; its own offsets may count from the same beginning."""


def exif_tables(structure: Structure, start: int | None = None) -> ExifTables:
    """The table at `start`, or the first, and those of EXIF below it. Raises struct.error."""
    start = structure.first if start is None else start
    first, links, note_at = structure.table(start), structure.integers(start), 0
    below = {tag: structure.table(links[tag]) for tag in (EXIF_TABLE, GPS_TABLE) if tag in links}
    if EXIF_TABLE in links:
        inner = structure.integers(links[EXIF_TABLE])
        with suppress(struct.error):
            if INTEROPERABILITY_TABLE in inner:
                below[INTEROPERABILITY_TABLE] = structure.table(inner[INTEROPERABILITY_TABLE])
        note_at = {tag: where for tag, _, _, where in structure.entries(links[EXIF_TABLE])}.get(MAKER_NOTE, 0)
        below[EXIF_TABLE].pop(INTEROPERABILITY_TABLE, None)
    for tag in (EXIF_TABLE, GPS_TABLE):
        first.pop(tag, None)
    return ExifTables(structure.order, first, below, note_at)


def exif_block(tables: ExifTables) -> tuple[bytes, list[str]]:
    """The tables as one EXIF block, and what had to stay out of it, in words.

    A maker note keeps its place, if it lay in the first megabyte, or is of a kind that may be moved.
    """
    lost: list[str] = []
    below = {tag: dict(table) for tag, table in tables.below.items()}
    tables = replace(tables, below=below)
    note, at = below.get(EXIF_TABLE, {}).get(MAKER_NOTE, (7, 0, b""))[2], tables.note_at
    fixed = len(note) > 4 and not movable_note(note)
    if fixed and not 8 <= at < 2**20:
        del below[EXIF_TABLE][MAKER_NOTE]
        lost.append(_NAMES[MAKER_NOTE])
        fixed = False
    placed = {MAKER_NOTE: at} if fixed else {}
    body, first = laid_tables(tables, 8, placed=placed)
    if fixed and at >= 8 + len(body):
        body = body.ljust(at - 8, b"\0") + note
    elif fixed:
        behind = at + len(note) + (at + len(note)) % 2
        rest, first = laid_tables(tables, behind, placed=placed)
        body = (bytes(at - 8) + note).ljust(behind - 8, b"\0") + rest
    return (b"II*\0" if tables.order == "<" else b"MM\0*") + struct.pack(tables.order + "L", first) + body, lost


def laid_tables(
    tables: ExifTables, at: int, *, big: bool = False, placed: Mapping[int, int] | None = None
) -> tuple[bytes, int]:
    """The tables one behind the other from the even offset `at` on, and where the first one, which lies last,
    begins."""
    parts: list[bytes] = []
    links: Table = {}
    for tag in (INTEROPERABILITY_TABLE, EXIF_TABLE, GPS_TABLE):
        table = dict(tables.below.get(tag, {}))
        if tag == EXIF_TABLE and INTEROPERABILITY_TABLE in links:
            table[INTEROPERABILITY_TABLE] = links.pop(INTEROPERABILITY_TABLE)
        if table:
            parts.append(table_bytes(table, at, tables.order, big=big, placed=placed if tag == EXIF_TABLE else None))
            links[tag] = packed(18 if big else 4, at)
            at += len(parts[-1])
    parts.append(table_bytes({**tables.first, **links}, at, tables.order, big=big))
    return b"".join(parts), at


def movable_note(note: bytes) -> bool:
    """Whether a maker note stays readable wherever it lies."""
    return note.startswith(_MOVABLE)


def fitted(exif: bytes, most: int) -> tuple[bytes, list[str]]:
    """`exif` in at most so many bytes: its largest values are left out until the rest fits; what was left out, in
    words."""
    if len(exif) <= most:
        return exif, []
    try:
        tables = exif_tables(Structure(exif))
    except struct.error:
        return b"", ["EXIF"]
    lost: list[str] = []
    below = {tag: dict(table) for tag, table in tables.below.items()}
    where = {0: dict(tables.first), **below}
    while True:
        block, more = exif_block(replace(tables, first=where[0], below={tag: where[tag] for tag in below}))
        if len(block) <= most:
            return block, [*lost, *more]
        sizes = {(len(entry[2]), table, tag) for table, entries in where.items() for tag, entry in entries.items()}
        _, table, tag = max(sizes)
        del where[table][tag]
        lost.append(_NAMES.get(tag, f"EXIF tag 0x{tag:04x}"))


def tidied(exif: bytes) -> bytes:
    """`exif` with orientation 1 and its thumbnail wiped, in place; nothing where it cannot be understood."""
    data = bytearray(exif)
    try:
        structure = Structure(data)
        if structure.big:
            return b""
        structure.set_integers(structure.first, {_ORIENTATION: 1})
        link = structure.next_link(structure.first)
        (second,) = struct.unpack_from(structure.order + "L", data, link)
        struct.pack_into(structure.order + "L", data, link, 0)
    except struct.error:
        return b""
    with suppress(struct.error):
        thumbnail = structure.integers(second) if second else {}
        at, size = thumbnail.get(_THUMBNAIL_START, 0), thumbnail.get(_THUMBNAIL_SIZE, 0)
        if 8 <= at < len(data):
            data[at : at + size] = bytes(min(size, len(data) - at))  # an old picture must not live on in unused bytes
    return bytes(data)


def orientation_of(exif: bytes) -> int:
    """The orientation that `exif` tells, 1 to 8; 0 where it tells none."""
    with suppress(struct.error):
        structure = Structure(exif)
        told = structure.integers(structure.first).get(_ORIENTATION, 0)
        return told if 1 <= told <= 8 else 0
    return 0


def turned(exif: bytes, orientation: int, width: int, height: int) -> bytes:
    """`exif` with the place of its subject in the upright picture; it lay `width` x `height` with that orientation."""

    def upright(x: float, y: float, *sizes: float) -> tuple[float, ...]:
        x, y = turned_point(x, y, orientation, width, height)
        return (x, y, *(sizes[::-1] if orientation > 4 else sizes))

    return _with_subject(exif, upright)


def with_sides_exchanged(exif: bytes) -> bytes:
    """`exif` whose horizontal and vertical resolution have changed places."""
    data = bytearray(exif)
    with suppress(struct.error):
        structure = Structure(data)
        found = {
            tag: where for tag, kind, count, where in structure.entries(structure.first) if kind == 5 and count == 1
        }
        if _X_RESOLUTION in found and _Y_RESOLUTION in found:
            one, other = found[_X_RESOLUTION], found[_Y_RESOLUTION]
            data[one : one + 8], data[other : other + 8] = data[other : other + 8], data[one : one + 8]
    return bytes(data)


def grown(exif: bytes, across: float, down: float) -> bytes:
    """`exif` with the place of its subject in a picture that is so many times as wide and as high."""

    def larger(x: float, y: float, *sizes: float) -> tuple[float, ...]:
        factors = (across, down) if len(sizes) == 2 else (max(across, down),)
        return (x * across, y * down, *(size * factor for size, factor in zip(sizes, factors, strict=False)))

    return _with_subject(exif, larger)


def moved(exif: bytes, left: int, top: int) -> bytes:
    """`exif` with the place of its subject in a part of the picture that begins at (left, top)."""
    return _with_subject(exif, lambda x, y, *sizes: (x - left, y - top, *sizes))


def _with_subject(exif: bytes, change: Callable[..., tuple[float, ...]]) -> bytes:
    """`exif` with another place of its subject: x, y, and the radius of a circle or the width and height, in pixels."""
    data = bytearray(exif)
    with suppress(struct.error):
        structure = Structure(data)
        links = structure.integers(structure.first)
        if EXIF_TABLE in links:
            for tag, kind, count, where in structure.entries(links[EXIF_TABLE]):
                if tag in (_SUBJECT_AREA, _SUBJECT_LOCATION) and kind == 3 and 2 <= count <= 4:
                    letters = f"{structure.order}{count}{INTEGERS[kind]}"
                    values = change(*struct.unpack_from(letters, data, where))
                    struct.pack_into(letters, data, where, *(min(max(round(value), 0), 65535) for value in values))
    return bytes(data)


def sized(exif: bytes, width: int, height: int) -> bytes:
    """`exif` with the size of the picture in pixels, where it tells one."""
    data = bytearray(exif)
    with suppress(struct.error):
        structure = Structure(data)
        tables = structure.integers(structure.first)
        if EXIF_TABLE in tables:
            structure.set_integers(tables[EXIF_TABLE], {_PIXELS_ACROSS: width, _PIXELS_DOWN: height})
    return bytes(data)


def with_resolution(exif: bytes, dpi: tuple[float, float]) -> tuple[bytes, list[str]]:
    """`exif` that tells the resolution, in dots per inch, and what was lost by that, in words; as it was where it tells
    one."""
    if resolution(exif) is not None:
        return exif, []
    try:
        tables = exif_tables(Structure(exif)) if exif else ExifTables()
    except struct.error:
        return exif, ["resolution"]
    rows = {tag: (5, 1, ratio(value)) for tag, value in zip((_X_RESOLUTION, _Y_RESOLUTION), dpi, strict=True)}
    block, lost = exif_block(replace(tables, first={**tables.first, **rows, _RESOLUTION_UNIT: packed(3, 2)}))
    return (exif, ["resolution"]) if lost else (block, [])


def ratio(value: float) -> bytes:
    """A RATIONAL near the value."""
    below = 1 if value == int(value) else 10000
    return struct.pack("<LL", min(round(value * below), 2**32 - 1), below)


def says_adobe_rgb(exif: bytes) -> bool:
    """Whether `exif` says that the colours are those of Adobe RGB (1998), in the words of the rule for camera files
    (DCF 2.0)."""
    with suppress(struct.error):
        below = exif_tables(Structure(exif)).below
        space = below.get(EXIF_TABLE, {}).get(_COLOUR_SPACE, (3, 1, b"\xff\xff"))[2][:2]
        rules = below.get(INTEROPERABILITY_TABLE, {}).get(1, (2, 0, b""))[2]
        return space == b"\2\0" or (space == b"\xff\xff" and rules.startswith(b"R03"))
    return False


def resolution(exif: bytes) -> tuple[float, float] | None:
    """The horizontal and vertical resolution that `exif` tells, in dots per inch; None where it tells none."""
    with suppress(struct.error, ZeroDivisionError, KeyError):
        structure = Structure(exif)
        found = {tag: where for tag, kind, number, where in structure.entries(structure.first) if kind == 5 and number}
        ratios = [
            struct.unpack_from(structure.order + "LL", exif, found[tag]) for tag in (_X_RESOLUTION, _Y_RESOLUTION)
        ]
        unit = structure.integers(structure.first).get(_RESOLUTION_UNIT, 2)
        if unit == 1:  # only how the sides of a pixel are to each other
            return None
        inch = 2.54 if unit == 3 else 1.0
        across, down = (inch * above / below for above, below in ratios)
        return across, down
    return None
