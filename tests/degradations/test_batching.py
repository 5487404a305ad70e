"""Batches, member by member."""

import torch

from pellucid.degradations.batching import degrade_each


def test_members_are_taken_in_their_order():
    seen = []

    def numbered(image):
        seen.append(image.clone())
        return image + len(seen)

    images = torch.rand(2, 3, 1, 4, 5)
    result = degrade_each(images, numbered)
    added = torch.arange(1.0, 7.0).reshape(2, 3, 1, 1, 1)
    torch.testing.assert_close(result, images + added)
    assert all(torch.equal(one, other) for one, other in zip(seen, images.flatten(0, 1), strict=True))


def test_one_photograph_stays_one():
    image = torch.rand(3, 4, 5)
    assert degrade_each(image, lambda member: member * 2).shape == (3, 4, 5)
