"""The degradation encoder: transformers' own output on the same weights, without transformers; folders; bad files."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from contract import assert_frozen_and_sees_any_size, assert_half_precision_gives_float32_near_the_same

from pellucid.errors import ModelError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors import DegradationEncoder
from pellucid.priors.composite import composite_view
from pellucid.priors.degradation_encoder import ImageTower, TowerSettings

SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 12,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, save):
    """A folder as training leaves it, of transformers' own random weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
    config = transformers.CLIPConfig(text_config=text, vision_config={**SMALL, "hidden_act": "gelu"}, projection_dim=12)
    path = tmp_path_factory.mktemp("encoder")
    save(transformers.CLIPModel(config), path)
    (path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    return path


@pytest.mark.parametrize("act", ["gelu", "quick_gelu"])
def test_the_tower_is_transformers_own(act):
    transformers = pytest.importorskip("transformers")
    settings = TowerSettings(**SMALL, hidden_act=act)
    reference = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**SMALL, hidden_act=act)
    ).eval()
    for value in reference.parameters():  # biases start at zero and norms at one, which would hide a swap
        torch.nn.init.normal_(value, std=0.2)
    tower = ImageTower(settings).eval()
    tower.load_state_dict(reference.state_dict())  # strict: the keys are the same
    pixels = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected = reference(pixel_values=pixels)
        embedding, whole, patches = tower(pixels)
    torch.testing.assert_close(embedding, expected.image_embeds, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(patches, expected.last_hidden_state[:, 1:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(embedding, whole @ tower.visual_projection.weight.mT)


def test_the_spec_reads_the_folder_and_the_clip_prior_reads_it_too(folder):
    prior, clip = find_prior(f"degradations:{folder}"), find_prior(f"clip:{folder}")
    assert (prior.name, prior.width, prior.size) == (f"degradations:{folder}", 12, (32, 32))
    view = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(prior.encode(view), clip.encode(view), rtol=1e-5, atol=1e-5)


def test_the_view_is_composite_and_maps_are_the_tokens_of_the_whole_in_it(folder):
    prior = find_prior(f"degradations:{folder}")
    image = torch.rand(2, 3, 37, 53)
    assert torch.equal(prior.prepare(image), composite_view(image, 32))
    tokens = prior.tower(prior.normalise(prior.prepare(image)))[2]
    maps = prior.maps(image)
    assert maps.shape == (2, 16, 2, 2)
    torch.testing.assert_close(maps[1, :, 1, 0], tokens[1, 4])  # second row of four patches, first column


def test_the_features_are_the_class_token_and_the_mean_tokens_of_the_whole_and_of_the_patches(folder):
    prior = find_prior(f"degradations:{folder}")
    view = torch.rand(2, 3, 32, 32)
    _, whole, patches = prior.tower(prior.normalise(view))
    features = prior.features(view)
    assert features.shape == (2, prior.features_width)
    torch.testing.assert_close(features[:, :16], whole)
    torch.testing.assert_close(features[:, 16:32], patches[:, [0, 1, 4, 5]].mean(1))
    torch.testing.assert_close(features[:, 32:], patches[:, [2, 3, 6, 7, *range(8, 16)]].mean(1))


def test_it_keeps_the_contract_of_priors(folder):
    assert_frozen_and_sees_any_size(find_prior(f"degradations:{folder}"), rtol=1e-4, atol=1e-5)
    assert_half_precision_gives_float32_near_the_same(find_prior(f"degradations:{folder}"))


def test_settings_rebuild_it(folder):
    prior = find_prior(f"degradations:{folder}")
    again = DegradationEncoder(json.loads(json.dumps(prior.settings)))
    again.load_state_dict(prior.state_dict())
    image = torch.rand(1, 3, 20, 30)
    assert torch.equal(prior(image), again(image))


def test_the_default_fits_a_small_model_file():
    size = sum(value.numel() for value in DegradationEncoder().parameters())
    assert 0.4e6 < size < 0.65e6


@pytest.mark.parametrize(
    "wrong", [{"image_size": 40}, {"hidden_size": 15}, {"num_hidden_layers": 0}, {"hidden_act": "relu"}]
)
def test_shapes_that_no_tower_has_are_refused(wrong):
    with pytest.raises(ValueError, match="a tower"):
        TowerSettings(**{**SMALL, **wrong})


def test_bad_folders_say_what_is_wrong(folder, tmp_path):
    with pytest.raises(ModelError, match=r"nowhere: not the folder of a degradation encoder"):
        find_prior(f"degradations:{tmp_path / 'nowhere'}")
    with pytest.raises(SettingsError, match="give a folder as degradations:FOLDER"):
        find_prior("degradations", weights="x.safetensors")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-50])
    with pytest.raises(ModelError, match="not a readable weights file"):
        find_prior(f"degradations:{copy}")
    shutil.copy(folder / "model.safetensors", copy)
    config = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"hidden_size": 32}, "class_embedding is missing or misshapen"),
        ({"image_size": 44}, r"config\.json: not that of a degradation encoder"),
        ({"hidden_size": "wide"}, r"config\.json: not that of a degradation encoder"),
    ):
        (copy / "config.json").write_text(
            json.dumps({**config, "vision_config": {**config["vision_config"], **change}})
        )
        with pytest.raises(ModelError, match=message):
            find_prior(f"degradations:{copy}")
    (copy / "config.json").write_text("[1")
    with pytest.raises(ModelError, match=r"config\.json: not that of a degradation encoder"):
        find_prior(f"degradations:{copy}")


def test_transformers_is_not_needed(folder):
    code = (
        "import sys; sys.modules['transformers'] = None; import torch; from pellucid.models.priors import find_prior; "
        f"print(find_prior('degradations:{folder}')(torch.rand(1, 3, 9, 9)).shape[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "12"
