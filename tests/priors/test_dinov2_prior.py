"""DINOv2 against transformers' own output and image processor, on tiny models with random weights."""

import json
import shutil
import sys

import pytest
import torch
from contract import assert_frozen_and_sees_any_size, assert_half_precision_gives_float32_near_the_same
from torch.nn import functional as F

from pellucid.errors import MissingExtraError, ModelError, SettingsError
from pellucid.models.priors import find_prior

transformers = pytest.importorskip("transformers")

SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 7}
SETTINGS = {
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 30, "width": 30},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory, save):
    """Models in the folders `plain` and `registers`, trained at 42 x 42 and processed at 30 x 30."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    registers = transformers.Dinov2WithRegistersConfig(image_size=42, num_register_tokens=3, **SIZES)
    built = {
        "plain": transformers.Dinov2Model(transformers.Dinov2Config(image_size=42, **SIZES)),
        "registers": transformers.Dinov2WithRegistersModel(registers),
    }
    for name, model in built.items():
        save(model, folder / name)
        (folder / name / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    return folder, {name: model.eval() for name, model in built.items()}


def pixels_of(view):
    mean, std = SETTINGS["image_mean"], SETTINGS["image_std"]
    return torch.stack([(view[:, c] - mean[c]) / std[c] for c in range(3)], 1)


@pytest.mark.parametrize("name", ["plain", "registers"])
def test_the_vector_is_the_class_token_and_maps_are_the_patches(models, name):
    folder, built = models
    prior = find_prior(f"dinov2:{folder / name}")
    # The crop of the image processor, down to whole patches of 7.
    assert (prior.width, prior.size, prior.name) == (24, (28, 28), f"dinov2:{folder / name}")
    image = torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        states = built[name](pixel_values=pixels_of(image)).last_hidden_state
    torch.testing.assert_close(prior(image), F.normalize(states[:, 0]) * 24**0.5, rtol=1e-4, atol=1e-5)
    maps = prior.maps(image)
    assert maps.shape == (2, 24, 4, 4)
    patches = states[:, -16:]  # after the class token, and the registers where there are any
    torch.testing.assert_close(maps[1, :, 2, 1], patches[1, 2 * 4 + 1], rtol=1e-4, atol=1e-5)


def test_pixels_are_those_of_the_models_own_image_processor(models, picture):
    # The processor is told to see the whole image too; it resizes bytes, we resize floats.
    prior = find_prior(f"dinov2:{models[0] / 'plain'}")
    processor = transformers.models.bit.BitImageProcessorPil(**SETTINGS)
    whole = {"size": {"height": 28, "width": 28}, "do_center_crop": False}
    expected = processor(picture, return_tensors="pt", **whole).pixel_values
    given = prior.normalise(prior.prepare(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255))
    torch.testing.assert_close(given, expected, atol=1.01 / 255 / 0.224, rtol=0)
    assert given.std() > 0.5


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"crop_size": {"height": 14, "width": 21}}, (14, 21)),
        ({"crop_size": 28}, (28, 28)),
        ({"crop_size": {"height": 14, "width": 21}, "do_center_crop": False}, (42, 42)),
        ({"size": {"height": 29, "width": 36}}, (28, 35)),
        ({"size": {"shortest_edge": 32}}, (42, 42)),
        ({"crop_size": {"height": 3, "width": 3}}, (7, 7)),
    ],
)
def test_the_view_is_what_the_image_processor_gives(models, tmp_path, settings, size):
    shutil.copytree(models[0] / "plain", tmp_path / "model")
    normal = {key: SETTINGS[key] for key in ("image_mean", "image_std")}
    (tmp_path / "model/preprocessor_config.json").write_text(json.dumps(normal | settings))
    prior = find_prior(f"dinov2:{tmp_path / 'model'}")
    assert prior.size == size
    assert prior(torch.rand(1, 3, 9, 9)).isfinite().all()


def test_a_name_on_the_hub_is_found_in_the_cache(models, in_hub_cache):
    in_hub_cache(models[0] / "plain", "someone/tiny-dino")
    prior = find_prior("dinov2:someone/tiny-dino")
    assert prior.name == "dinov2:someone/tiny-dino"
    image = torch.rand(1, 3, 9, 9)
    assert torch.equal(prior(image), find_prior(f"dinov2:{models[0] / 'plain'}")(image))


def test_it_is_frozen_and_sees_any_size(models):
    prior = find_prior(f"dinov2:{models[0] / 'plain'}")
    assert_frozen_and_sees_any_size(prior, rtol=1e-4, atol=1e-5)


def test_half_precision_gives_float32_near_the_same(models):
    assert_half_precision_gives_float32_near_the_same(find_prior(f"dinov2:{models[0] / 'plain'}"))


def test_folders_that_lack_something_say_what(models, tmp_path):
    folder = tmp_path / "mängel"
    shutil.copytree(models[0] / "plain", folder)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0], "image_std": 1}')
    with pytest.raises(ModelError, match=r"mängel: preprocessor_config\.json lacks image_std, three numbers"):
        find_prior(f"dinov2:{folder}")
    (folder / "preprocessor_config.json").write_text("[")
    with pytest.raises(ModelError, match="mängel: its files cannot be used as a DINOv2 model"):
        find_prior(f"dinov2:{folder}")
    shutil.copy(models[0] / "plain/preprocessor_config.json", folder)
    shutil.copy(models[0] / "registers/config.json", folder)
    with pytest.raises(ModelError, match=r"mängel: its weights are not those .*register_tokens is missing"):
        find_prior(f"dinov2:{folder}")
    (folder / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ModelError, match="type 'clip', expected DINOv2"):
        find_prior(f"dinov2:{folder}")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks model\.safetensors;"):
        find_prior(f"dinov2:{folder}")


def test_what_cannot_be_had_says_how_to_get_it(monkeypatch):
    with pytest.raises(ModelError, match=r"hf download nobody/nothing-of-the-kind` .*dinov2:FOLDER"):
        find_prior("dinov2:nobody/nothing-of-the-kind")
    with pytest.raises(SettingsError, match="takes no file of weights, got x; give a folder as dinov2:FOLDER"):
        find_prior("dinov2", weights="x")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pellucid\[priors\]"):
        find_prior("dinov2")
