"""The student: it learns, it sees noise, it is rebuilt from its settings."""

import json

import pytest
import torch
from torch.nn import functional as F

from pellucid.priors import Student, whole_view

SMALL = {"width": 12, "size": 32, "channels": [8, 8], "texture": [8], "teacher": "colour"}


def test_settings_rebuild_the_student():
    student = Student(**SMALL).eval()
    again = Student(**json.loads(json.dumps(student.settings))).eval()
    again.load_state_dict(student.state_dict())
    image = torch.rand(2, 3, 20, 30)
    assert torch.equal(student(image), again(image))
    assert student.settings == SMALL
    assert (again.name, again.width, again.size) == ("student:colour", 12, (32, 32))


def test_the_default_size_is_small():
    assert 0.5e6 < sum(parameter.numel() for parameter in Student(1280).parameters()) <= 1.0e6


def test_it_trains_until_it_is_frozen():
    student = Student(**SMALL)
    image = torch.rand(2, 3, 20, 30)
    assert student.training
    student.encode(student.prepare(image)).sum().backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert not student(image).requires_grad  # as a prior, never
    assert student.freeze() is student
    student.train()
    assert not any(module.training for module in student.modules())
    assert not any(parameter.requires_grad for parameter in student.parameters())


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (3, 200)])
def test_any_size_gives_unit_vectors_and_a_batch_what_its_images_give(size):
    student = Student(**SMALL).freeze()
    images = torch.rand(3, 3, *size)
    vectors = student(images)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.square().mean(1), torch.ones(3))
    torch.testing.assert_close(vectors, torch.cat([student(image[None]) for image in images]), rtol=1e-4, atol=1e-5)


def test_the_view_is_the_whole_image_and_a_mosaic_of_its_own_pixels():
    image = torch.rand(1, 3, 100, 224)
    view = Student(4, size=64).prepare(image)
    assert view.shape == (1, 6, 64, 64)
    torch.testing.assert_close(view[:, :3], whole_view(image, (64, 64)))
    # Patches of 16 x 16 at thirds of what is left of each side, moved down to multiples of 8.
    rows, columns = [0, 24, 56, 80], [0, 64, 136, 208]
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            patch = view[0, 3:, 16 * i : 16 * i + 16, 16 * j : 16 * j + 16]
            assert torch.equal(patch, image[0, :, top : top + 16, left : left + 16])


def test_the_mosaic_of_a_small_image_is_its_reflection():
    image = torch.rand(1, 3, 5, 3)
    mosaic = Student(4, size=32).prepare(image)[:, 3:]
    # F.pad reflects by less than one side at a time.
    reflected = F.pad(F.pad(image, (0, 2, 0, 3), mode="reflect"), (0, 3, 0, 0), mode="reflect")
    assert torch.equal(mosaic[..., :8, :8], reflected)
    assert torch.equal(mosaic[..., 8:16, 24:32], reflected)


def test_it_can_learn_how_strong_noise_is():
    # Resized alone, noise averages out over 4 x 4 pixels; the mosaic keeps it.
    generator = torch.Generator().manual_seed(0)
    student = Student(2, size=32, channels=[8], texture=[8, 8])
    clean = torch.rand(64, 3, 1, 1, generator=generator).expand(64, 3, 128, 128) * 0.4 + 0.3
    strong = torch.arange(64) % 2
    noise = torch.randn(clean.shape, generator=generator) * torch.where(strong == 1, 0.10, 0.05).view(-1, 1, 1, 1)
    views = student.prepare(clean + noise)
    target = torch.eye(2)[strong] * 2**0.5
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.mse_loss(student.encode(views[:48]), target[:48]).backward()
        optimizer.step()
    student.freeze()
    right = student.encode(views[48:]).argmax(1) == strong[48:]
    assert right.float().mean() > 0.9


def test_half_precision_gives_float32_vectors_near_the_same():
    student = Student(**SMALL).freeze()
    image = torch.rand(1, 3, 40, 40)
    expected = student(image)
    half = student.bfloat16()(image)
    assert half.dtype == torch.float32
    assert F.cosine_similarity(half, expected).item() > 0.99


@pytest.mark.parametrize("wrong", [{"width": 0}, {"size": 40}, {"size": 0}, {"channels": []}, {"texture": []}])
def test_settings_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match="a student needs"):
        Student(**{**SMALL, **wrong})
