"""Tensors on the disk: the same values as in memory, whatever is done to them, and nothing of them left behind."""

import gc
import os
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from pellucid import scratch
from pellucid.diagnosis import load_diagnoser, shows_nothing
from pellucid.diagnosis.traces import traces
from pellucid.errors import ImageError
from pellucid.images import fill_hidden, visible_part
from pellucid.images.alpha import fill_hidden_in_place
from pellucid.images.noise import noise_sigma
from pellucid.images.padding import pad_before, pad_to
from pellucid.images.turning import turned_planes
from pellucid.priors.contract import whole_view
from pellucid.restoration.tones import mean_luminance, strength_without_halo
from pellucid.scratch import (
    bands,
    belongs_on_disk,
    block_means,
    excerpt,
    mapped,
    on_disk,
    pooled,
    reduced,
    total,
    zeros_beside,
    zeros_on_disk,
)
from support.streaming import laid_on_disk, small_bands


@pytest.fixture(autouse=True)
def few_rows():
    with small_bands():
        yield


@pytest.fixture
def image():
    return torch.rand(1, 3, 97, 131, generator=torch.Generator().manual_seed(0))


def test_where_a_tensor_lies_is_inherited(image):
    there = laid_on_disk(image)
    assert on_disk(there)
    assert on_disk(there[:, 1:, 3:50])
    assert not on_disk(there.clone())
    assert on_disk(zeros_beside(there[..., :5], 1, 1, 9, 9))
    assert not on_disk(zeros_beside(image, 1, 1, 9, 9))
    assert zeros_on_disk(1, 3, 0, 5).shape == (1, 3, 0, 5)
    assert zeros_on_disk(2, 7, dtype=torch.bool).dtype == torch.bool


def test_bands_cover_all_rows_once_and_values_stay(image):
    there = laid_on_disk(image)
    found = list(bands(there, multiple=2))
    assert [row for rows in found for row in range(rows.start, rows.stop)] == list(range(97))
    assert len(found) > 10
    assert all(rows.start % 2 == 0 for rows in found)
    assert torch.equal(there, image)
    assert list(bands(image)) == [slice(0, 97)]


def test_nothing_is_left_on_the_disk(image, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    there = laid_on_disk(image)
    if sys.platform == "linux":
        assert f"{tmp_path}/" in Path("/proc/self/maps").read_text()
    assert os.listdir(tmp_path) == []  # it has no name even now, so that nothing is left by a process that is killed
    count = len(scratch._MAPPINGS)
    del there
    gc.collect()
    assert len(scratch._MAPPINGS) < count


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="tells memory by /proc")
def test_pages_are_given_back():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    there = zeros_on_disk(1, 3, 2000, 2000)
    before = resident()
    there.fill_(0.5)
    assert resident() - before > 40e6
    scratch.release(there)
    assert resident() - before < 8e6
    assert float(there[0, 0, 1999, 1999]) == 0.5


def test_a_disk_without_room_is_one_line():
    with pytest.raises(ImageError, match=r"has no .* GB for intermediate results \(.*\); TMPDIR names") as caught:
        zeros_on_disk(1 << 52)
    assert "\n" not in str(caught.value)


def test_where_a_picture_belongs():
    assert belongs_on_disk(10_000, 10_000, 1 << 30)
    assert not belongs_on_disk(4000, 5000, 1 << 30)
    assert not belongs_on_disk(10**6, 10**6, None)


def test_functions_of_bands(image):
    there = laid_on_disk(image)

    def blurred(part):
        return F.avg_pool2d(part, 5, 1, 2, count_include_pad=False)

    result = mapped(blurred, there, halo=2)
    assert on_disk(result)
    assert torch.allclose(result, blurred(image), atol=1e-7)
    assert torch.allclose(total(torch.sum, there), image.sum(), rtol=1e-6)
    for size in ((5, 7), (97, 131), (1, 1)):
        assert torch.allclose(pooled(there, size, torch.square), F.adaptive_avg_pool2d(image.square(), size), atol=1e-6)


def test_the_noise_of_a_large_picture_is_seen_in_parts_of_it():
    draw = torch.Generator().manual_seed(0)
    image = 0.5 + 0.05 * torch.randn(1, 3, 700, 900, generator=draw)
    assert excerpt(image) is image
    part = excerpt(laid_on_disk(image))
    assert part.shape == (1, 3, 512, 768)
    assert torch.equal(part[..., :256, :256], image[..., :256, :256])
    assert torch.equal(part[..., -256:, -256:], image[..., -256:, -256:])
    assert float(noise_sigma(part)) == pytest.approx(12.75, rel=0.05)
    assert reduced(laid_on_disk(image)).shape == image.shape


def test_padding_and_turning(image):
    there = laid_on_disk(image)
    for function in (lambda x: pad_before(x, 5, 3), lambda x: pad_to(x, 300, 400)):
        assert on_disk(function(there))
        assert torch.equal(function(there), function(image))
    for orientation in range(2, 9):
        assert torch.equal(turned_planes(there, orientation), turned_planes(image, orientation))


@pytest.mark.parametrize(
    "hole", [(slice(10, 60), slice(20, 90)), (slice(0, 97), slice(0, 130)), (slice(0, 1), slice(1))]
)
def test_hidden_colours_are_filled_alike(image, hole):
    """Against the definition, on a plane: a visible pixel stays, a hidden one is between the visible ones."""
    alpha = torch.rand(1, 1, 97, 131, generator=torch.Generator().manual_seed(1)).clamp_min(0.01)
    alpha[..., hole[0], hole[1]] = 0
    expected = fill_hidden(image, alpha)
    there = laid_on_disk(image)
    fill_hidden_in_place(there, laid_on_disk(alpha))
    assert torch.allclose(there, expected, atol=1e-6)
    seen = (alpha > 0).expand_as(image)
    assert torch.equal(there[seen], image[seen])
    assert there.amin() >= image[seen].amin() - 1e-6
    assert there.amax() <= image[seen].amax() + 1e-6
    assert visible_part(laid_on_disk(alpha)) == visible_part(alpha)


def test_what_is_found_in_a_picture_is_the_same(image):
    image = F.interpolate(image, scale_factor=2, mode="bicubic").clamp(0, 1)
    there = laid_on_disk(image)
    assert torch.allclose(traces(there), traces(image), atol=2e-4)
    assert torch.allclose(whole_view(there, (64, 64)), whole_view(image, (64, 64)), atol=1e-6)
    one, other = (load_diagnoser()(picture) for picture in (there, image))
    assert one.words() == other.words()
    assert not shows_nothing(there)
    assert shows_nothing(laid_on_disk(torch.full((1, 3, 97, 131), 0.3)))
    assert abs(mean_luminance(there) - mean_luminance(image)) < 1e-3
    assert strength_without_halo(there, laid_on_disk(1 - image)) == strength_without_halo(image, 1 - image) == 0.25


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (7, 40), (93, 61)])
def test_means_of_about_equal_parts_are_those_of_torch(shape, channels_last):
    image = torch.rand(2, 3, *shape)
    image = image.to(memory_format=torch.channels_last) if channels_last else image
    size = min(5, shape[0]), min(12, shape[1])
    with torch.autocast("cpu", torch.bfloat16):  # nothing is rounded to half
        found = pooled(image, size, torch.square)
    torch.testing.assert_close(found, F.adaptive_avg_pool2d(image.square(), size), atol=1e-6, rtol=0)


@pytest.mark.parametrize("factor", [1, 2, 3, 10])
def test_means_of_blocks_are_those_of_torch(factor):
    image = torch.rand(3, 43, 65)
    torch.testing.assert_close(block_means(image, factor), F.avg_pool2d(image, factor), atol=1e-6, rtol=0)
