"""The diagnosis as a prior: the diagnosis' own numbers, of any size, alone or in a batch, also from a model file."""

import pytest
import torch

from pellucid.degradations import KINDS
from pellucid.diagnosis import diagnose
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.models.priors import find_prior
from pellucid.models.save import save_model
from pellucid.networks import UNet
from pellucid.priors import Prior
from pellucid.refinement import PTGRM, Boosted


@pytest.fixture(scope="module")
def prior():
    return find_prior("diagnosis")


def noisy(height, width, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(2, 2), (37, 53), (160, 300)])
def test_its_view_is_what_the_encoder_sees_and_what_the_diagnosis_says(prior, size):
    image = noisy(*size) * torch.linspace(0, 1, size[1])  # or it would show nothing
    view = prior.prepare(image)
    assert view.shape == (1, prior.view_channels, 1, 1)
    assert 0 <= view.min() <= view.max() <= 1
    said = diagnose(image)
    seen, probabilities, severities = view.flatten().split([prior.encoder.width, len(KINDS), len(KINDS)])
    assert probabilities.tolist() == pytest.approx([said[kind].probability for kind in KINDS], abs=1e-5)
    assert severities.tolist() == pytest.approx([said[kind].severity / 100 for kind in KINDS], abs=1e-5)
    torch.testing.assert_close(
        (seen - 0.5) * 2 * prior.encoder.width**0.5, find_prior("degradations")(image)[0], atol=1e-5, rtol=0
    )


def test_its_vector_has_unit_rms_and_keeps_apart_what_the_view_does(prior):
    assert isinstance(prior, Prior)
    images = torch.cat([noisy(64, 96, seed) for seed in range(3)])
    vectors = prior(images)
    assert vectors.shape == (3, prior.width)
    assert vectors.square().mean(1).tolist() == pytest.approx([1] * 3)
    assert torch.equal(vectors, prior.encode(prior.prepare(images)))
    torch.testing.assert_close(vectors, torch.cat([prior(image[None]) for image in images]), atol=1e-4, rtol=0)
    # Up to one factor for all, the numbers are those of the view.
    around_zero = 2 * prior.prepare(images).flatten(1) - 1
    around_zero[:, : prior.encoder.width] *= prior.encoder.width**0.5
    torch.testing.assert_close(vectors / vectors[:, -1:], around_zero / around_zero[:, -1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_it_travels_in_a_model_file(prior, dtype, tmp_path):
    path = tmp_path / "model.safetensors"
    boosted = Boosted(UNet.tiny(), prior, PTGRM(prior.width, width=4, blocks=1)).eval()
    save_model(boosted, path, recipe={}, card={}, dtype=dtype)
    assert describe_model(path).as_dict()["prior"] == {"diagnosis": prior.settings}
    loaded = load_model(path).module.prior
    image = noisy(37, 53)
    torch.testing.assert_close(loaded(image), prior(image), atol=1e-5 if dtype == torch.float32 else 0.05, rtol=0)
    assert not any(value.requires_grad for value in loaded.parameters())
