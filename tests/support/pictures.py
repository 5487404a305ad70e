"""Pictures and metadata made by hand, and decoders that are not those under test."""

import io
import json
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image, ImageCms

from pellucid.images import Metadata, Photograph, read, write

LOSSLESS = (".png", ".tif")
SIZE = (37, 53)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" note="kept"/></x:xmpmeta>'
IPTC = b"\x1c\x02\x05\x00\x05Title\x1c\x02\x50\x00\x04Zoe\xe9"


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def write_noise(path: Path, seed: int = 0, side: int = 8) -> Path:
    """Writes a picture of noise, which differs with its seed, and its folder; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Photograph(torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))), path)
    return path


def smooth(height: int = 37, width: int = 53) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], -1).astype(np.uint8)


def integers(pixels: torch.Tensor, most: int = 255) -> np.ndarray:
    """(1, C, H, W) in [0, 1] to (H, W, C), by numpy in float64."""
    return np.rint(pixels[0].permute(1, 2, 0).double().numpy() * most).astype(np.int64)


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(64, 96, 3)).save(file, kind, **options)
    return file.getvalue()


def png_values(path: Path) -> np.ndarray:
    """The (H, W, C) of a PNG file as it lies there, decoded from its definition: Pillow cuts 16-bit colour to 8."""
    data, at, packed = path.read_bytes(), 8, b""
    width, height, depth, kind = struct.unpack_from(">LLBB", data, 16)
    while at < len(data):
        (size,) = struct.unpack_from(">L", data, at)
        packed += data[at + 8 : at + 8 + size] if data[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + size
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    step = channels * depth // 8
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * step)
    rows = np.zeros((height + 1, (width + 1) * step), int)  # one row above and one pixel before are 0
    for y, line in enumerate(lines, 1):
        for x, value in enumerate(line[1:].tolist(), step):
            left, above, corner = rows[y, x - step], rows[y - 1, x], rows[y - 1, x - step]
            guess = left + above - corner
            paeth = min((left, above, corner), key=lambda near: abs(guess - near))
            rows[y, x] = (value + (0, left, above, (left + above) // 2, paeth)[line[0]]) % 256
    values = rows[1:, step:].astype(np.uint8)
    return values.view(f">u{depth // 8}").astype(f"u{depth // 8}").reshape(height, width, channels)


def profile_of(name: str) -> bytes:
    """One of the ICC profiles that libvips carries: srgb, p3, cmyk."""
    return bytes(pyvips.Operation.call("profile_load", name))


def p3() -> bytes:
    return profile_of("p3")


def grey_profile(gamma: float) -> bytes:
    """An ICC profile for grey, written by hand."""
    white = struct.pack(">3i", 63190, 65536, 54061)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(79),
        b"wtpt": b"XYZ \0\0\0\0" + white,
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IHH", 1, int(gamma * 256), 0),
        b"cprt": b"text\0\0\0\0CC0\0",
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s6H", size, b"test", 0x02400000, b"mntr", b"GRAY", b"XYZ ", 2020, 1, 1, 0, 0, 0)
    return (head + b"acsp" + bytes(28) + white + bytes(48)) + table + body


def camera_exif(order: str = "<", orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112], exif[0x013B], exif[0x8298] = "Canon", orientation, "Zoë", "© me"
    exif.get_ifd(0x8769).update(
        {0x829A: 0.008, 0x9003: "2020:01:02 03:04:05", 0x927C: b"MAKER\0" + bytes(range(200)), 0xA002: 9, 0xA003: 9}
    )
    exif.get_ifd(0x8769)[0xA432] = (24.0, 70.0, 2.8, 4.0)
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 2.0, 3.5)})
    if not thumbnail:
        return exif.tobytes()
    # A second table with a thumbnail, put behind by hand: Pillow writes none.
    data = bytearray(exif.tobytes()[6:])
    start = struct.unpack_from(order + "L", data, 4)[0]
    link = start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0]
    data += bytes(len(data) % 2)
    struct.pack_into(order + "L", data, link, len(data))
    where = len(data) + 2 + 24 + 4
    data += struct.pack(order + "HHHLLHHLLL", 2, 0x201, 4, 1, where, 0x202, 4, 1, len(thumbnail), 0) + thumbnail
    return b"Exif\0\0" + bytes(data)


def said(exif: bytes) -> dict[str, object]:
    """All that Pillow finds in an EXIF block, but for where its tables lie."""
    loaded = Image.Exif()
    loaded.load(exif)
    found = {f"main {tag}": value for tag, value in loaded.items() if tag not in (0x8769, 0x8825)}
    for table in (0x8769, 0x8825):
        found |= {f"{table} {tag}": value for tag, value in loaded.get_ifd(table).items()}
    return found


def read_metadata(folder: Path) -> Metadata:
    """All that a camera and an editor say."""
    Image.fromarray(smooth()).save(folder / "all.jpg", exif=camera_exif(">"), xmp=XMP, icc_profile=p3(), dpi=(300, 300))
    return replace(read(folder / "all.jpg").metadata, iptc=IPTC)


def rendered(picture: Image.Image, icc: bytes | None = None) -> Image.Image:
    """What a colour-managed viewer shows, by littleCMS: sRGB of 8 bits, by the picture's profile or the one given."""
    picture.load()
    icc = picture.info.get("icc_profile", b"") if icc is None else icc
    if not icc:
        return picture.convert("RGB")
    return ImageCms.profileToProfile(
        picture,
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )


def exiftool(path: Path, *options: str) -> dict[str, object]:
    """All that exiftool finds in a file, by group and name, numbers as numbers; but for facts about the file itself."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed: apt-get install libimage-exiftool-perl")
    command = ["exiftool", "-j", "-G1", "-a", "-u", "-n", *options, str(path)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=False, text=True).stdout)
    others = ("SourceFile", "ExifTool:", "System:", "File:", "Composite:")
    return {name: value for name, value in found.items() if not name.startswith(others)}


def avif_facts(path: Path) -> dict[str, str]:
    """What avifdec says of an AVIF file."""
    if shutil.which("avifdec") is None:
        pytest.skip("avifdec is not installed: apt-get install libavif-bin")
    said_ = subprocess.run(["avifdec", "--info", str(path)], capture_output=True, check=True, text=True).stdout
    rows = (
        line.removeprefix(" * ").split(":", 1) for line in said_.splitlines() if line.startswith(" * ") and ":" in line
    )
    return {name.strip(): value.strip() for name, value in rows}


def png_with(picture: np.ndarray, *chunks: tuple[bytes, bytes], behind: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A PNG file with more chunks behind its header, and others behind its pixels."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    data = file.getvalue()
    front, back = (
        b"".join(
            struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
            for name, body in some
        )
        for some in (chunks, behind)
    )
    return data[:33] + front + data[33:-12] + back + data[-12:]


def raw_profile(kind: str, profile: bytes) -> bytes:
    """The text of a raw profile, as ImageMagick writes it."""
    digits = profile.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\n{kind}\n{len(profile):8}\n{lines}\n".encode()


def jpeg_with(picture: np.ndarray, *segments: tuple[int, bytes], behind: bytes = b"", **options: object) -> bytes:
    """A JPEG file with more segments behind its first one, and bytes behind its end."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", **options)
    data = file.getvalue()
    at = 4 + struct.unpack_from(">H", data, 4)[0] if data[2:4] == b"\xff\xe0" else 2
    more = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:at] + more + data[at:] + behind
