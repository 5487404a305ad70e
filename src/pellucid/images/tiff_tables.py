"""The tables of a TIFF structure, which an EXIF block also is: rows of (tag, type, count, value or where it lies).

Values are changed in place, since maker notes hold offsets into the whole: moving anything would break them. Where
tables must be taken out and put in elsewhere, the notes go only where they stay readable (`exif.movable_note`).
"""

import struct
from collections.abc import Iterator, Mapping

import numpy as np

from pellucid.images.large_file import Content

__all__ = ["INTEGERS", "Structure", "Table", "numbers", "packed", "table_bytes"]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value of each type."""
_UNITS = {**_SIZES, 5: 4, 10: 4}  # what is swapped between byte orders: a rational is two numbers
INTEGERS = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}
"""The unsigned types, BYTE, SHORT, LONG, IFD, LONG8 and IFD8, and their letters for struct."""

Table = dict[int, tuple[int, int, bytes]]
"""The entries of one table by tag: type, count, and the values in little-endian bytes."""

_MOST_TABLES = 4096  # a chain longer than that is a loop or an attack


class Structure:
    """A TIFF structure, classic or BigTIFF, in bytes that are not copied.

    Raises struct.error where the bytes do not begin like one.
    """

    def __init__(self, data: Content | bytearray) -> None:
        orders = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
        found = orders.get(bytes(data[:4]))
        if found is None:
            raise struct.error("not a TIFF structure")
        self.data = data
        self.order, self.big = found
        self.first: int = self._numbers("Q" if self.big else "L", 8 if self.big else 4)[0]

    def _numbers(self, letters: str, at: int) -> tuple[int, ...]:
        """The numbers that lie at a place. Raises struct.error where that reaches outside."""
        letters = self.order + letters
        return struct.unpack(letters, self.data[at : at + struct.calcsize(letters)])

    def _shape(self, start: int) -> tuple[int, int, int]:
        """How many entries the table at `start` has, where they begin, and their size in bytes."""
        if start > len(self.data):  # offsets of 64 bits may be larger than Python can look for
            raise struct.error("outside")
        (count,) = self._numbers("Q" if self.big else "H", start)
        if count > 65535:
            raise struct.error("no table has so many entries")
        return count, start + (8 if self.big else 2), 20 if self.big else 12

    def entries(self, start: int) -> Iterator[tuple[int, int, int, int]]:
        """The entries (tag, type, count, where the values lie) of the table at `start`, but those that point outside.

        Raises struct.error where the table itself reaches outside.
        """
        count, begin, step = self._shape(start)
        inline = 8 if self.big else 4
        head, offset = ("HHQ", "Q") if self.big else ("HHL", "L")
        for at in range(begin, begin + step * count, step):
            tag, kind, number = self._numbers(head, at)
            size = _SIZES.get(kind, 1) * number
            inside = at + step - inline
            where = inside if size <= inline else self._numbers(offset, inside)[0]
            if kind in _SIZES and where + size <= len(self.data):
                yield tag, kind, number, where

    def next_link(self, start: int) -> int:
        """Where the offset of the table behind the one at `start` is written."""
        count, begin, step = self._shape(start)
        return begin + step * count

    def chain(self, start: int | None = None) -> list[int]:
        """The offsets of the tables in a row that begins at `start` or with the first one; damage ends it."""
        found: list[int] = []
        at = self.first if start is None else start
        try:
            while at and at not in found and len(found) < _MOST_TABLES:
                link = self.next_link(at)
                (following,) = self._numbers("Q" if self.big else "L", link)
                found.append(at)
                at = following
        except struct.error:
            pass
        return found

    def integers(self, start: int) -> dict[int, int]:
        """The first value of each unsigned entry in the table at `start`."""
        return {
            tag: self._numbers(INTEGERS[kind], where)[0]
            for tag, kind, number, where in self.entries(start)
            if kind in INTEGERS and number
        }

    def table(self, start: int) -> Table:
        """The table at `start`, taken out of the structure."""
        found = {}
        for tag, kind, number, where in self.entries(start):
            raw = bytes(self.data[where : where + _SIZES[kind] * number])
            found[tag] = kind, number, _swapped(raw, kind, self.order)
        return found

    def set_integers(self, start: int, values: Mapping[int, int]) -> None:
        """Overwrites the SHORT and LONG entries of the table at `start` whose tags are in `values`; needs a
        bytearray."""
        assert isinstance(self.data, bytearray)
        for tag, kind, number, where in self.entries(start):
            if tag in values and kind in (3, 4) and number:
                struct.pack_into(
                    self.order + INTEGERS[kind], self.data, where, min(values[tag], 65535 if kind == 3 else 2**32 - 1)
                )


def numbers(entry: tuple[int, int, bytes]) -> list[int]:
    """All values of an unsigned entry of a table; none of another type."""
    kind, count, values = entry
    return list(struct.unpack(f"<{count}{INTEGERS[kind]}", values)) if kind in INTEGERS else []


def packed(kind: int, *values: int) -> tuple[int, int, bytes]:
    """An entry of a table that holds these integers, of the unsigned type `kind`."""
    return kind, len(values), struct.pack(f"<{len(values)}{INTEGERS[kind]}", *values)


def table_bytes(
    table: Table, at: int, order: str, *, big: bool = False, placed: Mapping[int, int] | None = None
) -> bytes:
    """A table to be put at the even offset `at`: the entries, no next table, the values that do not fit into them.

    Args:
        table: the entries.
        at: where the bytes will begin.
        order: `<` or `>`.
        big: as in a BigTIFF.
        placed: where the values of some tags lie already.
    """
    count, head, offset, inline = ("Q", "HHQ", "Q", 8) if big else ("H", "HHL", "L", 4)
    rows, tail = struct.pack(order + count, len(table)), b""
    behind = at + len(rows) + (20 if big else 12) * len(table) + inline
    for tag, (kind, number, values) in sorted(table.items()):
        raw = _swapped(values, kind, order)
        rows += struct.pack(order + head, tag, kind, number)
        if placed and tag in placed:
            rows += struct.pack(order + offset, placed[tag])
        elif len(raw) <= inline:
            rows += raw.ljust(inline, b"\0")
        else:
            rows += struct.pack(order + offset, behind + len(tail))
            tail += raw + b"\0" * (len(raw) % 2)
    return rows + bytes(inline) + tail


def _swapped(values: bytes, kind: int, order: str) -> bytes:
    """Values between little-endian and `order`."""
    unit = _UNITS[kind]
    if order == "<" or unit == 1:
        return values
    return np.frombuffer(values, f">u{unit}").astype(f"<u{unit}").tobytes()
