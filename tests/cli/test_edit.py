"""`pellucid colorize` and `pellucid inpaint` as people call them."""

import json

import pytest
import torch

from pellucid import images
from pellucid.images.lab import lab_of
from pellucid.models.save import save_model
from pellucid.networks import Colorizer, Inpainter


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    network = Colorizer(widths=(8, 16), blocks=(1, 1), told=64, side=16)
    torch.nn.init.normal_(network.unet.tail.weight, std=0.3)
    save_model(network, folder / "colour.safetensors")
    save_model(Inpainter.tiny(), folder / "fill.safetensors")
    return folder


@pytest.fixture
def old(tmp_path):
    """Three grey photographs in a folder."""
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.jpg"):
        rows = torch.linspace(0.1, 0.9, 30).view(1, 1, -1, 1).expand(1, 3, -1, 44)
        images.write(images.Photograph(rows, grey=True, bits=8), folder / name)
    return folder


def test_a_folder_is_coloured(run, models, old, tmp_path):
    arguments = ("colorize", old, "-o", tmp_path / "new", "--model", models / "colour.safetensors")
    status, out, err = run(*arguments, "--text", "green field, blue sky")
    assert (status, err) == (0, "")
    assert "understood: green below, blue above" in out
    assert "3 colorized" in out
    for name in ("a.png", "b.png", "c.jpg"):
        before, after = images.read(old / name), images.read(tmp_path / "new" / name)
        assert not after.grey
        difference = (lab_of(after.pixels)[:, 0] - lab_of(before.pixels)[:, 0]).abs()
        assert difference.mean() < 0.6
        assert lab_of(after.pixels)[:, 1:].norm(dim=1).mean() > 2
    status, out, _ = run(*arguments)
    assert "3 skipped" in out


def test_json_is_one_document(run, models, old, tmp_path):
    status, out, _ = run(
        "colorize", old / "a.png", "-o", tmp_path / "a.png", "--model", models / "colour.safetensors", "--json"
    )
    told = json.loads(out)
    assert status == 0
    assert told["photographs"][0]["status"] == "colorized"
    assert told["understood"] == ""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--text", ""], "is empty"),
        (["--text", "der Himmel ist blau"], "German"),
        (["--text", "sharper"], "says nothing of colours"),
        (["--palette-from", "nowhere.png"], "nowhere.png"),
        (["--encoder", "nowhere"], ""),
        (["--model", "nothing"], "unknown model"),
    ],
)
def test_misuse_of_colour_is_one_line(run, models, old, tmp_path, more, words):
    known = [] if "--model" in more else ["--model", models / "colour.safetensors"]
    text = ["--text", "blue sky"] if "--encoder" in more else []
    status, _, err = run("colorize", old / "a.png", "-o", tmp_path / "a.png", *known, *text, *more)
    assert status in (1, 2)
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "a.png").exists()


def test_a_mask_is_proposed_and_filled(run, models, tmp_path):
    picture = torch.rand(1, 3, 8, 8)
    picture = torch.nn.functional.interpolate(picture, (80, 100), mode="bicubic").clamp(0.2, 0.8)
    picture[..., 40:42, 5:95] = 1
    images.write(images.Photograph(picture), tmp_path / "old.png")
    status, out, err = run("inpaint", tmp_path / "old.png", "--find", "scratches", "-o", tmp_path / "mask.png")
    assert (status, err) == (0, "")
    assert "look at it" in out
    arguments = ("--mask", tmp_path / "mask.png", "--model", models / "fill.safetensors")
    status, out, _ = run("inpaint", tmp_path / "old.png", "-o", tmp_path / "new.png", *arguments)
    assert (status, "1 inpainted" in out) == (0, True)
    before, after, mask = (images.read(tmp_path / f"{name}.png").pixels for name in ("old", "new", "mask"))
    assert torch.equal(before[mask == 0], after[mask == 0])
    assert float(after[..., 40, 20:80].mean()) < 0.95
    status, out, err = run("inpaint", tmp_path / "old.png", "-o", tmp_path / "new.jpg", *arguments, "--json")
    assert status == 0
    assert "codes the whole picture anew" in json.loads(out)["notes"][0]
    assert "PNG and TIFF" in err
    # A photograph taken for a mask is full of greys: that is known only once it has been laid on, and is said then.
    images.write(images.Photograph(torch.rand(1, 3, 80, 100)), tmp_path / "photo.png")
    status, out, err = run(
        "inpaint",
        tmp_path / "old.png",
        "-o",
        tmp_path / "grey.png",
        "--mask",
        tmp_path / "photo.png",
        *arguments[2:],
        "--json",
    )
    assert status == 0
    assert "of it is grey" in json.loads(out)["notes"][0]
    assert "of it is grey" in err


def test_misuse_of_masks_is_one_line(run, models, tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 20, 30)), tmp_path / "photo.png")
    for name, mask, words in (
        ("empty", torch.zeros(1, 3, 20, 30), "is empty"),
        ("full", torch.ones(1, 3, 20, 30), "nothing to go by"),
        ("other", torch.ones(1, 3, 10, 30), "30 x 10"),
    ):
        images.write(images.Photograph(mask), tmp_path / f"{name}.png")
        status, _, err = run(
            "inpaint", tmp_path / "photo.png", "-o", tmp_path / "out.png", "--mask", tmp_path / f"{name}.png",
            "--model", models / "fill.safetensors",
        )  # fmt: skip
        assert status in (1, 2)
        assert words in err
        assert not (tmp_path / "out.png").exists()
    status, _, err = run("inpaint", tmp_path / "photo.png", "-o", tmp_path / "out.png")
    assert (status, "--mask" in err) == (2, True)


@pytest.mark.parametrize("name", ["colorize", "inpaint"])
def test_restore_says_whose_models_these_are(run, old, tmp_path, name):
    status, _, err = run("restore", old / "a.png", "-o", tmp_path / "a.png", "--model", name)
    assert status == 2
    assert f"is for `pellucid {name}`" in err
    assert not (tmp_path / "a.png").exists()
