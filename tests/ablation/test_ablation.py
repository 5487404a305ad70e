"""Ablations: which arms there are, that an interrupted one goes on, and that its table says what the rows say."""

import json
from statistics import fmean

import pytest
import torch
import yaml
from safetensors.torch import save_file

from pellucid import images
from pellucid.ablation.arms import BASE, CONTROLS, NETWORK, arms_of
from pellucid.ablation.report import score, write
from pellucid.ablation.runs import Runs
from pellucid.ablation.table import results_of, verdict
from pellucid.errors import SettingsError
from pellucid.evaluation.rows import Row
from pellucid.evaluation.sets import find_set
from pellucid.networks import build_network
from pellucid.priors import Statistics
from pellucid.refinement import ABLATIONS, PTGRM
from pellucid.training.train import build_module


@pytest.fixture
def tree(tmp_path):
    for index in range(3):
        path = tmp_path / f"clean/{index}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(images.Photograph(torch.rand(1, 3, 24, 26)), path)
    return {
        "name": "small",
        "network": {"name": "unet", "settings": {"widths": [8, 8], "blocks": [1, 1]}},
        "prior": {"name": "random:12:7"},
        "refinement": {"name": "ptgrm", "settings": {"width": 4, "blocks": 1}},
        "data": {
            "folder": str(tmp_path / "clean"),
            "degradations": ["noise sigma=25"],
            "crop": 16,
            "validation": 1,
        },
        "train": {"steps": 2, "batch": 1, "precision": "float32", "seed": 5},
        "distill": {"steps": 1, "batch": 1, "settings": {"size": 32, "channels": [4], "texture": [4]}},
    }


def saved(network, path):
    """The weights of a network as it begins, in a file."""
    save_file(build_network(network["name"], network["settings"]).state_dict(), path)
    return str(path)


def test_the_controls_differ_from_the_recipe_in_one_thing(tree):
    arms = {arm.name: arm.recipe(3) for arm in arms_of(tree)}
    assert arms.keys() == {BASE, NETWORK, *CONTROLS}
    base = arms[BASE].model_dump()
    assert base["train"]["seed"] == 3
    for name, recipe in arms.items():
        other = recipe.model_dump()
        differing = {key for key in base if base[key] != other[key]}
        expected = {"equal parameters": {"refinement"}, NETWORK: {"prior", "refinement"}, BASE: set()}
        assert differing == expected.get(name, {"prior"}), name
    assert arms["no prior"].prior.name == "zeros:12"
    assert arms["random prior"].prior.name == "random:12"
    assert arms["shuffled prior"].prior.shuffled
    assert arms[NETWORK].refinement is None


@pytest.mark.parametrize(
    "settings", [{"width": 4, "blocks": 1}, {"width": 24, "prior_hidden": 16}, {"prior_hidden": 8}]
)
def test_equal_parameters_are_as_many(tree, settings):
    tree["refinement"]["settings"] = settings
    arms = {arm.name: build_module(arm.recipe(0)).refinement for arm in arms_of(tree)[:1] + arms_of(tree)[-1:]}
    ours, control = (sum(value.numel() for value in arms[name].parameters()) for name in (BASE, "equal parameters"))
    # Channels come in fours: no other number of fours is nearer.
    others = [
        sum(value.numel() for value in PTGRM(12, **{**settings, **ABLATIONS["large"], "width": width}).parameters())
        for width in (arms["equal parameters"].settings["width"] + step for step in (-4, 4))
        if width
    ]
    assert abs(control - ours) <= min(abs(other - ours) for other in others)


def test_the_control_of_the_papers_refinement_is_its_large_one(tree):
    tree["refinement"]["settings"], tree["prior"]["name"] = {}, "random:1280"
    arms = arms_of(tree, grids=["controls", "table-3"])
    control = next(arm.recipe(0) for arm in arms if arm.name == "equal parameters")
    assert control.refinement.settings == ABLATIONS["large"]
    assert "R large" not in [arm.name for arm in arms]


@pytest.mark.parametrize(
    "refinement",
    [
        {"name": "ptgrm", "settings": {"guidance": "concatenated-vector"}},
        {"name": "ptgrm-features", "settings": {"layer": "encoders.0"}},
    ],
)
def test_equal_parameters_see_no_prior_whatever_the_recipes_own_refinement_does(tree, refinement):
    tree["refinement"] = refinement
    recipe = {arm.name: arm.recipe(0) for arm in arms_of(tree)}["equal parameters"]
    boosted = build_module(recipe).eval()
    for value in boosted.refinement.parameters():
        torch.nn.init.normal_(value, std=0.1)
    images, (one, other) = torch.rand(2, 1, 3, 16, 20), torch.randn(2, 1, 12)
    with torch.no_grad():
        assert torch.equal(boosted.refinement(*images, one), boosted.refinement(*images, other))


def test_a_guided_network_is_told_what_its_arm_sees(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.training.gate.EXAMPLES", 20)
    monkeypatch.setattr("pellucid.training.gate.PLAIN", 2)
    monkeypatch.setattr("pellucid.training.gate.GRAPHICS", 2)
    shape = {"name": "unet", "settings": {"widths": [8, 8], "blocks": [1, 1]}}
    expert = saved(shape, tmp_path / "expert.safetensors")
    tree["network"] = {
        "name": "experts",
        "settings": {"experts": [shape | {"kinds": ["haze"]}, shape], "guide_width": 12},
        "weights": {"experts.0": expert, "experts.1": expert},
    }
    with pytest.raises(SettingsError, match="freeze_network"):
        arms_of(tree)
    tree["train"]["freeze_network"] = True
    found = arms_of(tree, grids=["controls", "table-3"], priors=["zeros:5"], vary=["prior.name=statistics"])
    arms = {arm.name: arm.recipe(0) for arm in found}
    widths = {name: recipe.network.settings["guide_width"] for name, recipe in arms.items()}
    assert (widths.pop("zeros:5"), widths.pop("name=statistics")) == (5, Statistics().width)
    assert set(widths.values()) == {12}
    assert arms["equal parameters"].prior.name == "zeros:12"
    assert arms["R large"].prior.name == "random:12:7"
    assert "R concatenated-maps" not in arms  # of a prior that has none
    runs = Runs([arm for arm in found if arm.name in (BASE, "zeros:5")], [0], tmp_path / "out")
    assert {run.arm.name for run, step in runs.train() if step.last} == {BASE, "zeros:5"}


def test_other_grids_priors_and_axes(tree):
    arms = arms_of(
        tree,
        grids=["table-3", "features"],
        priors=["zeros:5"],
        vary=["train.learning_rate=1e-3,2e-3; refinement.settings.blocks=1,2", "train.prior_dropout=0.5"],
    )
    names = [arm.name for arm in arms]
    assert [f"R {name}" for name in ABLATIONS if name != "concatenated-maps"] == names[1:8]
    assert names[8:10] == ["R on features", "zeros:5"]
    assert names[10:-1] == [f"learning_rate={rate}, blocks={blocks}" for rate in ("1e-3", "2e-3") for blocks in (1, 2)]
    assert names[-1] == "prior_dropout=0.5"
    last = arms[-2].recipe(0)
    assert last.train.learning_rate == 2e-3
    assert last.refinement.settings == {"width": 4, "blocks": 2}
    assert arms[0].recipe(0).refinement.settings == {"width": 4, "blocks": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grids": ["tabel-3"]}, "did you mean 'table-3'"),
        ({"vary": ["train.steps"]}, "expected key.key"),
        ({"vary": ["train.stepps=1"]}, "did you mean 'steps'"),
        ({"priors": ["zeros:5", "zeros:5"]}, "two arms"),
        # What only training would find out is found before.
        ({"priors": ["clp"]}, "small, clp: unknown prior 'clp'; did you mean 'clip'"),
        ({"vary": ["refinement.name=ptgrmm"]}, "small, name=ptgrmm: unknown refinement"),
        ({"vary": ["refinement.settings.guidnce=a"]}, "did you mean 'guidance'"),
        ({"vary": ["refinement.name=ptgrm-features; refinement.settings.layer=encoder.0"]}, r"encoders\.0"),
        ({"vary": ["network.settings.widths=[-1]"]}, "small, widths="),
    ],
)
def test_what_cannot_be_is_said(tree, options, message):
    with pytest.raises(SettingsError, match=message):
        arms_of(tree, **options)
    with pytest.raises(SettingsError, match="needs a recipe with a prior"):
        arms_of({**tree, "prior": None, "refinement": None})


def test_an_ablation_goes_on_where_it_was_stopped(tree, tmp_path):
    arms = arms_of(tree)
    runs = Runs(arms, [0, 1], tmp_path / "out", student=True)
    assert runs.total == 2 * (len(arms) + 1)
    steps = runs.train()
    first = [next(steps) for _ in range(5)]
    steps.close()
    trained = {run.name for run, step in first if step.last}
    assert trained
    again = [(run.name, step.number) for run, step in Runs(arms, [0, 1], tmp_path / "out", student=True).train()]
    assert not trained & {name for name, _ in again}
    sets = [find_set(str(tmp_path / "clean"))]
    results, document, failures = score(runs, sets, tmp_path / "out", sigmas=[25])
    assert not failures
    assert [result.arm for result in results] == [BASE, "boosted, student", NETWORK, *CONTROLS]
    assert {result.seeds for result in results} == {2}
    base, student, network = results[:3]
    assert network.parameters_added == 0
    refinement = sum(value.numel() for value in runs.candidates()[0][0].restore.__self__.model.refinement.parameters())
    assert base.parameters_added == refinement
    assert student.parameters_added > refinement
    text = write(results, document, tmp_path / "out")
    assert "Protocol gaussian-colour" in text
    assert json.loads((tmp_path / "out/ablation.json").read_text())["verdict"] == document["verdict"]
    assert (tmp_path / "out/ablation.tex").read_text().count(r"\\") == len(results) + 1
    assert not list(runs.train())


def test_a_frozen_network_is_not_trained_again(tree, tmp_path):
    tree["train"]["freeze_network"] = True
    tree["network"]["weights"] = saved(tree["network"], tmp_path / "network.safetensors")
    runs = Runs([arm for arm in arms_of(tree) if arm.name in (BASE, NETWORK)], [0], tmp_path / "out")
    assert {run.arm.name for run, _ in runs.train()} == {BASE}
    sets = [find_set(str(tmp_path / "clean"))]
    results, *_ = score(runs, sets, tmp_path / "out", sigmas=[25])
    assert [result.arm for result in results] == [BASE, NETWORK]
    texts = ["jpeg quality=10", "defocus radius=2"]
    results, document, _ = score(runs, sets, tmp_path / "out", sigmas=[25], degradations=texts)
    assert [(result.arm, result.condition, result.protocol) for result in results] == [
        (arm, condition, protocol)
        for condition, protocol in (
            ("noise sigma=25", "gaussian-colour"), *((text, "synthetic-rgb") for text in texts)
        )
        for arm in (BASE, NETWORK)
    ]  # fmt: skip
    markdown = write(results, document, tmp_path / "out")
    assert "on " + str(tmp_path / "clean") + ", jpeg quality=10" in markdown
    assert "Protocol synthetic-rgb" in markdown


def rows_of(scores):
    """Scores {(arm, seed): PSNR by photograph} as rows, and their runs."""

    class FakeRun:
        def __init__(self, arm, seed):
            self.arm, self.seed = type("Arm", (), {"name": arm, "host": "h"}), seed

    runs = {f"{arm} {seed}": FakeRun(arm, seed) for arm, seed in scores}
    rows = [
        Row(f"{arm} {seed}", "set", "pairs", "pairs-rgb", str(index), value, 0.5)
        for (arm, seed), values in scores.items()
        for index, value in enumerate(values)
    ]
    return rows, runs, dict.fromkeys(runs, 7)


def test_gains_are_paired_by_photograph_over_the_mean_of_the_seeds():
    scores = {
        (BASE, 0): [21.0, 31.0, 41.0],
        (BASE, 1): [23.0, 33.0, 43.0],
        (NETWORK, 0): [20.0, 30.0, 40.0],
        (NETWORK, 1): [20.0, 30.0, 40.0],
        ("no prior", 0): [22.5, 31.5, 42.5],
        ("no prior", 1): [22.5, 31.5, 42.5],
    }
    base, network, control = results_of(*rows_of(scores))
    assert base.psnr == pytest.approx(fmean([21, 31, 41, 23, 33, 43]))
    assert base.psnr_deviation == pytest.approx(2**0.5)  # of the seeds' means, 31 and 33
    assert base.over_network.mean == pytest.approx(2)
    assert (base.over_network.low, base.over_network.high) == pytest.approx((2, 2))
    assert base.over_controls[0].mean == pytest.approx((-0.5 + 0.5 - 0.5) / 3)
    assert not base.over_controls[0].shown
    assert network.over_network is None
    assert control.over_controls == ()
    assert "not shown to help" in verdict([base])[0]
    assert base.over_network.shown == 0  # 2 dB on each of three photographs may still be chance


@pytest.mark.parametrize(("gain", "photographs", "helps"), [(2, 6, True), (2, 5, False), (0.004, 40, False)])
def test_the_prior_helps_where_the_gain_is_sure_and_seen(gain, photographs, helps):
    control = [20.0 + index for index in range(photographs)]
    scores = {(BASE, 0): [value + gain for value in control], ("no prior", 0): control}
    said = verdict(results_of(*rows_of(scores)))[0]
    assert ("the prior helps" in said) == helps
    assert ("not shown to help: not clearly better than no prior" in said) != helps


def test_the_verb(run, tree, tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(tree))
    arguments = ["ablate", tmp_path / "r.yaml", "-o", tmp_path / "out", "--data", tmp_path / "clean"]
    arguments += ["--with", "jpeg quality=10", "--set", "train.steps=1"]
    status, out, err = run(*arguments, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert {result["arm"] for result in document["results"]} == {BASE, NETWORK, *CONTROLS}
    assert {result["condition"] for result in document["results"]} == {"jpeg quality=10"}
    assert document["verdict"]
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    assert "| arm | parameters added |" in out
    status, _, err = run(*arguments[:-1], "train.steps=1", "--set", "train.batch=2")
    assert status == 2  # the folder holds runs of another recipe
    assert "a model of another recipe" in err
