"""Scratches that were drawn are found, and pictures without any are left alone."""

import pytest
import torch

from pellucid import images
from pellucid.data.holes import drawn_holes
from pellucid.editing.scratches import found_scratches, proposed_mask
from pellucid.errors import SettingsError


def scene(seed, height=200, width=260):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 7, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 0.6 + 0.2
    return (smooth + 0.015 * torch.randn(1, 1, height, width, generator=generator)).clamp(0, 1).expand(1, 3, -1, -1)


def test_drawn_scratches_are_found():
    found_share, right_share = [], []
    for seed in range(2):
        scratched = torch.zeros(200, 260, dtype=torch.bool)
        for row in (40, 100, 160):
            line = torch.arange(260)
            place = (row + 12 * torch.sin(line / 70 + seed)).long()
            scratched[place, line], scratched[place + 1, line] = True, True
        tone = 0.95 if seed % 2 else 0.05
        image = torch.where(scratched, tone, scene(seed)).contiguous()
        found = found_scratches(image)[0, 0]
        near = torch.nn.functional.max_pool2d(scratched[None, None].float(), 5, 1, 2)[0, 0] > 0
        found_share.append(float((found & scratched).sum() / scratched.sum()))
        right_share.append(float((found & near).sum() / found.sum().clamp_min(1)))
    assert min(found_share) > 0.8
    assert min(right_share) > 0.8


def test_where_there_are_none_hardly_any_are_found():
    assert float(found_scratches(scene(5)).float().mean()) < 0.003
    assert not found_scratches(torch.full((1, 3, 50, 60), 0.5)).any()
    assert found_scratches(torch.rand(1, 3, 3, 2)).shape == (1, 1, 3, 2)


def test_more_is_found_with_more_sensitivity():
    image = scene(2).clone()
    image[..., 100:102, :] += 0.06
    shares = [float(found_scratches(image, sensitivity).float().mean()) for sensitivity in (0.3, 1, 3)]
    assert shares == sorted(shares)
    assert shares[2] > shares[0]


def test_a_mask_is_written_for_looking_at(tmp_path):
    image = scene(1).clone()
    image[..., 50:52, 20:240] = 1
    images.write(images.Photograph(image), tmp_path / "old.png")
    share = proposed_mask(tmp_path / "old.png", tmp_path / "mask.png")
    mask = images.read(tmp_path / "mask.png")
    assert mask.grey
    assert set(mask.pixels.unique().tolist()) == {0.0, 1.0}
    assert float(mask.pixels.mean()) == pytest.approx(share, abs=1e-6)
    assert share > 0.005
    with pytest.raises(SettingsError, match="is the photograph"):
        proposed_mask(tmp_path / "old.png", tmp_path / "old.png", overwrite=True)
    with pytest.raises(SettingsError, match="without loss"):
        proposed_mask(tmp_path / "old.png", tmp_path / "mask.jpg")


def test_holes_that_are_drawn_have_the_share_that_is_asked():
    generator = torch.Generator().manual_seed(0)
    shares = [float(drawn_holes(96, 96, generator, share=(0.1, 0.4), kind="strokes").float().mean()) for _ in range(20)]
    assert min(shares) > 0.05
    assert max(shares) <= 0.4
    thin = [float(drawn_holes(96, 96, generator, kind="scratches").float().mean()) for _ in range(20)]
    assert min(thin) > 0
    assert max(thin) <= 0.1
    assert drawn_holes(1, 1, generator).shape == (1, 1, 1)
