"""XMP packets: values changed in their places, so that all the rest stays byte for byte; long ones joined and cut.

A packet is RDF in XML. A property `p:name` is an attribute of its description or an element in it; both are found by
the prefix that the packet declares for the namespace. The specifications: Adobe's XMP Specification Parts 1 to 3;
regions: Metadata Working Group, Guidelines 2.0, and Microsoft's People Tagging.
"""

import base64
import re
from collections.abc import Callable, Iterator
from functools import partial

from pellucid.images.turning import turned_point

__all__ = [
    "grown_xmp",
    "joined_xmp",
    "mentions_further",
    "orientation_in",
    "resized_item",
    "sized_xmp",
    "split_xmp",
    "turned_depth",
    "turned_xmp",
    "with_guid",
    "without_further",
    "without_regions",
    "without_thumbnails",
]

_TIFF, _EXIF = (b"http://ns.adobe.com/tiff/1.0/", b"tiff"), (b"http://ns.adobe.com/exif/1.0/", b"exif")
_REGIONS = (b"http://www.metadataworkinggroup.com/schemas/regions/", b"mwg-rs")
_AREA, _DIMENSIONS = (
    (b"http://ns.adobe.com/xmp/sType/Area#", b"stArea"),
    (b"http://ns.adobe.com/xap/1.0/sType/Dimensions#", b"stDim"),
)
_PEOPLE = (b"http://ns.microsoft.com/photo/1.2/t/Region#", b"MPReg")
_EXTENSION = (b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/", b"Iptc4xmpExt")
_PEOPLE_LIST = (b"http://ns.microsoft.com/photo/1.2/", b"MP")
_NOTE = (b"http://ns.adobe.com/xmp/note/", b"xmpNote")
_CAMERA = (b"http://ns.google.com/photos/1.0/camera/", b"GCamera")
_CONTAINER = (b"http://ns.google.com/photos/1.0/container/", b"Container")
_ITEM = (b"http://ns.google.com/photos/1.0/container/item/", b"Item")
_DEPTH, _PANORAMA = (
    (b"http://ns.google.com/photos/1.0/depthmap/", b"GDepth"),
    (b"http://ns.google.com/photos/1.0/panorama/", b"GPano"),
)
_BASIC = (b"http://ns.adobe.com/xap/1.0/", b"xmp")
_GAIN_MAP = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"hdrgm")

Name = tuple[bytes, bytes]


def turned_xmp(xmp: bytes, orientation: int, width: int, height: int) -> bytes:
    """`xmp` for the upright picture: orientation 1, and regions of faces and the sides where they are in it.

    The picture lay `width` x `height`, with that orientation of EXIF.
    """
    xmp = _changed(xmp, _TIFF, b"Orientation", lambda _: b"1")
    if orientation == 1:
        return xmp
    for name in _prefixes(xmp, _REGIONS):
        turn = partial(_turned_area, orientation, width, height, _prefixes(xmp, _AREA))
        xmp = _structures(xmp, name + b":Area", turn)
        if orientation > 4:
            xmp = _structures(
                xmp, name + b":AppliedToDimensions", lambda size: _exchanged(size, _DIMENSIONS, b"w", b"h")
            )
    xmp = _changed(xmp, _PEOPLE, b"Rectangle", lambda text: _turned_rectangle(text, orientation))
    for prefix in _prefixes(xmp, _EXTENSION):
        space, name = (_EXTENSION[0], prefix), prefix + b":RegionBoundary"
        xmp = _structures(xmp, name, partial(_turned_boundary, orientation, width, height, space))
    for prefix in _prefixes(xmp, _EXIF):
        for name in (b":SubjectArea", b":SubjectLocation"):
            xmp = _structures(xmp, prefix + name, partial(_turned_subject, orientation, width, height))
    if orientation > 4:
        xmp = _exchanged(xmp, _TIFF, b"ImageWidth", b"ImageLength")
        xmp = _exchanged(xmp, _EXIF, b"PixelXDimension", b"PixelYDimension")
    return xmp


def turned_depth(xmp: bytes, turn: Callable[[bytes], bytes]) -> bytes:
    """`xmp` whose depth map, a picture of its own, is turned by `turn`; as it was where it holds none."""

    def turned(text: bytes) -> bytes:
        try:
            return base64.b64encode(turn(base64.b64decode(text, validate=True)))
        except ValueError:
            return text

    for name in (b"Data", b"Confidence"):
        xmp = _changed(xmp, _DEPTH, name, turned)
    return xmp


def grown_xmp(xmp: bytes, across: float, down: float) -> bytes:
    """`xmp` of a picture that is so many times as wide and as high: places that are told in pixels."""

    def scaled(space: Name, wide: tuple[bytes, ...], high: tuple[bytes, ...], structure: bytes) -> bytes:
        for names, factor in ((wide, across), (high, down)):
            for name in names:
                structure = _changed(structure, space, name, partial(_times, factor))
        return structure

    for name in _prefixes(xmp, _REGIONS):
        for prefix in _prefixes(xmp, _AREA):
            area = partial(scaled, (_AREA[0], prefix), (b"x", b"w", b"d"), (b"y", b"h"))
            xmp = _structures(xmp, name + b":Area", partial(_if_in_pixels, (_AREA[0], prefix), b"unit", area))
        for prefix in _prefixes(xmp, _DIMENSIONS):
            sides = partial(scaled, (_DIMENSIONS[0], prefix), (b"w",), (b"h",))
            xmp = _structures(xmp, name + b":AppliedToDimensions", sides)
    for prefix in _prefixes(xmp, _EXTENSION):
        space = (_EXTENSION[0], prefix)
        corner = partial(scaled, space, (b"rbX", b"rbW", b"rbRx"), (b"rbY", b"rbH"))
        xmp = _structures(xmp, prefix + b":RegionBoundary", partial(_if_in_pixels, space, b"rbUnit", corner))
    for prefix in _prefixes(xmp, _EXIF):
        for name in (b":SubjectArea", b":SubjectLocation"):
            xmp = _structures(xmp, prefix + name, partial(_scaled_subject, across, down))
    wide, high = (
        tuple(name + side + b"Pixels" for name in (b"FullPano", b"CroppedAreaImage")) for side in (b"Width", b"Height")
    )
    return scaled(_PANORAMA, (*wide, b"CroppedAreaLeftPixels"), (*high, b"CroppedAreaTopPixels"), xmp)


def orientation_in(xmp: bytes) -> int:
    """The orientation that `xmp` tells, 1 to 8; 1 where it tells none."""
    told = next(_values(xmp, _TIFF, b"Orientation"), b"1")
    return int(told) if re.fullmatch(rb"[1-8]", told) else 1


def sized_xmp(xmp: bytes, width: int, height: int) -> bytes:
    """`xmp` with the size of the picture in pixels, where it tells one."""
    sizes = ((_TIFF, b"ImageWidth", b"ImageLength"), (_EXIF, b"PixelXDimension", b"PixelYDimension"))
    for space, across, down in sizes:
        xmp = _changed(xmp, space, across, lambda _: b"%d" % width)
        xmp = _changed(xmp, space, down, lambda _: b"%d" % height)
    return xmp


def mentions_further(xmp: bytes) -> bool:
    """Whether `xmp` speaks of a gain map, a motion photo or other things behind the picture."""
    return without_further(xmp) != xmp


def without_further(xmp: bytes) -> bytes:
    """`xmp` without what it says of a gain map, a video and other things behind the picture."""
    for prefix in _prefixes(xmp, _CONTAINER):
        xmp = _structures(xmp, prefix + b":Directory", lambda _: b"")
    for prefix in _prefixes(xmp, _GAIN_MAP):
        xmp = _without(xmp, prefix, rb"[\w-]+")
    for prefix in _prefixes(xmp, _CAMERA):
        xmp = _without(xmp, prefix, rb"(?:MicroVideo|MotionPhoto)\w*")
    return xmp


def without_regions(xmp: bytes) -> bytes:
    """`xmp` without what is true of the whole picture alone: places of faces and subjects, a depth map, a panorama."""
    lists = ((_REGIONS, b"Regions"), (_PEOPLE_LIST, b"RegionInfo"), (_EXTENSION, b"ImageRegion"))
    for space, name in (*lists, (_EXIF, b"SubjectArea"), (_EXIF, b"SubjectLocation")):
        for prefix in _prefixes(xmp, space):
            xmp = _structures(xmp, prefix + b":" + name, lambda _: b"")
    for space in (_DEPTH, _PANORAMA):
        for prefix in _prefixes(xmp, space):
            xmp = _without(xmp, prefix, rb"\w+")
    return xmp


def without_thumbnails(xmp: bytes) -> bytes:
    """`xmp` without the little pictures of what is no longer there."""
    for prefix in _prefixes(xmp, _BASIC):
        xmp = _structures(xmp, prefix + b":Thumbnails", lambda _: b"")
    return xmp


def resized_item(xmp: bytes, semantic: bytes, size: int) -> bytes:
    """`xmp` with another length, in bytes, of the item of that meaning in Google's container."""
    for prefix in _prefixes(xmp, _ITEM):
        space = (_ITEM[0], prefix)

        def resized(item: bytes, space: Name = space) -> bytes:
            fits = next(_values(item, space, b"Semantic"), b"") == semantic
            return _changed(item, space, b"Length", lambda _: b"%d" % size) if fits else item

        xmp = _structures(xmp, b"rdf:li", resized)
    return xmp


def joined_xmp(main: bytes, extension: bytes) -> bytes:
    """One packet of the main one and what did not fit into it."""
    body = re.search(rb"<(\w+):RDF\b([^>]*)>(.*)</\1:RDF>", extension, re.DOTALL)
    end = main.rfind(b"</rdf:RDF>")
    if not body or body[1] != b"rdf" or end < 0:
        return main
    start = main.find(b"<rdf:RDF") + len(b"<rdf:RDF")
    head = main[start : main.find(b">", start)]
    spaces = b"".join(
        b" " + space
        for space in re.findall(rb"xmlns:[\w.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*')", extension[: body.start(3)])
        if space.split(b"=")[0].strip() + b"=" not in re.sub(rb"\s*=", b"=", head)
        and not space.startswith((b"xmlns:x=", b"xmlns:rdf="))
    )
    joined = main[:start] + spaces + main[start:end] + body[3] + main[end:]
    for prefix in _prefixes(joined, _NOTE):
        joined = _without(joined, prefix, rb"HasExtendedXMP")
    return joined


def split_xmp(xmp: bytes, most: int) -> tuple[bytes, bytes] | None:
    """`xmp` in a main packet of at most so many bytes and an extension, empty where all fits; None where it cannot be
    cut.

    The longest properties go into the extension.
    """
    xmp = re.sub(rb"\s{64,}(?=<\?xpacket end)", b"\n", xmp)  # padding, to be written over by editors
    if len(xmp) <= most:
        return xmp, b""
    start, end = xmp.find(b"<rdf:RDF"), xmp.rfind(b"</rdf:RDF>")
    if min(start, end) < 0:
        return None
    spaces = dict(re.findall(rb"xmlns:([\w.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')", xmp))
    moved: list[bytes] = []
    # An attribute or an element with text only, or a whole structure; the longest first, until the rest fits.
    simple = rb"(?<=\s)([\w.-]+):([\w.-]+)=(\"[^\"]*\"|'[^']*')|<([\w.-]+):([\w.-]+)>(?:(?!</?\4:\5\b).)*</\4:\5>"
    for found in sorted(re.finditer(simple, xmp, re.DOTALL), key=lambda one: one.start() - one.end()):
        prefix, name = (found[1] or found[4]), (found[2] or found[5])
        whole = found[0]
        if prefix in (b"xmlns", b"rdf", b"x", b"xml") or xmp.count(whole) != 1:
            continue
        element = b"<%s:%s>%s</%s:%s>" % (prefix, name, found[3][1:-1], prefix, name) if found[3] else whole
        moved.append(element)
        xmp = xmp.replace(whole, b"")
        if len(xmp) + 120 <= most:
            break
    else:
        return None
    used = b"".join(b" xmlns:%s=%s" % (prefix, uri) for prefix, uri in spaces.items() if prefix not in (b"x", b"rdf"))
    about = re.search(rb"rdf:about=(?:\"[^\"]*\"|'[^']*')", xmp)
    extension = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b"<rdf:Description " + (about[0] if about else b'rdf:about=""') + used + b">"
        + b"".join(moved) + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )  # fmt: skip
    return xmp, extension


def with_guid(main: bytes, guid: bytes) -> bytes:
    """A main packet that names its extension, by the digest of its bytes."""
    end = main.rfind(b"</rdf:RDF>")
    note = b'<rdf:Description rdf:about="" xmlns:xmpNote="%s" xmpNote:HasExtendedXMP="%s"/>' % (_NOTE[0], guid)
    return main[:end] + note + main[end:]


def _prefixes(xmp: bytes, space: Name) -> set[bytes]:
    """The prefixes that stand for a namespace: those declared, and the usual one."""
    return {space[1], *re.findall(rb"xmlns:([\w.-]+)\s*=\s*[\"']%s[\"']" % re.escape(space[0]), xmp)}


def _forms(prefix: bytes, name: bytes) -> tuple[bytes, bytes]:
    """Expressions for a property with a plain value, as an attribute and as an element: before, value, behind."""
    property_ = re.escape(prefix) + b":" + name
    return (
        rb"(?<=\s)(?P<before>%s\s*=\s*(?P<mark>[\"']))(?P<value>.*?)(?P<behind>(?P=mark))" % property_,
        rb"(?P<before><%s(?:\s[^<>]*)?(?<!/)>)(?P<value>[^<]*)(?P<behind></%s\s*>)" % (property_, property_),
    )


def _changed(xmp: bytes, space: Name, name: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """`xmp` with other values of a property."""
    for prefix in _prefixes(xmp, space):
        for form in _forms(prefix, name):
            xmp = re.sub(
                form, lambda at: at["before"] + change(at["value"].strip()) + at["behind"], xmp, flags=re.DOTALL
            )
    return xmp


def _values(xmp: bytes, space: Name, name: bytes) -> Iterator[bytes]:
    """The values of a property."""
    for prefix in _prefixes(xmp, space):
        for form in _forms(prefix, name):
            for found in re.finditer(form, xmp, re.DOTALL):
                yield found["value"].strip()


def _exchanged(xmp: bytes, space: Name, one: bytes, other: bytes) -> bytes:
    """`xmp` with the values of two properties exchanged."""
    first, second = next(_values(xmp, space, one), None), next(_values(xmp, space, other), None)
    if first is None or second is None:
        return xmp
    return _changed(_changed(xmp, space, one, lambda _: second), space, other, lambda _: first)


def _structures(xmp: bytes, name: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """`xmp` with other elements of that name, each with all that is in it."""
    escaped = re.escape(name)
    element = rb"<%s(?:\s[^<>]*)?/>|<%s(?:\s[^<>]*)?>.*?</%s\s*>" % (escaped, escaped, escaped)
    return re.sub(element, lambda found: change(found[0]), xmp, flags=re.DOTALL)


def _without(xmp: bytes, prefix: bytes, name: bytes) -> bytes:
    """`xmp` without the properties whose names match."""
    xmp = re.sub(rb"\s%s:%s\s*=\s*(?:\"[^\"]*\"|'[^']*')" % (re.escape(prefix), name), b"", xmp)
    element = rb"<(%s:%s)(?:\s[^<>]*)?(?:/>|(?<!/)>.*?</\1\s*>)" % (re.escape(prefix), name)
    return re.sub(element, b"", xmp, flags=re.DOTALL)


def _turned_area(orientation: int, width: int, height: int, prefixes: set[bytes], area: bytes) -> bytes:
    """An area, told by its centre and its sides, in parts of the picture or in pixels."""
    space = (_AREA[0], next((prefix for prefix in prefixes if prefix + b":x" in area), _AREA[1]))
    try:
        x, y = (float(next(_values(area, space, name))) for name in (b"x", b"y"))
    except (StopIteration, RuntimeError, ValueError):
        return area
    unit = next(_values(area, space, b"unit"), b"normalized")
    x, y = turned_point(x, y, orientation, *((width, height) if unit == b"pixel" else (1.0, 1.0)))
    area = _changed(_changed(area, space, b"x", lambda _: _number(x)), space, b"y", lambda _: _number(y))
    return _exchanged(area, space, b"w", b"h") if orientation > 4 else area


def _turned_rectangle(text: bytes, orientation: int) -> bytes:
    """`left, top, width, height` in parts of the picture."""
    try:
        left, top, across, down = (float(part) for part in text.split(b","))
    except ValueError:
        return text
    ends = [turned_point(x, y, orientation) for x, y in ((left, top), (left + across, top + down))]
    (left, right), (top, bottom) = (sorted(side) for side in zip(*ends, strict=True))
    return b", ".join(_number(value) for value in (left, top, right - left, bottom - top))


def _turned_boundary(orientation: int, width: int, height: int, space: Name, boundary: bytes) -> bytes:
    """A boundary of IPTC: the corner and the sides of a rectangle, the centre and the radius of a circle, or points."""
    unit = next(_values(boundary, space, b"rbUnit"), b"relative")
    sides = (float(width), float(height)) if unit == b"pixel" else (1.0, 1.0)
    if b":rbVertices" in boundary:
        point = rb"<rdf:li\b[^<>]*/>|<rdf:li\b[^<>]*(?<!/)>.*?</rdf:li\s*>"
        return re.sub(point, lambda at: _turned_corner(at[0], orientation, sides, space), boundary, flags=re.DOTALL)
    radius = next(_values(boundary, space, b"rbRx"), None)
    if radius is not None and orientation > 4 and unit != b"pixel":  # in parts of the width, which is another then
        longer = _number(float(radius) * width / height) if re.fullmatch(rb"[\d.]+", radius) else radius
        boundary = _changed(boundary, space, b"rbRx", lambda _: longer)
    return _turned_corner(boundary, orientation, sides, space)


def _turned_corner(text: bytes, orientation: int, sides: tuple[float, float], space: Name) -> bytes:
    """A point, or the corner and the sides of a rectangle, in the names of IPTC."""
    try:
        x, y = (float(next(_values(text, space, name))) for name in (b"rbX", b"rbY"))
        across, down = (float(next(_values(text, space, name), b"0")) for name in (b"rbW", b"rbH"))
    except (StopIteration, RuntimeError, ValueError):
        return text
    ends = [turned_point(*end, orientation, *sides) for end in ((x, y), (x + across, y + down))]
    left, top = (min(side) for side in zip(*ends, strict=True))
    text = _changed(text, space, b"rbX", lambda _: _number(left))
    text = _changed(text, space, b"rbY", lambda _: _number(top))
    return _exchanged(text, space, b"rbW", b"rbH") if orientation > 4 else text


def _turned_subject(orientation: int, width: int, height: int, subject: bytes) -> bytes:
    """A list of x, y and one or two sides, in pixels."""
    item = rb"(<rdf:li\b[^<>]*>\s*)(\d+)(\s*</rdf:li\s*>)"
    numbers = [int(found[2]) for found in re.finditer(item, subject)]
    if not 2 <= len(numbers) <= 4:
        return subject
    x, y, *sizes = numbers
    x, y = (round(value) for value in turned_point(x, y, orientation, width, height))
    told = iter((x, y, *(sizes[::-1] if orientation > 4 else sizes)))
    return re.sub(item, lambda found: b"%s%d%s" % (found[1], max(next(told), 0), found[3]), subject)


def _if_in_pixels(space: Name, unit: bytes, change: Callable[[bytes], bytes], structure: bytes) -> bytes:
    """A structure, changed where it says that its numbers are pixels."""
    return change(structure) if next(_values(structure, space, unit), b"") == b"pixel" else structure


def _times(factor: float, text: bytes) -> bytes:
    """A number in a text, so many times; whole where it was."""
    try:
        value = float(text) * factor
    except ValueError:
        return text
    return b"%d" % round(value) if text.isdigit() else _number(value)


def _scaled_subject(across: float, down: float, subject: bytes) -> bytes:
    """A list of x, y, and a diameter or a width and a height."""
    item = re.compile(rb"(<rdf:li\b[^<>]*>\s*)(\d+)(\s*</rdf:li\s*>)")
    count = len(item.findall(subject))
    if not 2 <= count <= 4:
        return subject
    factors = iter((across, down, *((across, down) if count == 4 else (max(across, down),))))
    return item.sub(lambda found: found[1] + _times(next(factors), found[2]) + found[3], subject)


def _number(value: float) -> bytes:
    return f"{value:.6f}".rstrip("0").rstrip(".").encode()
