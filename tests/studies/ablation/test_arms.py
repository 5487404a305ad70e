"""Which arms there are, in what they differ, and that they begin alike and see the same pixels."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pellucid.errors import SettingsError
from pellucid.evaluation.sets import find_set
from pellucid.models.tables import build_network
from pellucid.networks import UNet
from pellucid.priors import Statistics
from pellucid.priors.imagenet import SqueezeNet
from pellucid.refinement import ABLATIONS, PTGRM, Boosted
from pellucid.studies.ablation.arms import BASE, COLOUR, CONTROLS, NETWORK, arms_of
from pellucid.studies.ablation.report import score
from pellucid.studies.ablation.runs import Runs
from pellucid.training.train import build_module, prepare


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
        expected = {"equal parameters": {"refinement"}, NETWORK: {"prior", "refinement", "data"}, BASE: set()}
        assert differing == expected.get(name, {"prior"}), name
    assert arms[NETWORK].model_dump()["data"] == base["data"] | {"degrade_whole": True}
    assert arms["no prior"].prior.name == "zeros:12"
    assert arms["random prior"].prior.name == "random:12"
    assert arms["shuffled prior"].prior.shuffled
    assert arms[NETWORK].refinement is None


def test_two_controls_say_what_r_gains_and_what_priors_add(tree):
    arms = arms_of(tree, grids=["no-prior"], priors=["zeros:5", "statistics"], vary=["train.batch=3"])
    assert [arm.name for arm in arms] == [BASE, NETWORK, "no prior", "zeros:5", "statistics", "batch=3"]
    assert [arm.name for arm in arms if arm.prior] == ["zeros:5", "statistics"]
    everything = {arm.name: arm for arm in arms_of(tree)}
    assert all(everything[arm.name] == arm for arm in arms[:3])


def test_all_arms_begin_alike_and_see_the_same_pixels(tree, tmp_path):
    """Also beside a prior whose building draws random numbers, and for one crop of a photograph seen whole."""
    save_file(SqueezeNet().state_dict(), tmp_path / "squeezenet.safetensors")
    tree["prior"] = {"name": "squeezenet1_0", "weights": str(tmp_path / "squeezenet.safetensors")}
    tree["data"] |= {"crop": 8, "degradations": ["noise sigma=25", "rain amount=50"]}
    began = {}
    for arm in arms_of(tree):
        run, _ = prepare(arm.recipe(3), tmp_path / "run")
        boosted = isinstance(run.module, Boosted)
        network = run.module.network if boosted else run.module
        began[arm.name] = (
            {key: value.clone() for key, value in run.module.refinement.state_dict().items()} if boosted else None,
            torch.cat([value.flatten() for value in network.state_dict().values()]),
            run.batches.at(2).degraded,
            torch.rand(3),  # what a layer with dropout would draw first
        )
    refinement, *rest = began[BASE]
    for name, (other, *others) in began.items():
        assert all(map(torch.equal, rest, others)), name
        if name not in (NETWORK, "equal parameters"):
            assert all(torch.equal(refinement[key], other[key]) for key in refinement), name


def test_arms_of_unequal_steps_or_seeds_are_refused(tree, tmp_path):
    with pytest.raises(SettingsError, match=r"train\.seed: every arm is trained with each seed that --seed gives"):
        arms_of(tree, vary=["train.seed=1,2"])
    assert {arm.seed for arm in arms_of(tree)} == {5}
    arms = arms_of(tree)
    with pytest.raises(SettingsError, match="two recipes are called 'small'"):
        Runs([*arms, *arms], [0], tmp_path)
    alone = next(
        arm for arm in arms_of(tree | {"train": tree["train"] | {"prior_dropout": 0.5}}) if arm.name == NETWORK
    )
    assert alone.recipe(0).train.prior_dropout == 0
    del tree["distill"]
    with pytest.raises(SettingsError, match="--student needs a recipe with distill, which 'small' has not"):
        Runs(arms_of(tree), [0], tmp_path, student=True)
    tree["train"]["minutes"] = 1
    with pytest.raises(SettingsError, match=r"--set train\.minutes=null --set train\.steps=N"):
        arms_of(tree)


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


def test_a_guided_network_is_told_what_its_arm_sees(tree, tmp_path):
    tree["gate"] = {"examples": 20, "plain": 2, "graphics": 2}
    shape = {"name": "unet", "settings": {"widths": [8, 8], "blocks": [1, 1]}}
    expert = saved(shape, tmp_path / "expert.safetensors")
    tree["network"] = {
        "name": "experts",
        "settings": {"experts": [shape | {"kinds": ["haze"]}, shape], "prior_width": 12},
        "weights": {"experts.0": expert, "experts.1": expert},
    }
    with pytest.raises(SettingsError, match="freeze_network"):
        arms_of(tree)
    tree["train"]["freeze_network"] = True
    found = arms_of(tree, grids=["controls", "table-3"], priors=["zeros:5"], vary=["prior.name=statistics"])
    arms = {arm.name: arm.recipe(0) for arm in found}
    widths = {name: recipe.network.settings["prior_width"] for name, recipe in arms.items()}
    assert (widths.pop("zeros:5"), widths.pop("name=statistics")) == (5, Statistics().width)
    assert set(widths.values()) == {12}
    assert arms["equal parameters"].prior.name == "zeros:12"
    assert arms["R large"].prior.name == "random:12:7"
    assert "R concatenated-maps" in arms
    with pytest.raises(SettingsError, match="there are no controls; ablate it with"):
        arms_of(with_maps(tree))
    runs = Runs([arm for arm in found if arm.name in (BASE, "zeros:5")], [0], tmp_path / "out")
    assert {run.arm.name for run, step in runs.train() if step.last} == {BASE, "zeros:5"}


def with_maps(tree):
    """The recipe with an R that takes its prior's maps."""
    refinement = tree["refinement"]
    return {
        **tree,
        "refinement": {**refinement, "settings": {**refinement["settings"], "guidance": "concatenated-maps"}},
    }


def test_a_prior_without_maps_is_not_ablated_with_them(tree):
    tree["prior"]["name"] = "statistics"
    assert "R concatenated-maps" not in [arm.name for arm in arms_of(tree, grids=["table-3"])]
    with pytest.raises(SettingsError, match="needs a prior with maps, which 'statistics' has not"):
        arms_of(with_maps(tree))


def test_a_refinement_that_takes_maps_has_its_controls(tree, tmp_path):
    # The encoder's maps are of 96 channels, its vector is of 64 numbers.
    tree = with_maps({**tree, "prior": {"name": "degradations"}})
    found = arms_of(tree)
    recipes = {arm.name: arm.recipe(0) for arm in found}
    assert recipes.keys() == {BASE, NETWORK, *CONTROLS}
    assert (recipes["no prior"].prior.name, recipes["random prior"].prior.name) == ("zeros:96", "random:96")
    for name in ("no prior", "shuffled prior", "random prior", BASE):
        boosted = build_module(recipes[name]).eval()
        assert boosted.refinement.prior_width == 96
        image = torch.rand(1, 3, 16, 20)
        maps = boosted.look(image).maps
        assert maps.shape[:2] == (1, 96)
        with torch.no_grad():
            assert boosted(image).shape == image.shape
        if name != BASE:
            torch.testing.assert_close(maps.square().mean(), torch.tensor(float(name != "no prior")))
    large = build_module(recipes["equal parameters"]).refinement
    assert not large.takes_maps
    runs = Runs([arm for arm in found if arm.name in (BASE, "shuffled prior")], [0], tmp_path / "out")
    assert {run.arm.name for run, step in runs.train() if step.last} == {BASE, "shuffled prior"}
    results, *_ = score(runs, [find_set(str(tmp_path / "clean"))], tmp_path / "out", sigmas=[25])
    assert [result.arm for result in results] == [BASE, "shuffled prior"]  # as their files hold them


def test_a_prior_of_several_files_is_given_as_yaml(tree, tmp_path, monkeypatch):
    built = []

    def watched(name, *, weights=None):
        built.append((name, weights))
        return Statistics()

    monkeypatch.setattr("pellucid.studies.ablation.arms.find_prior", watched)
    several = (
        "joined(mobilenet_v2, squeezenet1_0:torchvision)={mobilenet_v2: a.safetensors, squeezenet1_0:torchvision: b=c}"
    )
    found = arms_of(tree, grids=[], priors=[several, "mobilenet_v2=a.safetensors"])
    assert [arm.name for arm in found[1:]] == ["joined(mobilenet_v2, squeezenet1_0:torchvision)", "mobilenet_v2"]
    files = {"mobilenet_v2": Path("a.safetensors"), "squeezenet1_0:torchvision": Path("b=c")}
    assert [arm.recipe(0).prior.weights for arm in found[1:]] == [files, Path("a.safetensors")]
    assert built[1:] == [
        ("joined(mobilenet_v2, squeezenet1_0:torchvision)", files),
        ("mobilenet_v2", Path("a.safetensors")),
    ]
    for wrong in ("{a: b", "{a: 3}", "{a}"):
        with pytest.raises(SettingsError, match=r"--prior 'joined\(a, b\)=.*expected SPEC={SPEC: FILE, SPEC: FILE}"):
            arms_of(tree, grids=[], priors=[f"joined(a, b)={wrong}"])


def test_other_grids_priors_and_axes(tree):
    arms = arms_of(
        tree,
        grids=["table-3", "features"],
        priors=["zeros:5"],
        vary=["train.learning_rate=1e-3,2e-3; refinement.settings.blocks=1,2", "train.prior_dropout=0.5"],
    )
    names = [arm.name for arm in arms]
    assert [f"R {name}" for name in ABLATIONS] == names[1:9]
    assert names[9:11] == ["R on features", "zeros:5"]
    assert names[11:-1] == [f"learning_rate={rate}, blocks={blocks}" for rate in ("1e-3", "2e-3") for blocks in (1, 2)]
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


def test_a_colour_matrix_stands_in_for_r_on_a_frozen_network(tree, tmp_path):
    with pytest.raises(SettingsError, match="frozen"):
        arms_of(tree, grids=["colour-matrix"])
    tree["network"]["weights"] = saved(tree["network"], tmp_path / "network.safetensors")
    tree["train"]["freeze_network"] = True
    arms = {arm.name: arm for arm in arms_of(tree, grids=["controls", "colour-matrix"])}
    assert arms.keys() == {BASE, NETWORK, *CONTROLS, COLOUR}
    runs = Runs([arms[BASE], arms[NETWORK], arms[COLOUR]], [0, 1], tmp_path / "runs")
    assert {step.number for run, step in runs.train() if run.arm.name == COLOUR} == {1}
    results, document, _ = score(runs, [find_set(tree["data"]["folder"])], tmp_path / "runs", sigmas=[25.0])
    found = {result.arm: result for result in results}
    assert found[COLOUR].parameters_added == 12
    assert found[COLOUR].psnr_deviation == pytest.approx(0, abs=1e-4)
    assert [comparison.other for comparison in found[BASE].over_controls] == [COLOUR]
    assert f"not clearly better than {COLOUR}" in document["verdict"][0]


def test_arms_of_one_frozen_network_restore_each_picture_once(tree, tmp_path, monkeypatch):
    tree["network"]["weights"] = saved(tree["network"], tmp_path / "network.safetensors")
    tree["train"]["freeze_network"] = True
    arms = [arm for arm in arms_of(tree) if arm.name in (BASE, NETWORK, "no prior")]
    runs = Runs(arms, [0, 1], tmp_path / "runs")
    list(runs.train())
    restored = []
    restore = UNet.restore
    monkeypatch.setattr(UNet, "restore", lambda *given: restored.append(given[1].shape) or restore(*given))
    folder = find_set(tree["data"]["folder"])
    results, _, _ = score(runs, [folder], tmp_path / "runs", sigmas=[25.0])
    assert [tuple(shape[2:]) for shape in restored].count((24, 26)) == 3  # the rest is a measurement of memory
    monkeypatch.setattr("pellucid.studies.ablation.runs.Remembered", lambda: None)
    plain, _, _ = score(runs, [folder], tmp_path / "again", sigmas=[25.0])
    assert [(result.arm, result.psnr) for result in results] == [(result.arm, result.psnr) for result in plain]
