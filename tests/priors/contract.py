"""What every prior of a pre-trained transformer must hold to, whatever its class."""

import torch
from torch.nn import functional as F


def assert_frozen_and_sees_any_size(prior, *, rtol, atol):
    prior.train()
    assert not any(module.training for module in prior.modules())  # a Q-Former has dropout
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    for size in [(1, 1), (37, 53)]:
        images = torch.rand(2, 3, *size, requires_grad=True)
        vectors = prior(images)
        assert not vectors.requires_grad
        assert not prior.maps(images).requires_grad
        torch.testing.assert_close(vectors, torch.cat([prior(image[None]) for image in images]), rtol=rtol, atol=atol)
        torch.testing.assert_close(vectors.square().mean(1), torch.ones(2))


def assert_half_precision_gives_float32_near_the_same(prior):
    image = torch.rand(1, 3, 40, 40)
    expected = prior(image)
    half = prior.bfloat16()
    assert half(image).dtype == half.maps(image).dtype == torch.float32
    assert F.cosine_similarity(half(image), expected).item() > 0.99
