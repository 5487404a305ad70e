"""The mean over quarters, against the quarters cut by hand; by name, joined, cached."""

import pytest
import torch

from pellucid.errors import SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors import Cached, Prior, Quarters, Student, unit_rms
from pellucid.priors.imagenet import MobileNetV2


def test_the_vector_is_the_mean_of_those_of_the_quarters():
    student = Student(5, size=32, channels=[4], texture=[4])
    prior = Quarters(student)
    assert isinstance(prior, Prior)
    images = torch.rand(3, 3, 37, 54)
    corners = [
        images[:, :, rows, columns] for rows in (slice(19), slice(18, 37)) for columns in (slice(27), slice(27, 54))
    ]
    expected = unit_rms(torch.stack([student(corner) for corner in corners]).mean(0))
    torch.testing.assert_close(prior(images), expected)
    view = prior.prepare(images)
    assert view.shape == (3, prior.view_channels, *prior.size)
    torch.testing.assert_close(prior.encode(torch.cat([view, prior.prepare(torch.rand(1, 3, 9, 80))]))[:3], expected)


def test_quarters_of_equal_pictures_are_the_picture():
    statistics = find_prior("statistics")
    tile = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(Quarters(statistics)(tile.repeat(1, 1, 2, 2)), statistics(tile))
    pixel = torch.rand(1, 3, 1, 1)
    torch.testing.assert_close(Quarters(statistics)(pixel), statistics(pixel))


def test_both_scales_read_one_file(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.pt"
    torch.save(MobileNetV2().state_dict(), path)
    prior = find_prior("joined(mobilenet_v2, quarters( mobilenet_v2 ))", weights=path)
    assert prior.name == "joined(mobilenet_v2, quarters(mobilenet_v2))"
    image = torch.rand(1, 3, 64, 96)
    whole, quarters = prior(image).split(1280, 1)
    alone = find_prior("mobilenet_v2", weights=path)
    torch.testing.assert_close(whole, alone(image))
    torch.testing.assert_close(quarters, Quarters(alone)(image))
    assert torch.equal(Cached(prior, tmp_path / "vectors")(image), prior(image))
    assert find_prior("quarters(quarters(statistics))").width == 41


@pytest.mark.parametrize(
    "spec", ["quarters", "quarters()", "quarters(statistics, snr)", "quarters(statistics", "quarters:2"]
)
def test_malformed_specs_say_how_to_write_them(spec):
    with pytest.raises(SettingsError, match=r"malformed prior.*quarters\(clip\)"):
        find_prior(spec)
