"""What is shown: the originals' pixels and nothing else; what does not fit together is refused."""

import struct

import numpy as np
import pytest
import pyvips
import torch

from pellucid import images
from pellucid.errors import DataError, ImageError, SettingsError
from pellucid.studies.preference.files import list_study_files
from pellucid.studies.preference.pictures import picture_path, prepare
from pellucid.studies.preference.plan import plan_of
from support.small_study import NAMES, picture

P3 = bytes(pyvips.Image.profile_load("p3"))


@pytest.fixture
def shown(tmp_path):
    """Prepares a study of the folders a, b, input (and clean); the PNG files of the first photograph."""

    def prepared(clean=False):
        a, b, inputs, reference = (tmp_path / name for name in ("a", "b", "input", "clean"))
        sources = list_study_files(a, b, inputs, reference if clean else None)
        plan = plan_of(sources, a, b, ties=False)
        prepare(plan, sources, tmp_path / "pictures")
        roles = ["a", "b", "input"] + ["clean"] * clean
        return {role: picture_path(tmp_path / "pictures", plan.photographs[0], role) for role in roles}

    return prepared


def pixels(path):
    image = pyvips.Image.new_from_buffer(path.read_bytes(), "")
    return image.numpy().reshape(image.height, image.width, image.bands)


def chunks(path):
    """The names of the chunks of a PNG file, and what the header says but for the size: depth, kind of colour."""
    data, at, names = path.read_bytes(), 8, []
    while at < len(data):
        size, name = struct.unpack_from(">L4s", data, at)
        names.append(name.decode())
        at += 12 + size
    return set(names), tuple(data[24:29])


def test_eight_bit_pixels_come_back_exactly(tmp_path, shown):
    originals = {
        role: picture(tmp_path / role / "x.png", 37, 53, seed) for seed, role in enumerate(("a", "b", "input"))
    }
    for role, path in shown().items():
        np.testing.assert_array_equal(pixels(path), pixels(originals[role]))


def test_nothing_but_pixels_is_in_the_files(tmp_path, shown):
    secret = images.Metadata(xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>alpha_net</x:xmpmeta>", dpi=(300.0, 300.0))
    picture(tmp_path / "a/x.png", metadata=secret)
    exif = images.Metadata(exif=b"II*\0\x08\0\0\0\x01\0\x31\x01\x02\0\x08\0\0\0\x1a\0\0\0\0\0\0\0beta_net")
    picture(tmp_path / "b/x.jpg", seed=1, metadata=exif)
    picture(tmp_path / "input/x.webp", seed=2)
    assert b"alpha_net" in images.read(tmp_path / "a/x.png").metadata.xmp
    assert b"beta_net" in images.read(tmp_path / "b/x.jpg").metadata.exif
    files = shown()
    assert chunks(files["a"]) == chunks(files["b"])
    for path in files.values():
        assert chunks(path)[0] <= {"IHDR", "pHYs", "IDAT", "IEND"}
        assert b"_net" not in path.read_bytes()
        assert path.stem.isalnum()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"bits": 16}, {}),
        ({"grey": True}, {}),
        ({"grey": True, "bits": 16}, {"bits": 32}),
        ({}, {"grey": True, "bits": 16}),
    ],
)
def test_both_sides_get_one_format_and_keep_their_values(tmp_path, shown, a, b):
    originals = {
        "a": picture(tmp_path / "a/x.tif", **a), "b": picture(tmp_path / "b/x.tif", seed=1, **b)
    }  # fmt: skip
    picture(tmp_path / "input/x.png")
    files = shown()
    assert chunks(files["a"]) == chunks(files["b"])
    for role, original in originals.items():
        truth, seen = pixels(original).astype(float), pixels(files[role])
        full = {"a": a, "b": b}[role].get("bits", 8)
        truth *= np.iinfo(seen.dtype).max / (1 if full == 32 else 2**full - 1)
        np.testing.assert_allclose(seen, np.broadcast_to(truth, seen.shape), rtol=0, atol=0.51 if full == 32 else 0)


def test_alpha_of_one_side_is_kept_and_the_other_is_opaque(tmp_path, shown):
    picture(tmp_path / "a/x.png", alpha=torch.linspace(0.2, 1, 32 * 48).reshape(1, 1, 32, 48))
    picture(tmp_path / "b/x.png", seed=1)
    picture(tmp_path / "input/x.png")
    files = shown()
    assert chunks(files["a"]) == chunks(files["b"])
    np.testing.assert_array_equal(pixels(files["a"]), pixels(tmp_path / "a/x.png"))
    np.testing.assert_array_equal(pixels(files["b"])[..., :3], pixels(tmp_path / "b/x.png"))
    assert (pixels(files["b"])[..., 3] == 255).all()


def test_a_profile_that_both_have_is_kept_and_so_are_the_values(tmp_path, shown):
    for seed, role in enumerate(("a", "b", "input")):
        picture(tmp_path / role / "x.tif", seed=seed, bits=16, metadata=images.Metadata(icc=P3))
    for role, path in shown().items():
        assert bytes(pyvips.Image.new_from_file(str(path)).get("icc-profile-data")) == P3
        np.testing.assert_array_equal(pixels(path), pixels(tmp_path / role / "x.tif"))


@pytest.mark.parametrize("bands", [1, 3])
def test_different_profiles_show_the_same_colours(tmp_path, shown, bands):
    """A holds colours of sRGB in Display P3, B the same in plain sRGB: what is shown must be equal."""
    # Not the most saturated colours: the tables of colour management err there, on the way to P3 and back.
    values = np.random.default_rng(0).integers(50, 206, (32, 48, bands), dtype=np.uint8)
    plain = pyvips.Image.new_from_array(values).copy(interpretation="srgb" if bands == 3 else "b-w")
    in_p3 = plain.colourspace("srgb").icc_transform("p3", input_profile="srgb", depth=16)
    assert bands == 1 or np.abs(in_p3.numpy() / 257 - values).max() > 30
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    in_p3.tiffsave(str(tmp_path / "a/x.tif"))
    plain.pngsave(str(tmp_path / "b/x.png"))
    picture(tmp_path / "input/x.png")
    files = shown()
    assert chunks(files["a"]) == chunks(files["b"])
    assert "iCCP" not in chunks(files["a"])[0]
    truth = np.broadcast_to(values.astype(int) * 257, (32, 48, 3))
    np.testing.assert_array_equal(pixels(files["b"]), truth)
    np.testing.assert_allclose(pixels(files["a"]).astype(int), truth, atol=1.5 * 257)


@pytest.mark.parametrize(("height", "width", "scale"), [(1, 1, 1), (32, 48, 4), (37, 53, 1)])
def test_the_input_may_be_smaller_by_a_whole_number(tmp_path, shown, height, width, scale):
    for role in ("a", "b", "clean"):
        picture(tmp_path / role / "x.png", height, width)
    picture(tmp_path / "input/x.png", height // scale, width // scale, seed=1)
    files = shown(clean=True)
    assert pixels(files["input"]).shape[:2] == (height // scale, width // scale)
    assert len(set(files.values())) == 4


@pytest.mark.parametrize(
    ("role", "height", "width", "message"),
    [
        ("b", 32, 47, "b/x.png: 47 x 32 pixels, but .*a/x.png has 48 x 32"),
        ("clean", 64, 96, "clean/x.png: 96 x 64 pixels, but .*a/x.png has 48 x 32"),
        ("input", 16, 16, "input/x.png: 16 x 16 pixels, but .* whole number"),
        ("input", 64, 96, "input/x.png: 96 x 64 pixels, but .* whole number"),
        ("input", 5, 8, "input/x.png: 8 x 5 pixels, but .* whole number"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path, shown, role, height, width, message):
    for other in ("a", "b", "clean", "input"):
        picture(tmp_path / other / "x.png")
    picture(tmp_path / role / "x.png", height, width)
    with pytest.raises(DataError, match=message):
        shown(clean=True)


def test_a_damaged_picture_is_refused_before_anyone_is_asked(tmp_path, shown):
    for role in ("a", "b", "input"):
        picture(tmp_path / role / "x.png")
    path = tmp_path / "b/x.png"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ImageError, match=r"b/x\.png: truncated"):
        shown()


def test_what_is_there_is_not_made_again_and_what_changed_is(tmp_path, shown):
    for seed, role in enumerate(("a", "b", "input")):
        picture(tmp_path / role / "x.png", seed=seed)
    first = shown()
    dates = {role: path.stat().st_mtime_ns for role, path in first.items()}
    assert {role: path.stat().st_mtime_ns for role, path in shown().items()} == dates
    first["b"].unlink()
    np.testing.assert_array_equal(pixels(shown()["b"]), pixels(tmp_path / "b/x.png"))
    picture(tmp_path / "a/x.png", seed=9)
    assert shown()["a"] != first["a"]


def test_photographs_are_matched_by_name(study_folders):
    sources = list_study_files(
        study_folders / "alpha_net", study_folders / "beta_net", study_folders / "degraded", study_folders / "degraded"
    )
    assert [source.name for source in sources] == sorted(NAMES)
    assert all(source.a.name == source.b.name == source.clean.name for source in sources)


@pytest.mark.parametrize("folder", ["alpha_net", "beta_net", "degraded"])
def test_files_without_a_partner_are_counted_and_named(study_folders, folder):
    for name in NAMES[:2]:
        (study_folders / folder / f"{name}.png").unlink()
    with pytest.raises(DataError, match=r"^2 files without a partner of the same name: .*lakeside_dusk.*première"):
        list_study_files(study_folders / "alpha_net", study_folders / "beta_net", study_folders / "degraded")


def test_folders_that_make_no_study(study_folders):
    a, b, inputs = (study_folders / name for name in ("alpha_net", "beta_net", "degraded"))
    (study_folders / "empty").mkdir()
    with pytest.raises(SettingsError, match="the same folder"):
        list_study_files(a, study_folders / "empty" / ".." / "alpha_net", inputs)
    with pytest.raises(DataError, match="no photographs in this folder"):
        list_study_files(a, study_folders / "empty", inputs)
    with pytest.raises(DataError, match="no such folder"):
        list_study_files(a, b, study_folders / "nowhere")


def test_a_name_that_is_not_unicode_is_refused(study_folders):
    for folder in ("alpha_net", "beta_net", "degraded"):
        try:
            picture(study_folders / folder / "zebra.png").rename(study_folders / folder / "\udcff.png")
        except (OSError, UnicodeEncodeError):
            pytest.skip("this file system holds no such names")
    with pytest.raises(DataError, match="not Unicode"):
        list_study_files(study_folders / "alpha_net", study_folders / "beta_net", study_folders / "degraded")
