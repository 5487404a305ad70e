"""The upscaler: sizes, where it starts from, and what it refuses."""

import pytest
import torch

from pellucid.errors import ModelError
from pellucid.guidance import Guidance
from pellucid.images.resizing import bicubic
from pellucid.models.tables import build_network
from pellucid.networks import Upscaler


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("sides", [(1, 1), (5, 8)])
def test_sides_grow_by_the_scale_that_it_is_told(scale, sides):
    network = Upscaler.tiny().eval()
    height, width = (scale * side for side in sides)
    assert network(torch.rand(2, 3, *sides), Guidance(scale=scale)).shape == (2, 3, height, width)


def test_without_being_told_it_takes_the_largest_scale():
    network, image = Upscaler.tiny().eval(), torch.rand(1, 3, 6, 7)
    assert network.contract.scale == 3
    assert torch.equal(network(image), network(image, Guidance(scale=3)))


def test_it_adds_to_the_bicubic_enlargement():
    network, image = Upscaler.tiny().eval(), torch.rand(1, 3, 12, 9)
    for head in network.heads.values():
        torch.nn.init.zeros_(head.weight)
    torch.testing.assert_close(
        network(image)[..., 6:-6, 6:-6], bicubic(image, 36, 27)[..., 6:-6, 6:-6], atol=1e-5, rtol=0
    )
    network.heads["3"].bias.data[4] = 0.5  # the middle of nine pixels of the red ones
    changed = network(image) - bicubic(image, 36, 27)
    assert torch.allclose(changed[:, 0, 7:-7:3, 7:-7:3], torch.tensor(0.5), atol=1e-5)
    assert changed[:, 1:, 6:-6, 6:-6].abs().max() < 1e-5


def test_scales_that_it_has_not_are_refused():
    with pytest.raises(ModelError, match="enlarges by 2, 3, not by 4"):
        Upscaler.tiny()(torch.rand(1, 3, 4, 4), Guidance(scale=4))
    for scales in ([], [1, 2], [3, 2], [2, 2]):
        with pytest.raises(Exception, match="scales whole numbers"):
            build_network("upscaler", {"scales": scales})


def test_settings_build_it_again():
    network = build_network("upscaler", {"width": 8, "blocks": 1, "scales": [2, 4]})
    again = build_network("upscaler", network.settings)
    again.load_state_dict(network.state_dict())
    assert again.contract.scales == (2, 4)
