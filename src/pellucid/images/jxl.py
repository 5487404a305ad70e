"""JPEG XL files: EXIF and XMP from their boxes, and what the colours mean from the header of the codestream.

The specifications: ISO/IEC 18181-1 (codestream) and 18181-2 (boxes).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from pellucid.images.colour import Colour, colour_of_cicp

__all__ = ["JxlParts", "parts_of_jxl"]

_ALPHA, _SPOT, _MOSAIC = 0, 2, 5


@dataclass
class JxlParts:
    """What a JPEG XL file says beside its pixels."""

    exif: bytes = b""
    xmp: bytes = b""
    colour: Colour | None = None
    orientation: int = 1
    """How the picture, as it is coded, has to be turned, by the numbers of EXIF."""
    multiplied: bool = False
    """Whether the colours are multiplied by their alpha."""
    unread: tuple[str, ...] = ()


class _Bits:
    """Bits, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self.number, self.at = int.from_bytes(data, "little"), 0

    def take(self, count: int) -> int:
        value = self.number >> self.at & (1 << count) - 1
        self.at += count
        return value

    def choose(self, *choices: tuple[int, int]) -> int:
        """One of four (least, bits), by two bits in front."""
        least, bits = choices[self.take(2)]
        return least + self.take(bits)

    def word(self) -> int:
        """An enumeration."""
        return self.choose((0, 0), (1, 0), (2, 4), (18, 6))


def parts_of_jxl(data: bytes, unpacked: Callable[[bytes], bytes]) -> JxlParts:
    """What is in a file; `unpacked` undoes Brotli, and gives nothing where it cannot."""
    found, unread, codestream, at = JxlParts(), [], data, 0
    if not data.startswith(b"\xff\x0a"):
        codestream = b""
        while at + 8 <= len(data):
            size, name = struct.unpack_from(">L4s", data, at)
            head = 8
            if size == 1 and at + 16 <= len(data):
                (size,), head = struct.unpack_from(">Q", data, at + 8), 16
            size = size or len(data) - at
            body = data[at + head : at + size]
            if name == b"brob":
                name, body = body[:4], unpacked(body[4:])
                if not body and name in (b"Exif", b"xml "):
                    unread.append(f"{'EXIF' if name == b'Exif' else 'XMP'}, which is packed by Brotli")
            if name == b"Exif" and len(body) > 4:
                found.exif = body[4 + struct.unpack_from(">L", body)[0] :].removeprefix(b"Exif\0\0")
            elif name == b"xml ":
                found.xmp = body
            elif name == b"jxlc":
                codestream = body
            elif name == b"jxlp":
                codestream += body[4:]
            elif name == b"jumb":
                unread.append("content credentials (C2PA)")
            at += max(size, 8)
    found.colour, words = _colour(_Bits(codestream[2:4096]), found)
    found.unread = tuple(dict.fromkeys([*unread, *words]))
    return found


def _colour(bits: _Bits, found: JxlParts) -> tuple[Colour | None, list[str]]:
    """What the header of a codestream says of the colours; and how the picture is to be turned, into `found`."""
    words: list[str] = []
    _skip_size(bits)
    if bits.take(1):
        return None, words  # all as usual: sRGB
    if bits.take(1):
        found.orientation = 1 + bits.take(3)
        if bits.take(1):
            _skip_size(bits)
        if bits.take(1):
            _skip_preview(bits)
        if bits.take(1):
            words.append("all frames but the first")
            bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
            bits.take(1)
    _skip_depth(bits)
    bits.take(1)
    for _ in range(bits.choose((0, 0), (1, 0), (2, 4), (1, 12))):
        if not bits.take(1):
            kind = bits.word()
            _skip_depth(bits)
            bits.choose((0, 0), (3, 0), (4, 0), (1, 3))
            bits.take(8 * bits.choose((0, 0), (0, 4), (16, 5), (48, 10)))
            if kind == _ALPHA:
                found.multiplied = bool(bits.take(1))
            elif kind == _SPOT:
                bits.take(64)
            elif kind == _MOSAIC:
                bits.choose((1, 0), (0, 2), (3, 4), (19, 8))
    bits.take(1)
    if bits.take(1):
        return None, words
    if bits.take(1):
        return None, [*words, "an ICC profile that cannot be read from JPEG XL"]
    grey = bits.word() == 1
    white = bits.word()
    white_xy = _point(bits) if white == 2 else (0.3127, 0.3290)
    primaries = 1 if grey else bits.word()
    points = [number for _ in range(3) for number in _point(bits)] if primaries == 2 else []
    if bits.take(1):
        gamma = bits.take(24) / 1e7
        transfer: str | float | tuple[int, ...] = 1 / gamma if gamma else "srgb"
        cicp = None
    else:
        number = bits.word()
        cicp = ({1: 1, 9: 9, 11: 12}.get(primaries, 2), 13 if number in (1, 2, 17) else number, 0, 1)
        known = colour_of_cicp(cicp)
        if known is None:
            return None, [*words, "colours that are not known"]
        transfer = known.transfer
        if primaries != 2 and white == 1:
            return (None if known.is_srgb else known), words
    base = colour_of_cicp(({1: 1, 9: 9, 11: 12}.get(primaries, 1), 13, 0, 1))
    assert base is not None
    *_, a, b, c, d, e, f = points or base.chromaticities
    return Colour((*white_xy, a, b, c, d, e, f), transfer), words


def _point(bits: _Bits) -> tuple[float, float]:
    values = []
    for _ in range(2):
        packed = bits.choose((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
        values.append((packed >> 1 if packed % 2 == 0 else -(packed >> 1) - 1) / 1e6)
    return values[0], values[1]


def _skip_size(bits: _Bits) -> None:
    small = bits.take(1)
    for side in range(2):
        if side and bits.take(3):
            return
        if small:
            bits.take(5)
        else:
            bits.choose((1, 9), (1, 13), (1, 18), (1, 30))


def _skip_preview(bits: _Bits) -> None:
    small = bits.take(1)
    for side in range(2):
        if side and bits.take(3):
            return
        if small:
            bits.choose((16, 0), (32, 0), (1, 5), (33, 9))
        else:
            bits.choose((1, 6), (65, 8), (321, 10), (1345, 12))


def _skip_depth(bits: _Bits) -> None:
    if bits.take(1):
        bits.choose((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
    else:
        bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
