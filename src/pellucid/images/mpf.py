"""The list of pictures in a JPEG file that holds several (Multi-Picture Format): read, and written for other places.

The specification: CIPA DC-007.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from pellucid.images.tiff_tables import Structure, Table, packed, table_bytes

__all__ = ["Entry", "PictureList", "listed_pictures", "picture_list"]

_VERSION, _COUNT, _ENTRIES, _NAMES = 0xB000, 0xB001, 0xB002, 0xB003
_FIRST = 0x030000  # the baseline picture, of which nothing more is said


@dataclass(frozen=True)
class Entry:
    """What a list says of a picture."""

    kind: int
    """Its attributes: what it is a part of, and of what sort."""
    number: int = 0
    """Its place in the list, from 1."""
    dependents: tuple[int, int] = (0, 0)
    """The places of the pictures that depend on it; 0 for none."""


@dataclass(frozen=True)
class PictureList:
    """What a list says beside the places of its pictures."""

    first: Entry = Entry(_FIRST, 1)
    index: Table = field(default_factory=dict)
    """Of all pictures: their names, how many were taken."""
    attributes: Table = field(default_factory=dict)
    """Of the first picture: how it lies to the others, in a panorama or a pair of views."""


def listed_pictures(block: bytes, at: int) -> tuple[PictureList, list[tuple[int, int, Entry]]]:
    """A block that begins at `at` in the file: what it says, and of each further picture begin, size and entry; what
    is damaged is left out."""
    found, pictures = PictureList(), []
    with suppress(struct.error):
        structure = Structure(block)
        index = structure.table(structure.first)
        _, count, values = index.pop(_ENTRIES, (7, 0, b""))
        rows = [struct.unpack_from(structure.order + "LLLHH", values, row) for row in range(0, count - 15, 16)]
        entries = [Entry(kind, number, (one, other)) for number, (kind, _, _, one, other) in enumerate(rows, 1)]
        pictures = [(at + row[2], row[1], entry) for row, entry in zip(rows[1:], entries[1:], strict=True)]
        index = {tag: entry for tag, entry in index.items() if tag not in (_VERSION, _COUNT)}
        found = PictureList(entries[0] if entries else found.first, index)
        link = structure.next_link(structure.first)
        (second,) = struct.unpack_from(structure.order + "L", block, link)
        if second:
            attributes = structure.table(second)
            attributes.pop(_VERSION, None)
            found = PictureList(found.first, found.index, attributes)
    return found, pictures


def picture_list(said: PictureList, pictures: list[tuple[int, int, Entry]], primary: int, at: int) -> bytes:
    """The block for a file whose first picture has `primary` bytes and whose list begins at `at`.

    Args:
        said: what the source said.
        pictures: of each further picture where it begins, its size, and what the source said of it.
        primary: bytes of the first picture.
        at: where the block begins.
    """
    numbers = {entry.number: place for place, (_, _, entry) in enumerate(pictures, 2)} | {said.first.number: 1}
    rows = b"".join(_row(begin, size, entry, numbers) for begin, size, entry in _places(said, pictures, primary, at))
    index = dict(said.index)
    if len(index.get(_NAMES, (7, 0, b""))[2]) != 33 * (len(pictures) + 1):
        index.pop(_NAMES, None)  # one of them is no longer there
    version = (7, 4, b"0100")
    index |= {_VERSION: version, _COUNT: packed(4, len(pictures) + 1), _ENTRIES: (7, len(rows), rows)}
    body = table_bytes(index, 8, "<")
    if said.attributes:
        link = 2 + 12 * len(index)
        body = body[:link] + struct.pack("<L", 8 + len(body)) + body[link + 4 :]
        body += table_bytes({**said.attributes, _VERSION: version}, 8 + len(body), "<")
    return b"II*\0" + struct.pack("<L", 8) + body


def _places(
    said: PictureList, pictures: list[tuple[int, int, Entry]], primary: int, at: int
) -> Iterator[tuple[int, int, Entry]]:
    yield 0, primary, said.first
    for begin, size, entry in pictures:
        yield max(begin - at, 0), size, entry


def _row(begin: int, size: int, entry: Entry, numbers: dict[int, int]) -> bytes:
    return struct.pack("<LLLHH", entry.kind, size, begin, *(numbers.get(one, 0) for one in entry.dependents))
