"""Other colours, the same lightness."""

import torch

from pellucid.data.recolouring import recoloured
from pellucid.images.lab import lab_of


def test_lightness_stays_and_colours_change():
    generator = torch.Generator().manual_seed(0)
    changed = []
    for _ in range(12):
        image = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6, generator=generator), (30, 40), mode="bilinear")[
            0
        ]
        other = recoloured(image, generator)
        before, after = lab_of(image[None]), lab_of(other[None])
        torch.testing.assert_close(after[:, 0], before[:, 0], atol=0.2, rtol=0)
        changed.append(float((after - before)[:, 1:].norm(dim=1).mean()))
    assert min(changed) > 0.5
    assert sum(changed) / len(changed) > 6


def test_the_same_draws_give_the_same_picture():
    image = torch.rand(3, 20, 20)
    first, second = (recoloured(image, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
