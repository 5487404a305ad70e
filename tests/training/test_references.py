"""What guided networks are shown in training: the controls, pictures beside pairs turned alike, windows by DINOv2."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import run, tree
from torch.nn import functional as F

from pellucid.data.sources import Sample
from pellucid.errors import SettingsError
from pellucid.models.load import load_model
from pellucid.priors.windows import WindowPicker
from pellucid.recipes import load_tree
from pellucid.training.references import References, ReferenceSettings
from pellucid.training.settings import read_recipe
from pellucid.training.train import prepare

HOST = {"width": 8, "encoder_blocks": [1], "middle_blocks": 1, "decoder_blocks": [1]}
GUIDED = {
    "name": "guided",
    "settings": {"network": {"name": "nafnet", "settings": HOST}, "blocks": 1, "encoder_blocks": 1},
}


def sample(seed):
    clean = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return Sample(clean * 0.5, clean, torch.zeros(4), None)


def shown(**settings):
    return References(ReferenceSettings(**settings))(sample(0), sample(1), torch.Generator().manual_seed(2))


def test_controls_are_what_they_say():
    own, other = sample(0), sample(1)
    assert torch.equal(shown(source="degraded"), own.degraded)
    assert torch.equal(shown(source="other"), other.clean)
    assert torch.equal(shown(source="clean"), own.clean)
    rolled = shown(source="clean", shift=3)
    there = [own.clean.roll((down, right), (1, 2)) for down in range(-3, 4) for right in range(-3, 4)]
    assert sum(torch.equal(rolled, one) for one in there) == 1
    rolled = shown(source="clean", shift=5, step=2)
    there = [own.clean.roll((down, right), (1, 2)) for down in range(-4, 5, 2) for right in range(-4, 5, 2)]
    assert sum(torch.equal(rolled, one) for one in there) == 1
    gains = shown(source="clean", colour=0.2) / own.clean
    unclipped = shown(source="clean", colour=0.2) < 1
    for channel, kept in zip(gains, unclipped, strict=True):
        torch.testing.assert_close(channel[kept], channel[kept][:1].expand(int(kept.sum())), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(gains, torch.ones(()), atol=0.01)


@pytest.mark.parametrize("source", ["clean", "other", "degraded"])
def test_a_guided_network_learns_and_is_saved(small_pictures, tmp_path, source):
    recipe = tree(small_pictures(6)) | {"network": GUIDED, "reference": {"source": source}}
    losses = run(recipe, tmp_path / "run")
    assert np.isfinite(list(losses.values())).all()
    module = load_model(tmp_path / "run" / "model.safetensors").module
    assert module.settings["network"]["name"] == "nafnet"
    assert any(value.any() for name, value in module.fusions.named_parameters() if "scale_" in name)


def test_pictures_beside_pairs_are_turned_alike(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("degraded", "clean", "guidance"):
        (tmp_path / name).mkdir()
    for number in range(4):
        pixels = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        for name in ("degraded", "clean"):
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
        Image.fromarray(pixels.repeat(2, 0).repeat(2, 1)).save(tmp_path / "guidance" / f"{number}.png")
    pairs = {name: str(tmp_path / name) for name in ("degraded", "clean", "guidance")}
    recipe = tree(tmp_path) | {"network": GUIDED, "reference": {}}
    recipe["data"] = {"pairs": pairs, "crop": 16, "validation": 1}
    recipe["train"] = recipe["train"] | {"reference_share": 0.5}
    prepared, _ = prepare(read_recipe(recipe, "test"), tmp_path)
    batch = prepared.batches.at(3)
    assert torch.equal(batch.guidance.reference[:, :, ::2, ::2], batch.degraded)
    assert [group["share"] for group in prepared.optimizer.param_groups] == [1.0, 0.5]
    assert np.isfinite(list(run(recipe, tmp_path / "run").values())).all()


def test_contradictions_are_said(small_pictures):
    for change, message in (
        ({"reference": {}}, r"needs data\.pairs\.guidance"),
        ({"reference": {"source": "other", "shift": 2}}, "shift and colour are for"),
        ({"reference": {"source": "clean", "picker": "x"}}, "picker is for"),
        ({"reference": {"source": "clean"}, "network": {"name": "unet"}}, "reference is for network 'guided'"),
    ):
        with pytest.raises(SettingsError, match=message):
            read_recipe(tree("photographs") | {"network": GUIDED} | change, "test")


def test_the_oracle_recipe_learns_to_listen_and_nothing_else(small_pictures, tmp_path):
    """Both of its runs: the network alone, then what guides it."""
    photographs = small_pictures(6)

    def oracle():
        recipe = load_tree("guided-oracle")
        recipe["data"] |= {"folder": str(photographs), "crop": 16, "validation": 2}
        recipe["train"] |= {"steps": 3, "warmup_steps": 1, "validate_steps": 3}
        return recipe

    alone = oracle()
    alone["network"], alone["reference"], alone["train"]["frozen"] = alone["network"]["settings"]["network"], None, []
    run(alone, tmp_path / "host")
    guided = oracle()
    assert guided["reference"]["source"] == "clean"
    guided["network"]["weights"]["network"] = str(tmp_path / "host" / "model.safetensors")
    run(guided, tmp_path / "guided")
    host, learnt = (load_model(tmp_path / name / "model.safetensors").module for name in ("host", "guided"))
    for name, value in host.state_dict().items():
        assert torch.equal(value, learnt.network.state_dict()[name]), name
    assert all(value.any() for name, value in learnt.fusions.named_parameters() if "scale_" in name)


def test_the_window_that_is_cut_out_is_picked(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        image_size=42, hidden_size=24, num_hidden_layers=1, num_attention_heads=2, patch_size=7
    )
    transformers.utils.logging.disable_progress_bar()
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "dinov2")
    settings = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 32}}
    (tmp_path / "dinov2" / "preprocessor_config.json").write_text(json.dumps(settings))
    picker = WindowPicker(str(tmp_path / "dinov2"), stride=16)
    picture = F.interpolate(torch.rand(1, 3, 9, 9), size=(64, 72), mode="bicubic").clamp(0, 1)
    for top, left in ((0, 0), (16, 40), (32, 16)):
        cut = picture[:, :, top : top + 32, left : left + 32]
        assert torch.equal(picker.window((cut + 0.02).clamp(0, 1), picture), cut)
    assert picker.window(picture, picture[:, :, :20, :30]).shape == (1, 3, 20, 30)
