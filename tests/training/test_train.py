"""Training a recipe: its files, what is frozen stays frozen, what is missing is said."""

import json
import os
from itertools import pairwise
from statistics import fmean

import pytest
import torch
import yaml
from safetensors.torch import save_file
from small_runs import EXPERT, boosted_pairs_tree, boosted_tree, guided_tree, logged, paired_tree, run, tree

from pellucid import images
from pellucid.errors import DataError, ModelError, SettingsError
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.networks import UNet
from pellucid.priors import RandomVectors, Shuffled
from pellucid.refinement import Boosted
from pellucid.training.data import DataSettings, split_sources
from pellucid.training.distill import distill
from pellucid.training.settings import read_recipe
from pellucid.training.train import build_module, prepare


def test_a_run_leaves_recipe_log_and_a_model_that_loads(photographs, tmp_path):
    losses = run(tree(photographs), tmp_path / "run")
    assert sorted(losses) == [1, 2, 3, 4, 5, 6]
    resolved = yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())
    assert resolved["train"]["steps"] == 6
    assert resolved["train"]["learning_rate"] == 5e-4
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 6
    steps = [0, *(line["step"] for line in lines)]
    counts = [now - then for then, now in pairwise(steps)]
    taken = sum(count / line["steps_per_second"] for line, count in zip(lines, counts, strict=True))
    assert taken == pytest.approx(lines[-1]["seconds"], rel=0.02, abs=0.06)
    assert 0 <= lines[-1]["waited"] <= 1
    assert 0 < lines[-1]["of_peak"] < 1
    assert lines[-1]["psnr"] > 10
    header = describe_model(tmp_path / "run/model.safetensors")
    # What travels is the same, but that no path in it is of this machine.
    assert resolved["data"]["folder"] == str(photographs)
    assert header.recipe == resolved | {"data": resolved["data"] | {"folder": os.path.relpath(photographs)}}
    assert header.card["trained"]["steps"] == 6


def test_training_lowers_the_loss_on_held_out_pictures(photographs, tmp_path):
    run(tree(photographs, steps=60, learning_rate=3e-3, validate_steps=20), tmp_path / "run")
    scores = [json.loads(line).get("psnr") for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    noisy = 20.17  # 20 log10(255 / 25)
    assert scores[-1] > noisy + 2


def test_a_frozen_network_is_untouched_and_r_moves(photographs, tmp_path):
    run(tree(photographs), tmp_path / "alone")
    weights = tmp_path / "alone/model.safetensors"
    frozen = boosted_tree(photographs, freeze_network=True)
    frozen["network"]["weights"] = str(weights)
    before = build_module(read_recipe(frozen, "test"))
    run(frozen, tmp_path / "boosted")
    after = load_model(tmp_path / "boosted/model.safetensors").module
    assert isinstance(after, Boosted)
    for key, value in before.network.state_dict().items():
        assert torch.equal(value, after.network.state_dict()[key]), key
    assert after.refinement.decoder.out.weight.abs().max() > 0


def test_the_shuffled_control_trains(photographs, tmp_path):
    recipe = boosted_tree(photographs)
    recipe["prior"]["shuffled"] = True
    run(recipe, tmp_path / "shuffled")
    assert describe_model(tmp_path / "shuffled/model.safetensors").prior == {"name": "random:8", "shuffled": True}
    assert isinstance(load_model(tmp_path / "shuffled/model.safetensors").module.prior, Shuffled)


def test_a_standardised_prior_is_learnt_from_the_training_photographs(photographs, tmp_path):
    recipe = boosted_tree(photographs)
    recipe["refinement"]["settings"] = {**recipe["refinement"].get("settings", {}), "prior_norm": "photographs"}
    run(recipe, tmp_path / "standardised")
    state = load_model(tmp_path / "standardised/model.safetensors").module.refinement.state_dict()
    recipe = read_recipe(recipe, "test")
    before = build_module(recipe)
    examples = [example.seen for example in map(split_sources(recipe.data)[0].example, range(4))]
    vectors = torch.cat([before.prior(seen[None]) for seen in examples])
    assert vectors.std(0).min() > 1e-3
    for name in ("range_prior.0", "attention_prior.0"):
        assert torch.allclose(state[f"{name}.mean"], vectors.mean(0), atol=1e-6)
        assert torch.allclose(state[f"{name}.deviation"], vectors.std(0), atol=1e-6)


def test_joint_training_moves_both(photographs, tmp_path):
    recipe = boosted_tree(photographs)
    run(recipe, tmp_path / "joint")
    torch.manual_seed(0)
    start = build_module(read_recipe(recipe, "test"))
    end = load_model(tmp_path / "joint/model.safetensors").module
    assert not torch.equal(start.network.head.weight, end.network.head.weight)
    assert end.refinement.decoder.out.weight.abs().max() > 0


def test_a_boosted_run_learns_and_sees_whole_photographs(folders, tmp_path):
    losses = run(
        boosted_pairs_tree(folders, steps=40, learning_rate=3e-3, prior_dropout=0.3, loss="absolute"), tmp_path / "run"
    )
    last = logged(tmp_path / "run")[-1]
    assert sum(losses[step] for step in range(31, 41)) < 0.8 * sum(losses[step] for step in range(1, 11))
    assert {"psnr", "psnr_network"} <= last.keys()
    training, _ = split_sources(DataSettings(**boosted_pairs_tree(folders)["data"]))
    example = training.example(0)
    assert example.grid.tolist() == pytest.approx([8 / 48, 12 / 48, 40 / 48, 44 / 48])
    assert example.seen.shape == (3, 48, 48)


@pytest.mark.parametrize(("network", "loss"), [("zero_dce", "zero-dce"), ("sci", "sci")])
def test_networks_learn_without_clean_photographs(folders, tmp_path, network, loss):
    recipe = boosted_pairs_tree(folders, pairs={"degraded": str(folders / "dark")}, loss=loss, steps=3)
    small = {"zero_dce": {"width": 4, "iterations": 2}, "sci": {"calibration_width": 4}}
    recipe["network"] = {"name": network, "settings": small[network]}
    losses = run(recipe, tmp_path / "run")
    assert len(losses) == 3
    assert all(0 < value < 100 for value in losses.values())
    assert "psnr" not in logged(tmp_path / "run")[-1]  # there is nothing to compare with
    trained = describe_model(tmp_path / "run/model.safetensors").card["trained"]
    assert trained["degradations"] == ["real photographs"]


def test_zero_dce_brightens_dark_photographs(folders, tmp_path):
    recipe = paired_tree(
        folders, pairs={"degraded": str(folders / "dark")}, loss="zero-dce", steps=60, learning_rate=3e-3
    )
    recipe["network"] = {"name": "zero_dce", "settings": {"width": 8, "iterations": 8}}
    run(recipe | {"train": recipe["train"] | {"average": 0.9}}, tmp_path / "run")
    network = load_model(tmp_path / "run/model.safetensors").module
    dark = images.read(folders / "dark/12_1.png").pixels
    with torch.no_grad():
        assert network(dark).mean() > dark.mean() + 0.1


def test_missing_partners_and_wholes_are_named(folders, tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 16, 16)), tmp_path / "1_1.png")
    recipe = boosted_pairs_tree(folders)
    recipe["data"]["whole"] = str(tmp_path)
    with pytest.raises(DataError, match=r"17 files without a whole photograph in .*dark.1_2\.png"):
        run(recipe, tmp_path / "a")
    recipe["data"]["validation"] = 12
    with pytest.raises(DataError, match=r"clean: 12 photographs, of which data\.validation holds out 12"):
        run(recipe, tmp_path / "a")


def test_a_prior_s_vectors_are_kept_and_change_nothing(folders, tmp_path, monkeypatch):
    """Two runs over one cache: the second computes no vector, and both end where the run without a cache does."""
    computed = []
    encode = RandomVectors.encode
    monkeypatch.setattr(RandomVectors, "encode", lambda self, view: computed.append(len(view)) or encode(self, view))
    recipe = boosted_pairs_tree(folders, steps=3)
    plain = run(recipe, tmp_path / "plain")
    recipe["prior"] = {"name": "random:8", "cache": str(tmp_path / "vectors")}
    first = run(recipe, tmp_path / "first")
    computed.clear()
    again = run(recipe, tmp_path / "again")
    assert first == again == plain
    assert not computed
    assert describe_model(tmp_path / "again/model.safetensors").prior == {"name": "random:8"}
    for change in ({"view": "crop"}, {"degradations": ["noise sigma=5"], "whole": None}):
        with pytest.raises(SettingsError, match=r"prior\.cache is for data\.pairs as they are"):
            read_recipe(recipe | {"data": recipe["data"] | change}, "mine.yaml")


def test_an_oracle_beside_priors_that_are_kept_is_told_of_the_clean_picture(folders, tmp_path):
    """An ablation gives all its arms one cache."""
    recipe = boosted_pairs_tree(folders, steps=1)
    recipe["prior"] = {"name": "oracle:exposure", "cache": str(tmp_path / "vectors")}
    recipe["data"]["whole"] = None
    training, _ = prepare(read_recipe(recipe, "test"), tmp_path)
    batch = training.batches.at(0)
    means = batch.clean.mean((2, 3))
    # Pictures that are seen whole tell their own means, in units of 0.15 from 0.45.
    told = training.module.prior.encode(batch.guidance.view)
    assert told.shape == (2, 5)
    assert (told[:, :3] * 0.15 + 0.45 - means).abs().max() < 0.1
    assert run(recipe, tmp_path / "run").keys() == {1}


def test_several_sources_train_one_model(folders, tmp_path):
    """Pairs and degraded photographs in one run: both are seen, each holds its own out, and the card names them."""
    recipe = boosted_pairs_tree(folders, steps=3, validate_steps=3)
    pairs = {"pairs": recipe["data"]["pairs"], "kind": "low-light", "validation": 2, "weight": 2}
    clean = {
        "folder": str(folders / "whole"),
        "degradations": {"noise sigma=9": 1, "real-world": 2},
        "validation": 3,
    }
    recipe["data"] = {"sources": [pairs, clean], "crop": recipe["data"]["crop"]}
    run(recipe, tmp_path / "run")
    card = describe_model(tmp_path / "run/model.safetensors").card
    assert card["trained"]["degradations"] == [
        "2 x real photographs, paired (low-light)",
        "1 x 1 noise sigma=9",
        "1 x 2 real-world",
    ]
    training, held_out = split_sources(read_recipe(recipe, "test").data)
    kinds = {training.sample(0, 8, torch.Generator().manual_seed(seed), None).kind for seed in range(20)}
    assert kinds == {"low-light", None}
    assert len({held_out.example(index).kind for index in range(len(held_out))}) == 2
    last, counts = logged(tmp_path / "run")[-1], [len(source) for source in held_out.sources]
    assert fmean(last["psnr_sources"], weights=counts) == pytest.approx(last["psnr"], abs=2e-3)
    assert last["psnr_sources"][0] != last["psnr_sources"][1]


def test_errors_are_plain(photographs, tmp_path):
    missing = tree(photographs)
    missing["data"]["folder"] = str(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no such folder"):
        run(missing, tmp_path / "a")
    empty = tree(photographs)
    (tmp_path / "empty").mkdir()
    empty["data"]["folder"] = str(tmp_path / "empty")
    with pytest.raises(DataError, match="no photographs"):
        run(empty, tmp_path / "a")
    with pytest.raises(SettingsError, match="unknown loss 'charbonier'; did you mean 'charbonnier'"):
        run(tree(photographs, loss="charbonier"), tmp_path / "a")
    with pytest.raises(ModelError, match="no checkpoint"):
        run(tree(photographs), tmp_path / "a", resume=True)
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="not a checkpoint"):
        run(tree(photographs), tmp_path / "b", resume=True)


def test_experts_come_from_their_own_runs_and_the_frozen_ones_stay(photographs, tmp_path):
    run(tree(photographs) | {"network": EXPERT}, tmp_path / "expert")
    expert = tmp_path / "expert/model.safetensors"
    recipe = guided_tree(photographs, frozen=["experts.0"])
    recipe["network"]["weights"] = {"experts.0": str(expert), "experts.1": str(expert)}
    run(recipe, tmp_path / "run")
    first, second = load_model(tmp_path / "run/model.safetensors").module.network.experts
    begun = load_model(expert).module.state_dict()
    assert all(torch.equal(value, begun[key]) for key, value in first.state_dict().items())
    assert not all(torch.equal(value, begun[key]) for key, value in second.state_dict().items())


def test_an_expert_that_is_frozen_needs_weights(photographs, tmp_path):
    """Of two experts one was given weights; a forgotten line must not ship the other as it was drawn."""
    run(tree(photographs) | {"network": EXPERT}, tmp_path / "expert")
    for settings in ({"frozen": ["experts.0", "experts.1"]}, {"freeze_network": True}):
        recipe = guided_tree(photographs, **settings)
        recipe["network"]["weights"] = {"experts.0": str(tmp_path / "expert/model.safetensors")}
        with pytest.raises(SettingsError, match=r"network.weights: experts\.1\..* would stay random"):
            run(recipe, tmp_path / "run")
    assert not (tmp_path / "run/log.jsonl").exists()


def test_a_gate_is_taught_once(photographs, tmp_path, monkeypatch):
    """What the checkpoint holds has been taught: minutes more at every resumption would change nothing."""
    taught = []
    monkeypatch.setattr("pellucid.training.train.teach_gate", lambda *_, **__: taught.append(1))
    recipe = guided_tree(photographs, checkpoint_minutes=1e-9)
    recipe["network"]["settings"] = {"experts": [EXPERT | {"kinds": ["haze"]}, EXPERT], "prior_width": 8}
    full = run(recipe, tmp_path / "full")
    run(recipe, tmp_path / "cut", stop_at=3)
    assert len(taught) == 2
    assert {**full, **run(recipe, tmp_path / "cut", resume=True)} == full
    assert len(taught) == 2
    with pytest.raises(SettingsError, match=r"network.weights: gate\..* would stay random"):
        run(recipe | {"train": recipe["train"] | {"frozen": ["gate"]}}, tmp_path / "random")
    experts = build_network("experts", recipe["network"]["settings"])
    save_file(experts.state_dict(), tmp_path / "experts.safetensors")
    recipe["network"]["weights"] = str(tmp_path / "experts.safetensors")
    run(recipe | {"train": recipe["train"] | {"frozen": ["gate"]}}, tmp_path / "frozen")
    assert len(taught) == 2
    recipe["train"] = recipe["train"] | {"frozen": [], "prior_dropout": 0.1}
    with pytest.raises(SettingsError, match="prior_dropout"):
        run(recipe, tmp_path / "withheld")


def test_what_a_guided_recipe_lacks_is_said(photographs, tmp_path):
    with pytest.raises(SettingsError, match="guided by a prior"):
        run(tree(photographs) | {"network": guided_tree(photographs)["network"]}, tmp_path / "alone")
    with pytest.raises(SettingsError, match=r"train.frozen: .*experts\.1"):
        run(guided_tree(photographs, frozen=["experts.2"]), tmp_path / "frozen")
    recipe = guided_tree(photographs) | {"prior": {"name": "random:4"}}
    with pytest.raises(SettingsError, match="prior_width=4"):
        run(recipe, tmp_path / "width")
    run(guided_tree(photographs), tmp_path / "whole")
    with pytest.raises(ModelError, match="guides the network"):
        next(
            distill(
                load_model(tmp_path / "whole/model.safetensors"), read_recipe(guided_tree(photographs), "x"), tmp_path
            )
        )


def test_another_restorer_can_be_the_prior(photographs, tmp_path):
    tree = boosted_tree(photographs, steps=1)
    save_model(UNet.tiny(), tmp_path / "other.safetensors", recipe={}, card={})
    tree["prior"] = {"name": f"restorer:{tmp_path / 'other.safetensors'}"}
    run(tree, tmp_path / "run")
    loaded = load_model(tmp_path / "run/model.safetensors").module
    assert loaded.prior.name == tree["prior"]["name"]
    assert loaded(torch.rand(1, 3, 20, 20)).shape == (1, 3, 20, 20)


def test_priors_are_withheld_from_as_many_samples_as_the_recipe_says(photographs, tmp_path):
    """What R is told, in the batches and by the objective of the run that a recipe makes."""
    training, _ = prepare(read_recipe(boosted_tree(photographs, batch=8, prior_dropout=0.25), "test"), tmp_path)
    told = []
    training.module.refinement.register_forward_pre_hook(
        lambda _, inputs, named: told.append(inputs[2] if len(inputs) > 2 else named["feature"]), with_kwargs=True
    )
    batches = [training.batches.at(number) for number in range(25)]
    for batch in batches[:4]:
        training.objective(training.module, batch)
    withheld = torch.cat([batch.withheld for batch in batches])
    assert float(withheld.float().mean()) == pytest.approx(0.25, abs=0.08)
    zeros = (torch.cat(told) == 0).all(1)
    assert torch.equal(zeros, withheld[:32])
    assert zeros.any()
    always, _ = prepare(read_recipe(boosted_tree(photographs), "test"), tmp_path)
    assert always.batches.at(0).withheld is None
