"""Files that no picture can be read from: cut off, with flipped bits, bombs, and other things by a picture's name."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from support.pictures import jpeg_with, noise, png_with

SIZE = (40, 56)
OTHERS = {
    "text": b"no picture at all\n" * 20,
    "page": b"<!DOCTYPE html><html><body>404 not found</body></html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
    "zip": b"PK\3\4" + bytes(200),
    "video": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(300),
    "zeros": bytes(5000),
    "nothing": b"",
    "byte": b"\xff",
    "vector": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>",
    "document": b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\ntrailer << /Root 1 0 R >>\n",
}


def whole_files() -> dict[str, bytes]:
    """One good file of each kind, by suffix, `-` and what it is."""
    picture = noise(*SIZE, 3)
    files = {
        ".jpg": jpeg_with(picture, quality=90),
        "-progressive.jpg": jpeg_with(picture, quality=90, progressive=True),
        ".png": png_with(picture),
    }
    for suffix, kind, options in ((".webp", "WEBP", {"lossless": True}), (".bmp", "BMP", {}), (".gif", "GIF", {})):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, kind, **options)
        files[suffix] = file.getvalue()
    for name, options in {
        ".tif": {"compression": "zlib", "predictor": True, "rowsperstrip": 8},
        "-plain.tif": {"rowsperstrip": 8},
        "-big.tif": {"bigtiff": True, "compression": "zlib"},
        "-deep.tif": {"compression": "zlib", "tile": (16, 16)},
    }.items():
        file = io.BytesIO()
        array = noise(*SIZE, 3, dtype=np.uint16) if name == "-deep.tif" else picture
        tifffile.imwrite(file, array, photometric="rgb", metadata=None, **options)
        files[name] = file.getvalue()
    return files


def bombs() -> dict[str, bytes]:
    """Small files that claim enormous pictures."""
    chunks = [
        (b"IHDR", struct.pack(">LLBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(10**6))),
        (b"IEND", b""),
    ]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body)) for name, body in chunks
    )
    jpeg = bytearray(jpeg_with(noise(*SIZE, 3)))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = b"\xff\xdc\xff\xdc"
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, noise(*SIZE, 3), photometric="rgb", metadata=None)
    data = bytearray(tiff.getvalue())
    (start,) = struct.unpack_from("<L", data, 4)
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, entry)[0] in (256, 257):
            struct.pack_into("<HLL", data, entry + 2, 4, 1, 10**9)
    bitmap = io.BytesIO()
    Image.fromarray(noise(*SIZE, 3)).save(bitmap, "BMP")
    wide = bytearray(bitmap.getvalue())
    struct.pack_into("<ll", wide, 18, 2**30, 2**30)
    return {".png": png, ".jpg": bytes(jpeg), ".tif": bytes(data), ".bmp": bytes(wide)}


def malformed(seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Names and bytes, without end, each kind in turn."""
    draw, whole = random.Random(seed), whole_files()
    fixed = [(f"{kind}{suffix}", data) for (kind, data), suffix in product(OTHERS.items(), (".jpg", ".png", ".tif"))]
    fixed += [(f"bomb{suffix}", data) for suffix, data in bombs().items()]
    fixed += [
        (f"bomb-as{other}", data) for other, data in zip((".jpg", ".png", ".webp"), bombs().values(), strict=False)
    ]
    number = 0
    for name, data in fixed:
        number += 1
        yield f"{number:03}-{name}", data
    while True:
        for name, data in whole.items():
            number += 1
            if number % 2 or not name.endswith((".png", ".tif")) or name == "-plain.tif":
                # TIFF's table lies before or behind the pixels; a JPEG or GIF without its last bytes is complete.
                end = draw.randrange(1, len(data) - (400 if name.endswith((".jpg", ".gif")) else 8))
                yield f"{number:03}-cut{name}", data[:end]
            else:  # where checksums are, no flipped bit among the pixels may be overlooked
                flipped = bytearray(data)
                begin, end = _pixels_of(name, data)
                flipped[draw.randrange(begin, end)] ^= 1 << draw.randrange(8)
                yield f"{number:03}-flipped{name}", bytes(flipped)


def _pixels_of(name: str, data: bytes) -> tuple[int, int]:
    """Where compressed pixels are, with a checksum of their own."""
    if name.endswith(".png"):
        at = data.index(b"IDAT")
        return at + 4, at + 8 + struct.unpack_from(">L", data, at - 4)[0]
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        return page.dataoffsets[0], page.dataoffsets[0] + page.databytecounts[0]


def write_malformed(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """So many files in a folder."""
    folder.mkdir(parents=True)
    paths = []
    for name, data in islice(malformed(seed), count):
        paths.append(folder / name)
        paths[-1].write_bytes(data)
    return paths
