"""Matching exposures: a power law is undone exactly, noise stays, ugly input ends in an image."""

import sys

import match_exposure
import pytest
import torch

from pellucid import images
from pellucid.data.exposure import matched_exposure
from pellucid.data.sources import Pairs
from pellucid.errors import DataError


def test_another_exposure_is_undone_channel_by_channel():
    clean = (
        torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    )
    clean = 0.1 + 0.8 * clean
    factors, exponents = torch.tensor([0.2, 0.1, 0.4])[:, None, None], torch.tensor([1.0, 1.5, 0.8])[:, None, None]
    torch.testing.assert_close(matched_exposure(factors * clean**exponents, clean), clean, atol=1e-4, rtol=0)


def test_noise_stays_and_grows_with_the_gain():
    generator = torch.Generator().manual_seed(0)
    clean = torch.linspace(0.2, 0.8, 96).expand(3, 64, 96)
    dark = (clean / 8 + 0.004 * torch.randn(3, 64, 96, generator=generator)).clamp(0, 1)
    noise = matched_exposure(dark, clean) - clean
    assert noise.mean().abs() < 0.003
    assert float(noise.std()) == pytest.approx(8 * 0.004, rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (37, 53)])
@pytest.mark.parametrize("value", [0.0, 0.05, 1.0])
def test_plain_and_small_pictures_end_at_the_mean_or_black(size, value):
    found = matched_exposure(torch.full((3, *size), value), torch.full((3, *size), 0.5))
    torch.testing.assert_close(found, torch.full((3, *size), 0.5 if value else 0.0))


def test_pairs_give_the_matched_photograph_and_its_kind(tmp_path):
    clean = torch.linspace(0.2, 0.8, 48).expand(1, 3, 40, 48)
    images.write(images.Photograph(clean), tmp_path / "clean.png")
    images.write(images.Photograph(clean / 10), tmp_path / "dark.png")
    pairs = Pairs([tmp_path / "dark.png"], [tmp_path / "clean.png"], kind="noise", match_exposure=True)
    for source in (pairs, pairs.without([])):
        sample = source.sample(0, 16, torch.Generator().manual_seed(0), "whole")
        assert (sample.degraded - sample.clean).abs().max() < 0.05
        assert sample.kind == "noise"
        example = source.example(0)
        assert (example.seen - example.clean).abs().max() < 0.05
    for wrong in ({"wholes": [tmp_path / "dark.png"]}, {"clean": None}):
        with pytest.raises(ValueError, match=r"crop|partner"):
            Pairs([tmp_path / "dark.png"], **{"clean": [tmp_path / "clean.png"]} | wrong, match_exposure=True)


def written(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(images.Photograph(image), path)


def test_the_tool_keeps_folders_apart(tmp_path):
    clean = torch.linspace(0.2, 0.8, 48).expand(1, 3, 40, 48)
    for folder, gain in (("a", 10), ("b", 5)):
        written(tmp_path / f"bright/{folder}/1.png", clean.flip(3) if folder == "b" else clean)
        written(tmp_path / f"dark/{folder}/1.jpg", (clean.flip(3) if folder == "b" else clean) / gain)
    match_exposure.match(tmp_path / "dark", tmp_path / "bright", tmp_path / "out")
    for folder in ("a", "b"):
        noisy, same = (images.read(tmp_path / f"out/{name}/{folder}/1.png").pixels for name in ("noisy", "clean"))
        assert torch.equal(same, images.read(tmp_path / f"bright/{folder}/1.png").pixels)
        assert (noisy - same).abs().mean() < 0.05


@pytest.mark.parametrize("size", [(42, 50), (80, 96)])
def test_partners_of_another_size_are_refused_by_name(tmp_path, size, monkeypatch, capsys):
    written(tmp_path / "dark/1.png", torch.rand(1, 3, 40, 48))
    written(tmp_path / "bright/1.png", torch.rand(1, 3, *size))
    with pytest.raises(DataError, match=r"1\.png.*differ in size"):
        match_exposure.match(tmp_path / "dark", tmp_path / "bright", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(sys, "argv", ["match_exposure", *(str(tmp_path / name) for name in ("dark", "none", "out"))])
    with pytest.raises(SystemExit) as end:
        match_exposure.main()
    assert end.value.code == 1
    assert "no such folder" in capsys.readouterr().err
