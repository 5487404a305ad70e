"""GIF files, block by block: comments, XMP and a profile.

The specifications: Graphics Interchange Format 89a; Adobe's XMP Specification Part 3; ICC's block ICCRGBG1012.
"""

from dataclasses import dataclass

__all__ = ["GifParts", "parts_of_gif"]

_TRAILER_OF_XMP = 257  # bytes that lead any reader of blocks to their end


@dataclass
class GifParts:
    """What a GIF file holds beside its pixels."""

    xmp: bytes = b""
    icc: bytes = b""
    comments: tuple[bytes, ...] = ()


def parts_of_gif(data: bytes) -> GifParts:
    """What is in a GIF file; damage ends the search."""
    found = GifParts()
    if len(data) < 13:
        return found
    at = 13 + _colours(data[10])
    while at + 2 < len(data):
        if data[at] == 0x2C:  # a picture: its header, its colours, and the blocks of its pixels
            at += 11 + (_colours(data[at + 9]) if at + 9 < len(data) else 0)
        elif data[at] == 0x21:
            label, begin = data[at + 1], at + 2
            end, body = _blocks(data, begin)
            if label == 0xFE:
                found.comments += (body,)
            elif label == 0xFF and data[begin + 1 : begin + 12] == b"XMP DataXMP":
                found.xmp = data[begin + 12 : max(end - 1 - _TRAILER_OF_XMP, begin + 12)]
            elif label == 0xFF and data[begin + 1 : begin + 12] == b"ICCRGBG1012":
                found.icc = body[11:]
            at = end
            continue
        else:
            return found
        at, _ = _blocks(data, at)
    return found


def _colours(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: bytes, at: int) -> tuple[int, bytes]:
    """Where a row of blocks ends, and all that is in them."""
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return at + 1, b"".join(parts)
