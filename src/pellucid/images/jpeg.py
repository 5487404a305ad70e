"""JPEG files, segment by segment, and what lies behind the picture: gain maps, further pictures, the video of a motion
photo.

The specifications: ITU-T T.81; Exif 2.32 for the segments; CIPA DC-007 (MPF) for several pictures in one file; Adobe's
XMP Specification Part 3 for long XMP; Google's Ultra HDR and Motion Photo formats for what they call a container.
"""

import hashlib
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pellucid.images.exif import tidied
from pellucid.images.large_file import Content
from pellucid.images.mpf import Entry, PictureList, listed_pictures, picture_list
from pellucid.images.photoshop import resources_with_iptc, sorted_resources

__all__ = [
    "MOST_EXIF",
    "MOST_XMP",
    "JpegParts",
    "Piece",
    "into_jpeg",
    "jpeg_segments",
    "parts_of_jpeg",
    "replaced",
    "with_segments_of",
]

_EXIF, _XMP, _LONG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_ICC, _MPF, _PHOTOSHOP = b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0"
_GAIN_MAPS = (b"hdr-gain-map", b"hdrgm:", b"urn:iso:std:iso:ts:21496:-1", b"aux:hdrgainmap")
MOST_IN_SEGMENT = 65533
MOST_EXIF = MOST_IN_SEGMENT - len(_EXIF)
MOST_XMP = MOST_IN_SEGMENT - len(_XMP)
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
_AT_ONCE = 2**20  # bytes that are searched at once
_ZIGZAG = sorted(range(64), key=lambda at: (at // 8 + at % 8, at if (at // 8 + at % 8) % 2 else -at))
_STALE = range(0x010001, 0x010100)  # MPF: large thumbnails


@dataclass(frozen=True)
class Piece:
    """What lies behind the picture in a JPEG file, one thing after the other."""

    kind: str
    """In words: `gain map`, `second picture`, `video of a motion photo`, ..."""
    data: bytes
    """All its bytes, and those up to the next piece."""
    entry: Entry | None = None
    """What the list of pictures (MPF) says of it, where it is in it."""
    size: int = 0
    """Its bytes without those up to the next piece."""
    room: bytes = b""
    """Zeros in front of it."""


@dataclass
class JpegParts:
    """What a JPEG file holds beside its pixels, and how they are coded."""

    exif: bytes = b""
    xmp: bytes = b""
    long_xmp: bytes = b""
    """The part of the XMP that does not fit into one segment."""
    iptc: bytes = b""
    resources: bytes = b""
    icc: bytes = b""
    comments: tuple[bytes, ...] = ()
    segments: tuple[tuple[int, bytes], ...] = ()
    """Other application segments: marker and body."""
    pieces: tuple[Piece, ...] = ()
    listing: PictureList = field(default_factory=PictureList)
    """What the list of pictures says beside their places."""
    unread: tuple[str, ...] = ()
    tables: tuple[tuple[int, ...], ...] = ()
    """The quantisation tables that the components use, in the order of rows."""
    sampling: str = ""
    """`4:4:4`, `4:2:2` or `4:2:0` where it is one of these."""
    progressive: bool = False
    density: tuple[float, float] | None = None
    """Dots per inch, where the file tells them in its JFIF segment."""
    shape: tuple[float, float] | None = None
    """Pixels across and down an unknown length, where it tells that they are not square."""


def parts_of_jpeg(data: Content) -> JpegParts:
    """What is in a JPEG file; damage ends the search."""
    found, unread, segments, comments = JpegParts(), [], [], []
    long_xmp: dict[bytes, dict[int, bytes]] = {}
    icc: dict[int, bytes] = {}
    photoshop, mpf, mpf_at = b"", b"", 0
    tables: dict[int, tuple[int, ...]] = {}
    end = len(data)
    for marker, at, body in jpeg_segments(data):
        if marker == 0xD9:
            end = at
        elif marker == 0xE1 and body.startswith(_EXIF):
            found.exif += body[6:]  # more than one segment holds: some writers go on in the next
        elif marker == 0xE1 and body.startswith(_XMP):
            found.xmp = found.xmp or body[len(_XMP) :]
        elif marker == 0xE1 and body.startswith(_LONG_XMP):
            begin = len(_LONG_XMP)
            if len(body) >= begin + 40:
                _, offset = struct.unpack_from(">LL", body, begin + 32)
                long_xmp.setdefault(body[begin : begin + 32], {})[offset] = body[begin + 40 :]
        elif marker == 0xE2 and body.startswith(_ICC) and len(body) > 14:
            icc[body[12]] = body[14:]
        elif marker == 0xE2 and body.startswith(_MPF):
            mpf, mpf_at = body[4:], at + 4 + 4
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            photoshop += body[len(_PHOTOSHOP) :]
        elif marker == 0xFE:
            comments.append(body)
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            found.density, found.shape = _density(body)
        elif marker == 0xEB and b"jumb" in body[:32]:
            unread.append("content credentials (C2PA)")
        elif marker in (0xE0, 0xEE) or (marker == 0xEC and body.startswith(b"Ducky") and len(body) < 16):
            continue  # JFIF, Adobe's colour transform, and a quality alone: of the coding, which is done anew
        elif 0xE0 <= marker <= 0xEF:
            segments.append((marker, body))
        elif marker == 0xDB:
            tables |= _tables(body)
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            found.progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
            found.sampling, order = _frame(body)
            if order and all(number in tables for number in order):
                found.tables = tuple(tables[number] for number in dict.fromkeys(order))
    found.icc = b"".join(icc[number] for number in sorted(icc))
    guid = re.search(rb"HasExtendedXMP(?:=[\"']|>)\s*([0-9A-Fa-f]{32})", found.xmp)
    if guid and guid[1] in long_xmp:
        found.long_xmp = _joined(long_xmp[guid[1]])
    found.iptc, found.resources = sorted_resources(photoshop)
    found.listing, listed = listed_pictures(mpf, mpf_at)
    found.pieces = tuple(_pieces(data, end, listed, found.xmp))
    found.comments, found.segments = tuple(comments), tuple(segments)
    found.unread = tuple(dict.fromkeys(unread))
    return found


def jpeg_segments(data: Content) -> Iterator[tuple[int, int, bytes]]:
    """Each segment (marker, where it begins, its body) of the first picture; at last 0xD9 and where the picture
    ends."""
    at = 2
    while True:
        found = _MARKER.match(data[at : at + _AT_ONCE])
        if not found:
            return
        at += found.end() - 2
        marker = data[at + 1]
        if marker == 0xD9:
            yield marker, at + 2, b""
            return
        if at + 4 > len(data):
            return
        (size,) = struct.unpack(">H", data[at + 2 : at + 4])
        yield marker, at, data[at + 4 : at + 2 + size]
        at += 2 + max(size, 2)
        if marker == 0xDA:
            following = _next_marker(data, at)
            if following is None:
                return
            at = following


def _next_marker(data: Content, at: int) -> int | None:
    """Where the next marker begins in coded pixels, from `at` on."""
    while at < len(data):
        stop = min(len(data), at + _AT_ONCE)
        found = _MARKER.search(data[at:stop])
        if found:
            return at + found.start()
        at = stop - 1 if stop < len(data) else stop  # a marker may lie over the end of the part
    return None


def into_jpeg(
    saved: bytes,
    dpi: tuple[float, float] | None,
    exif: bytes,
    xmp: tuple[bytes, bytes],
    icc: bytes,
    parts: JpegParts,
    *,
    scan: int = 0,
) -> tuple[bytes, bytes]:
    """A JPEG file with its resolution and metadata in it, in front of the picture; and the pieces behind it.

    Args:
        saved: the file as it was coded; its own application segments are left out, but for Adobe's.
        dpi: resolution; None for none.
        exif: at most `MOST_EXIF` bytes.
        xmp: at most `MOST_XMP` bytes, and the part that did not fit there.
        icc: the profile.
        parts: comments, resources, other segments and pieces.
        scan: bytes of the picture that are not in `saved`, and will lie between what is returned.
    """
    across, down = (min(max(round(value), 1), 65535) for value in dpi or parts.shape or (1, 1))
    head = [_segment(0xE0, struct.pack(">5sHBHHBB", b"JFIF\0", 0x0101, 1 if dpi else 0, across, down, 0, 0))]
    if exif:
        head.append(_segment(0xE1, _EXIF + exif))
    main, extension = xmp
    if main:
        head.append(_segment(0xE1, _XMP + main))
    if extension:
        guid, size = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode(), 65400
        for at in range(0, len(extension), size):
            place = struct.pack(">LL", len(extension), at)
            head.append(_segment(0xE1, _LONG_XMP + guid + place + extension[at : at + size]))
    parts_of_icc = [icc[at : at + 65500] for at in range(0, len(icc), 65500)]
    for number, part in enumerate(parts_of_icc, 1):
        head.append(_segment(0xE2, _ICC + bytes((number, len(parts_of_icc))) + part))
    resources = resources_with_iptc(parts.resources, parts.iptc)
    for at in range(0, len(resources), 65500):
        head.append(_segment(0xED, _PHOTOSHOP + resources[at : at + 65500]))
    head += [_segment(marker, body) for marker, body in parts.segments]
    head += [_segment(0xFE, body[:MOST_IN_SEGMENT]) for body in parts.comments]
    coded = _without_applications(saved)
    if any(piece.entry is not None for piece in parts.pieces):
        before = 2 + sum(map(len, head))
        size = len(_mpf(parts, 0, 0))
        primary = before + size + len(coded) - 2 + scan
        head.append(_mpf(parts, primary, before + 4 + 4))
    return b"".join([b"\xff\xd8", *head, coded[2:]]), b"".join(piece.room + piece.data for piece in parts.pieces)


def with_segments_of(picture: bytes, original: bytes) -> bytes:
    """A JPEG coded anew, upright, with the application segments of the one that it was made from."""
    head = []
    for marker, _, body in jpeg_segments(original):
        if marker == 0xE1 and body.startswith(_EXIF):
            head.append(_segment(marker, _EXIF + tidied(body[len(_EXIF) :])))
        elif 0xE1 <= marker <= 0xEF and marker != 0xEE:
            head.append(_segment(marker, body))
    return b"".join([b"\xff\xd8", *head, _without_applications(picture)[2:]])


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _without_applications(saved: bytes) -> bytes:
    """A coded picture with the segments that decoding needs, and Adobe's, which says how colours are coded."""
    kept, at = [saved[:2]], 2
    for marker, begin, body in jpeg_segments(saved):
        if marker in (0xDA, 0xD9):
            return b"".join([*kept, saved[begin if marker == 0xDA else begin - 2 :]])
        if marker == 0xEE or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(_segment(marker, body))
        at = begin
    return saved[:2] + saved[at:]


def _density(body: bytes) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """The resolution in dots per inch, or else the shape of pixels that are not square."""
    unit, across, down = struct.unpack_from(">BHH", body, 7)
    inch = {1: 1.0, 2: 2.54}.get(unit)
    if not across or not down:
        return None, None
    return ((across * inch, down * inch), None) if inch else (None, (across, down) if across != down else None)


def _joined(parts: dict[int, bytes]) -> bytes:
    """Parts at their offsets, as one; nothing where one is missing."""
    whole = b""
    for offset in sorted(parts):
        if offset != len(whole):
            return b""
        whole += parts[offset]
    return whole


def _tables(body: bytes) -> dict[int, tuple[int, ...]]:
    """The quantisation tables of a segment, by number, each in the order of rows."""
    found, at = {}, 0
    with suppress(struct.error):
        while at < len(body):
            wide, number = body[at] >> 4, body[at] & 15
            values = struct.unpack_from(">64H" if wide else "64B", body, at + 1)
            table = [0] * 64
            for value, place in zip(values, _ZIGZAG, strict=True):
                table[place] = value
            found[number] = tuple(table)
            at += 129 if wide else 65
    return found


def _frame(body: bytes) -> tuple[str, list[int]]:
    """The sampling of the chroma, where it has a name, and the table that each component uses."""
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        return "", []
    components = [body[at : at + 3] for at in range(6, 6 + 3 * body[5], 3)]
    sampling = ""
    if len(components) == 3 and components[1][1] == components[2][1] == 0x11:
        sampling = {0x11: "4:4:4", 0x21: "4:2:2", 0x22: "4:2:0"}.get(components[0][1], "")
    return sampling, [component[2] for component in components]


def _pieces(data: Content, end: int, entries: list[tuple[int, int, Entry]], xmp: bytes) -> Iterator[Piece]:
    """What lies behind `end`, cut where the list of pictures and the videos say; stale large thumbnails are left
    out."""
    if len(data) - end < 4 or not data[end:].strip(b"\0"):
        return
    listed = sorted((one for one in entries if end <= one[0] < len(data)), key=lambda one: one[:2])
    stops = [begin for begin, _, _ in listed[1:]] + [len(data)]
    pictures = {  # some writers count the sizes from the first picture on
        begin: (min(size, stop - begin), entry) for (begin, size, entry), stop in zip(listed, stops, strict=False)
    }
    cuts = {end, len(data), *pictures, *(begin + size for begin, (size, _) in pictures.items())}
    at = end
    if not listed:  # room may be left in front of a picture
        head = data[end : end + _AT_ONCE]
        at += len(head) - len(head.lstrip(b"\0"))
        cuts.add(at)
    while data.startswith(b"\xff\xd8\xff", at):  # pictures that are in no list, one behind the other
        at += next((begin for marker, begin, _ in jpeg_segments(data[at:]) if marker == 0xD9), len(data))
        cuts.add(min(at, len(data)))
    room = b""
    for begin, stop in pairwise(sorted(cuts)):
        size, entry = pictures.get(begin, (stop - begin, None))
        whole = data[begin:stop]
        if entry is not None and entry.kind & 0xFFFFFF in _STALE:
            continue
        if not whole.strip(b"\0") and stop < len(data):
            room = whole
            continue
        yield Piece(_named(whole[:size], entry, xmp), whole, entry, size, room)
        room = b""


def _named(piece: bytes, entry: Entry | None, xmp: bytes) -> str:
    """What a piece is, in words."""
    if piece.startswith(b"\xff\xd8"):
        head = piece[:70000]
        kind = 0 if entry is None else entry.kind & 0xFFFFFF
        if kind == 0x050000 or any(word in head for word in _GAIN_MAPS):
            return "gain map"
        if b"hdrgm:" in xmp and b"GainMap" in xmp:
            return "gain map"
        return "second picture"
    if b"ftyp" in piece[:12] or b"MotionPhoto_Data" in piece or (b"ftyp" in piece and b"MotionPhoto" in xmp):
        return "video of a motion photo"
    return "data behind the picture"


def _mpf(parts: JpegParts, primary: int, at: int) -> bytes:
    """The segment that lists the pictures of a file; the first has `primary` bytes, the list begins at `at`."""
    pictures, begin = [], primary
    for piece in parts.pieces:
        begin += len(piece.room)
        if piece.entry is not None:
            pictures.append((begin, piece.size, piece.entry))
        begin += len(piece.data)
    return _segment(0xE2, _MPF + picture_list(parts.listing, pictures, primary, at))


def replaced(piece: Piece, picture: bytes) -> Piece:
    """The piece with another picture in it, and what lay behind it."""
    return replace(piece, data=picture + piece.data[piece.size :], size=len(picture))
