"""What files hold, a small file for each, and whether it is in another file: the rows of docs/files.md, and of their
test."""

import base64
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from test_containers import RESOURCES, long_xmp
from test_further import motion_photo, second, ultra_hdr, with_pictures

from pellucid.images import read, write
from support.pictures import (
    avif_facts,
    camera_exif,
    exiftool,
    jpeg_with,
    p3,
    png_values,
    png_with,
    raw_profile,
    rendered,
    smooth,
)

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WebP": ".webp", "AVIF": ".avif", "BMP": ".bmp"}
FLAT = np.full((32, 32, 3), (200, 90, 60), np.uint8)


@dataclass(frozen=True)
class Property:
    """A row: a name, a file that has it (its suffix and how it is made), and how it is found in another file.

    `found` says "kept", "converted: how", or nothing where it is not there.
    """

    name: str
    suffix: str
    make: Callable[[Path], None]
    found: Callable[[Path, Path], str]
    every_page: bool = False
    """Whether all pages and frames are read."""


def cells(prop: Property, folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """For each format, what becomes of the property, and what is said to be lost."""
    source = folder / f"source{prop.suffix}"
    prop.make(source)
    told = {}
    for name, suffix in FORMATS.items():
        target = folder / f"target{suffix}"
        lost = write(read(source, every_page=prop.every_page), target)
        told[name] = (prop.found(target, source), lost)
    return told


def table(folder: Path) -> str:
    """The table of docs/files.md."""
    rows = ["| what a file holds | " + " | ".join(FORMATS) + " |", "|---" * (len(FORMATS) + 1) + "|"]
    for prop in PROPERTIES:
        found = [state or "dropped, said" for state, _ in cells(prop, folder).values()]
        rows.append(f"| {prop.name} | " + " | ".join(found) + " |")
    return "\n".join(rows) + "\n"


def tags(**expected: object) -> Callable[[Path, Path], str]:
    """Found where exiftool says these; two underscores stand for the colon behind the group."""

    def found(target: Path, _: Path) -> str:
        facts = exiftool(target)
        return (
            "kept"
            if all(facts.get(name.replace("__", ":").replace("_", "-")) == value for name, value in expected.items())
            else ""
        )

    return found


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture


def jpeg(path: Path, *segments: tuple[int, bytes], **options: object) -> None:
    path.write_bytes(jpeg_with(smooth(), *segments, **options))


def canon(path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS 5D Mark IV"
    owner = b"A Photographer".ljust(32, b"\0")
    exif.get_ifd(0x8769)[0x927C] = struct.pack("<HHHLLL", 1, 9, 2, 32, 0, 0) + owner
    data = bytearray(exif.tobytes())
    at = data.index(owner)
    struct.pack_into("<L", data, at - 8, at - 6)  # from the beginning of the TIFF structure
    jpeg(path, (0xE1, bytes(data)))


def regions(path: Path) -> None:
    from test_xmp import ATTRIBUTES

    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg(path, (0xE1, exif.tobytes()), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + ATTRIBUTES % 6))


def depth(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    array = np.zeros((16, 24), np.uint8)
    array[:8, :8] = 200
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/" '
        b'GDepth:Mime="image/png" GDepth:Data="%s"/></rdf:RDF></x:xmpmeta>' % base64.b64encode(file.getvalue())
    )
    jpeg(path, (0xE1, exif.tobytes()), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp))


def depth_found(target: Path, _: Path) -> str:
    data = str(exiftool(target, "-b").get("XMP-GDepth:DepthImage", "")).removeprefix("base64:")
    if not data:
        return ""
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        array = np.asarray(picture)
    return "kept" if array.shape == (24, 16) and array[2, 13] == 200 and array[2, 2] == 0 else ""


def history(path: Path) -> None:
    exif = Image.Exif()
    exif[37395], exif[50708], exif[65002] = "cropped", "Canon EOS 5D", "50 mm"
    jpeg(path, (0xE1, exif.tobytes()))


def texts(path: Path) -> None:
    path.write_bytes(png_with(smooth(), (b"tEXt", b"Title\0Dusk")))


def look(target: Path, expected: np.ndarray) -> str:
    """How a picture of one colour comes to look as expected, if it does."""
    picture = opened(target)
    shown = np.asarray(rendered(picture)).mean((0, 1))
    if np.abs(shown - expected).max() > 4:
        return ""
    return "kept" if "icc_profile" not in picture.info else "converted: ICC profile"


def gamma(path: Path) -> None:
    path.write_bytes(png_with(FLAT, (b"gAMA", struct.pack(">L", 55556))))


def gamma_found(target: Path, _: Path) -> str:
    if target.suffix == ".png":
        return "kept" if b"gAMA" + struct.pack(">L", 55556) in target.read_bytes() else ""
    light = (FLAT[0, 0] / 255) ** 1.8
    return look(target, 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


def numbered(primaries: int, transfer: int) -> Property:
    def make(path: Path) -> None:
        path.write_bytes(png_with(FLAT, (b"cICP", bytes((primaries, transfer, 0, 1)))))

    def found(target: Path, _: Path) -> str:
        if target.suffix == ".png":
            return "kept" if b"cICP" + bytes((primaries, transfer, 0, 1)) in target.read_bytes() else ""
        if target.suffix == ".avif":
            facts = avif_facts(target)
            return (
                "kept" if (facts["Color Primaries"], facts["Transfer Char."]) == (str(primaries), str(transfer)) else ""
            )
        if "icc_profile" not in opened(target).info:
            return ""
        return "converted: ICC profile" + (" up to white" if transfer == 16 else "")

    name = {12: "Display P3 by number (cICP, nclx)", 9: "PQ of BT.2020 by number"}[primaries]
    return Property(name, ".png", make, found)


def adobe(path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(FLAT).save(path, exif=exif)


def adobe_found(target: Path, _: Path) -> str:
    picture = opened(target)
    if "icc_profile" in picture.info:
        return "converted: ICC profile"
    return "kept" if exiftool(target).get("InteropIFD:InteropIndex") == "R03" else ""


def profile_found(target: Path, source: Path) -> str:
    return "kept" if opened(target).info.get("icc_profile") == opened(source).info["icc_profile"] else ""


def linear_grey(path: Path) -> None:
    from pellucid.images.colour import Colour, profile_of

    profile = profile_of(Colour(transfer=1.8), grey=True)
    Image.fromarray(np.full((32, 32), 90, np.uint8)).save(path, icc_profile=profile)


def linear_grey_found(target: Path, source: Path) -> str:
    picture, before = opened(target), opened(source)
    if np.abs(np.asarray(rendered(picture)).mean() - np.asarray(rendered(before)).mean()) > 2:
        return ""
    return "kept" if picture.info["icc_profile"][16:20] == b"GRAY" else "converted: RGB profile"


def samples(path: Path, array: np.ndarray, **options: object) -> None:
    tifffile.imwrite(path, array, photometric="rgb", **options)


def sixteen(target: Path, _: Path) -> str:
    expected = smooth().astype(np.uint16) * 257 + 77
    if target.suffix == ".avif":
        return "converted: 10 bits" if avif_facts(target)["Bit Depth"] == "10" else ""
    values = {".png": png_values, ".tif": tifffile.imread}.get(target.suffix)
    if values is None:
        return ""
    return "kept" if np.array_equal(values(target), expected) else ""


def with_alpha(path: Path) -> None:
    Image.fromarray(np.concatenate([FLAT, np.full((32, 32, 1), 128, np.uint8)], -1)).save(path)


def alpha_found(target: Path, _: Path) -> str:
    picture = opened(target)
    return "kept" if picture.mode == "RGBA" and np.abs(np.asarray(picture)[..., 3].astype(int) - 128).max() < 2 else ""


def floats(**changes: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        array = np.full((32, 32, 3), 0.5, np.float32)
        array[3:6, 3:6] = next(iter(changes.values()))
        samples(path, array)

    return make


def same_samples(target: Path, source: Path) -> str:
    if target.suffix != ".tif":
        return ""
    return "kept" if np.array_equal(tifffile.imread(target), tifffile.imread(source), equal_nan=True) else ""


def plane(path: Path) -> None:
    samples(path, np.concatenate([FLAT, FLAT[..., :1] // 2], -1), extrasamples=[0])


def pages(path: Path) -> None:
    Image.fromarray(smooth()).save(path, save_all=True, append_images=[Image.fromarray(smooth() // 2)])


def frames(path: Path) -> None:
    first, *others = (Image.fromarray(smooth() // divisor) for divisor in (1, 2, 3))
    first.save(path, save_all=True, append_images=others, duration=[100, 200, 300])


def pages_found(target: Path, _: Path) -> str:
    with Image.open(target) as picture:
        return "kept" if getattr(picture, "n_frames", 1) > 1 else ""


def frames_found(target: Path, _: Path) -> str:
    with Image.open(target) as picture:
        if getattr(picture, "n_frames", 1) != 3:
            return ""
        durations = []
        for number in range(3):
            picture.seek(number)
            picture.load()
            durations.append(picture.info.get("duration"))
    return "kept" if durations == [100, 200, 300] else "converted: pages"


def gain_map_found(target: Path, source: Path) -> str:
    return "kept" if target.suffix == ".jpg" and second(target) == second(source) else ""


def video_found(target: Path, _: Path) -> str:
    offset = exiftool(target).get("XMP-GCamera:MicroVideoOffset")
    return "kept" if offset and b"ftyp" in target.read_bytes()[-int(str(offset)) :][:12] else ""


def view(path: Path) -> None:
    other = path.with_name("other.jpg")
    Image.fromarray(smooth() // 2).save(other)
    path.write_bytes(with_pictures(other.read_bytes(), kinds=[0x020002]))


def dots(target: Path) -> float:
    """Dots per inch, as the file itself or its EXIF tells them."""
    picture = opened(target)
    return float(picture.info.get("dpi", (0, 0))[0] or picture.getexif().get(282, 0))


def iptc(path: Path) -> None:
    from support.pictures import IPTC

    path.write_bytes(png_with(smooth(), (b"tEXt", b"Raw profile type iptc\0" + raw_profile("iptc", IPTC))))


def long_found(target: Path, _: Path) -> str:
    facts = exiftool(target, "-b")
    return "kept" if len(str(facts.get("XMP-GDepth:DepthImage", ""))) > 80_000 else ""


PROPERTIES = [
    Property(
        "EXIF, GPS",
        ".jpg",
        lambda path: jpeg(path, (0xE1, camera_exif("<"))),
        tags(IFD0__Make="Canon", ExifIFD__ExposureTime=0.008, GPS__GPSLatitudeRef="N"),
    ),
    Property("maker notes that hold offsets", ".jpg", canon, tags(Canon__OwnerName="A Photographer")),
    Property("regions of faces, turned with the picture", ".jpg", regions, tags(XMP_mwg_rs__RegionAreaX=0.75)),
    Property("depth map in XMP, turned with the picture", ".jpg", depth, depth_found),
    Property(
        "history, model and lens as TIFF/EP, DNG and Camera Raw say them",
        ".jpg",
        history,
        tags(IFD0__ImageHistory="cropped", IFD0__UniqueCameraModel="Canon EOS 5D", IFD0__Lens="50 mm"),
    ),
    Property(
        "XMP longer than 64 kB",
        ".png",
        lambda path: (
            path.write_bytes(png_with(smooth(), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + long_xmp(120_000)))) and None
        ),
        long_found,
    ),
    Property("IPTC", ".png", iptc, tags(IPTC__ObjectName="Title")),
    Property(
        "clipping path, copyright flag (Photoshop)",
        ".jpg",
        lambda path: jpeg(path, (0xED, b"Photoshop 3.0\0" + RESOURCES)),
        tags(Photoshop__ClippingPathName="Path 1", Photoshop__CopyrightFlag=1),
    ),
    Property(
        "comment of a JPEG",
        ".jpg",
        lambda path: jpeg(path, (0xFE, b"slide 17")),
        lambda target, _: "kept" if b"slide 17" in target.read_bytes() else "",
    ),
    Property("texts of a PNG", ".png", texts, tags(PNG__Title="Dusk")),
    Property(
        "resolution",
        ".jpg",
        lambda path: jpeg(path, dpi=(300, 300)),
        lambda target, _: "kept" if abs(dots(target) - 300) < 1 else "",
    ),
    Property("ICC profile", ".jpg", lambda path: jpeg(path, icc_profile=p3()), profile_found),
    Property("ICC profile of a grey picture", ".jpg", linear_grey, linear_grey_found),
    Property("gamma and primaries of a PNG", ".png", gamma, gamma_found),
    numbered(12, 13),
    numbered(9, 16),
    Property("Adobe RGB that only EXIF tells (DCF)", ".jpg", adobe, adobe_found),
    Property("alpha", ".png", with_alpha, alpha_found),
    Property("16 bits", ".tif", lambda path: samples(path, smooth().astype(np.uint16) * 257 + 77), sixteen),
    Property("floating values above 1", ".tif", floats(above=2.5), same_samples),
    Property("NaN", ".tif", floats(nan=float("nan")), same_samples),
    Property("a channel that is no alpha (infrared)", ".tif", plane, same_samples),
    Property("gain map (Ultra HDR)", ".jpg", lambda path: path.write_bytes(ultra_hdr()[0]) and None, gain_map_found),
    Property("video of a motion photo", ".jpg", lambda path: path.write_bytes(motion_photo()) and None, video_found),
    Property("second view (MPO)", ".jpg", view, gain_map_found),
    Property("further pages or frames", ".tif", pages, pages_found),
    Property("pages, with `--pages all`", ".tif", pages, pages_found, every_page=True),
    Property("frames and their times, with `--pages all`", ".png", frames, frames_found, every_page=True),
]
