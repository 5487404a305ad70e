"""Ablations of recipes whose network samples: contexts, entries, adapters."""

import json

import pytest
import yaml

from pellucid.errors import ModelError, SettingsError
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.studies.ablation.arms import RECIPE
from pellucid.studies.ablation.sampling import arms_of_sampling
from pellucid.training.diffusion.train import prepare_diffusion

SMALL = {"widths": [8, 16], "blocks": [1, 1], "embedding": 16}


@pytest.fixture
def sampling(small_pictures, tmp_path):
    """A small recipe that goes on from a prior."""
    prior = build_network("generative", {"unet": SMALL, "entry": "none"})
    save_model(prior, tmp_path / "prior.safetensors")
    return {
        "name": "sampling",
        "network": {
            "name": "generative",
            "settings": {"unet": SMALL},
            "weights": str(tmp_path / "prior.safetensors"),
        },
        "data": {
            "folder": str(small_pictures(3)),
            "degradations": ["noise sigma=25"],
            "crop": 16,
            "window": 64,
            "validation": 1,
        },
        "diffusion": {},
        "train": {"steps": 2, "batch": 2, "precision": "float32", "seed": 5},
    }


def test_the_arms_differ_in_one_thing_and_learn_what_they_should(sampling, tmp_path):
    arms = {arm.name: arm.recipe(3) for arm in arms_of_sampling(sampling)}
    assert list(arms) == [
        RECIPE,
        *(f"context {name}" for name in ("halo", "thumb", "coords")),
        *(f"entry {name}" for name in ("controlnet", "sft")),
        *("lora", "boft", "what enters alone", "prior as it is", "from scratch"),
    ]
    trainable, batches = {}, set()
    for name, recipe in arms.items():
        run, _ = prepare_diffusion(recipe, tmp_path / "run")
        trainable[name] = {key for key, value in run.module.named_parameters() if value.requires_grad}
        batch = run.batches.at(1)
        batches.add((float(batch.degraded.sum()), batch.words, float(batch.times.sum())))
    assert len(batches) == 1  # all see the same
    whole = trainable[RECIPE]
    assert trainable["from scratch"] == whole
    enters = {key for key in whole if "conv_in" in key or "gains" in key}
    words = {key for key in whole if ".words." in key}
    assert trainable["what enters alone"] == enters | words
    assert trainable["prior as it is"] == words
    for name in ("lora", "boft"):
        added = trainable[name] - whole
        assert enters | words <= trainable[name]
        assert all(".parametrizations.weight.0." in key for key in added)
        assert added
    assert any("modulation" in key for key in trainable["entry sft"])
    assert any("control." in key for key in trainable["entry controlnet"])


def test_recipes_that_cannot_be_ablated_so(sampling, tmp_path):
    scratch = sampling | {"network": sampling["network"] | {"weights": None}}
    assert "lora" not in {arm.name for arm in arms_of_sampling(scratch)}
    with pytest.raises(SettingsError, match="adapters need a prior"):
        arms_of_sampling(scratch, grids=["adapters"])
    with pytest.raises(SettingsError, match="unknown grid 'contexts'; did you mean 'context'"):
        arms_of_sampling(sampling, grids=["contexts"])
    with pytest.raises(SettingsError, match=r"train\.minutes"):
        arms_of_sampling(sampling | {"train": {"minutes": 3}})
    with pytest.raises(SettingsError, match="restores by words"):
        arms_of_sampling(sampling | {"diffusion": {"prior": True}})
    missing = sampling | {"network": sampling["network"] | {"weights": str(tmp_path / "none.safetensors")}}
    with pytest.raises(ModelError, match="no such model file"):
        arms_of_sampling(missing)


def test_the_verb(run, sampling, tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(sampling))
    arguments = ["ablate", tmp_path / "r.yaml", "-o", tmp_path / "out", "--data", tmp_path / "clean"]
    arguments += ["--grid", "adapters", "--sigma", "25", "--control", "steps=1", "--prompt", "denoise 50"]
    status, out, err = run(*arguments, "--vary", "train.learning_rate=0.01", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["made"]["options"] == {"prompt": "denoise 50", "control": ["steps=1"]}
    base, *others = document["results"]
    assert base["arm"] == RECIPE
    assert [one["other"] for one in base["over_controls"]] == [result["arm"] for result in others]
    assert others[-1]["arm"] == "learning_rate=0.01"
    assert "over_lora" in (tmp_path / "out/ablation.csv").read_text()
    weights = load_model(tmp_path / "out/arms/sampling/lora/seed-5/model.safetensors").module
    assert "denoiser.unet.encoders.0.0.first.weight" in dict(weights.named_parameters())  # merged
    status, _, err = run(*arguments, "--student")
    assert status == 2
    assert "recipes with a boost" in err
