"""Coding pictures that are never in memory as a whole: JPEG and PNG, band by band into a file.

A JPEG is coded in bands of whole rows of blocks, each for itself, and the bands are joined by restart markers (ITU-T
T.81, B.2.4.4 and E.1.4): at one, the prediction of the coefficients begins anew, so its blocks decode to the same
pixels as if the picture had been coded at once. A band's Huffman tables are the usual ones, since others would be made
for each.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, BinaryIO

import numpy as np
from PIL import Image

from pellucid.images.jpeg import jpeg_segments
from pellucid.images.png import SIGNATURE, chunk
from pellucid.images.samples import Samples

__all__ = ["MOST_OF_SIDE", "JpegScan", "jpeg_in_bands", "png_in_bands"]

BAND = 16 << 20
"""Bytes of samples that are coded at once, about."""
MOST_OF_SIDE = 65500
"""Pixels of a side of a JPEG, as libjpeg has it."""
MOST_BLOCKS = 65535
"""Between two restart markers, as the format counts them."""


@dataclass(frozen=True)
class JpegScan:
    """A coded JPEG: what decoders need to know, to the header of the scan, and how long the rest is."""

    head: bytes
    length: int


def jpeg_in_bands(samples: Samples, file: IO[bytes], **options: Any) -> JpegScan:
    """Codes grey or RGB of 8 bits; the scan, up to the end of the picture, goes into `file`, what precedes it is
    returned.

    Args:
        samples: what is coded.
        file: where to.
        options: of Pillow: `quality` or `qtables`, `subsampling`.
    """
    height, width, _ = samples.shape
    grey = samples.channels == 1
    across, down = (8, 8) if grey else {"4:2:2": (16, 8), "4:2:0": (16, 16)}.get(options.get("subsampling", ""), (8, 8))
    in_row = -(-width // across)
    rows = min(max(1, BAND // (down * width * samples.shape[2])), max(1, MOST_BLOCKS // in_row)) * down
    head, length = b"", 0
    for number, top in enumerate(range(0, height, rows)):
        band = samples[top : min(top + rows, height)]
        buffer = BytesIO()
        Image.fromarray(band[..., 0] if grey else np.ascontiguousarray(band[..., :3])).save(buffer, "JPEG", **options)
        coded = buffer.getvalue()
        begin = next(at + 4 + len(body) for marker, at, body in jpeg_segments(coded) if marker == 0xDA)
        if not number:
            head = _whole_head(coded[:begin], height, in_row * (rows // down))
        last = top + rows >= height
        scan = coded[begin:-2] + (b"\xff\xd9" if last else bytes((0xFF, 0xD0 + number % 8)))
        file.write(scan)
        length += len(scan)
    return JpegScan(head, length)


def _whole_head(head: bytes, height: int, interval: int) -> bytes:
    """The head of the first band as that of the whole picture: its height, and the blocks between restart markers."""
    parts = [head[:2]]
    for marker, _, body in jpeg_segments(head):
        if marker in (0xC0, 0xC1):
            body = body[:1] + struct.pack(">H", height) + body[3:]
        if marker == 0xDA:
            parts.append(struct.pack(">BBHH", 0xFF, 0xDD, 4, interval))
        parts.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
    return b"".join(parts)


def png_in_bands(samples: Samples, icc: bytes, chunks: bytes) -> Callable[[BinaryIO], None]:
    """What writes a PNG file of the samples, of 8 or 16 bits, with its profile and more chunks behind the header."""

    def write(file: BinaryIO) -> None:
        height, width, _ = samples.shape
        kind = {1: 0, 2: 4, 3: 2, 4: 6}[samples.channels]
        file.write(SIGNATURE + chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, samples.bits, kind, 0, 0, 0)))
        if icc:
            file.write(chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc)))
        file.write(chunks)
        for packed in _packed_rows(samples):
            file.write(chunk(b"IDAT", packed))
        file.write(chunk(b"IEND", b""))

    return write


def _packed_rows(samples: Samples) -> Iterator[bytes]:
    """The stream of deflate of all rows, unfiltered as libvips writes them, in pieces."""
    height, width, _ = samples.shape
    stream, size = zlib.compressobj(6), width * samples.channels * samples.dtype.itemsize
    rows = max(1, BAND // size)
    for top in range(0, height, rows):
        band = samples[top : min(top + rows, height)][..., : samples.channels]
        lines = np.zeros((len(band), 1 + size), np.uint8)
        lines[:, 1:] = np.ascontiguousarray(band.astype(band.dtype.newbyteorder(">"))).view(np.uint8).reshape(-1, size)
        yield stream.compress(lines.tobytes())
    yield stream.flush()
