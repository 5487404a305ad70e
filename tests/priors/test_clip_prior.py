"""CLIP and SigLIP against transformers' own output, on tiny models with random weights."""

import json
import shutil
import sys

import pytest
import torch
from torch.nn import functional as F

from pellucid.errors import MissingExtraError, ModelError, SettingsError
from pellucid.models.priors import find_prior

transformers = pytest.importorskip("transformers")

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Whole models, tower and text, in the folders `clip` and `siglip`."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    vision = {**SIZES, "image_size": 32, "patch_size": 8}
    text = {**SIZES, "vocab_size": 50, "max_position_embeddings": 8}
    clip = transformers.CLIPConfig(
        text_config={**text, "projection_dim": 16}, vision_config={**vision, "projection_dim": 16}, projection_dim=16
    )
    built = {
        "clip": transformers.CLIPModel(clip),
        "siglip": transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision)),
    }
    logging = transformers.utils.logging
    logging.disable_progress_bar()
    for name, model in built.items():
        model.save_pretrained(folder / name)
        settings = {"image_mean": MEAN, "image_std": STD, "crop_size": {"height": 32, "width": 32}}
        (folder / name / "preprocessor_config.json").write_text(json.dumps(settings))
    logging.enable_progress_bar()
    return folder, {name: model.eval() for name, model in built.items()}


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(("name", "width"), [("clip", 16), ("siglip", 32)])
def test_the_vector_is_the_towers_own_embedding(models, name, width):
    folder, built = models
    prior = find_prior(f"clip:{folder / name}")
    assert (prior.width, prior.size, prior.name) == (width, (32, 32), f"clip:{folder / name}")
    view = torch.rand(3, 3, 32, 32)
    pixels = torch.stack([(view[:, c] - MEAN[c]) / STD[c] for c in range(3)], 1)
    with torch.no_grad():
        expected = built[name].get_image_features(pixel_values=pixels).pooler_output
    torch.testing.assert_close(prior.encode(view), F.normalize(expected) * width**0.5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_maps_are_the_patch_tokens_where_they_lie(models, name):
    folder, built = models
    prior = find_prior(f"clip:{folder / name}")
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        output = built[name].vision_model(pixel_values=prior.normalise(image))
    tokens = output.last_hidden_state[0, 1:] if name == "clip" else output.last_hidden_state[0]
    maps = prior.maps(image)
    assert maps.shape == (1, 32, 4, 4)
    torch.testing.assert_close(maps[0, :, 1, 3], tokens[1 * 4 + 3])


def test_a_tower_is_frozen_and_sees_any_size(models):
    prior = find_prior(f"clip:{models[0] / 'clip'}")
    prior.train()
    assert not any(module.training for module in prior.modules())
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    for size in [(1, 1), (37, 53)]:
        images = torch.rand(2, 3, *size, requires_grad=True)
        vectors = prior(images)
        assert not vectors.requires_grad
        assert vectors.isfinite().all()
        torch.testing.assert_close(vectors, torch.cat([prior(image[None]) for image in images]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(vectors.square().mean(1), torch.ones(2))


def test_the_margins_are_seen(models):
    prior = find_prior(f"clip:{models[0] / 'clip'}")
    image = torch.full((1, 3, 32, 96), 0.5)
    marked = image.clone()
    marked[..., :16] = 1.0  # outside the square that a centre crop would keep
    assert not torch.allclose(prior(image), prior(marked), atol=1e-3)


def test_loading_says_nothing_and_leaves_the_verbosity_alone(models, capfd):
    logging = transformers.utils.logging
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    find_prior(f"clip:{models[0] / 'clip'}")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_folders_that_lack_something_say_what(models, tmp_path):
    folder = tmp_path / "mängel"
    folder.mkdir()
    with pytest.raises(
        ModelError, match=r"mängel: this folder lacks config\.json and preprocessor_config\.json and model"
    ):
        find_prior(f"clip:{folder}")
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(models[0] / "clip" / name, folder)
    with pytest.raises(ModelError, match=r"lacks model\.safetensors;"):
        find_prior(f"clip:{folder}")
    weights = (models[0] / "clip/model.safetensors").read_bytes()
    for content in (b"", weights[:5000], weights[:-100]):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="mängel: its files cannot be used as a CLIP or SigLIP model"):
            find_prior(f"clip:{folder}")
    shutil.copy(models[0] / "siglip/model.safetensors", folder)
    with pytest.raises(
        ModelError, match=r"mängel: its weights are not those of its image tower: .* missing or misshapen"
    ):
        find_prior(f"clip:{folder}")
    shutil.copy(models[0] / "clip/model.safetensors", folder)
    (folder / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ModelError, match="lacks image_mean"):
        find_prior(f"clip:{folder}")
    flat = json.dumps({"image_mean": MEAN, "image_std": [0.2, 0, 0.2]})
    (folder / "preprocessor_config.json").write_text(flat)
    with pytest.raises(ModelError, match="image_std that is not above 0"):
        find_prior(f"clip:{folder}")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="type 'bert', expected CLIP or SigLIP"):
        find_prior(f"clip:{folder}")


def test_what_cannot_be_had_says_how_to_get_it():
    with pytest.raises(ModelError, match=r"hf download nobody/nothing-of-the-kind"):
        find_prior("clip:nobody/nothing-of-the-kind")
    with pytest.raises(ModelError, match="no such folder"):
        find_prior("clip:./nowhere/at/all")
    with pytest.raises(SettingsError, match="takes no file of weights"):
        find_prior("clip", weights="file.safetensors")


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pellucid\[priors\]"):
        find_prior("clip")
