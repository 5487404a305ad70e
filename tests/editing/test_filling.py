"""Filling leaves everything else to the bit, begins as Laplace's equation says, and refuses masks that say nothing."""

import numpy as np
import pytest
import torch

from pellucid import images
from pellucid.data.holes import drawn_holes
from pellucid.editing.filling import DEEP, Filling, coded_anew, filled, missing_of
from pellucid.errors import ImageError, ModelError, SettingsError
from pellucid.models.save import save_model
from pellucid.networks import Identity, Inpainter
from pellucid.networks.inpainter import smooth_fill


def laplace(image, missing):
    """The exact solution on a small picture (H, W), by a linear system; mirrored at the border."""
    places = np.argwhere(missing)
    number = {tuple(place): row for row, place in enumerate(places)}
    matrix, right = np.zeros((len(places),) * 2), np.zeros(len(places))
    for row, (y, x) in enumerate(places):
        for at in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= at[0] < image.shape[0] and 0 <= at[1] < image.shape[1]):
                continue
            matrix[row, row] += 1
            if at in number:
                matrix[row, number[at]] -= 1
            else:
                right[row] += image[at]
    solved = image.copy()
    solved[missing] = np.linalg.solve(matrix, right)
    return solved


def test_it_begins_as_laplace_says():
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(1, 1, 5, 6, generator=generator)
    image = torch.nn.functional.interpolate(image, (40, 48), mode="bicubic").clamp(0, 1)
    missing = drawn_holes(40, 48, generator, share=(0.2, 0.3), kind="strokes")[None]
    exact = laplace(image[0, 0].double().numpy(), missing[0, 0].numpy())
    found = smooth_fill(image, missing)[0, 0].numpy()
    hole = missing[0, 0].numpy()
    assert np.array_equal(found[~hole], image[0, 0].numpy()[~hole])
    assert np.abs(found - exact)[hole].mean() < 0.02
    assert np.abs(found - exact)[hole].mean() < 0.15 * np.abs(image[0, 0].numpy().mean() - exact)[hole].mean()


def test_where_nothing_is_known_it_is_grey_and_nothing_is_nan():
    assert torch.equal(
        smooth_fill(torch.zeros(1, 3, 9, 5), torch.ones(1, 1, 9, 5, dtype=torch.bool)), torch.full((1, 3, 9, 5), 0.5)
    )
    network, tile = Inpainter.tiny().eval(), torch.full((1, 3, 8, 8), torch.nan)
    with torch.no_grad():
        assert network(tile).isfinite().all()


def test_what_is_known_stays_to_the_bit():
    network, image = Inpainter.tiny().eval(), torch.rand(1, 3, 24, 32)
    missing = torch.zeros(1, 1, 24, 32, dtype=torch.bool)
    missing[..., 5:12, 7:20] = True
    with torch.no_grad():
        found = network(torch.where(missing, torch.nan, image))
    assert torch.equal(found[~missing.expand_as(image)], image[~missing.expand_as(image)])
    assert found.isfinite().all()
    assert network(image) is image


@pytest.mark.parametrize("size", [(1, 3), (45, 61), (700, 420)])
def test_any_size_and_holes_at_borders(size):
    network, image = Inpainter.tiny().eval(), torch.rand(1, 3, *size)
    missing = torch.zeros(1, 1, *size, dtype=torch.bool)
    missing[..., : max(1, size[0] // 20), : max(1, size[1] // 3)] = True
    missing[..., size[0] // 2, :] = size[0] > 1
    missing[..., -1, -1] = False
    found = filled(network, image, missing)
    known = ~missing.expand_as(image)
    assert torch.equal(found[known], image[known])
    assert found.isfinite().all()
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_wide_holes_are_filled_from_coarse_to_fine():
    network = Inpainter.tiny().eval()
    rows = torch.linspace(0.2, 0.8, 260).view(1, 1, -1, 1).expand(1, 3, -1, 300).contiguous()
    missing = torch.zeros(1, 1, 260, 300, dtype=torch.bool)
    missing[..., 60:200, 80:220] = True
    assert 2 * DEEP < 140
    found = filled(network, rows, missing)
    assert (found - rows).abs().max() < 0.2  # a slope goes on, if roughly; the network is untrained
    assert torch.equal(found[~missing.expand_as(rows)], rows[~missing.expand_as(rows)])


def test_files_keep_what_is_outside_to_the_bit(inpainter, tmp_path):
    import pellucid

    generator = np.random.default_rng(0)
    for bits in (8, 16):
        top = 2**bits - 1
        pixels = torch.from_numpy(generator.integers(0, top, (1, 3, 40, 50)).astype(np.int64)) / top
        alpha = torch.rand(1, 1, 40, 50) * 0.5 + 0.5
        images.write(images.Photograph(pixels.float(), alpha=alpha, bits=bits), tmp_path / "in.png")
        mask = torch.zeros(1, 3, 40, 50)
        mask[..., 10:20, 10:30] = 1
        images.write(images.Photograph(mask), tmp_path / "mask.png")
        pellucid.inpaint(tmp_path / "in.png", tmp_path / "out.png", mask=tmp_path / "mask.png", model=inpainter)
        before, after = images.read(tmp_path / "in.png"), images.read(tmp_path / "out.png")
        assert after.bits == bits
        known = mask == 0
        assert torch.equal(before.pixels[known], after.pixels[known])
        assert not torch.equal(before.pixels, after.pixels)
        assert torch.equal(before.alpha, after.alpha)
        with pytest.raises(ImageError, match="is the input itself"):
            pellucid.inpaint(tmp_path / "in.png", tmp_path / "in.png", mask=tmp_path / "mask.png", model=inpainter)


def test_masks_that_say_nothing_are_refused():
    image = torch.rand(1, 3, 20, 30)
    with pytest.raises(SettingsError, match="is empty"):
        missing_of(torch.zeros(1, 3, 20, 30), image)
    with pytest.raises(SettingsError, match="is 40% white at most"):
        missing_of(torch.full((1, 3, 20, 30), 0.4), image)
    with pytest.raises(SettingsError, match="leaves nothing to go by"):
        missing_of(torch.ones(1, 3, 20, 30), image)
    with pytest.raises(ImageError, match="30 x 21 pixels for a picture of 30 x 20"):
        missing_of(torch.zeros(1, 3, 21, 30), image)
    halves = torch.zeros(1, 3, 20, 30)
    halves[..., :10, :], halves[..., 10:15, :] = 0.7, 0.3
    missing, notes = missing_of(halves, image)
    assert float(missing.float().mean()) == 0.5
    assert "grey" in notes[0]
    assert (
        missing_of((torch.rand(1, 3, 20, 30) > 0.5).float().mean(1, keepdim=True).expand(1, 3, -1, -1).round(), image)[
            1
        ]
        == []
    )


def test_grey_photographs_stay_grey_and_take_no_colours(inpainter, tmp_path):
    mask = torch.zeros(1, 3, 16, 16)
    mask[..., 4:8, 4:8] = 1
    picture = images.Photograph(torch.rand(1, 1, 16, 16).expand(1, 3, -1, -1), grey=True)
    changed, _ = Filling(mask, inpainter).change(picture)
    assert changed.grey
    assert torch.equal(changed.pixels[:, 0], changed.pixels[:, 2])
    assert torch.equal(changed.pixels[mask == 0], picture.pixels[mask == 0])


def test_models_of_another_kind_are_refused(tmp_path):
    save_model(Identity(), tmp_path / "identity.safetensors")
    with pytest.raises(ModelError, match="does not fill"):
        Filling(torch.ones(1, 3, 4, 4), tmp_path / "identity.safetensors")


def test_formats_that_lose_are_named():
    assert coded_anew([".png", ".tif"]) == []
    assert "JPG"[0] in coded_anew([".JPG"])[0].upper()
