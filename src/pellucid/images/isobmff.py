"""AVIF and HEIF files, box by box: their colours, depth and items; and EXIF, XMP and colours put into one.

The specifications: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (HEIF), AV1 Image File Format, ITU-T H.273 (colours).
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

__all__ = ["HeifParts", "into_heif", "parts_of_heif"]

_XMP_TYPE = b"application/rdf+xml"
_WORDS = {
    b"urn:mpeg:hevc:2015:auxid:2": "depth map",
    b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth": "depth map",
    b"urn:com:apple:photo:2020:aux:hdrgainmap": "gain map",
}
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")


@dataclass
class HeifParts:
    """What an AVIF or HEIF file holds beside its pixels, and how they are coded."""

    exif: bytes = b""
    xmp: bytes = b""
    icc: bytes = b""
    cicp: tuple[int, int, int, int] | None = None
    """Primaries, transfer, matrix and full range by the numbers of H.273, where the file tells them."""
    depth: int = 0
    """Bits of a value; 0 where the file does not tell."""
    sampling: str = ""
    lossless: bool = False
    """Whether the colours are stored without a change to luma and chroma, as lossless coding needs."""
    orientation: int = 1
    """How the picture, as it is coded, has to be turned, by the numbers of EXIF."""
    multiplied: bool = False
    """Whether the colours are multiplied by their alpha."""
    unread: tuple[str, ...] = ()
    pictures: int = 1


@dataclass
class _Meta:
    """The boxes that describe the items of a file."""

    primary: int = 0
    kinds: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    places: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    linked: dict[int, list[int]] = field(default_factory=dict)
    references: list[tuple[bytes, int, list[int]]] = field(default_factory=list)
    inside: bytes = b""


def parts_of_heif(data: bytes) -> HeifParts:
    """What is in a file; damage ends the search."""
    found = HeifParts()
    with suppress(struct.error, IndexError, ValueError):
        _describe(data, _meta(data), found)
    return found


def _describe(data: bytes, meta: _Meta, found: HeifParts) -> None:
    about = {item: linked for kind, item, linked in meta.references if kind == b"cdsc"}
    for item, (kind, name) in meta.kinds.items():
        if item in about and meta.primary not in about[item]:
            continue  # of another picture
        if kind == b"Exif" and not found.exif:
            body = _item(data, meta, item)
            found.exif = body[4 + struct.unpack_from(">L", body)[0] :].removeprefix(b"Exif\0\0")
        elif kind == b"mime" and name == _XMP_TYPE and not found.xmp:
            found.xmp = _item(data, meta, item)
    for kind, body in (meta.properties[index - 1] for index in meta.linked.get(meta.primary, [])):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 11:
            found.cicp = (*struct.unpack_from(">HHH", body, 4), body[10] >> 7)
        elif kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            found.icc = body[4:]
        elif kind == b"av1C":
            found.depth = 8 + 2 * (body[2] >> 6 & 1) + 2 * (body[2] >> 5 & 1)
            found.sampling = {0: "4:4:4", 0b10: "4:2:2", 0b11: "4:2:0"}.get(body[2] >> 2 & 3, "")
        elif kind == b"irot" and body:
            found.orientation = {1: 8, 2: 3, 3: 6}.get(body[0] & 3, 1)
        elif kind == b"pixi" and not found.depth:
            found.depth = max(body[5:])
    found.lossless = found.cicp is not None and found.cicp[2] == 0 and found.sampling == "4:4:4"
    hidden = {item for kind, item, _ in meta.references if kind in (b"thmb", b"auxl")}
    found.multiplied = any(kind == b"prem" and item == meta.primary for kind, item, _ in meta.references)
    words = []
    for kind, item, linked in meta.references:
        if kind == b"auxl":
            types = [meta.properties[index - 1] for index in meta.linked.get(item, [])]
            urn = next((body[4:].split(b"\0")[0] for name, body in types if name == b"auxC"), b"")
            if urn not in _ALPHA:
                words.append(_WORDS.get(urn, "an auxiliary picture"))
        elif kind == b"dimg":
            hidden |= set(linked)
    coded = {
        item for item, (kind, _) in meta.kinds.items() if kind in (b"av01", b"hvc1", b"grid", b"iden", b"iovl", b"jpeg")
    }
    if any(kind == b"tmap" for kind, _ in meta.kinds.values()):
        words.append("gain map")
    if (
        any(kind in (b"mime", b"uri ") and b"c2pa" in name for kind, name in meta.kinds.values())
        or b"c2pa" in data[:65536]
    ):
        words.append("content credentials (C2PA)")
    found.pictures = max(len((coded - hidden) | {meta.primary}), *_frames(data, 0, len(data)), 1)
    found.unread = tuple(dict.fromkeys(words))


def _frames(data: bytes, at: int, end: int) -> Iterator[int]:
    """How many frames each track of an image sequence has."""
    for name, begin, size, head in _boxes(data, at, end):
        if name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            yield from _frames(data, begin + head, begin + size)
        elif name == b"stsz" and size >= head + 12:
            yield struct.unpack_from(">L", data, begin + head + 8)[0]


def into_heif(saved: bytes, exif: bytes, xmp: bytes, cicp: tuple[int, int, int, int] | None) -> bytes:
    """A file that libheif wrote, with EXIF, XMP and the description of the colours in it.

    Only the primaries and the transfer of `cicp` are taken: the matrix is the one that the colours were coded with.
    """
    boxes = list(_boxes(saved, 0, len(saved)))
    place = next((begin, begin + size) for name, begin, size, _ in boxes if name == b"meta")
    meta, body = _meta(saved), saved[place[0] : place[1]]
    added = [
        (kind, mime, part)
        for kind, mime, part in ((b"Exif", b"", b"\0\0\0\0" + exif if exif else b""), (b"mime", _XMP_TYPE, xmp))
        if part
    ]
    if not added and cicp is None:
        return saved
    number = max(meta.kinds) + 1
    # Offsets count from the beginning of the file: the new meta box is built twice, first to learn its size.
    growth = 0
    for _ in range(2):
        at, items = len(saved) + growth + 8, []
        for index, (kind, mime, part) in enumerate(added):
            items.append((number + index, kind, mime, at, len(part)))
            at += len(part)
        new = _grown(body, meta, items, cicp, growth)
        growth = len(new) - len(body)
    data = b"".join(part for _, _, part in added)
    tail = struct.pack(">L4s", len(data) + 8, b"mdat") + data if data else b""
    return saved[: place[0]] + new + saved[place[1] :] + tail


def _grown(
    body: bytes,
    meta: _Meta,
    items: list[tuple[int, bytes, bytes, int, int]],
    cicp: tuple[int, int, int, int] | None,
    growth: int,
) -> bytes:
    """The meta box with more items, all others moved by `growth`, and other colours."""
    parts = [body[8:12]]
    names = [name for name, *_ in _boxes(body, 12, len(body))]
    for name, begin, size, head in _boxes(body, 12, len(body)):
        whole = body[begin : begin + size]
        if name == b"iloc":
            whole = _iloc(meta, items, growth)
        elif name == b"iinf" and items:
            version = whole[head]
            wide = ">H" if version == 0 else ">L"
            (count,) = struct.unpack_from(wide, whole, head + 4)
            count_size = struct.calcsize(wide)
            entries = b"".join(
                _box(
                    b"infe", b"\2\0\0\0" + struct.pack(">HH4s", item, 0, kind) + b"\0" + (mime + b"\0" if mime else b"")
                )
                for item, kind, mime, _, _ in items
            )
            whole = _box(
                b"iinf",
                whole[head : head + 4]
                + struct.pack(wide, count + len(items))
                + whole[head + 4 + count_size :]
                + entries,
            )
        elif name == b"iref" and items:
            whole = _box(b"iref", whole[head:] + _described(items, meta.primary, whole[head]))
        elif name == b"iprp" and cicp is not None:
            whole = _iprp(whole, head, meta, cicp)
        parts.append(whole)
    if b"iref" not in names and items:
        parts.append(_box(b"iref", bytes(4) + _described(items, meta.primary, 0)))
    return _box(b"meta", b"".join(parts))


def _described(items: list[tuple[int, bytes, bytes, int, int]], primary: int, version: int) -> bytes:
    """References of items that describe the primary picture."""
    letters = ">HHH" if version == 0 else ">LHL"
    return b"".join(_box(b"cdsc", struct.pack(letters, item, 1, primary)) for item, *_ in items)


def _iloc(meta: _Meta, items: list[tuple[int, bytes, bytes, int, int]], growth: int) -> bytes:
    """Where all items lie, in a box that has room for 64-bit offsets."""
    rows = []
    for item, extents in meta.places.items():
        method = extents[0][2] if extents else 0
        rows.append(struct.pack(">HHHH", item, method, 0, len(extents)))
        rows += [struct.pack(">QL", begin + (growth if method == 0 else 0), size) for begin, size, _ in extents]
    rows += [struct.pack(">HHHHQL", item, 0, 0, 1, begin, size) for item, _, _, begin, size in items]
    return _box(
        b"iloc", b"\1\0\0\0" + bytes((0x84, 0x00)) + struct.pack(">H", len(meta.places) + len(items)) + b"".join(rows)
    )


def _iprp(whole: bytes, head: int, meta: _Meta, cicp: tuple[int, int, int, int]) -> bytes:
    """The properties with the colours changed, or put in for all coded colour pictures."""
    inner = list(_boxes(whole, head, len(whole)))
    coded = [item for item, (kind, _) in meta.kinds.items() if kind in (b"av01", b"grid")]
    hidden = {item for kind, item, _ in meta.references if kind in (b"auxl", b"thmb")}
    parts = []
    present = any(kind == b"colr" and body[:4] == b"nclx" for kind, body in meta.properties)
    for name, begin, size, start in inner:
        box = whole[begin : begin + size]
        if name == b"ipco":
            changed = b""
            for kind, body in meta.properties:
                if kind == b"colr" and body[:4] == b"nclx":
                    body = body[:4] + struct.pack(">HH", *cicp[:2]) + body[8:]
                changed += _box(kind, body)
            if not present:
                changed += _box(b"colr", b"nclx" + struct.pack(">HHHB", *cicp[:2], 6, 0x80))
            box = _box(b"ipco", changed)
        elif name == b"ipma" and not present:
            flags, version = box[start + 3], box[start]
            rows, (count,) = b"", struct.unpack_from(">L", box, start + 4)
            at = start + 8
            for _ in range(count):
                (item,) = struct.unpack_from(">H" if version == 0 else ">L", box, at)
                begin_row, at = at, at + (2 if version == 0 else 4)
                links, step = box[at], 2 if flags & 1 else 1
                row = box[at + 1 : at + 1 + links * step]
                if item in coded and item not in hidden:
                    row += struct.pack(">H" if step == 2 else ">B", len(meta.properties) + 1)
                    links += 1
                rows += box[begin_row:at] + bytes((links,)) + row
                at += 1 + box[at] * step
            box = _box(b"ipma", box[start : start + 8] + rows)
        parts.append(box)
    return _box(b"iprp", b"".join(parts))


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", len(body) + 8, name) + body


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Each box between two offsets: name, begin, size, and how long its header is."""
    while at + 8 <= end:
        size, name = struct.unpack_from(">L4s", data, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            return
        yield name, at, size, head
        at += size


def _meta(data: bytes) -> _Meta:
    """The description of the items of a file. Raises struct.error or IndexError where it is damaged."""
    meta = _Meta()
    for name, begin, size, head in _boxes(data, 0, len(data)):
        if name != b"meta":
            continue
        for inner, start, length, inner_head in _boxes(data, begin + head + 4, begin + size):
            body = data[start + inner_head : start + length]
            if inner == b"pitm":
                (meta.primary,) = struct.unpack_from(">L" if body[0] else ">H", body, 4)
            elif inner == b"iinf":
                _read_kinds(body, meta)
            elif inner == b"iloc":
                _read_places(body, meta)
            elif inner == b"iprp":
                _read_properties(body, meta)
            elif inner == b"iref":
                _read_references(body, meta)
            elif inner == b"idat":
                meta.inside = body
        return meta
    return meta


def _read_kinds(body: bytes, meta: _Meta) -> None:
    for name, begin, size, head in _boxes(body, 8 if body[0] else 6, len(body)):
        entry = body[begin + head : begin + size]
        if name == b"infe" and entry[0] >= 2:
            wide = entry[0] >= 3
            (item,) = struct.unpack_from(">L" if wide else ">H", entry, 4)
            at = 10 if wide else 8
            texts = entry[at + 4 :].split(b"\0")
            meta.kinds[item] = (entry[at : at + 4], texts[1] if len(texts) > 1 else b"")


def _read_places(body: bytes, meta: _Meta) -> None:
    version, sizes, more = body[0], body[4], body[5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version else 0
    wide = version >= 2
    (count,) = struct.unpack_from(">L" if wide else ">H", body, 6)
    at = 10 if wide else 8

    def integer(size: int) -> int:
        nonlocal at
        at += size
        if at > len(body):
            raise struct.error("cut off")
        return int.from_bytes(body[at - size : at], "big")

    for _ in range(count):
        item = integer(4 if wide else 2)
        method = integer(2) & 15 if version else 0
        integer(2)
        base = integer(base_size)
        extents = []
        for _ in range(integer(2)):
            integer(index_size)
            begin = base + integer(offset_size)
            extents.append((begin, integer(length_size), method))
        meta.places[item] = extents


def _read_properties(body: bytes, meta: _Meta) -> None:
    for name, begin, size, head in _boxes(body, 0, len(body)):
        if name == b"ipco":
            meta.properties += [
                (kind, body[start + inner : start + length])
                for kind, start, length, inner in _boxes(body, begin + head, begin + size)
            ]
        elif name == b"ipma":
            box = body[begin + head : begin + size]
            step = 2 if box[3] & 1 else 1
            at = 8
            for _ in range(struct.unpack_from(">L", box, 4)[0]):
                (item,) = struct.unpack_from(">L" if box[0] else ">H", box, at)
                at += 4 if box[0] else 2
                links = box[at]
                values = [int.from_bytes(box[at + 1 + step * i : at + 1 + step * (i + 1)], "big") for i in range(links)]
                meta.linked.setdefault(item, []).extend(value & (0x7FFF if step == 2 else 0x7F) for value in values)
                at += 1 + step * links


def _read_references(body: bytes, meta: _Meta) -> None:
    letters = ">L" if body[0] else ">H"
    step = 4 if body[0] else 2
    for kind, begin, _, head in _boxes(body, 4, len(body)):
        at = begin + head
        (item,) = struct.unpack_from(letters, body, at)
        (count,) = struct.unpack_from(">H", body, at + step)
        linked = [struct.unpack_from(letters, body, at + step + 2 + step * i)[0] for i in range(count)]
        meta.references.append((kind, item, linked))


def _item(data: bytes, meta: _Meta, item: int) -> bytes:
    """The bytes of an item."""
    return b"".join(
        (meta.inside if method == 1 else data)[begin : begin + size]
        for begin, size, method in meta.places.get(item, [])
    )
