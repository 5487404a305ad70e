"""`pellucid degrade` as people call it: what is written, what is kept, what can be made again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid import images
from pellucid.data.folders import list_pairs
from pellucid.degradations import DEGRADATIONS, MIXTURES, parse
from support.pictures import camera_exif, integers, noise, png_values, smooth


@pytest.fixture
def folder(tmp_path):
    """Three photographs, one of them deeper."""
    for index, name in enumerate(("a.png", "Zoë 日本.png", "deep/a.png")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(smooth(), 5 * index, 0)).save(path)
    return tmp_path / "in"


def pixels(path):
    return images.read(path).pixels


def told(out):
    return {Path(one["source"]).name: one for one in json.loads(out)["photographs"]}


def test_one_file_into_one_file(run, folder, tmp_path):
    status, out, err = run("degrade", folder / "a.png", "-o", tmp_path / "b.png", "--with", "noise sigma=25")
    assert (status, out, err) == (0, "1 degraded\n", "")
    difference = (pixels(tmp_path / "b.png") - pixels(folder / "a.png"))[..., 5:-5, 5:-5]
    assert 15 < difference.std() * 255 < 27  # some of it is clipped


def test_jpeg_is_that_of_the_codec(run, folder, tmp_path):
    assert run("degrade", folder / "a.png", "-o", tmp_path / "b.png", "--with", "jpeg quality=30")[0] == 0
    Image.open(folder / "a.png").save(tmp_path / "c.jpg", quality=30, subsampling="4:2:0")
    with Image.open(tmp_path / "b.png") as ours, Image.open(tmp_path / "c.jpg") as theirs:
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_a_photograph_is_degraded_alike_whatever_else_is_given(run, folder, tmp_path):
    text = "noise sigma=5..50, jpeg quality=20..80"
    assert run("degrade", folder, "-r", "-o", tmp_path / "all", "--with", text, "--seed", 4)[0] == 0
    assert run("degrade", folder / "a.png", "-o", tmp_path / "alone", "--with", text, "--seed", 4)[0] == 0
    assert run("degrade", folder / "a.png", "-o", tmp_path / "other", "--with", text, "--seed", 5)[0] == 0
    whole, alone, other = (pixels(tmp_path / name / "a.png") for name in ("all", "alone", "other"))
    assert torch.equal(whole, alone)
    assert not torch.equal(whole, other)
    # Photographs of one name in two folders are two photographs.
    assert run("degrade", folder, "-r", "-o", tmp_path / "plain", "--with", "noise sigma=25")[0] == 0
    first, second = (pixels(tmp_path / "plain" / name) - pixels(folder / name) for name in ("a.png", "deep/a.png"))
    assert (first - second).abs().mean() > 0.05


def test_a_rerun_resumes_to_the_same_bytes(run, folder, tmp_path):
    command = ("degrade", folder, "-r", "-o", tmp_path / "out", "--with", "noise sigma=5..50")
    assert run(*command)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")}
    assert len(before) == 3
    (tmp_path / "out/deep/a.png").unlink()
    (tmp_path / "out/a.png").write_bytes(b"mine")
    status, out, _ = run(*command)
    assert (status, out) == (0, "1 degraded, 2 skipped (they exist; --overwrite replaces them)\n")
    assert (tmp_path / "out/a.png").read_bytes() == b"mine"
    assert run(*command, "--overwrite")[0] == 0
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")} == before


def test_what_was_drawn_is_told_and_can_be_made_again(run, folder, tmp_path):
    record = tmp_path / "notes/record.jsonl"
    command = ("degrade", folder, "-o", tmp_path / "out", "--with", "real-world clean=0", "--record", record, "--json")
    status, out, err = run(*command)
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert (document["with"], document["seed"]) == (["real-world clean=0"], 0)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["Zoë 日本", "a"]
    for line, one in zip(lines, document["photographs"], strict=True):
        known = line.keys() - {"name", "grey"}
        assert {key: one[key] for key in known} == {key: line[key] for key in known}
        assert not line["grey"]
        clean, generator = pixels(line["source"]), torch.Generator().manual_seed(line["seed"])
        again = images.quantise(parse(line["degradation"])(clean, generator), 8)
        assert torch.equal(again, pixels(line["target"]))
        assert all(0 < value <= 100 for value in line["severities"].values())
        assert line["severities"]
        # The same from the command line, with the definite text.
        again = tmp_path / f"again-{line['name']}.png"
        assert run("degrade", line["source"], "-o", again, "--with", line["degradation"])[0] == 0
        assert again.read_bytes() == Path(line["target"]).read_bytes()
    # An interrupted run goes on in the record; what is there is neither made nor told again.
    record.write_text(json.dumps(lines[0]) + '\n{"source": "cut')
    Path(lines[1]["target"]).unlink()
    status, out, _ = run(*command)
    assert status == 0
    assert [one["degradation"] for one in told(out).values()] == [None, lines[1]["degradation"]]
    assert record.read_text().splitlines()[::2] == [json.dumps(line) for line in lines]


def test_several_degradations_make_pairs_with_the_clean_ones(run, folder, tmp_path):
    arguments = ("--with", "noise sigma=25", "--with", "jpeg quality=10", "--json")
    status, out, err = run("degrade", folder, "-r", "-o", tmp_path / "out", *arguments)
    assert (status, err) == (0, "")
    assert len(json.loads(out)["photographs"]) == 6
    pairs = [
        (first.relative_to(tmp_path / "out").as_posix(), second.relative_to(folder).as_posix())
        for first, second in list_pairs(tmp_path / "out", folder)
    ]
    assert pairs == [
        (f"{name}_{number}.png", f"{name}.png") for name in ("Zoë 日本", "a", "deep/a") for number in (1, 2)
    ]
    assert run("degrade", folder / "a.png", "-o", tmp_path / "b.png", "--with", "jpeg quality=10")[0] == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "out/a_2.png").read_bytes()


def test_sixteen_bits_of_grey_stay_so(run, tmp_path):
    # Around mid-grey, so that nothing is clipped.
    values = (32768 + np.arange(80 * 90).reshape(80, 90) % 991).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert run("degrade", tmp_path / "a.png", "-o", tmp_path / "b.png", "--with", "noise sigma=10")[0] == 0
    degraded = png_values(tmp_path / "b.png")
    assert degraded.shape == (80, 90, 1)
    assert degraded.dtype == np.uint16
    difference = degraded[..., 0].astype(float) - values
    # Of the strength of one channel; and not on the levels of 8 bits, which are multiples of 257.
    assert difference.std() / 257 == pytest.approx(10, rel=0.05)
    assert len(np.unique(degraded % 257)) > 200


def test_alpha_is_not_touched(run, tmp_path):
    Image.fromarray(noise(20, 30, 4), "RGBA").save(tmp_path / "a.png")
    assert run("degrade", tmp_path / "a.png", "-o", tmp_path / "b.png", "--with", "noise sigma=50")[0] == 0
    before, after = (png_values(tmp_path / name) for name in ("a.png", "b.png"))
    assert after.shape == (20, 30, 4)
    assert np.array_equal(before[..., 3], after[..., 3])
    assert (before[..., :3] != after[..., :3]).mean() > 0.9


def test_cmyk_is_degraded_as_what_it_looks_like(run, tmp_path):
    Image.fromarray(smooth()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    for text in ("clean", "noise sigma=30"):
        out = tmp_path / f"{text.split()[0]}.png"
        assert run("degrade", tmp_path / "a.jpg", "-o", out, "--with", text, "--format", "png")[0] == 0
    seen, degraded = (integers(pixels(tmp_path / name)) for name in ("clean.png", "noise.png"))
    assert np.array_equal(seen, integers(pixels(tmp_path / "a.jpg")))
    assert 15 < (degraded - seen).std() < 31


def test_orientation_and_metadata_are_kept_as_restoring_keeps_them(run, tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=camera_exif(orientation=6), dpi=(300, 300), quality=95)
    assert run("degrade", tmp_path / "a.jpg", "-o", tmp_path / "b.png", "--with", "blur sigma=1")[0] == 0
    assert pixels(tmp_path / "b.png").shape == (1, 3, 53, 37)
    with Image.open(tmp_path / "b.png") as written:
        assert written.getexif()[0x0112] == 1
        assert written.getexif()[0x010F] == "Canon"
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_bad_files_do_not_stop_the_others(run, folder, tmp_path):
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:100])
    Image.fromarray(noise(1, 1, 3)).save(folder / "dot.png")
    texts = [part for name in DEGRADATIONS for part in ("--with", STRONG[name])]
    status, out, err = run("degrade", folder, "-o", tmp_path / "out", *texts, "--json")
    assert status == 1
    found = json.loads(out)["photographs"]
    assert {one["status"] for one in found if one["degradation"] == "clean"} == {"unchanged"}
    statuses = {(Path(one["source"]).name, one["status"]) for one in found if one["degradation"] != "clean"}
    assert statuses == {
        ("a.png", "degraded"),
        ("Zoë 日本.png", "degraded"),
        ("dot.png", "degraded"),
        ("empty.png", "failed"),
        ("cut.png", "failed"),
    }
    assert "empty.png: the file is empty" in err
    assert "cut.png" in err
    assert len(list((tmp_path / "out").iterdir())) == 3 * len(DEGRADATIONS)


STRONG = {
    "clean": "clean",
    "noise": "noise sigma=50",
    "poisson-noise": "poisson-noise peak=10",
    "impulse-noise": "impulse-noise part=0.2",
    "camera-noise": "camera-noise iso=6400",
    "film-grain": "film-grain granularity=30",
    "sensor-noise": "sensor-noise sigma=30",
    "blur": "blur sigma=3 vary=0.5",
    "defocus": "defocus radius=4",
    "shake": "shake length=20",
    "rain": "rain amount=80",
    "rain-lines": "rain-lines amount=80",
    "snow": "snow amount=80",
    "haze": "haze amount=70",
    "low-light": "low-light exposure=0.1 noise=10",
    "resample": "resample factor=4",
    "ringing": "ringing cutoff=1",
    "jpeg": "jpeg quality=5",
    "colour-cast": "colour-cast warmth=60",
    "fading": "fading amount=80",
    "aberration": "aberration red=8 blue=-8",
    "banding": "banding levels=6",
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png", "-o", "b.png"], "--list says what"),
        (["a.png", "--with", "noise sigma=3"], "--list says what"),
        (["-o", "b.png", "--with", "noise sigma=3"], "--list says what"),
        (["a.png", "-o", "b.png", "--with", ""], "empty degradation"),
        (["a.png", "-o", "b.png", "--with", "noise sigma=3", "--with", "noise  sigma=3"], "given twice"),
        (["a.png", "-o", "b.png", "--with", "noise sigma=3", "--seed", "-1"], "seed"),
        (["a.png", "-o", "b.xyz", "--with", "noise sigma=3"], "suffix"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(run, folder, arguments, message, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    status, out, err = run("degrade", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert sorted(folder.iterdir()) == before


def test_a_mistake_in_a_text_is_pointed_at(run, folder, tmp_path):
    text = "blur sigma=2, noise sigm=25"
    status, out, err = run("degrade", folder, "-o", tmp_path / "out", "--with", text)
    assert (status, out) == (2, "")
    first, shown, carets = err.rstrip("\n").split("\n")
    assert "did you mean 'sigma'" in first
    assert shown[carets.index("^") :].startswith("sigm=25")
    assert carets.count("^") == len("sigm=25")


def test_a_record_that_is_a_photograph_is_refused_before_anything_is_done(run, folder, tmp_path):
    before = {path: path.read_bytes() for path in folder.glob("*.png")}
    for record in (folder / "a.png", tmp_path / "out/a.png"):
        status, _, err = run("degrade", folder, "-o", tmp_path / "out", "--with", "noise sigma=3", "--record", record)
        assert status == 1
        assert "is one of the photographs" in err
    assert before == {path: path.read_bytes() for path in folder.glob("*.png")}
    assert not (tmp_path / "out").exists()


def test_one_degradation_in_two_spellings_is_given_twice(run, folder, tmp_path):
    status, _, err = run(
        "degrade", folder, "-o", tmp_path / "o", "--with", "noise sigma=5", "--with", "noise sigma=5.0"
    )
    assert status == 2
    assert "given twice" in err


def test_a_photograph_for_which_nothing_was_drawn_is_copied(run, folder, tmp_path):
    images.write(images.read(folder / "a.png"), folder / "b.jpg")
    status, out, _ = run("degrade", folder / "b.jpg", "-o", tmp_path / "out", "--with", "clean")
    assert status == 0
    assert "1 copied" in out
    assert (tmp_path / "out/b.jpg").read_bytes() == (folder / "b.jpg").read_bytes()


def test_a_record_that_cannot_be_written_is_said_before_anything_is_done(run, folder, tmp_path):
    command = ("degrade", folder, "-o", tmp_path / "out", "--with", "noise sigma=3", "--record", folder)
    status, _, err = run(*command)
    assert status == 1
    assert "the record cannot be written" in err
    assert not (tmp_path / "out").exists()


def test_the_list_is_complete(run):
    status, out, err = run("degrade", "--list")
    assert (status, err) == (0, "")
    assert all(f"\n{name}" in f"\n{out}" for name in [*DEGRADATIONS, *MIXTURES])
    assert "  severity: " in out
    document = json.loads(run("degrade", "--list", "--json")[1])
    assert [one["name"] for one in document["degradations"]] == [*DEGRADATIONS, *MIXTURES]
    assert document["grammar"]
