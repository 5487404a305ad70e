"""JPEG against libvips' own JPEG, which shares no code with it but the codec."""

from itertools import pairwise

import numpy as np
import pytest
import pyvips
import torch
from skimage.data import astronaut

from pellucid.degradations.compression import Jpeg
from pellucid.errors import ImageError, SettingsError


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def photograph():
    return astronaut()[40:141, 150:287].copy()


def tensor(array):
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(planes.copy()).float() / 255


def through_vips(array, quality, mode):
    bands = 1 if array.ndim == 2 else 3
    image = pyvips.Image.new_from_memory(array.tobytes(), array.shape[1], array.shape[0], bands, "uchar")
    image = image.copy(interpretation="b-w" if bands == 1 else "srgb")
    decoded = pyvips.Image.new_from_buffer(image.jpegsave_buffer(Q=quality, subsample_mode=mode), "")
    assert decoded.bands == bands
    return decoded.numpy().reshape(array.shape)


@pytest.mark.parametrize("quality", [5, 50, 95])
@pytest.mark.parametrize(("subsampling", "mode"), [("4:2:0", "on"), ("4:4:4", "off")])
def test_it_is_the_file_that_libvips_writes(photograph, quality, subsampling, mode):
    ours = Jpeg(quality, subsampling)(tensor(photograph), seeded()) * 255
    theirs = torch.from_numpy(through_vips(photograph, quality, mode).transpose(2, 0, 1).astype(np.float32))
    torch.testing.assert_close(ours, ours.round(), atol=1e-4, rtol=0)
    # Two builds of libjpeg round their transforms apart, by a level here and there.
    assert float((ours - theirs).abs().mean()) < 0.1
    assert float((ours - theirs).abs().max()) < (30 if quality == 5 else 12)


def test_grey_stays_grey_and_is_the_file_of_libvips(photograph):
    grey = photograph[..., 1].copy()
    ours = Jpeg(20)(tensor(grey), seeded()) * 255
    assert ours.shape == (1, *grey.shape)
    assert float((ours - torch.from_numpy(through_vips(grey, 20, "auto").astype(np.float32))).abs().mean()) < 0.1


def test_subsampling_takes_the_colours_detail(photograph):
    clean = tensor(photograph)
    wholes = [float((Jpeg(90, mode)(clean, seeded()) - clean).square().mean()) for mode in ("4:4:4", "4:2:2", "4:2:0")]
    assert wholes == sorted(wholes)
    assert wholes[0] < wholes[2] * 0.9


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 37, 53), (1, 37, 53), (2, 2, 3, 5, 7)])
def test_any_shape_never_in_place_and_as_its_members(shape):
    clean = torch.rand(shape, generator=seeded()) * 1.2 - 0.1
    before = clean.clone()
    degraded = Jpeg(40)(clean, seeded())
    assert degraded.shape == shape
    assert torch.equal(clean, before)
    members = [Jpeg(40)(member, seeded()) for member in clean.reshape(-1, *shape[-3:])]
    assert torch.equal(degraded, torch.stack(members).reshape(shape))


def test_severity_rises_and_fidelity_falls(photograph):
    clean = tensor(photograph)
    jpegs = [Jpeg(quality) for quality in (100, 90, 50, 20, 1)]
    assert [jpeg.severity for jpeg in jpegs] == [0, 10, 50, 80, 99]
    errors = [float((jpeg(clean, seeded()) - clean).square().mean()) for jpeg in jpegs]
    assert all(one < other for one, other in pairwise(errors))


def test_refusals():
    with pytest.raises(SettingsError, match=r"1\.\.100"):
        Jpeg(0)
    with pytest.raises(SettingsError, match="4:2:0, 4:2:2 or 4:4:4"):
        Jpeg(50, "4:1:1")
    with pytest.raises(ImageError, match="65500"):
        Jpeg(50)(torch.zeros(1, 1, 65501), seeded())
