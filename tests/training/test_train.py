"""Training a recipe: files, exact resume, what is frozen stays frozen, boosting and distilling end to end."""

import json
import sys
import types

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from pellucid import images
from pellucid.checkpoints import load_weights
from pellucid.errors import DataError, ModelError, SettingsError
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.networks import External, UNet
from pellucid.priors import FrozenPrior, Shuffled, Statistics, unit_rms
from pellucid.refinement import Boosted
from pellucid.training.data import split_sources
from pellucid.training.distill import distill
from pellucid.training.settings import override, read_recipe
from pellucid.training.train import build_module, train


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Six small pictures with structure: ramps, edges and texture."""
    folder = tmp_path_factory.mktemp("clean")
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(40.0), indexing="ij")
    for index in range(6):
        a, b, c = torch.rand(3, generator=generator)
        plane = torch.stack(
            [(a * rows / 48 + b * columns / 40) / 2, (rows > 48 * c).float(), torch.sin(columns * a) / 2 + 0.5]
        )
        images.write(images.Photograph(plane[None].clamp(0, 1)), folder / f"{index}.png")
    return folder


class MeanColour(FrozenPrior):
    """A prior that a student can learn in a few steps: signs and squares of the mean colour."""

    def __init__(self):
        super().__init__("mean colour", 8, (4, 4))

    def encode(self, view):
        mean = view.mean((2, 3)) - 0.4
        return unit_rms(torch.cat([mean, -mean, mean[:, :2] ** 2], 1))


def tree(photographs, **train_settings):
    return {
        "name": "test",
        "network": {"name": "unet", "settings": {"widths": [8, 16], "blocks": [1, 1]}},
        "data": {"folder": str(photographs), "degradations": ["noise sigma=25"], "crop": 16, "validation": 2},
        "train": {
            "steps": 6,
            "batch": 2,
            "warmup_steps": 2,
            "validate_steps": 3,
            "precision": "float32",
            **train_settings,
        },
    }


def boosted_tree(photographs, **train_settings):
    return tree(photographs, **train_settings) | {
        "prior": {"name": "random:8"},
        "refinement": {"settings": {"width": 4, "blocks": 1}},
        "distill": {"steps": 3, "batch": 2, "settings": {"size": 32, "channels": [4], "texture": [4]}},
    }


def run(recipe_tree, folder, *, resume=False, stop_at=None):
    losses = {}
    steps = train(read_recipe(recipe_tree, "test"), folder, resume=resume)
    for step in steps:
        losses[step.number] = step.loss
        if step.number == stop_at:
            steps.close()
            break
    return losses


def test_a_run_leaves_recipe_log_and_a_model_that_loads(photographs, tmp_path):
    losses = run(tree(photographs), tmp_path / "run")
    assert sorted(losses) == [1, 2, 3, 4, 5, 6]
    resolved = yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())
    assert resolved["train"]["steps"] == 6
    assert resolved["train"]["learning_rate"] == 5e-4
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 6
    assert lines[-1]["psnr"] > 10
    header = describe_model(tmp_path / "run/model.safetensors")
    assert header["recipe"] == resolved
    assert header["card"]["trained"]["steps"] == 6


def test_interrupted_and_resumed_equals_uninterrupted(photographs, tmp_path):
    whole = run(tree(photographs, checkpoint_minutes=1e-9), tmp_path / "whole")
    run(tree(photographs, checkpoint_minutes=1e-9), tmp_path / "cut", stop_at=3)
    resumed = run(tree(photographs, checkpoint_minutes=1e-9), tmp_path / "cut", resume=True)
    assert sorted(resumed) == [4, 5, 6]
    assert all(resumed[number] == whole[number] for number in resumed)
    first, second = (load_model(tmp_path / name / "model.safetensors").module.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_boosted_run_with_dropout_resumes_exactly(photographs, tmp_path, monkeypatch):
    """The random numbers that torch draws for itself are part of the state."""
    module = types.ModuleType("dropping")
    module.Dropping = Dropping
    monkeypatch.setitem(sys.modules, "dropping", module)

    recipe = boosted_tree(photographs, checkpoint_minutes=1e-9)
    recipe["network"] = {"name": "external", "settings": {"target": "dropping:Dropping"}}
    whole = run(recipe, tmp_path / "whole")
    run(recipe, tmp_path / "cut", stop_at=3)
    torch.manual_seed(123)
    resumed = run(recipe, tmp_path / "cut", resume=True)
    assert all(resumed[number] == whole[number] for number in (4, 5, 6))
    # The network is not ours to store in a model file; its weights are beside it, and they fit together again.
    network = External("dropping:Dropping")
    loaded = load_model(tmp_path / "cut/model.safetensors", network=network).module
    assert isinstance(loaded, Boosted)
    assert loaded.network is network
    alone = Dropping()
    load_weights(alone, tmp_path / "cut/network.safetensors")
    assert all(torch.equal(value, network.network.state_dict()[key]) for key, value in alone.state_dict().items())


class Dropping(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.Dropout(0.5))


def test_resuming_with_another_recipe_is_refused(photographs, tmp_path):
    run(tree(photographs, checkpoint_minutes=1e-9), tmp_path / "run", stop_at=2)
    with pytest.raises(SettingsError, match=r"another train\.seed"):
        run(tree(photographs, seed=9), tmp_path / "run", resume=True)
    # A run of a version that had fewer keys goes on: they have their defaults.
    record = tmp_path / "run/recipe.yaml"
    older = yaml.safe_load(record.read_text())
    del older["train"]["frozen"], older["train"]["accumulate"]
    record.write_text(yaml.safe_dump(older))
    assert sorted(run(tree(photographs, steps=3), tmp_path / "run", resume=True)) == [3]


def test_validation_is_as_often_as_asked(photographs, tmp_path):
    run(tree(photographs, steps=5, validate_steps=2), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "psnr" in line] == [2, 4, 5]


def test_training_lowers_the_loss_on_held_out_pictures(photographs, tmp_path):
    run(tree(photographs, steps=60, learning_rate=3e-3, validate_steps=20), tmp_path / "run")
    scores = [json.loads(line).get("psnr") for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    noisy = 20.17  # 20 log10(255 / 25)
    assert scores[-1] > noisy + 2


class Normalised(nn.Module):
    """Two layers of somebody else, the first with statistics of its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.last = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3))

    def forward(self, degraded):
        return self.last(self.first(degraded))


def test_what_is_frozen_keeps_its_statistics(photographs, tmp_path, monkeypatch):
    module = types.ModuleType("normalised")
    module.Normalised = Normalised
    monkeypatch.setitem(sys.modules, "normalised", module)
    recipe = tree(photographs, frozen=["network.first"])
    recipe["network"] = {"name": "external", "settings": {"target": "normalised:Normalised"}}
    read = read_recipe(recipe, "test")
    with pytest.warns(UserWarning, match=r"network\.first\.0\.weight of normalised:Normalised is frozen"):
        before = build_module(read).state_dict()
    with pytest.warns(UserWarning, match="no weights are given"):
        run(recipe, tmp_path / "run")
    after = load_file(tmp_path / "run/network.safetensors")
    assert float((after["last.1.running_mean"]).abs().max()) > 0
    assert torch.equal(after["first.1.running_mean"], before["network.first.1.running_mean"])
    assert after["first.1.num_batches_tracked"] == 0


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
    assert describe_model(tmp_path / "shuffled/model.safetensors")["prior"] == {"name": "random:8", "shuffled": True}
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


@pytest.mark.parametrize("prior", ["random:8", "degradations"])
def test_distilling_makes_a_file_that_needs_no_other(prior, photographs, tmp_path):
    recipe_tree = boosted_tree(photographs) | {"prior": {"name": prior}}
    run(recipe_tree, tmp_path / "boosted")
    model = load_model(tmp_path / "boosted/model.safetensors")
    steps = list(distill(model, read_recipe(recipe_tree, "test"), tmp_path / "distilled"))
    assert [step.number for step in steps] == [1, 2, 3]
    header = describe_model(tmp_path / "distilled/model.safetensors")
    assert header["prior"]["student"]["teacher"] == header["card"]["distilled"]["teacher"] == prior
    distilled = load_model(tmp_path / "distilled/model.safetensors").module
    image = torch.rand(1, 3, 20, 24)
    assert distilled(image).shape == image.shape
    with pytest.raises(ModelError, match="student already"):
        list(
            distill(load_model(tmp_path / "distilled/model.safetensors"), read_recipe(recipe_tree, "t"), tmp_path / "x")
        )


def test_distilling_refuses_to_hold_everything_out(photographs, tmp_path):
    run(boosted_tree(photographs), tmp_path / "boosted")
    recipe_tree = boosted_tree(photographs)
    recipe_tree["data"]["validation"] = 50
    model = load_model(tmp_path / "boosted/model.safetensors")
    with pytest.raises(DataError, match=r"6 photographs, of which data\.validation holds out 50"):
        next(distill(model, read_recipe(recipe_tree, "test"), tmp_path / "distilled"))


def test_a_student_learns_its_teacher(photographs, tmp_path):
    """A prior that depends on the picture's mean colour alone can be learnt: the vectors come close."""
    recipe_tree = boosted_tree(photographs)
    recipe_tree["distill"] |= {"steps": 60, "batch": 8, "learning_rate": 1e-2}
    run(recipe_tree, tmp_path / "boosted")
    model = load_model(tmp_path / "boosted/model.safetensors")
    model.module.prior = MeanColour()
    losses = [step.loss for step in distill(model, read_recipe(recipe_tree, "test"), tmp_path / "distilled")]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_a_second_run_in_the_same_folder_is_refused(photographs, tmp_path):
    run(tree(photographs), tmp_path / "run")
    with pytest.raises(SettingsError, match="--resume"):
        run(tree(photographs), tmp_path / "run")
    assert run(tree(photographs), tmp_path / "run", resume=True) == {}


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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("train.step", 3, "unknown key 'step'; did you mean 'steps'"),
        ("netwrok", {}, "unknown key 'netwrok'; did you mean 'network'"),
        ("train.batch", 0, "train.batch"),
        ("data.degradations", [], "data.degradations"),
        ("network.weights", {"experts.0": 3}, r"mine\.yaml: network\.weights: "),
        ("network.weights", {"experts.0:x": None}, r"mine\.yaml: network\.weights: "),
        ("refinement", {"name": "ptgrm"}, "prior and refinement go together"),
        ("train.seed", 2**70, "train.seed"),
        ("train.refined_weight", 0, r"train\.refined_weight"),
        ("train.prior_dropout", 0.5, "there is no prior"),
        ("refinement.weights", "x", "unknown key 'weights'"),
    ],
)
def test_wrong_recipes_name_the_key(photographs, path, value, message):
    recipe_tree = tree(photographs)
    override(recipe_tree, f"{path}={json.dumps(value)}")
    with pytest.raises(SettingsError, match=message):
        read_recipe(recipe_tree, "mine.yaml")


def test_override_reads_yaml_and_refuses_nonsense():
    values = {"a": {"b": 1}, "c": 2}
    override(values, "a.b=[1, x]")
    override(values, "d.e=true")
    assert values == {"a": {"b": [1, "x"]}, "c": 2, "d": {"e": True}}
    for wrong in ("a", "=1", "a..b=1", "c.d=1", "a.b=[1"):
        with pytest.raises(SettingsError):
            override(values, wrong)


def test_override_counts_in_lists_and_finds_keys_with_dots():
    values = {"weights": {"experts.0": "a", "experts.0.gate": "b"}, "sources": [{"weight": 1}, {"weight": 2}]}
    override(values, "weights.experts.0=c")
    override(values, "weights.experts.0.gate=d")
    override(values, "sources.1.weight=3")
    override(values, "sources.0={}")
    assert values == {"weights": {"experts.0": "c", "experts.0.gate": "d"}, "sources": [{}, {"weight": 3}]}
    for wrong in ("sources.2.weight=1", "sources.x=1", "sources.-1=1", "weights.experts.0.x=1"):
        with pytest.raises(SettingsError, match=r"no entry of a list of 2|holds a value"):
            override(values, wrong)


def test_override_finds_keys_with_equals_signs_and_numbers_for_keys():
    values = {"degradations": {"noise sigma=0..55": 1, "jpeg quality=6": 2}, "table": {3: "a", 31: "b"}}
    override(values, "degradations.noise sigma=0..55=3")
    override(values, "degradations.haze amount=50=4")
    override(values, "table.31=c")
    override(values, "name=a=b")
    assert values["degradations"] == {"noise sigma=0..55": 3, "jpeg quality=6": 2, "haze amount": "50=4"}
    assert (values["table"], values["name"]) == ({3: "a", 31: "c"}, "a=b")


@pytest.mark.parametrize("before", [None, {"experts.1": "one"}])
def test_weights_may_be_given_by_nested_names(photographs, before):
    recipe = tree(photographs) | {"network": EXPERT | {"weights": before and dict(before)}}
    override(recipe, "network.weights.experts.0=zero")
    found = read_recipe(recipe, "test").network.weights
    assert {name: str(file) for name, file in found.items()} == (before or {}) | {"experts.0": "zero"}


EXPERT = {"name": "unet", "settings": {"widths": [4, 8], "blocks": [1, 1]}}


def guided_tree(photographs, **train_settings):
    network = {"name": "experts", "settings": {"experts": [EXPERT, EXPERT], "prior_width": 8}}
    return boosted_tree(photographs, **train_settings) | {"network": network}


def test_experts_come_from_their_own_runs_and_the_frozen_ones_stay(photographs, tmp_path):
    run(tree(photographs) | {"network": EXPERT}, tmp_path / "expert")
    expert = tmp_path / "expert/model.safetensors"
    recipe = guided_tree(photographs, frozen=["experts.0"])
    recipe["network"]["weights"] = {"experts.0": str(expert), "experts.1": str(expert)}
    run(recipe, tmp_path / "run")
    first, second = load_model(tmp_path / "run/model.safetensors").module.network.network.experts
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


def test_a_guided_network_trains_under_the_shuffled_control_and_resumes_exactly(photographs, tmp_path):
    recipe = guided_tree(photographs, checkpoint_minutes=1e-9)
    recipe["prior"] = {"name": "statistics", "shuffled": True}
    recipe["network"]["settings"] = recipe["network"]["settings"] | {"prior_width": Statistics().width}
    full = run(recipe, tmp_path / "full")
    run(recipe, tmp_path / "cut", stop_at=3)
    assert {**full, **run(recipe, tmp_path / "cut", resume=True)} == full


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
