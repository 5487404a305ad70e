"""Rounding to integers, against its definition."""

import torch

from pellucid.images import quantise


def test_quantise():
    values = torch.tensor([-0.3, 0, 0.49 / 255, 0.51 / 255, 127.49 / 255, 1, 1.7]).view(1, 1, 1, -1)
    assert torch.equal((quantise(values) * 255).round(), torch.tensor([0, 0, 0, 1, 127, 255, 255.0]).view(1, 1, 1, -1))
    image = torch.rand(2, 3, 9, 9)
    steps = quantise(image, 16).double() * 65535
    assert (steps - steps.round()).abs().max() < 0.01
    assert (steps - image.double() * 65535).abs().max() < 0.51
    assert torch.equal(quantise(quantise(image)), quantise(image))
