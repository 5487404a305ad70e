"""What the values of a picture mean where no ICC profile says it, and profiles made from that.

PNG says it by gAMA, cHRM, sRGB and cICP, AVIF and HEIF by nclx, cameras by the words of DCF. Formats without a place
for these get an ICC profile: a matrix and curves (ICC.1:2022), of D50 by the Bradford transform. The numbers of
primaries and transfers are those of ITU-T H.273; PQ is SMPTE ST 2084, HLG is ITU-R BT.2100.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ADOBE_RGB",
    "Colour",
    "agrees",
    "colour_of_cicp",
    "colour_of_png",
    "grey_from_rgb",
    "is_linear",
    "profile_of",
    "rgb_from_grey",
    "with_srgb_curve",
]

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of white, red, green and blue."""

_D65 = (0.3127, 0.3290)
_SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: dict[int, Chromaticities] = {
    1: _SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_PQ, _HLG = 16, 18
# Screens show pictures with the transfer of television (1, 6, 14, 15) as they do sRGB (13); 2 says that it is not
# known.
_LIKE_SRGB = {1, 2, 6, 13, 14, 15}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_WHITE = 203.0
"""Luminance, in cd/m2, of a white sheet of paper in PQ and HLG (ITU-R BT.2408)."""


@dataclass(frozen=True)
class Colour:
    """The meaning of values: primaries and how they become light."""

    chromaticities: Chromaticities = _SRGB
    transfer: str | float | tuple[int, ...] = "srgb"
    """`srgb`, `pq`, `hlg`, the exponent of a power, or the light, 0 to 65535, of evenly spaced values."""
    cicp: tuple[int, int, int, int] | None = None
    """Where numbers of H.273 said it: primaries, transfer, matrix, full range."""

    @property
    def is_srgb(self) -> bool:
        """Whether the values mean what they mean in a file that says nothing."""
        near = all(abs(a - b) < 0.002 for a, b in zip(self.chromaticities, _SRGB, strict=True))
        return near and self.transfer == "srgb"

    @property
    def is_hdr(self) -> bool:
        """Whether white is not the brightest value."""
        return self.transfer in ("pq", "hlg")


ADOBE_RGB = Colour((*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 563 / 256)
"""Adobe RGB (1998)."""


def colour_of_cicp(cicp: tuple[int, int, int, int]) -> Colour | None:
    """The colours that numbers of H.273 mean; None where they mean nothing that is known."""
    primaries, transfer = cicp[:2]
    chromaticities = _PRIMARIES.get(1 if primaries == 2 else primaries)
    curve: str | float | None = {_PQ: "pq", _HLG: "hlg"}.get(transfer, _GAMMAS.get(transfer))
    if transfer in _LIKE_SRGB:
        curve = "srgb"
    return None if chromaticities is None or curve is None else Colour(chromaticities, curve, cicp)


def colour_of_png(chunks: bytes, *, icc: bool) -> Colour | None:
    """The colours that the chunks of a PNG file tell; None where they tell none, or an ICC profile counts instead."""
    found = dict(_chunks(chunks))
    if len(found.get(b"cICP", b"")) == 4:
        primaries, curve, matrix, full = found[b"cICP"]
        return colour_of_cicp((primaries, curve, matrix, full))
    if icc or b"sRGB" in found or not {b"gAMA", b"cHRM"} & found.keys():
        return None
    chromaticities, transfer = _SRGB, 1 / 2.2
    if len(found.get(b"cHRM", b"")) == 32:
        white_x, white_y, *others = (value / 1e5 for value in struct.unpack(">8L", found[b"cHRM"]))
        if white_y > 0 and min(others[1::2]) > 0:
            chromaticities = _eight(white_x, white_y, *others)
    if len(found.get(b"gAMA", b"")) == 4:
        transfer = struct.unpack(">L", found[b"gAMA"])[0] / 1e5
    if not 0.05 < transfer < 20:
        return None
    # 1 / 2.2 with the primaries of sRGB is what the specification has files of sRGB say.
    usual = abs(transfer - 1 / 2.2) < 1e-4 and Colour(chromaticities).is_srgb
    return Colour(chromaticities, "srgb" if usual else 1 / transfer)


def profile_of(colour: Colour, *, grey: bool) -> bytes:
    """An ICC profile that says the same, for colour or for grey pictures.

    PQ and HLG have no white that is the brightest value; in their profiles all above the white of paper is white.
    """
    curve = _curve(colour.transfer)
    if grey:
        return _profile(b"GRAY", {b"kTRC": curve})
    matrix = _matrix(colour.chromaticities)
    tags = {name: _xyz(matrix[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    if colour.cicp is not None:
        tags[b"cicp"] = b"cicp" + bytes(4) + bytes((*colour.cicp[:2], 0, 1))
    return _profile(b"RGB ", tags)


def agrees(icc: bytes, colour: Colour) -> bool:
    """Whether a profile of a matrix and curves says, nearly, what the colours say."""
    tags = _tags(icc)
    names = [(name + b"XYZ", name + b"TRC") for name in (b"r", b"g", b"b")]
    if b"A2B0" in tags or any(tag not in tags for pair in names for tag in pair):
        return False
    places = np.linspace(0, 1, 33)
    expected = _light(_curve(colour.transfer), places)
    columns = _matrix(colour.chromaticities)
    for index, (primary, curve) in enumerate(names):
        column = np.frombuffer(tags[primary][8:20], ">i4") / 65536
        light = _light(tags[curve], places)
        if len(column) < 3 or light is None or expected is None:
            return False
        if np.abs(column - columns[:, index]).max() > 0.003 or np.abs(light - expected).max() > 0.005:
            return False
    return True


def _light(curve: bytes, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The light that a curve of a profile makes of values, 0 to 1; None where it is none."""
    if curve[:4] == b"curv" and len(curve) >= 12:
        (count,) = struct.unpack_from(">L", curve, 8)
        table = np.frombuffer(curve[12 : 12 + 2 * count], ">u2").astype(np.float64)
        if len(table) != count:
            return None
        if count < 2:
            power: NDArray[np.float64] = values ** (table[0] / 256 if count else 1.0)
            return power
        return np.interp(values, np.linspace(0, 1, count), table / 65535)
    if curve[:4] == b"para" and len(curve) >= 12:
        (kind,) = struct.unpack_from(">H", curve, 8)
        numbers = (np.frombuffer(curve[12 : 12 + 4 * (len(curve) // 4 - 3)], ">i4") / 65536).tolist()
        if kind > 4 or len(numbers) < (1, 3, 4, 5, 7)[kind]:
            return None
        gamma, a, b, c, d, e, f = (*numbers, *(0.0,) * 7)[:7]
        a, low, add, rest = {
            0: (1.0, 0.0, 0.0, 0.0),
            1: (a, -b / a if a else 0.0, 0.0, 0.0),
            2: (a, -b / a if a else 0.0, c, c),
            3: (a, d, 0.0, 0.0),
            4: (a, d, e, f),
        }[kind]
        slope = c if kind > 2 else 0.0
        light: NDArray[np.float64] = np.where(
            values >= low, np.maximum(a * values + b, 0) ** gamma + add, slope * values + rest
        )
        return light
    return None


def is_linear(icc: bytes, colour: Colour | None) -> bool:
    """Whether the values of a picture with that profile, or else those colours, are proportional to light."""
    if icc:
        tags = _tags(icc)
        curves = {tags[name] for name in (b"rTRC", b"gTRC", b"bTRC", b"kTRC") if name in tags}
        return bool(curves) and b"A2B0" not in tags and all(_straight(curve) for curve in curves)
    return colour is not None and colour.transfer == 1


def _straight(curve: bytes) -> bool:
    """Whether a curve of a profile is a straight line from 0 to 1."""
    if curve[:4] == b"curv" and len(curve) >= 12:
        (count,) = struct.unpack_from(">L", curve, 8)
        return count == 0 or (count, curve[12:14]) == (1, b"\1\0") or (count, curve[12:16]) == (2, b"\0\0\xff\xff")
    return curve[:10] == b"para" + bytes(6) and curve[12:16] == b"\0\1\0\0"


def grey_from_rgb(icc: bytes) -> bytes:
    """A profile for grey with the curves of an RGB profile; empty where it has none, or three different ones."""
    tags = _tags(icc)
    curves = {tags.get(name, b"") for name in (b"rTRC", b"gTRC", b"bTRC")}
    if icc[16:20] != b"RGB " or icc[20:24] != b"XYZ " or len(curves) != 1 or b"A2B0" in tags:
        return b""
    (curve,) = curves
    return _profile(b"GRAY", {b"kTRC": curve}) if curve[:4] in (b"curv", b"para") else b""


def rgb_from_grey(icc: bytes) -> bytes:
    """An RGB profile, with the primaries of sRGB, in which equal channels mean what the grey of a profile means."""
    curve = _tags(icc).get(b"kTRC", b"")
    if icc[16:20] != b"GRAY" or curve[:4] not in (b"curv", b"para"):
        return b""
    matrix = _matrix(_SRGB)
    tags = {name: _xyz(matrix[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return _profile(b"RGB ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def _eight(*numbers: float) -> Chromaticities:
    a, b, c, d, e, f, g, h = numbers
    return a, b, c, d, e, f, g, h


def with_srgb_curve(icc: bytes) -> bytes:
    """A profile with the primaries of another and the curve of sRGB."""
    curve = _curve("srgb")
    tags = {name: value for name, value in _tags(icc).items() if name in (b"rXYZ", b"gXYZ", b"bXYZ")}
    curves = (b"kTRC",) if icc[16:20] == b"GRAY" else (b"rTRC", b"gTRC", b"bTRC")
    return _profile(icc[16:20], {**tags, **dict.fromkeys(curves, curve)})


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">L4s", data, at)
        yield name, data[at + 8 : at + 8 + size]
        at += 12 + size


def _curve(transfer: str | float | tuple[int, ...]) -> bytes:
    """A tag with the way from values to light, 0 to 1."""
    if transfer == "srgb":
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        return b"para" + struct.pack(">LHH5i", 0, 3, 0, *(round(number * 65536) for number in numbers))
    if isinstance(transfer, tuple):
        places = np.linspace(0, len(transfer) - 1, min(len(transfer), 4096))
        table = np.interp(places, np.arange(len(transfer)), transfer)
        return _table(table)
    if not isinstance(transfer, str):
        if transfer == 1:
            return b"curv" + bytes(8)
        return b"para" + struct.pack(">LHHi", 0, 0, 0, round(transfer * 65536))
    values = np.linspace(0, 1, 4096)
    if transfer == "pq":
        power = values ** (32 / 2523)
        light = 10000 / _WHITE * (np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
        light = 1000 / _WHITE * scene**1.2
    table = np.minimum(light, 1) * 65535
    return _table(table)


def _table(light: NDArray[np.float64]) -> bytes:
    """A tag with the light, 0 to 65535, of evenly spaced values."""
    return b"curv" + struct.pack(f">LL{len(light)}H", 0, len(light), *(round(value) for value in light.tolist()))


def _matrix(chromaticities: Chromaticities) -> NDArray[np.float64]:
    """The XYZ of the three primaries, as columns, adapted to D50."""
    xy = np.array(chromaticities).reshape(4, 2)
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in xy)
    columns = np.stack(primaries, 1)
    columns = columns * np.linalg.solve(columns, white)
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1.0, 0.8249])
    adapted: NDArray[np.float64] = np.linalg.inv(cone) @ np.diag(cone @ d50 / (cone @ white)) @ cone @ columns
    return adapted


def _fixed(value: float) -> int:
    return round(value * 65536)


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + struct.pack(">L3i", 0, *(_fixed(value) for value in values))


def _text(text: str) -> bytes:
    letters = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">LLL4sLL", 0, 1, 12, b"enUS", len(letters), 28) + letters


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of version 4.4 for a display, with a description, a licence and the white that all need."""
    white = np.array([0.9642, 1.0, 0.8249])
    made = f"pellucid {space.decode().strip()} {zlib.crc32(b''.join(tags.values())):08x}"
    tags = {b"desc": _text(made), b"cprt": _text("CC0"), b"wtpt": _xyz(white), **tags}
    table, body, places = struct.pack(">L", len(tags)), b"", {}
    for name, value in tags.items():
        if value not in places:
            places[value] = 132 + 12 * len(tags) + len(body)
            body += value + bytes(-len(value) % 4)
        table += name + struct.pack(">LL", places[value], len(value))
    size = 128 + len(table) + len(body)
    head = struct.pack(">L4sL4s4s4s6H", size, bytes(4), 0x04400000, b"mntr", space, b"XYZ ", 2024, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(28) + struct.pack(">3i", *(_fixed(value) for value in white)) + bytes(48)
    return head + table + body


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """The tags of a profile."""
    found = {}
    if len(icc) >= 132:
        (count,) = struct.unpack_from(">L", icc, 128)
        for at in range(132, min(132 + 12 * count, len(icc) - 11), 12):
            name, begin, size = struct.unpack_from(">4sLL", icc, at)
            found[name] = icc[begin : begin + size]
    return found
