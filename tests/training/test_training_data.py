"""What is trained on and what is held out."""

import pytest
import torch
from small_runs import paired_tree

from pellucid import images
from pellucid.errors import DataError
from pellucid.training.data import DataSettings, describe_data, split_sources


def test_scenes_are_held_out_whole_and_in_the_order_people_count_in(folders):
    training, held_out = split_sources(DataSettings(**paired_tree(folders)["data"]))
    names = [[path.stem for path in source.degraded.paths] for source in (training, held_out)]
    assert names[1] == ["10_1", "10_2", "11_1", "11_2", "12_1", "12_2"]
    assert len(names[0]) == 18
    assert not set(names[0]) & set(names[1])
    for source in (training, held_out):
        for index, path in enumerate(source.degraded.paths):
            assert source.clean.paths[index].stem == path.stem.split("_")[0]


def test_more_can_be_done_to_the_degraded_partner_alone(folders):
    """Half as bright on top: the crop and what the prior sees of it, not the clean partner, and not what is held
    out."""
    data = paired_tree(folders)["data"]
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


def test_the_prior_sees_no_padding_of_a_pair_that_is_smaller_than_the_crop(folders):
    for degradations in ([], ["noise sigma=9"]):
        training, _ = split_sources(DataSettings(**paired_tree(folders)["data"], degradations=degradations or None))
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
    pairs = paired_tree(folders)["data"]["pairs"]
    first = {"pairs": pairs, "validation": 2}
    clean = {"folder": pairs["clean"], "degradations": ["clean"], "validation": 0}
    again = {"pairs": pairs, "validation": 0, "degradations": ["noise sigma=5"], "kind": "low-light"}
    training, held_out = split_sources(DataSettings(sources=[first, clean, again]))
    assert [len(source) for source in training.sources] == [20, 10, 20]
    assert [len(source) for source in held_out.sources] == [4, 0, 0]
    assert held_out.weights[0] > 0 == held_out.weights[1] == held_out.weights[2]
    assert not {path.stem.split("_")[0] for path in training.files()} & {"11", "12"}
    assert training.sources[2].kind == "low-light"
    assert training.sources[2].degradations
    (tmp_path / "last").mkdir()
    (tmp_path / "last/12.png").symlink_to(folders / "clean/12.png")
    with pytest.raises(DataError, match="none is left to train on"):
        split_sources(DataSettings(sources=[first, clean | {"folder": str(tmp_path / "last")}]))
