"""Formats that need an extra: HEIC by heif-enc's files, JPEG XL by cjxl's and imagecodecs', camera raw by a DNG made
here."""

import builtins
import io
import shutil
import struct
import subprocess

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from pellucid.errors import ImageError
from pellucid.images import Metadata, Photograph, read, write
from pellucid.images.raw import parts_of_raw
from support.pictures import camera_exif, exiftool, integers, p3, rendered, said, smooth


def needs(tool, package):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: apt-get install {package}")


def heic(folder, *options, **saved):
    needs("heif-enc", "libheif-examples")
    pytest.importorskip("pi_heif")
    if not (folder / "a.png").exists():
        Image.fromarray(smooth()).save(folder / "a.png", **saved)
    command = ["heif-enc", "-q", "95", *options, "-o", str(folder / "a.heic"), str(folder / "a.png")]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        pytest.skip(f"heif-enc cannot: {done.stderr.strip()}")
    return folder / "a.heic"


def test_heic_is_read_with_its_metadata_and_written_elsewhere(tmp_path):
    path = heic(tmp_path, exif=camera_exif("<"), icc_profile=p3())
    photograph = read(path)
    assert (photograph.format, photograph.bits, photograph.pages) == ("heic", 8, 1)
    assert np.abs(integers(photograph.pixels) - smooth()).mean() < 6
    assert photograph.metadata.icc == p3()
    for suffix in (".png", ".avif", ".jpg"):
        assert write(photograph, tmp_path / f"b{suffix}") == ()
        with Image.open(tmp_path / f"b{suffix}") as picture:
            assert picture.info["icc_profile"] == p3()
            assert said(picture.info["exif"])["main 271"] == "Canon"


def test_heic_of_ten_bits(tmp_path):
    write(Photograph(torch.from_numpy(smooth()).permute(2, 0, 1)[None] / 255, bits=16), tmp_path / "a.png")
    path = heic(tmp_path, "-b", "10")
    photograph = read(path)
    assert (photograph.bits, photograph.coding.depth) == (16, 10)
    assert np.abs(integers(photograph.pixels) - smooth()).mean() < 6
    assert photograph.pixels.max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jxl_is_read_exactly(tmp_path, dtype, channels):
    imagecodecs = pytest.importorskip("imagecodecs")
    array = np.random.default_rng(0).random((21, 34, channels))
    array = array.astype(dtype) if dtype is np.float32 else (array * np.iinfo(dtype).max).astype(dtype)
    if channels == 4:
        array[..., 3] = np.maximum(array[..., 3], 1 if dtype is not np.float32 else 0.01)
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(array.squeeze(), lossless=True))
    photograph = read(tmp_path / "a.jxl")
    write(photograph, tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").reshape(array.shape), array)
    assert (photograph.grey, photograph.alpha is not None) == (channels == 1, channels == 4)
    assert photograph.bits == {np.uint8: 8, np.uint16: 16, np.float32: 32}[dtype]


@pytest.mark.parametrize(
    "space", ["RGB_D65_DCI_Rel_SRG", "RGB_D65_SRG_Rel_Lin", "RGB_D65_202_Rel_PeQ", "RGB_D65_SRG_Rel_SRG"]
)
@pytest.mark.parametrize("boxed", [False, True])
def test_the_colours_of_jxl_are_read_from_its_header(tmp_path, space, boxed):
    needs("cjxl", "libjxl-tools")
    pytest.importorskip("imagecodecs")
    Image.fromarray(np.full((32, 32, 3), (200, 90, 60), np.uint8)).save(tmp_path / "a.png")
    command = ["cjxl", "a.png", "a.jxl", "-d", "0", "--container=0", "-x", f"color_space={space}"]
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=tmp_path)
    if done.returncode:
        pytest.skip(f"cjxl cannot: {done.stderr.strip()}")
    if boxed:
        imagecodecs = pytest.importorskip("imagecodecs")
        stream = (tmp_path / "a.jxl").read_bytes()
        boxes = [(b"JXL ", b"\r\n\x87\n"), (b"ftyp", b"jxl \0\0\0\0jxl "), (b"Exif", bytes(4) + camera_exif("<")[6:])]
        boxes += [(b"brob", b"xml " + imagecodecs.brotli_encode(b"<x/>")), (b"jxlp", bytes(4) + stream[:20])]
        boxes += [(b"jxlp", b"\x80\0\0\1" + stream[20:])]
        data = b"".join(struct.pack(">L", 8 + len(body)) + name + body for name, body in boxes)
        (tmp_path / "a.jxl").write_bytes(data)
    photograph = read(tmp_path / "a.jxl")
    found = photograph.metadata.colour
    expected = {"RGB_D65_DCI_Rel_SRG": (12, 13), "RGB_D65_SRG_Rel_Lin": (1, 8), "RGB_D65_202_Rel_PeQ": (9, 16)}.get(
        space
    )
    assert (found and found.cicp[:2]) == expected
    assert bool(photograph.metadata.exif) == boxed
    assert photograph.metadata.xmp == (b"<x/>" if boxed else b"")
    assert photograph.lost == ()
    if space == "RGB_D65_DCI_Rel_SRG":
        write(photograph, tmp_path / "b.jpg")
        with Image.open(tmp_path / "b.jpg") as picture, Image.open(tmp_path / "a.png") as plain:
            shown = np.asarray(rendered(picture)).mean((0, 1))
            assert np.abs(shown - np.asarray(rendered(plain, p3())).mean((0, 1))).max() < 4


def dng(path):
    """A linear ramp behind a mosaic of red, green, green and blue, as the smallest DNG says it."""
    array = np.tile(np.linspace(0, 4000, 128).astype(np.uint16), (96, 1))
    to_srgb = (32406, -15372, -4986, -9689, 18758, 415, 557, -2040, 10570)
    tags = [
        (271, 2, 0, "ACME", True),
        (272, 2, 0, "Model 5", True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, bytes((0, 1, 1, 2)), True),
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),
        (50707, 1, 4, bytes((1, 1, 0, 0)), True),
        (50708, 2, 0, "ACME Model 5", True),
        (50717, 4, 1, 4095, True),
        (50721, 10, 9, tuple(number for value in to_srgb for number in (value, 10000)), True),
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),
        (50778, 3, 1, 21, True),
    ]
    tifffile.imwrite(path, array, photometric=32803, extratags=tags, metadata=None)


def test_a_camera_raw_file_is_developed_and_that_is_said(tmp_path):
    pytest.importorskip("rawpy")
    dng(tmp_path / "a.dng")
    photograph = read(tmp_path / "a.dng")
    assert (photograph.format, photograph.bits) == ("raw", 16)
    ramp = photograph.pixels[0, 1].mean(0)
    assert ramp[-10] > 0.9
    assert (ramp[20:-10].diff() > -1e-3).all()
    (word,) = write(photograph, tmp_path / "b.tif")
    assert "developed" in word
    found = exiftool(tmp_path / "b.tif")
    assert (found["IFD0:Make"], found["IFD0:Model"]) == ("ACME", "Model 5")


@pytest.mark.parametrize(
    ("name", "start", "extra"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        ("a.jxl", b"\xff\x0a\0\0", "jxl"),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0", "raw"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw"),
    ],
)
def test_a_missing_extra_is_named(tmp_path, monkeypatch, name, start, extra):
    (tmp_path / name).write_bytes(start + bytes(64))
    real = builtins.__import__

    def absent(wanted, *rest):
        if wanted in ("pi_heif", "imagecodecs", "rawpy"):
            raise ImportError(wanted)
        return real(wanted, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", absent)
        with pytest.raises(ImageError, match=rf"{name}: .*pip install 'pellucid\[{extra}\]'"):
            read(tmp_path / name)
    with pytest.raises(ImageError, match=rf"{name}: "):  # damaged, and no traceback
        read(tmp_path / name)


def box(name, body):
    return struct.pack(">L", len(body) + 8) + name + body


def table_of(*entries):
    """A TIFF structure of one table with texts in it, as a box of CR3 has it."""
    rows, tail = struct.pack("<H", len(entries)), b""
    begin = 8 + 2 + 12 * len(entries) + 4
    for tag, text in entries:
        rows += struct.pack("<HHLL", tag, 2, len(text), begin + len(tail))
        tail += text + b"\0" * (len(text) % 2)
    return b"II*\0" + struct.pack("<L", 8) + rows + bytes(4) + tail


def test_what_raw_files_say_is_found_in_every_container(tmp_path):
    """Without one of a camera: the containers alone, around tables that exiftool then reads in a JPEG."""
    first = table_of((271, b"Canon\0"), (272, b"EOS R\0"))
    camera, place = table_of((0x9003, b"2024:05:06 07:08:09\0")), table_of((29, b"2024:05:06\0\0"))
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    canon += box(b"CMT1", first) + box(b"CMT2", camera) + box(b"CMT3", first) + box(b"CMT4", place)
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x/>"
    cr3 = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", canon) + box(b"trak", b"x"))
    cr3 += box(b"uuid", xmp) + box(b"mdat", bytes(50))
    file = io.BytesIO()
    exif = Image.Exif()
    exif[271], exif[272] = "Canon", "EOS R"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    Image.fromarray(smooth()).save(file, "JPEG", exif=exif)
    raf = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">LL", 200, len(file.getvalue()))
    raf = raf.ljust(200, b"\0") + file.getvalue() + bytes(50)
    block = exif.tobytes()[6:] if exif.tobytes().startswith(b"Exif") else exif.tobytes()
    like = {name: start + block[4:] for name, start in (("orf", b"IIRO"), ("rw2", b"IIU\0"))}
    if block[:2] == b"MM":
        like = {"orf": b"MMOR" + block[4:]}
    for name, data in ({"cr3": cr3, "raf": raf} | like).items():
        found = parts_of_raw(data)
        assert found.unread == ()
        assert found.xmp == (b"<x/>" if name == "cr3" else b"")
        write(Photograph(torch.rand(1, 3, 9, 8), metadata=Metadata(exif=found.exif)), tmp_path / "a.jpg")
        told = exiftool(tmp_path / "a.jpg")
        assert (told["IFD0:Make"], told["IFD0:Model"]) == ("Canon", "EOS R"), name
        assert told["ExifIFD:DateTimeOriginal"] == "2024:05:06 07:08:09"
        assert name != "cr3" or told["GPS:GPSDateStamp"] == "2024:05:06"
    for cut in range(0, len(cr3), 7):
        assert parts_of_raw(cr3[:cut]).exif[:2] in (b"", b"II")
    assert parts_of_raw(b"FUJIFILMCCD-RAW").unread == ("EXIF",)


def test_alpha_that_jxl_has_multiplied_in_is_taken_out(tmp_path):
    """No tool here writes such a file: of one without, the bit that says it is set, as jxlinfo finds it."""
    needs("jxlinfo", "libjxl-tools")
    imagecodecs = pytest.importorskip("imagecodecs")
    array = np.concatenate([smooth(40, 56) // 2, np.full((40, 56, 1), 128, np.uint8)], -1).astype(np.uint16) * 257
    data = imagecodecs.jpegxl_encode(array, lossless=True)
    begin = 8 * (data.index(b"\xff\x0a") + 2)
    for bit in range(begin, begin + 200):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a.jxl").write_bytes(changed)
        command = ["jxlinfo", "-v", tmp_path / "a.jxl"]
        told = subprocess.run(command, capture_output=True, check=False).stdout.decode("latin-1")
        if "alpha_premultiplied: 1" in told and "56x40" in told:
            break
    else:
        pytest.skip("no such bit was found")
    expected = np.minimum(array[..., :3] * (255 / 128), 65535)
    write(read(tmp_path / "a.jxl"), tmp_path / "b.tif")
    assert np.abs(tifffile.imread(tmp_path / "b.tif")[..., :3] - expected).max() <= 2
