"""What restored a photograph, as exiftool reads it; said once, however often it is restored."""

import subprocess

import pytest
from test_containers import long_xmp
from test_xmp import ATTRIBUTES, ELEMENTS

from pellucid.images import read, write
from pellucid.images.provenance import with_provenance
from support.pictures import XMP, exiftool, jpeg_with, smooth

SAID = {"Model": "default", "Settings": 'strength=0.5, mask="<&>"', "Done": "noise – strong\x00"}


@pytest.mark.parametrize(
    "before", [b"", ATTRIBUTES % 1, ELEMENTS % 1, long_xmp(120_000)], ids=["none", "a", "e", "long"]
)
def test_exiftool_reads_it_once_and_all_that_was_there(tmp_path, before):
    path = tmp_path / "a.jpg"
    segments = [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + before)] if 0 < len(before) < 60_000 else []
    path.write_bytes(jpeg_with(smooth(), *segments))
    photograph = read(path)
    xmp = before
    for model in ("first", "default"):
        xmp = with_provenance(xmp, SAID | {"Model": model})
    assert xmp.count(b"pellucid:Model") == 1
    from dataclasses import replace

    write(replace(photograph, metadata=replace(photograph.metadata, xmp=xmp)), path)
    found = exiftool(path)
    own = {name.split(":")[1]: value for name, value in found.items() if name.startswith("XMP-pellucid:")}
    assert own == {"Model": "default", "Settings": 'strength=0.5, mask="<&>"', "Done": "noise – strong"}
    if segments:
        assert found["XMP-mwg-rs:RegionName"] == "Zoe"
    if len(before) > 60_000:
        assert len(str(exiftool(path, "-b")["XMP-GDepth:DepthImage"])) > 80_000


def test_what_other_programs_have_rewritten_is_replaced(tmp_path):
    """exiftool writes properties as elements, in a description with its own order."""
    path = tmp_path / "a.jpg"
    from dataclasses import replace

    path.write_bytes(jpeg_with(smooth()))
    photograph = read(path)
    write(replace(photograph, metadata=replace(photograph.metadata, xmp=with_provenance(b"", SAID))), path)
    exiftool(path)
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-dc:Title=Dusk", str(path)], check=True)
    xmp = with_provenance(read(path).metadata.xmp, {"Model": "second"})
    write(replace(photograph, metadata=replace(photograph.metadata, xmp=xmp)), path)
    found = exiftool(path)
    assert found["XMP-dc:Title"] == "Dusk"
    assert {name: value for name, value in found.items() if "pellucid" in name} == {"XMP-pellucid:Model": "second"}


def test_what_is_no_xmp_is_left_alone():
    assert with_provenance(b"<x/>", SAID) == b"<x/>"
    assert with_provenance(XMP, SAID) == XMP
