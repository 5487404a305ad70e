"""Layout in memory: kernels become channels-last, and what has another rank is left alone."""

import torch
from torch import nn

from pellucid.devices import channels_last
from pellucid.restoration.restorer import Restorer


class Prompted(nn.Module):
    """A network with a parameter of five dimensions, as prompts have in published code."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.prompt = nn.Parameter(torch.rand(1, 2, 3, 4, 4))

    def forward(self, image):
        return self.convolution(image) + self.prompt.mean()


def test_kernels_are_laid_out_and_nothing_changes():
    network, image = Prompted(), torch.rand(1, 3, 8, 8)
    before = network(image)
    assert channels_last(network) is network
    assert network.convolution.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(image), before)


def test_a_network_with_parameters_of_five_dimensions_restores():
    assert Restorer(Prompted())(torch.rand(1, 3, 9, 7)).shape == (1, 3, 9, 7)
