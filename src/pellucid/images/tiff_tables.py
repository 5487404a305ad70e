"""The tables of a TIFF structure, which an EXIF block also is: rows of (tag, type, count, value or where it lies).

Values are changed in place, since maker notes hold offsets into the whole: moving anything would break them. Only from
and to TIFF files, where there is no other way, tables are taken out and put in elsewhere.
"""

import struct
from collections.abc import Iterator, Mapping

import numpy as np

__all__ = ["Table", "entries", "header", "integers", "set_integers", "table_at", "with_tables"]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes of each type
_UNITS = {**_SIZES, 5: 4, 10: 4}  # what is swapped between byte orders: a rational is two numbers

Table = dict[int, tuple[int, int, bytes]]
"""The entries of one table by tag: type, count, and the values in little-endian bytes."""


def header(data: bytes | bytearray) -> tuple[str, int]:
    """The byte order of a classic TIFF structure, for struct, and where its first table lies.

    Raises struct.error for anything else.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        raise struct.error("not a TIFF structure")
    return order, struct.unpack_from(order + "L", data, 4)[0]


def entries(data: bytes | bytearray, start: int, order: str) -> Iterator[tuple[int, int, int, int]]:
    """The entries (tag, type, count, where the values lie) of the table at `start`, but those that point outside.

    Raises struct.error where the table itself reaches outside.
    """
    (count,) = struct.unpack_from(order + "H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHL", data, at)
        size = _SIZES.get(kind, 1) * number
        where = at + 8 if size <= 4 else struct.unpack_from(order + "L", data, at + 8)[0]
        if kind in _SIZES and where + size <= len(data):
            yield tag, kind, number, where


def integers(data: bytes | bytearray, start: int, order: str) -> dict[int, int]:
    """The first value of each SHORT, LONG and IFD entry in the table at `start`."""
    return {
        tag: struct.unpack_from(order + ("H" if kind == 3 else "L"), data, where)[0]
        for tag, kind, number, where in entries(data, start, order)
        if kind in (3, 4, 13) and number
    }


def set_integers(data: bytearray, start: int, order: str, values: Mapping[int, int]) -> None:
    """Overwrites the SHORT and LONG entries of the table at `start` whose tags are in `values`."""
    for tag, kind, number, where in entries(data, start, order):
        if tag in values and kind in (3, 4) and number:
            struct.pack_into(order + ("H" if kind == 3 else "L"), data, where, values[tag])


def table_at(data: bytes, start: int, order: str) -> Table:
    """The table at `start`, taken out of the structure."""
    table = {}
    for tag, kind, number, where in entries(data, start, order):
        raw = data[where : where + _SIZES[kind] * number]
        values = np.frombuffer(raw, f"{order}u{_UNITS[kind]}")
        table[tag] = kind, number, values.astype(f"<u{_UNITS[kind]}").tobytes()
    return table


def with_tables(data: bytes, first: Table, below: Mapping[int, Table]) -> bytes:
    """The little-endian structure `data` with a first table and those it points at, by tag, put behind it."""
    parts, at = [b"\0" * (len(data) % 2)], len(data) + len(data) % 2
    for tag, table in below.items():
        parts.append(_table_bytes(table, at))
        first = {**first, tag: (4, 1, struct.pack("<L", at))}
        at += len(parts[-1])
    parts.append(_table_bytes(first, at))
    return b"".join([data[:4], struct.pack("<L", at), data[8:], *parts])


def _table_bytes(table: Table, at: int) -> bytes:
    """A table to be put at the even offset `at`: the entries, no next table, the values that do not fit into them."""
    head, tail = struct.pack("<H", len(table)), b""
    behind = at + 2 + 12 * len(table) + 4
    for tag, (kind, number, values) in sorted(table.items()):
        head += struct.pack("<HHL", tag, kind, number)
        if len(values) <= 4:
            head += values.ljust(4, b"\0")
        else:
            head += struct.pack("<L", behind + len(tail))
            tail += values + b"\0" * (len(values) % 2)
    return head + bytes(4) + tail
