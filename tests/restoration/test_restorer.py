"""The restorer: any kind and size of picture, tiles, memory, precision, strength, and guards."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pellucid import images
from pellucid.degradations import KINDS
from pellucid.diagnosis import Diagnosis, Finding
from pellucid.errors import ImageError, ModelError, SettingsError
from pellucid.guidance import NOTHING
from pellucid.models.header import Policy
from pellucid.models.refinements import refinement_for
from pellucid.models.tables import build_network
from pellucid.networks import IAT, UNet
from pellucid.priors import RandomVectors, Student
from pellucid.priors.contract import FrozenPrior
from pellucid.refinement import PTGRM, Boosted
from pellucid.restoration.memory import bytes_per_pixel, tiles_within
from pellucid.restoration.options import parse_memory
from pellucid.restoration.restorer import Restorer
from pellucid.restoration.tiles import Tiles, over_tiles


class Brighten(nn.Module):
    """Adds a tenth, and remembers what it was given; needs sides divisible by 8."""

    multiple, scale = 8, 1

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, image):
        assert image.shape[2] % 8 == 0
        assert image.shape[3] % 8 == 0
        self.seen.append(tuple(image.shape[2:]))
        return image + 0.1


class Blur(nn.Module):
    """A local filter with a reach of 4 pixels."""

    def forward(self, image):
        return nn.functional.avg_pool2d(nn.functional.pad(image, (4, 4, 4, 4), mode="replicate"), 9, stride=1)


class Double(nn.Module):
    multiple, scale = 1, 2

    def forward(self, image):
        return nn.functional.interpolate(image, scale_factor=2, mode="nearest")


def boosted():
    torch.manual_seed(0)
    module = Boosted(UNet.tiny(), Student(8, size=32, channels=(4,), texture=(4,)).freeze(), PTGRM(8))
    with torch.no_grad():
        for value in module.refinement.parameters():
            value.add_(torch.randn_like(value) * 0.03)
    return module.eval()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 53), (8, 8), (3, 200)])
def test_any_size_comes_back_at_its_size(size):
    image = torch.rand(1, 3, *size) * 0.8
    torch.testing.assert_close(Restorer(Brighten())(image), image + 0.1)
    assert Restorer(boosted())(image).shape == image.shape


def test_the_same_kind_comes_back():
    restorer = Restorer(Brighten())
    picture = Image.fromarray(np.full((5, 7, 3), 100, np.uint8))
    assert isinstance(restorer(picture), Image.Image)
    assert np.asarray(restorer(picture))[0, 0].tolist() == [126, 126, 126]  # 100 + 25.5, to the even of the two
    for dtype, value, expected in ((np.uint8, 100, 126), (np.uint16, 10000, 16554), (np.float32, 0.5, 0.6)):
        for shape in ((5, 7, 3), (5, 7, 1), (5, 7)):
            restored = restorer(np.full(shape, value, dtype))
            assert restored.dtype == dtype
            assert restored.shape == shape
            np.testing.assert_allclose(restored, expected, atol=1 if dtype != np.float32 else 1e-6)
    assert restorer(torch.zeros(2, 1, 4, 4)).shape == (2, 1, 4, 4)


def test_a_path_gives_a_path(tmp_path):
    images.write(images.Photograph(torch.full((1, 3, 6, 5), 0.4)), tmp_path / "näh.png")
    restorer = Restorer(Brighten())
    written = restorer(tmp_path / "näh.png")
    assert written == tmp_path / "näh-restored.png"
    torch.testing.assert_close(images.read(written).pixels, torch.full((1, 3, 6, 5), 0.5), atol=1 / 255, rtol=0)
    with pytest.raises(ImageError, match="exists already"):
        restorer(tmp_path / "näh.png")
    assert isinstance(
        restorer(
            str(images.write(images.Photograph(torch.zeros(1, 3, 2, 2)), tmp_path / "b.png") or tmp_path / "b.png")
        ),
        str,
    )


def test_tiles_are_blended_without_a_seam():
    image = torch.rand(1, 3, 150, 331)
    exact = over_tiles(lambda tile, _: tile, image, NOTHING, Tiles(64, 16))
    torch.testing.assert_close(exact, image, atol=1e-6, rtol=0)
    # The reach of 4 pixels is within the quarter of the overlap that does not count, so the result is exact.
    torch.testing.assert_close(
        over_tiles(lambda tile, _: Blur()(tile), image, NOTHING, Tiles(64, 16)), Blur()(image), atol=1e-6, rtol=0
    )


def test_tiles_scale():
    image = torch.rand(1, 3, 70, 90)
    torch.testing.assert_close(
        over_tiles(lambda tile, _: Double()(tile), image, NOTHING, Tiles(32, 8), scale=2),
        Double()(image),
        atol=1e-6,
        rtol=0,
    )
    assert Restorer(Double(), tile=64)(image).shape == (1, 3, 140, 180)


@pytest.mark.parametrize(
    ("multiple", "side", "overlap"), [(1, 64, 16), (8, 64, 16), (32, 90, 22), (48, 100, 25), (16, 70, 17)]
)
@pytest.mark.parametrize("length", [64, 65, 79, 80, 81, 127, 400])
def test_tiles_cover_everything_and_weigh_one(length, multiple, side, overlap):
    sides, starts = [], []
    rows = torch.arange(float(length))[None, None, :, None].expand(1, 3, length, 20)

    def note(tile, guidance):
        grid = guidance.grid
        sides.append(tile.shape[2])
        starts.append(int(tile[0, 0, 0, 0]))
        if grid is not None:  # where the tile says it lies is where its rows are from
            top, left, bottom, right = (grid[0] * torch.tensor([length, 20, length, 20])).tolist()
            assert (top, bottom) == pytest.approx((starts[-1], starts[-1] + tile.shape[2]))
            assert (left, right) == pytest.approx((0, 20))
        return torch.ones_like(tile)

    result = over_tiles(note, rows, NOTHING, Tiles(side, overlap, multiple))
    torch.testing.assert_close(result, torch.ones_like(result), atol=1e-6, rtol=0)
    assert max(sides) <= side
    ends = [start + height for start, height in zip(starts, sides, strict=True)]
    assert all(end - start >= overlap for end, start in zip(ends[:-1], starts[1:], strict=True))
    assert all(start % multiple == 0 for start in starts)


def test_tiled_is_close_to_untiled_when_boosted():
    """The prior is shared, R's statistics are those of the whole image, and F's seams are blended."""
    module = boosted()
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 15), (190, 230), mode="bicubic").clamp(0, 1)
    image = image + torch.randn_like(image) * 0.1
    whole = Restorer(module, tile=0, precision="float32")(image)
    tiled = Restorer(module, tile=96, memory=20 << 20, precision="float32")(image)
    assert -10 * (whole - tiled).square().mean().log10() > 50


def test_strength_mixes():
    image = torch.rand(1, 3, 9, 9) * 0.5
    restorer = Restorer(Brighten(), strength=0.5)
    torch.testing.assert_close(restorer(image), image + 0.05)
    torch.testing.assert_close(restorer(image, strength=0), image)
    torch.testing.assert_close(restorer(image, strength=1), image + 0.1)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingsError, match="strength"):
            restorer(image, strength=wrong)
        with pytest.raises(SettingsError, match="strength"):
            Restorer(Brighten(), strength=wrong)


class Fragile(nn.Module):
    """Not usable in bfloat16: there it gives NaN, or black."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, image):
        low = torch.is_autocast_enabled("cpu")
        return torch.full_like(image, self.value) if low else image * 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_a_result_broken_by_bfloat16_is_computed_again(value):
    image = torch.rand(1, 3, 8, 8)
    with pytest.warns(UserWarning, match="computed again in float32"):
        restored = Restorer(Fragile(value), precision="bfloat16")(image)
    torch.testing.assert_close(restored, image)


def test_a_black_picture_stays_black_without_a_warning():
    assert not Restorer(Blur(), precision="bfloat16")(torch.zeros(1, 3, 8, 8)).any()


def test_what_cannot_be_used_is_an_error():
    class Nan(nn.Module):
        def forward(self, image):
            return image * float("nan")

    class Smaller(nn.Module):
        def forward(self, image):
            return image[:, :, 1:]

    with pytest.raises(ModelError, match="not finite"):
        Restorer(Nan(), precision="float32")(torch.rand(1, 3, 8, 8))
    with pytest.raises(ModelError, match="expected an image of shape"):
        Restorer(Smaller())(torch.rand(1, 3, 8, 8))
    with pytest.raises(SettingsError, match="device 'warp' cannot be used"):
        Restorer(Blur(), device="warp")
    with pytest.raises(SettingsError, match="tile"):
        Restorer(Blur(), tile=10)
    with pytest.raises(SettingsError, match="precision"):
        Restorer(Blur(), precision="int4")


@pytest.mark.parametrize(
    ("text", "size"), [("1GB", 2**30), ("1.5 gib", 3 * 2**29), ("800MB", 800 * 2**20), ("16777216", 2**24)]
)
def test_memory_parses(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1XB", "-1GB", "1 MB", "9" * 400 + "GB"])
def test_memory_errors(text):
    with pytest.raises(SettingsError, match="memory"):
        parse_memory(text)


@pytest.mark.parametrize("memory", [0, -5])
def test_memory_as_a_number_is_checked_too(memory):
    with pytest.raises(SettingsError, match="memory"):
        Restorer(Blur(), memory=memory)


def test_strength_is_refused_where_sizes_differ():
    with pytest.raises(SettingsError, match="enlarges by 2"):
        Restorer(Double(), strength=0.5)
    with pytest.raises(SettingsError, match="enlarges by 2"):
        Restorer(Double())(torch.rand(1, 3, 4, 4), strength=0)


def test_results_can_be_trained_on():
    restored = Restorer(Blur())(torch.rand(1, 3, 8, 8))
    (restored * torch.ones(1, requires_grad=True)).sum().backward()


def test_less_memory_gives_smaller_tiles():
    network, cpu = UNet.tiny(), torch.device("cpu")
    per_pixel = bytes_per_pixel(network, cpu)
    assert per_pixel == 4 * 8  # eight channels of float32 at the finest scale
    sides = [
        tiles_within(memory, per_pixel, network.contract.multiple, cpu).side for memory in (1 << 20, 16 << 20, 1 << 34)
    ]
    assert sides == sorted(sides)
    assert sides[0] < sides[-1]


@pytest.mark.parametrize("tile", [None, 64])
def test_a_refinement_inside_the_network_is_at_work(tile):
    torch.manual_seed(1)
    network, prior = UNet.tiny(), RandomVectors(8)
    boosted = Boosted(
        network, prior, refinement_for(network, prior, "ptgrm-features", {"width": 4, "blocks": 1})
    ).eval()
    for parameter in boosted.refinement.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    image = torch.rand(1, 3, 100, 90)
    refined = Restorer(boosted, tile=tile, precision="float32")(image)
    alone = Restorer(network, tile=tile, precision="float32")(image)
    assert (refined - alone).abs().max() > 1e-3
    if tile is None:
        torch.testing.assert_close(refined, boosted(image).clamp(0, 1), atol=1e-5, rtol=0)


def test_a_network_that_looks_at_the_whole_picture_is_tiled_exactly():
    torch.manual_seed(0)
    network = IAT.tiny().eval()
    image = torch.rand(1, 3, 200, 180)
    image[..., :90] *= 0.1  # one half is dark: each tile alone would be brightened by itself
    whole = Restorer(network, tile=0, precision="float32")(image)
    torch.testing.assert_close(Restorer(network, tile=64, precision="float32")(image), whole, atol=1e-4, rtol=0)


class Bright:
    """Stands in for a diagnoser: nothing is wrong with pictures brighter than the middle."""

    def __init__(self):
        self.seen = 0

    def __call__(self, image):
        self.seen += 1
        right = bool(image.mean() > 0.5)
        return Diagnosis(() if right else (Finding("low-light", 0.9, True, 50, 40, 60),), 0.8)


@pytest.mark.parametrize(
    "make",
    [
        lambda value: torch.full((1, 3, 16, 16), value),
        lambda value: np.full((16, 16, 3), round(255 * value), np.uint8),
        lambda value: Image.new("RGB", (16, 16), (round(255 * value),) * 3),
        lambda value: images.Photograph(torch.full((1, 3, 16, 16), value)),
    ],
)
def test_a_picture_that_nothing_is_wrong_with_comes_back_itself(make):
    restorer = Restorer(Brighten(), diagnoser=Bright())
    right, wrong = make(0.6), make(0.2)
    assert restorer(right) is right
    assert restorer.model.seen == []
    restored = restorer(wrong)
    assert restored is not wrong
    assert float(images.to_tensor(restored).mean()) == pytest.approx(0.3, abs=0.01)
    assert restorer.diagnoser.seen == 2


def test_of_a_batch_each_picture_is_looked_at():
    batch = torch.stack([torch.full((3, 16, 16), value) for value in (0.6, 0.2, 0.8)])
    restored = Restorer(Brighten(), diagnoser=Bright())(batch)
    torch.testing.assert_close(restored.mean((1, 2, 3)), torch.tensor([0.6, 0.3, 0.8]))


def test_what_is_computed_on_is_always_restored():
    """`restore_image` is for programs that have decided: evaluation scores what a model does, not what it leaves."""
    restored = Restorer(Brighten(), diagnoser=Bright()).restore_image(torch.full((1, 3, 8, 8), 0.6))
    torch.testing.assert_close(restored, torch.full((1, 3, 8, 8), 0.7))


def test_a_network_that_enlarges_takes_no_diagnoser():
    with pytest.raises(SettingsError, match="enlarges, here by 2"):
        Restorer(Double(), diagnoser=Bright())


def test_a_strength_is_checked_whatever_is_left_alone():
    with pytest.raises(SettingsError, match="strength"):
        Restorer(Brighten(), diagnoser=Bright())(torch.full((1, 3, 16, 16), 0.6), strength=7)


def test_a_file_that_is_left_alone_is_copied(tmp_path):
    images.write(images.Photograph(0.55 + 0.4 * torch.rand(1, 3, 16, 16)), tmp_path / "a.jpg")
    target = Restorer(Brighten(), diagnoser=Bright())(tmp_path / "a.jpg")
    assert target.read_bytes() == (tmp_path / "a.jpg").read_bytes()
    with pytest.raises(ImageError, match="exists already"):
        Restorer(Brighten(), diagnoser=Bright())(tmp_path / "a.jpg")


def test_strength_mixes_what_strength_1_gives():
    """Also where the network goes beyond what a picture can hold."""
    picture = torch.rand(1, 3, 16, 16)
    whole = Restorer(Brighten()).restore_image(picture)
    assert whole.amax() == 1
    half = Restorer(Brighten(), strength=0.5).restore_image(picture)
    assert torch.allclose(half, (picture + whole) / 2, atol=1e-6)


class BrightnessPrior(FrozenPrior):
    """Which third of the range an image is in, as one of three; and what is said to be wrong with it."""

    def __init__(self, found):
        super().__init__("brightness", 3, (1, 1))
        self.found = found
        self.freeze()

    def encode(self, view):
        third = (view.mean((1, 2, 3)) * 3).long().clamp(0, 2)
        return nn.functional.one_hot(third, 3).float()

    def conclusions(self, view):
        return {kind: (self.found.get(kind, 0.0), 50.0) for kind in KINDS}


def choosing(added, found=("rain", "noise")):
    """For dark images one that adds something, for those between another, and for bright ones one that is for the
    clean."""
    kinds = [{"kinds": ["noise"]}, {}, {"kinds": ["clean"]}]
    experts = build_network("experts", {"experts": [{"name": "unet", **one} for one in kinds], "prior_width": 3})
    for place, amount in enumerate(added):
        experts.experts[place] = Add(amount)
    experts.gate = nn.Linear(3, 3, bias=False)
    experts.gate.weight.data = 40 * torch.eye(3)
    prior = BrightnessPrior(dict.fromkeys(found, 0.9))
    return Boosted(experts, prior, PTGRM(3, width=4, blocks=1))


FREE = Policy(tones={}, tone_shift=255)
"""Experts may do with the tones what they want."""


def shaded(value, side=16):
    """A picture of that mean that shows something."""
    return torch.linspace(value - 0.05, value + 0.05, side).expand(1, 3, side, side).clone()


class Add(nn.Module):
    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, image):
        return image + self.amount


@pytest.mark.parametrize(
    ("added", "passes", "expected"),
    [
        ((0.3, 0.35, 0), 3, 0.75),  # dark, then between, then nothing is left to do
        ((0.3, 0.35, 0), 2, 0.75),
        ((0.3, 0.35, 0), 1, 0.4),
        ((0.1, 0.35, 0), 3, 0.2),  # still dark, but that expert has done what it can
        ((0.3, -0.2, 0), 3, 0.2),  # dark again
        ((0.65, 0.35, 0), 3, 0.75),
    ],
)
def test_another_expert_does_what_one_has_left(added, passes, expected):
    picture = shaded(0.1)
    for model in (choosing(added), choosing(added).unrefined()):  # the network alone goes the same way
        restored = Restorer(model, policy=FREE, passes=passes, precision="float32").restore_image(picture)
        assert torch.allclose(restored, picture + expected - 0.1, atol=1e-5)
    half = Restorer(choosing(added), policy=FREE, passes=passes, strength=0.5, precision="float32").restore_image(
        picture
    )
    assert half.mean().item() == pytest.approx((0.1 + expected) / 2, abs=1e-5)


def test_what_was_not_wrong_is_not_undone():
    """The second expert is for the rest, and the picture had only noise."""
    picture = shaded(0.1)
    restored = Restorer(
        choosing((0.3, 0.35, 0), found={"noise"}), policy=FREE, passes=3, precision="float32"
    ).restore_image(picture)
    assert restored.mean().item() == pytest.approx(0.4, abs=1e-5)


def test_whom_an_expert_is_for():
    kinds = [{"name": "unet", "kinds": ["haze", "low-light"]}, {"name": "unet"}]
    kinds.append({"name": "identity", "kinds": ["clean"]})
    experts = build_network("experts", {"experts": kinds, "prior_width": 3})
    assert [experts.is_for(expert, {"haze", "noise"}) for expert in range(3)] == [True, True, False]
    assert [experts.is_for(expert, {"low-light"}) for expert in range(3)] == [True, False, False]
    assert [experts.is_for(expert, set()) for expert in range(3)] == [False, False, False]


def test_what_needs_no_choice_is_restored_once():
    network = Brighten()
    Restorer(network, tile=0).restore_image(torch.rand(1, 3, 16, 16))
    assert len(network.seen) == 1
    for passes in (0, 1.5, "2"):
        with pytest.raises(SettingsError, match="passes must be a whole number"):
            Restorer(network, passes=passes)


def test_how_often_a_model_restores_stands_in_its_policy():
    picture = shaded(0.1)
    for policy, options, expected in (
        (FREE, {}, 0.4),
        (replace(FREE, passes=3), {}, 0.75),
        (replace(FREE, passes=3), {"passes": 1}, 0.4),
    ):
        restorer = Restorer(choosing((0.3, 0.35, 0)), policy=policy, precision="float32", **options)
        assert restorer.restore_image(picture).mean().item() == pytest.approx(expected, abs=1e-5)


def test_what_is_left_alone_stands_in_the_policy_too(monkeypatch):
    monkeypatch.setattr("pellucid.restoration.restorer.load_diagnoser", Bright)
    picture = torch.full((1, 3, 16, 16), 0.6)
    assert Restorer(Brighten(), policy=Policy(leave_alone=True))(picture) is picture
    for restorer in (Restorer(Brighten()), Restorer(Brighten(), policy=Policy(leave_alone=True), always=True)):
        assert restorer(picture).mean().item() == pytest.approx(0.7)


def test_an_unknown_option_is_named():
    with pytest.raises(SettingsError, match="unknown option 'strenght'; did you mean 'strength'"):
        Restorer(Brighten(), strenght=0.5)
