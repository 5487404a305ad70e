"""Training on real pairs, and without clean photographs: what is held out, what is scored, what resumes."""

import json
from statistics import fmean

import pytest
import torch

from pellucid import images
from pellucid.data.folders import list_photographs
from pellucid.errors import DataError, SettingsError
from pellucid.priors import RandomVectors
from pellucid.restoration.model_file import describe_model, load_model
from pellucid.training.distill import distill
from pellucid.training.material import describe_data, split_sources
from pellucid.training.settings import DataSettings, read_recipe
from pellucid.training.train import train


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Twelve scenes, each with two dark and noisy versions, and a whole photograph of which they are the middle."""
    root = tmp_path_factory.mktemp("pairs")
    generator = torch.Generator().manual_seed(0)
    for name in ("dark", "clean", "whole"):
        (root / name).mkdir()
    for scene in range(1, 13):
        whole = torch.rand(1, 3, 48, 48, generator=generator)
        clean = whole[:, :, 8:40, 12:44]
        images.write(images.Photograph(clean), root / f"clean/{scene}.png")
        for version in (1, 2):
            images.write(images.Photograph(clean * 0.2 * version), root / f"dark/{scene}_{version}.png")
            images.write(images.Photograph(whole * 0.2 * version), root / f"whole/{scene}_{version}.png")
    return root


def tree(folders, *, pairs=None, **train_settings):
    given = pairs or {"degraded": str(folders / "dark"), "clean": str(folders / "clean")}
    settings = {"steps": 6, "batch": 2, "warmup_steps": 2, "validate_steps": 3, "precision": "float32"}
    return {
        "name": "test",
        "network": {"name": "unet", "settings": {"widths": [8, 16], "blocks": [1, 1]}},
        "data": {"pairs": given, "crop": 16, "validation": 3},
        "train": settings | train_settings,
    }


def boosted(folders, **changes):
    recipe = tree(folders, **changes)
    recipe["data"]["whole"] = str(folders / "whole")
    return recipe | {"prior": {"name": "random:8"}, "refinement": {"settings": {"width": 4, "blocks": 1}}}


def run(recipe_tree, folder, *, resume=False, stop_at=None):
    losses = {}
    steps = train(read_recipe(recipe_tree, "test"), folder, resume=resume)
    for step in steps:
        losses[step.number] = step.loss
        if step.number == stop_at:
            steps.close()
            break
    return losses


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_scenes_are_held_out_whole_and_in_the_order_people_count_in(folders):
    training, held_out = split_sources(DataSettings(**tree(folders)["data"]))
    names = [[path.stem for path in source.degraded.paths] for source in (training, held_out)]
    assert names[1] == ["10_1", "10_2", "11_1", "11_2", "12_1", "12_2"]
    assert len(names[0]) == 18
    assert not set(names[0]) & set(names[1])
    for source in (training, held_out):
        for index, path in enumerate(source.degraded.paths):
            assert source.clean.paths[index].stem == path.stem.split("_")[0]


def test_the_score_is_that_of_the_held_out_pairs_whole(folders, tmp_path):
    run(tree(folders, average=0.0), tmp_path / "run")
    network = load_model(tmp_path / "run/model.safetensors").module
    scores = []
    for path in list_photographs(folders / "dark"):
        if int(path.stem.split("_")[0]) >= 10:
            clean = images.read(folders / f"clean/{path.stem.split('_')[0]}.png").pixels
            with torch.no_grad():
                error = (network(images.read(path).pixels).clamp(0, 1) - clean).square().mean()
            scores.append(float(-10 * error.log10()))
    assert logged(tmp_path / "run")[-1]["psnr"] == pytest.approx(sum(scores) / len(scores), abs=2e-3)
    trained = describe_model(tmp_path / "run/model.safetensors")["card"]["trained"]
    assert trained["photographs"] == 18
    assert trained["degradations"] == ["real photographs, paired"]


def test_more_can_be_done_to_the_degraded_partner_alone(folders):
    """Half as bright on top: the crop and what the prior sees of it, not the clean partner, and not what is held out."""
    data = tree(folders)["data"]
    plain, _ = split_sources(DataSettings(**data))
    more, held_out = split_sources(DataSettings(**data, degradations={"low-light exposure=0.5": 1}))
    before, after = (source.sample(3, 16, torch.Generator().manual_seed(5), "whole") for source in (plain, more))
    assert torch.equal(before.clean, after.clean)
    assert torch.equal(before.grid, after.grid)
    linear = [((image + 0.055) / 1.055) ** 2.4 for image in (before.degraded, after.degraded)]
    bright = before.degraded > 0.1
    assert float((linear[1] / linear[0])[bright].median()) == pytest.approx(0.5, abs=0.01)
    assert before.seen.mean() > after.seen.mean()
    assert torch.equal(held_out.example(0).degraded, split_sources(DataSettings(**data))[1].example(0).degraded)
    described = describe_data(DataSettings(**data, degradations=["clean", "noise sigma=5"]))
    assert described == ["real photographs, paired, and clean", "real photographs, paired, and noise sigma=5"]


def test_a_boosted_run_learns_and_sees_whole_photographs(folders, tmp_path):
    losses = run(boosted(folders, steps=40, learning_rate=3e-3, prior_dropout=0.3, loss="absolute"), tmp_path / "run")
    last = logged(tmp_path / "run")[-1]
    assert sum(losses[step] for step in range(31, 41)) < 0.8 * sum(losses[step] for step in range(1, 11))
    assert {"psnr", "psnr_network"} <= last.keys()
    training, _ = split_sources(DataSettings(**boosted(folders)["data"]))
    example = training.example(0)
    assert example.grid.tolist() == pytest.approx([8 / 48, 12 / 48, 40 / 48, 44 / 48])
    assert example.seen.shape == (3, 48, 48)


def test_interrupted_and_resumed_equals_uninterrupted_with_all_that_is_drawn(folders, tmp_path):
    recipe = boosted(folders, checkpoint_minutes=1e-9, prior_dropout=0.5, accumulate=2, loss="charbonnier + 0.1 ssim")
    recipe["prior"]["shuffled"] = True
    whole = run(recipe, tmp_path / "whole")
    run(recipe, tmp_path / "cut", stop_at=3)
    resumed = run(recipe, tmp_path / "cut", resume=True)
    assert sorted(resumed) == [4, 5, 6]
    assert all(resumed[number] == whole[number] for number in resumed)
    first, second = (load_model(tmp_path / name / "model.safetensors").module.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_accumulated_batches_are_one_larger_batch(folders, tmp_path):
    """Two batches of one sample have the mean gradient of both; their samples are those of steps 1 and 2 without."""
    single = tree(folders, batch=1, steps=2, warmup_steps=0, learning_rate=1e-12, loss="absolute")
    both = tree(folders, batch=1, steps=1, warmup_steps=0, learning_rate=1e-12, loss="absolute", accumulate=2)
    first, second = run(single, tmp_path / "single").values()
    assert run(both, tmp_path / "both")[1] == pytest.approx((first + second) / 2, rel=1e-5)


@pytest.mark.parametrize(("network", "loss"), [("zero_dce", "zero-dce"), ("sci", "sci")])
def test_networks_learn_without_clean_photographs(folders, tmp_path, network, loss):
    recipe = boosted(folders, pairs={"degraded": str(folders / "dark")}, loss=loss, steps=3)
    small = {"zero_dce": {"width": 4, "iterations": 2}, "sci": {"calibration_width": 4}}
    recipe["network"] = {"name": network, "settings": small[network]}
    losses = run(recipe, tmp_path / "run")
    assert len(losses) == 3
    assert all(0 < value < 100 for value in losses.values())
    assert "psnr" not in logged(tmp_path / "run")[-1]  # there is nothing to compare with
    trained = describe_model(tmp_path / "run/model.safetensors")["card"]["trained"]
    assert trained["degradations"] == ["real photographs"]


def test_zero_dce_brightens_dark_photographs(folders, tmp_path):
    recipe = tree(folders, pairs={"degraded": str(folders / "dark")}, loss="zero-dce", steps=60, learning_rate=3e-3)
    recipe["network"] = {"name": "zero_dce", "settings": {"width": 8, "iterations": 8}}
    run(recipe | {"train": recipe["train"] | {"average": 0.9}}, tmp_path / "run")
    network = load_model(tmp_path / "run/model.safetensors").module
    dark = images.read(folders / "dark/12_1.png").pixels
    with torch.no_grad():
        assert network(dark).mean() > dark.mean() + 0.1


def test_distilling_a_model_that_was_trained_on_pairs(folders, tmp_path):
    recipe = boosted(folders)
    recipe["distill"] = {"steps": 3, "batch": 2, "settings": {"size": 32, "channels": [4], "texture": [4]}}
    run(recipe, tmp_path / "run")
    model = load_model(tmp_path / "run/model.safetensors")
    assert len(list(distill(model, read_recipe(recipe, "test"), tmp_path / "distilled"))) == 3
    assert load_model(tmp_path / "distilled/model.safetensors").module.prior.settings["teacher"] == "random:8"


def test_missing_partners_and_wholes_are_named(folders, tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 16, 16)), tmp_path / "1_1.png")
    recipe = boosted(folders)
    recipe["data"]["whole"] = str(tmp_path)
    with pytest.raises(DataError, match=r"17 files without a whole photograph in .*dark.1_2\.png"):
        run(recipe, tmp_path / "a")
    recipe["data"]["validation"] = 12
    with pytest.raises(DataError, match=r"clean: 12 photographs, of which data\.validation holds out 12"):
        run(recipe, tmp_path / "a")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "give either folder with degradations, or pairs"),
        ({"pairs": {"degraded": "a"}, "folder": "b"}, "give either folder with degradations, or pairs"),
        ({"folder": "b"}, "folder and degradations go together"),
        (
            {"pairs": {"degraded": "a"}, "degradations": ["noise sigma=1"], "whole": "c"},
            "degradations are done to crops",
        ),
        ({"folder": "b", "degradations": ["noise sigma=1"], "whole": "c"}, "whole is for pairs"),
        ({"pairs": {"degraded": "a"}, "grey": 0.5}, "grey is for folder"),
        ({"pairs": {"clean": "a"}}, r"data\.pairs\.degraded"),
        ({"pairs": {"degraded": "a", "cleen": "b"}}, r"unknown key 'cleen'; did you mean 'clean'.*data\.pairs"),
        ({"pairs": {"degraded": "a"}, "view": "half"}, r"data\.view"),
        ({"pairs": {"degraded": "a"}, "window": 64}, "window is for folder"),
        ({"pairs": {"degraded": "a"}, "enlarged": 0.5}, "enlarged is for folder"),
        ({"pairs": {"degraded": "a"}, "photographed": 0.5}, "photographed is for folder"),
        ({"pairs": {"degraded": "a"}, "kind": "mist"}, "unknown kind of degradation 'mist'"),
        ({"pairs": {"degraded": "a"}, "match_exposure": True}, "match_exposure: needs clean partners"),
        ({"folder": "b", "degradations": ["clean"], "match_exposure": True}, "match_exposure is for pairs"),
        ({"folder": "b", "degradations": {}}, r"data\.degradations"),
        ({"folder": "b", "degradations": {"noise sigma=1": 0}}, r"data\.degradations"),
        ({"sources": []}, r"data\.sources"),
        ({"sources": [{"folder": "b", "degradations": ["clean"]}], "grey": 0.5}, "grey: with sources, each of them"),
        ({"sources": [{"folder": "b", "degradations": ["clean"]}], "validation": 0}, "validation: with sources"),
        ({"sources": [{"weight": 2}]}, r"data\.sources\.0: give either folder"),
        ({"sources": [{"folder": "b", "degradatons": ["clean"]}]}, r"did you mean 'degradations'.*data\.sources\.0"),
    ],
)
def test_wrong_data_sections_name_the_key(folders, data, message):
    with pytest.raises(SettingsError, match=message):
        read_recipe(tree(folders) | {"data": data}, "mine.yaml")


def test_a_prior_s_vectors_are_kept_and_change_nothing(folders, tmp_path, monkeypatch):
    """Two runs over one cache: the second computes no vector, and both end where the run without a cache does."""
    computed = []
    encode = RandomVectors.encode
    monkeypatch.setattr(RandomVectors, "encode", lambda self, view: computed.append(len(view)) or encode(self, view))
    recipe = boosted(folders, steps=3)
    plain = run(recipe, tmp_path / "plain")
    recipe["prior"] = {"name": "random:8", "cache": str(tmp_path / "vectors")}
    first = run(recipe, tmp_path / "first")
    computed.clear()
    again = run(recipe, tmp_path / "again")
    assert first == again == plain
    assert not computed
    assert describe_model(tmp_path / "again/model.safetensors")["prior"] == {"name": "random:8"}
    for change in ({"view": "crop"}, {"degradations": ["noise sigma=5"], "whole": None}):
        with pytest.raises(SettingsError, match=r"prior\.cache is for data\.pairs as they are"):
            read_recipe(recipe | {"data": recipe["data"] | change}, "mine.yaml")


def test_several_sources_train_one_model(folders, tmp_path):
    """Pairs and degraded photographs in one run: both are seen, each holds its own out, and the card names them."""
    recipe = boosted(folders, steps=3, validate_steps=3)
    pairs = {"pairs": recipe["data"]["pairs"], "kind": "low-light", "validation": 2, "weight": 2}
    clean = {
        "folder": str(folders / "whole"),
        "degradations": {"noise sigma=9": 1, "real-world": 2},
        "validation": 3,
    }
    recipe["data"] = {"sources": [pairs, clean], "crop": recipe["data"]["crop"]}
    run(recipe, tmp_path / "run")
    card = describe_model(tmp_path / "run/model.safetensors")["card"]
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


def test_the_prior_sees_no_padding_of_a_pair_that_is_smaller_than_the_crop(folders):
    for degradations in ([], ["noise sigma=9"]):
        training, _ = split_sources(DataSettings(**tree(folders)["data"], degradations=degradations or None))
        sample = training.sample(0, 40, torch.Generator().manual_seed(0), "whole")
        assert sample.degraded.shape == sample.clean.shape == (3, 40, 40)
        assert sample.seen.shape == (3, 32, 32)


def test_crops_of_one_photograph_are_not_parted(tmp_path):
    crops = [f"{folder}/{scene}_{crop}" for folder in ("low", "high") for scene in (1, 2) for crop in (1, 2)]
    for name in [*crops, "whole/1", "whole/2"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        images.write(images.Photograph(torch.rand(1, 3, 16, 16)), tmp_path / f"{name}.png")
    pairs = {"degraded": str(tmp_path / "low"), "clean": str(tmp_path / "high")}
    settings = DataSettings(pairs=pairs, whole=str(tmp_path / "whole"), validation=1)
    training, held_out = split_sources(settings)
    assert [path.stem for path in held_out.degraded.paths] == ["2_2"]
    assert [path.stem for path in training.degraded.paths] == ["1_1", "1_2"]


def test_what_one_source_holds_out_no_other_trains_on(folders, tmp_path):
    pairs = tree(folders)["data"]["pairs"]
    first = {"pairs": pairs, "validation": 2}
    clean = {"folder": pairs["clean"], "degradations": ["clean"], "validation": 0}
    again = {"pairs": pairs, "validation": 0, "degradations": ["noise sigma=5"], "kind": "low-light"}
    training, held_out = split_sources(DataSettings(sources=[first, clean, again]))
    assert [len(source) for source in training.sources] == [20, 10, 20]
    assert [len(source) for source in held_out.sources] == [4, 0, 0]
    assert not {path.stem.split("_")[0] for path in training.files()} & {"11", "12"}
    assert training.sources[2].kind == "low-light"
    assert training.sources[2].degradations
    (tmp_path / "last").mkdir()
    (tmp_path / "last/12.png").symlink_to(folders / "clean/12.png")
    with pytest.raises(DataError, match="none is left to train on"):
        split_sources(DataSettings(sources=[first, clean | {"folder": str(tmp_path / "last")}]))
