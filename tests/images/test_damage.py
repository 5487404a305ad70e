"""Files that are cut off, have flipped bits, or claim what they do not hold: read or refused in one line, never a
crash."""

import random
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from pictures import IPTC, camera_exif, jpeg_with, noise, p3, png_with, smooth
from PIL import Image

from pellucid.errors import ImageError
from pellucid.images import Metadata, Photograph, read, write

SUFFIXES = [".jpg", ".png", ".tif", ".webp", ".avif", ".bmp", ".gif", ".heic", ".jxl"]


def whole(folder, suffix):
    """A file with all kinds of metadata that the format holds."""
    path = folder / f"whole{suffix}"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF></rdf:RDF></x:xmpmeta>'
    metadata = Metadata(exif=camera_exif("<")[6:], xmp=xmp, iptc=IPTC, icc=p3(), comments=(b"hello",))
    if suffix == ".gif":
        Image.fromarray(noise(20, 30, 3)).save(path)
    elif suffix == ".heic":
        path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(range(256)) * 4)
    elif suffix == ".jxl":
        codecs = pytest.importorskip("imagecodecs")
        path.write_bytes(codecs.jpegxl_encode(noise(20, 30, 3)))
    else:
        write(Photograph(torch.rand(1, 3, 20, 30), torch.rand(1, 1, 20, 30), metadata=metadata), path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damage_is_survived(tmp_path, suffix):
    data, generator = whole(tmp_path, suffix), random.Random(suffix)
    path, outcomes = tmp_path / f"damaged{suffix}", set()
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(generator.choice([1, 1, 4, 20])):
            at = generator.randrange(min(len(damaged), generator.choice([100, 10**9])))
            kind = generator.random()
            if kind < 0.6:
                damaged[at] = generator.choice([0, 255, generator.randrange(256)])
            elif kind < 0.9:
                damaged[at : at + generator.randrange(2)] = bytes(generator.randrange(256) for _ in range(4))
            else:
                del damaged[max(at, 1) :]
        path.write_bytes(damaged)
        try:
            photograph = read(path)
            for other in (".jpg", ".png", ".tif", ".webp"):
                write(photograph, tmp_path / f"again{other}")
                read(tmp_path / f"again{other}")
            outcomes.add("read")
        except ImageError as error:
            outcomes.add("refused" if "\n" not in str(error) else "more than one line")
    assert outcomes <= {"read", "refused"}
    assert "refused" in outcomes


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    head = struct.pack(">LLBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10**6))
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")):
        data += struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"bomb\.png: claims 100000 x 100000 pixels, in a file of \d+ bytes"):
        read(tmp_path / "bomb.png")
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2**28))
    (tmp_path / "text.png").write_bytes(png_with(smooth(), (b"iTXt", text)))
    assert len(read(tmp_path / "text.png").metadata.xmp) <= 2**26


def test_tables_that_loop_end(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", smooth(), photometric="rgb", metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    (start,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<L", data, start + 2 + 12 * count, start)
    exif = bytes(data[:8]) + data[8:start] + data[start:]
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), (0xE1, b"Exif\0\0" + exif[:60000])))
    (tmp_path / "a.tif").write_bytes(data)
    for name in ("a.tif", "a.jpg"):
        try:
            photograph = read(tmp_path / name)
        except ImageError:
            continue
        assert photograph.pages == 1
    assert np.isfinite(read(tmp_path / "a.jpg").pixels.numpy()).all()


@pytest.mark.parametrize(
    ("content", "suffix"), [("png", ".jpg"), ("jpeg", ".png"), ("tiff", ".webp"), ("webp", ".tif")]
)
def test_a_wrong_suffix_does_not_matter(tmp_path, content, suffix):
    Image.fromarray(smooth()).save(tmp_path / f"a{suffix}", content)
    assert read(tmp_path / f"a{suffix}").format == content
