"""`pellucid restore` with controls, a mask, a part, a sheet and a report, as people call it."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import torch
from PIL import Image

from pellucid import images, load
from pellucid.restoration.control import fine_band


def picture(path, size=(40, 56), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed)) * 0.6 + 0.2
    images.write(images.Photograph(pixels), path)
    return path


def pixels(path):
    return images.read(path).pixels


def test_controls_reach_the_file(run, model, tmp_path):
    source = picture(tmp_path / "a.png")
    told = {}
    for name, options in {
        "full": (), "detail": ("--detail", 1), "grey": ("--luminance", 0), "pale": ("--chroma", 0),
        "near": ("--faithful", 2), "both": ("--luminance", 0, "--chroma", 0),
    }.items():  # fmt: skip
        assert run("restore", source, "-o", tmp_path / f"{name}.png", "--model", model, *options)[0] == 0
        told[name] = pixels(tmp_path / f"{name}.png")
    before = pixels(source)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    half = 0.51 / 255
    assert ((told["grey"] - before) * luma).sum(1).abs().max() <= half
    assert ((told["pale"] - told["full"]) * luma).sum(1).abs().max() <= 2 * half
    assert torch.equal(told["both"], before)
    assert (told["detail"] - told["full"]).abs().max() > 0.01
    expected = told["full"] - fine_band(told["full"]) + fine_band(before)
    assert (told["detail"] - expected.clamp(0, 1)).abs().max() < 4 * half
    from scipy import ndimage

    low = ndimage.gaussian_filter((told["near"] - before)[0].numpy(), (0, 8, 8), mode="mirror")
    assert np.abs(low).max() * 255 <= 2 + 0.1  # and what rounding to 8 bits adds
    assert not torch.equal(told["near"], before)


def test_a_part_equals_that_of_the_whole(run, model, tmp_path):
    source = picture(tmp_path / "a.png")
    assert run("restore", source, "-o", tmp_path / "whole.png", "--model", model)[0] == 0
    options = ("--crop", "10,4,20,15", "--compare")
    assert run("restore", source, "-o", tmp_path / "part.png", "--model", model, *options)[0] == 0
    assert torch.equal(pixels(tmp_path / "part.png"), pixels(tmp_path / "whole.png")[..., 4:19, 10:30])
    assert torch.equal(pixels(tmp_path / "part-compared.png")[..., :20], pixels(source)[..., 4:19, 10:30])
    status, _, err = run("restore", source, "-o", tmp_path / "c.png", "--model", model, "--crop", "40,0,20,10")
    assert status == 1
    assert "reaches beyond the picture of 56 x 40 pixels" in err
    status, _, err = run("restore", source, "-o", tmp_path / "c.png", "--model", model, "--crop", "1,2,3")
    assert (status, "x,y,w,h" in err) == (2, True)


def test_a_mask(run, model, tmp_path):
    source, array = picture(tmp_path / "a.png"), np.zeros((40, 56), np.uint8)
    array[10:30, 10:40] = 255
    Image.fromarray(array).save(tmp_path / "mask.png")
    assert run("restore", source, "-o", tmp_path / "b.png", "--model", model, "--mask", tmp_path / "mask.png")[0] == 0
    changed = (pixels(tmp_path / "b.png") != pixels(source)).any(1)[0].numpy()
    assert changed[15:25, 15:35].mean() > 0.9
    assert not changed[array == 0].any()
    Image.fromarray(array[:20]).save(tmp_path / "mask.png")
    status, _, err = run("restore", source, "-o", tmp_path / "c.png", "--model", model, "--mask", tmp_path / "mask.png")
    assert status == 1
    assert err.count("\n") == 1
    assert "a mask of 56 x 20 pixels for a picture of 56 x 40" in err
    assert run("restore", source, "-o", tmp_path / "c.png", "--model", model, "--feather", 3)[0] == 2
    status, _, err = run("restore", source, "-o", tmp_path / "c.png", "--model", model, "--mask", tmp_path / "no.png")
    assert status == 1
    assert "no.png: cannot be read" in err


def test_a_manifest_knows_the_mask_by_its_bytes(run, model, tmp_path):
    source = picture(tmp_path / "in/a.png")
    Image.new("L", (56, 40), 255).save(tmp_path / "mask.png")
    command = ("restore", source, "-o", tmp_path / "out", "--model", model, "--mask", tmp_path / "mask.png", "--resume")
    assert "1 restored" in run(*command)[1]
    assert "1 skipped" in run(*command)[1]
    Image.new("L", (56, 40), 9).save(tmp_path / "mask.png")
    assert "1 restored" in run(*command)[1]


def test_a_sheet_shows_each_model_at_each_strength(run, model, tmp_path):
    source = picture(tmp_path / "a.png", (160, 150))
    other = shutil.copy(model, tmp_path / "other.safetensors")
    options = ("--sheet", f"{model},{other}", "--strengths", "0.5,1", "--crop", "10,4,140,130")
    assert run("restore", source, "-o", tmp_path / "sheet.png", *options)[0] == 0
    sheet, restorer = pixels(tmp_path / "sheet.png"), load(model, crop=(10, 4, 140, 130))
    once = restorer.once(images.read(source))
    cells = [pixels(source)[..., 4:134, 10:150], once.mixed(strength=0.5).pixels, once.mixed().pixels]
    for row in (18, 18 + 130 + 8 + 18):
        for column, cell in enumerate(cells):
            shown = sheet[..., row : row + 130, column * 148 : column * 148 + 140]
            torch.testing.assert_close(shown, cell, atol=0.51 / 255, rtol=0)
    for wrong in (
        ("--strengths", "1"),
        ("--sheet", "denoise", "--resume"),
        ("--sheet", ","),
        ("--sheet", model, "--strengths", "2"),
    ):
        assert run("restore", source, "-o", tmp_path / "b.png", *wrong)[0] == 2


class Links(HTMLParser):
    """What a page shows and where from."""

    def __init__(self):
        super().__init__()
        self.links, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_a_report_needs_nothing_but_itself(run, model, tmp_path):
    picture(tmp_path / "in/<b>&1.png")
    picture(tmp_path / "in/turned.jpg")
    (tmp_path / "in/broken.png").write_bytes(b"no picture")
    command = ("restore", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--report", tmp_path / "r.html")
    status, out, _ = run(*command, "--json")
    assert status == 1
    assert len(json.loads(out)["photographs"]) == 3
    page = Links()
    page.feed((tmp_path / "r.html").read_text("utf-8"))
    assert len(page.links) == 4
    for link, path in zip(
        page.links, ("in/<b>&1.png", "out/<b>&1.png", "in/turned.jpg", "out/turned.jpg"), strict=True
    ):
        with Image.open(io.BytesIO(base64.b64decode(link.removeprefix("data:image/jpeg;base64,")))) as shown:
            expected = Image.open(tmp_path / path).convert("RGB")
            assert shown.size == expected.size
            assert np.abs(np.asarray(shown).astype(int) - np.asarray(expected)).mean() < 15
    assert "<b>&1.png" in page.text
    assert "broken.png: not a picture" in page.text
    assert "3 photographs" in page.text
    assert not re.search(r"https?://", (tmp_path / "r.html").read_text("utf-8"))
    assert run(*command[:-1], tmp_path / "r.txt")[0] == 2
    assert run(*command[:-1], tmp_path / "in/turned.jpg/r.html", "--overwrite")[0] == 1


def test_provenance_and_without(run, model, tmp_path):
    source = picture(tmp_path / "a.jpg")
    run("restore", source, "-o", tmp_path / "b.jpg", "--model", model, "--strength", 0.5)
    run("restore", tmp_path / "b.jpg", "-o", tmp_path / "c.jpg", "--model", model)
    run("restore", source, "-o", tmp_path / "d.jpg", "--model", model, "--no-provenance")
    packets = {name: images.read(tmp_path / f"{name}.jpg").metadata.xmp for name in "bcd"}
    assert b"strength=0.5" in packets["b"]
    assert packets["c"].count(b"pellucid:Model") == 1
    assert b"strength=0.5" not in packets["c"]
    assert packets["d"] == b""
    if shutil.which("exiftool"):
        said = subprocess.run(
            ["exiftool", "-s", "-XMP-pellucid:all", tmp_path / "c.jpg"], capture_output=True, text=True
        )
        assert "Software" in said.stdout
        assert "tiny.safetensors" in said.stdout
