"""BLIP-2 against transformers' own whole model, on a tiny one with random weights; and what it must never read."""

import json
import shutil
import sys

import pytest
import torch
from contract import assert_frozen_and_sees_any_size, assert_half_precision_gives_float32_near_the_same
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from pellucid.errors import MissingExtraError, ModelError
from pellucid.models.priors import find_prior

transformers = pytest.importorskip("transformers")

SIZES = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
SETTINGS = {
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
    "size": {"height": 32, "width": 32},
}
INDEX = "model.safetensors.index.json"
NEEDED = ("vision_model.", "qformer.", "query_tokens")


@pytest.fixture(scope="module")
def models(tmp_path_factory, save):
    """The model, and the folders `whole` (one file) and `shards` (many)."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    text = transformers.OPTConfig(
        vocab_size=60, hidden_size=32, word_embed_proj_dim=32, ffn_dim=40, num_hidden_layers=2, num_attention_heads=4
    )
    config = transformers.Blip2Config(
        vision_config={**SIZES, "hidden_size": 32, "image_size": 32, "patch_size": 8},
        qformer_config={**SIZES, "hidden_size": 24, "cross_attention_frequency": 1, "hidden_dropout_prob": 0.3},
        text_config=text.to_dict(),
        num_query_tokens=6,
    )
    model = transformers.Blip2Model(config).eval()
    # As if trained: it starts with weights of 1e-10 in its vision tower, and queries of zero.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save(model, folder / "whole")
    save(model, folder / "shards", max_shard_size="20KB")
    for name in ("whole", "shards"):
        (folder / name / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    return folder, model


def pixels_of(view):
    mean, std = SETTINGS["image_mean"], SETTINGS["image_std"]
    return torch.stack([(view[:, c] - mean[c]) / std[c] for c in range(3)], 1)


@pytest.mark.parametrize("name", ["whole", "shards"])
def test_the_vector_is_the_mean_of_the_q_formers_outputs(models, name):
    folder, model = models
    prior = find_prior(f"blip2:{folder / name}")
    assert (prior.width, prior.size, prior.name) == (24, (32, 32), f"blip2:{folder / name}")
    image = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        answers = model.get_qformer_features(pixels_of(image))
    assert answers.shape == (3, 6, 24)
    torch.testing.assert_close(prior(image), F.normalize(answers.mean(1)) * 24**0.5, rtol=1e-4, atol=1e-5)
    assert (prior(image)[0] - prior(image)[1]).abs().max() > 0.01  # it does tell images apart


def test_maps_are_the_patch_tokens_where_they_lie(models):
    folder, model = models
    prior = find_prior(f"blip2:{folder / 'whole'}")
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        states = model.vision_model(pixel_values=pixels_of(image)).last_hidden_state
    maps = prior.maps(image)
    assert maps.shape == (2, 32, 4, 4)
    torch.testing.assert_close(maps[1, :, 1, 3], states[1, 1 + 1 * 4 + 3], rtol=1e-4, atol=1e-5)


def test_pixels_are_those_of_the_models_own_image_processor(models, picture):
    prior = find_prior(f"blip2:{models[0] / 'whole'}")
    expected = transformers.models.blip.BlipImageProcessorPil(**SETTINGS)(picture, return_tensors="pt").pixel_values
    given = prior.normalise(prior.prepare(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255))
    torch.testing.assert_close(given, expected, atol=1.01 / 255 / 0.26, rtol=0)
    assert given.std() > 0.5


def test_files_of_the_language_model_alone_need_not_be_there(models, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(models[0] / "shards", folder)
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    needed = {shard for key, shard in places.items() if key.startswith(NEEDED)}
    spare = set(places.values()) - needed
    assert len(spare) > 2
    for shard in spare:
        (folder / shard).unlink()
    image = torch.rand(1, 3, 40, 40)
    assert torch.equal(find_prior(f"blip2:{folder}")(image), find_prior(f"blip2:{models[0] / 'whole'}")(image))
    lost = sorted(needed)[0]
    (folder / lost).unlink()
    with pytest.raises(ModelError, match=f"cannot be used as a BLIP-2 model .*{lost}"):
        find_prior(f"blip2:{folder}")


def test_a_name_on_the_hub_needs_only_the_files_without_the_language_model(models, in_hub_cache):
    folder = in_hub_cache(models[0] / "shards", "someone/tiny-blip")
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    for shard in set(places.values()) - {shard for key, shard in places.items() if key.startswith(NEEDED)}:
        (folder / shard).unlink()
    prior = find_prior("blip2:someone/tiny-blip")
    image = torch.rand(1, 3, 40, 40)
    assert torch.equal(prior(image), find_prior(f"blip2:{models[0] / 'whole'}")(image))


def test_weights_of_the_language_model_are_never_read(models, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(models[0] / "whole", folder)
    tensors = load_file(folder / "model.safetensors")
    spoilt = {
        key: value if key.startswith(NEEDED) else torch.full_like(value, torch.nan) for key, value in tensors.items()
    }
    save_file(spoilt, folder / "model.safetensors", metadata={"format": "pt"})
    read = []

    class Watched:
        def __init__(self, path, framework):
            self.file = safe_open(path, framework)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return False

        def keys(self):
            return self.file.keys()

        def get_tensor(self, key):
            read.append(key)
            return self.file.get_tensor(key)

    monkeypatch.setattr("pellucid.priors.pretrained.safe_open", Watched)
    prior = find_prior(f"blip2:{folder}")
    assert read
    assert all(key.startswith(NEEDED) for key in read)
    assert prior(torch.rand(1, 3, 9, 9)).isfinite().all()
    kept = sum(parameter.numel() for parameter in prior.parameters()) + prior.queries.numel()
    assert kept == sum(value.numel() for key, value in tensors.items() if key.startswith(NEEDED))


def test_it_is_frozen_and_sees_any_size(models):
    prior = find_prior(f"blip2:{models[0] / 'whole'}")
    assert_frozen_and_sees_any_size(prior, rtol=1e-3, atol=1e-4)


def test_half_precision_gives_float32_near_the_same(models):
    assert_half_precision_gives_float32_near_the_same(find_prior(f"blip2:{models[0] / 'whole'}"))


def test_settings_saved_with_a_whole_processor_are_found(models, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(models[0] / "whole", folder)
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": SETTINGS, "num_query_tokens": 6}))
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(find_prior(f"blip2:{folder}")(image), find_prior(f"blip2:{models[0] / 'whole'}")(image))


def test_loading_says_nothing(models, capfd):
    find_prior(f"blip2:{models[0] / 'shards'}")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_folders_that_lack_something_say_what(models, tmp_path):
    folder = tmp_path / "mängel"
    shutil.copytree(models[0] / "whole", folder)
    tensors = load_file(folder / "model.safetensors")
    for key in ("query_tokens", "vision_model.post_layernorm.weight", "qformer.layernorm.bias"):
        save_file({name: value for name, value in tensors.items() if name != key}, folder / "model.safetensors")
        with pytest.raises(ModelError, match=f"mängel: its weights are not those of BLIP-2: {key} is missing"):
            find_prior(f"blip2:{folder}")
    save_file(tensors | {"qformer.layernorm.bias": torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"qformer\.layernorm\.bias is missing or misshapen"):
        find_prior(f"blip2:{folder}")
    for content in (b"", (models[0] / "whole/model.safetensors").read_bytes()[:-100]):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="mängel: its files cannot be used as a BLIP-2 model"):
            find_prior(f"blip2:{folder}")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"mängel: this folder lacks model\.safetensors;"):
        find_prior(f"blip2:{folder}")
    shutil.copy(models[0] / "whole/model.safetensors", folder)
    (folder / "config.json").write_text('{"model_type": "blip"}')
    with pytest.raises(ModelError, match="type 'blip', expected BLIP-2"):
        find_prior(f"blip2:{folder}")


def test_what_cannot_be_had_says_how_to_get_it(monkeypatch):
    with pytest.raises(ModelError, match=r"hf download Salesforce/blip2-opt-2\.7b` .*blip2:FOLDER"):
        find_prior("blip2")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pellucid\[priors\]"):
        find_prior("blip2")
