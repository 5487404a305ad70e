"""A frozen network restores fixed photographs once; R is trained on what it gave, or on a folder of results."""

import pytest
import torch
from small_runs import boosted_pairs_tree, logged, run
from torch import nn

import pellucid
from pellucid import images
from pellucid.data.folders import Photographs, list_photographs
from pellucid.data.sources import Pairs
from pellucid.errors import DataError, ModelError, SettingsError
from pellucid.guidance import Guidance
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.networks import Results, UNet
from pellucid.priors import Zeros
from pellucid.training.outputs import Outputs
from pellucid.training.settings import read_recipe
from pellucid.training.train import prepare

CHANGE = torch.tensor([[0.9, 0.2, 0.0], [0.0, 1.1, 0.1], [0.1, 0.0, 0.7]])


@pytest.fixture
def frozen(folders, tmp_path):
    """A recipe whose network is frozen, with weights, and restores each photograph once."""
    tree = boosted_pairs_tree(folders, freeze_network=True)
    save_model(build_network(**tree["network"]), tmp_path / "network.safetensors")
    tree["network"] |= {"weights": str(tmp_path / "network.safetensors"), "cache": str(tmp_path / "outputs")}
    return tree


def test_each_photograph_is_restored_once_and_kept(folders, tmp_path):
    network = UNet.tiny().eval()
    for value in network.parameters():
        nn.init.normal_(value, std=0.1)
    photographs = Photographs(list_photographs(folders / "dark"))
    first = Outputs(network, photographs, tmp_path / "kept")
    with torch.no_grad():
        expected = network(photographs[3][None])[0]
    torch.testing.assert_close(first[3], expected, atol=1e-3, rtol=1e-3)
    second = Outputs(network, photographs, tmp_path / "kept")
    assert torch.equal(second[3], first[3])
    assert (second.found, second.computed) == (1, 0)
    with torch.no_grad():
        next(network.parameters()).add_(0.1)
    changed = Outputs(network, photographs, tmp_path / "kept")
    assert not torch.equal(changed[3], first[3])
    assert changed.computed == 1


def test_a_damaged_result_is_made_again(folders, tmp_path):
    photographs = Photographs(list_photographs(folders / "dark"))
    outputs = Outputs(UNet.tiny().eval(), photographs, tmp_path)
    expected = outputs[0]
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:50])
    with pytest.warns(UserWarning, match="damaged"):
        assert torch.equal(outputs[0], expected)
    assert outputs[0].shape == (3, 32, 32)
    assert outputs.computed == 2


@pytest.mark.parametrize("side", [16, 48])  # smaller than the pictures, and larger
def test_crops_of_results_lie_and_are_turned_as_the_photographs(folders, side):
    paths = list_photographs(folders / "dark")
    restored = [0.5 * image + 0.1 for image in map(Photographs(paths).__getitem__, range(len(paths)))]
    pairs = Pairs(paths, restored=restored)
    for index in range(6):
        sample = pairs.sample(index, side, torch.Generator().manual_seed(index), "whole")
        torch.testing.assert_close(sample.restored, 0.5 * sample.degraded + 0.1)
    some = pairs.without({paths[0].resolve()})
    torch.testing.assert_close(some.example(0).restored, restored[1])


def test_a_known_result_is_taken_and_the_network_not_asked():
    class Never(nn.Module):
        def forward(self, image):
            raise AssertionError("the network was run")

    boosted = pellucid.boost(Never(), Zeros(4), width=4, blocks=1)
    degraded, known = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    refined, restored = boosted(degraded, Guidance(restored=known), both=True)
    assert torch.equal(restored, known)
    torch.testing.assert_close(refined, known, atol=1e-6, rtol=0)  # R begins as nothing
    assert Guidance(restored=known).of(torch.tensor([1])).restored.shape == (1, 3, 16, 16)
    inside = pellucid.boost(UNet.tiny(), Zeros(4), refinement="ptgrm-features", width=4)
    with pytest.raises(ModelError, match="inside"):
        inside(degraded, Guidance(restored=known))


def test_training_on_kept_results_is_training_r_alone(frozen, tmp_path, monkeypatch):
    losses = run(frozen, tmp_path / "first")
    kept = len(list((tmp_path / "outputs").glob("*.npy")))
    assert 3 <= kept <= 24
    assert logged(tmp_path / "first")[-1]["psnr_network"] == pytest.approx(
        logged(tmp_path / "first")[0]["psnr_network"]
    )
    monkeypatch.setattr(UNet, "restore", lambda *_: pytest.fail("the network was run"))
    assert run(frozen, tmp_path / "second") == losses
    header = load_model(tmp_path / "second/model.safetensors").header
    assert header.network["name"] == "unet"


def test_validation_scores_the_network_on_what_it_gave(frozen, tmp_path):
    run(frozen, tmp_path / "kept")
    del frozen["network"]["cache"]
    run(frozen, tmp_path / "plain")
    ours, plain = (logged(tmp_path / name)[-1]["psnr_network"] for name in ("kept", "plain"))
    assert ours == pytest.approx(plain, abs=0.01)


def test_the_cache_is_for_what_stays_as_it_is(folders, frozen, photographs):
    def refused(said, **sections):
        with pytest.raises(SettingsError, match=said):
            read_recipe(frozen | sections, "test")

    refused("network.cache", train=frozen["train"] | {"freeze_network": False})
    refused("network.cache", refinement={"name": "ptgrm-features"})
    refused("network.cache", data={"folder": str(photographs), "degradations": ["noise sigma=5"]})
    refused("network.cache", data={**frozen["data"], "whole": None, "degradations": ["noise sigma=5"]})
    known = {**frozen["data"], "pairs": frozen["data"]["pairs"] | {"restored": str(folders / "dark")}}
    refused("has already", data=known)
    with pytest.raises(SettingsError, match="freeze_network"):
        read_recipe(frozen | {"data": known, "network": {"name": "results"}, "train": {"steps": 1}}, "test")


@pytest.fixture
def black_box(folders, tmp_path):
    """A recipe on what a black box made of the dark pictures: their colours mixed and shifted."""
    (tmp_path / "restored").mkdir()
    for path in list_photographs(folders / "clean"):
        clean = images.read(path).pixels
        mixed = torch.einsum("oc,bchw->bohw", torch.linalg.inv(CHANGE), clean - 0.05)
        for version in (1, 2):
            name = f"{path.stem}_{version}.tif"
            images.write(images.Photograph(mixed * 0.4 + 0.3, bits=16), tmp_path / "restored" / name)
    tree = boosted_pairs_tree(folders, freeze_network=True)
    tree["network"] = {"name": "results"}
    tree["data"]["pairs"]["restored"] = str(tmp_path / "restored")
    return tree


def test_r_learns_from_a_folder_of_results(black_box, tmp_path):
    run(black_box, tmp_path / "run")
    model = load_model(tmp_path / "run/model.safetensors").module
    assert isinstance(model.network, Results)
    with pytest.raises(ModelError, match="pellucid boost"):
        model(torch.rand(1, 3, 16, 16))


def test_a_colour_matrix_is_found_by_least_squares(black_box, tmp_path):
    black_box["refinement"] = {"name": "colour-matrix"}
    run(black_box, tmp_path / "run")
    found = load_model(tmp_path / "run/model.safetensors").module.refinement
    # clean = CHANGE (restored - 0.3) / 0.4 + 0.05
    torch.testing.assert_close(found.matrix.detach(), CHANGE / 0.4, atol=0.02, rtol=0.02)
    torch.testing.assert_close(found.offset.detach(), 0.05 - CHANGE.sum(1) * 0.3 / 0.4, atol=0.02, rtol=0.02)
    black_box["train"]["freeze_network"] = False
    del black_box["data"]["pairs"]["restored"]
    black_box["network"] = {"name": "unet"}
    with pytest.raises(SettingsError, match="frozen"):
        run(black_box, tmp_path / "joint")


def test_missing_results_and_those_of_another_size_are_named(black_box, tmp_path):
    folder = tmp_path / "restored"
    (folder / "3_1.tif").unlink()
    (folder / "5_2.tif").unlink()
    with pytest.raises(DataError, match=r"2 files without a result.*3_1\.png, .*5_2\.png"):
        prepare(read_recipe(black_box, "test"), tmp_path / "run")
    for name in ("3_1", "5_2"):
        images.write(images.Photograph(torch.rand(1, 3, 32, 30)), folder / f"{name}.png")
    run_, _ = prepare(read_recipe(black_box, "test"), tmp_path / "run")
    with pytest.raises(DataError, match=r"3_1\.png: 32 x 32 pixels, and what is restored of it 30 x 32"):
        list(map(run_.batches.source.example, range(len(run_.batches.source))))
