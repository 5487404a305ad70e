"""The stages of restoring by words, one after the other, on tiny models of the real classes; the paper's tables."""

import shutil

import numpy as np
import pytest
import torch
from small_runs import logged, run, tree

from pellucid import images
from pellucid.diffusion.guidance_files import write_guidance
from pellucid.diffusion.guidance_image import GuidanceMaker, load_guidance_maker, save_guidance_maker
from pellucid.errors import DataError, ModelError, SettingsError
from pellucid.models.tables import build_network
from pellucid.recipes import load_tree
from pellucid.restoration.guides import Maker
from pellucid.training.overrides import override
from pellucid.training.settings import read_recipe
from pellucid.training.train import prepare
from pellucid.training.words import train as words_training
from pellucid.training.words.batches import KnownBatch, KnownPairs, WordsBatches
from pellucid.training.words.train import WordsObjective, prepare_words
from support.pipelines import save_pipeline, save_vision

SMALL = {"width": 8, "encoder_blocks": [1], "middle_blocks": 1, "decoder_blocks": [1]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    save_pipeline(folder / "pipeline")
    save_vision(folder / "vision")
    return folder


def words_tree(photographs, folders, name, **words):
    """A recipe of the package on tiny models."""
    recipe = load_tree(name)
    recipe["words"] |= {
        "pipeline": str(folders / "pipeline"), "vision": str(folders / "vision"), "count": 3, "hidden": 8, **words,
    }  # fmt: skip
    recipe["data"] = {**tree(photographs)["data"], "crop": 64}
    recipe["train"] |= {"steps": 4, "batch": 2, "accumulate": 1, "validate_steps": 2, "learning_rate": 1e-3}
    recipe["train"]["checkpoint_minutes"] = 1e-9
    return recipe


def test_four_stages_and_the_tables(folders, small_pictures, tmp_path):
    photographs = small_pictures(5)
    first = words_tree(photographs, folders, "image-to-words")
    losses = run(first, tmp_path / "one", stop_at=2)
    losses |= run(first, tmp_path / "one", resume=True)
    assert np.isfinite(list(losses.values())).all()
    straight = run(first, tmp_path / "straight")
    assert losses[4] == straight[4]
    assert (tmp_path / "one" / "checkpoint.pt").stat().st_size < 2e6  # no pipeline in it
    second = words_tree(photographs, folders, "clean-words", weights=str(tmp_path / "one" / "words.safetensors"))
    assert np.isfinite(list(run(second, tmp_path / "two").values())).all()
    assert logged(tmp_path / "two")[-1]["loss_held_out"] > 0
    assert 0 <= logged(tmp_path / "two")[-1]["nearer"] <= 1
    assert "nearer" not in logged(tmp_path / "one")[-1]
    said, cleaned = (load_guidance_maker(tmp_path / name / "words.safetensors") for name in ("one", "two"))
    assert (said.cleaned, cleaned.cleaned) == (False, True)
    for name, value in said.state_dict().items():
        assert torch.equal(value, cleaned.state_dict()[name]) != name.startswith("clean."), name

    for folder in ("degraded", "clean", "guidance"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    maker = Maker(tmp_path / "two" / "words.safetensors", settings={"steps": 2})
    for path in sorted(photographs.iterdir())[:3]:
        degraded = (images.read(path).pixels * 0.5 * 255).round() / 255
        images.write(images.Photograph(degraded), tmp_path / "data" / "degraded" / path.name)
        shutil.copy(path, tmp_path / "data" / "clean" / path.name)
        degraded = images.read(tmp_path / "data" / "degraded" / path.name).pixels
        made = maker.made(degraded)
        write_guidance(tmp_path / "data" / "guidance" / path.name, made.picture, degraded, {})
    fourth = load_tree("guided")
    override(fourth, f"network.settings.network={{name: nafnet, settings: {SMALL}}}".replace("'", ""))
    fourth["data"]["pairs"] = {name: str(tmp_path / "data" / name) for name in ("degraded", "clean", "guidance")}
    fourth["data"] |= {"crop": 16, "validation": 1}
    fourth["reference"].pop("picker")
    fourth["train"] |= {"steps": 2, "batch": 2, "validate_steps": 2}
    for inject in ("released", "decoder", "both"):  # table 10
        fourth["network"]["settings"]["inject"] = inject
        assert np.isfinite(list(run(fourth, tmp_path / inject).values())).all()
    # A clean picture's guidance is refused, whoever put it there.
    clean = images.read(tmp_path / "data" / "clean" / "0.png").pixels
    write_guidance(tmp_path / "data" / "guidance" / "0.png", clean, clean, {})
    prepared, _ = prepare(read_recipe(fourth, "test"), tmp_path)
    with pytest.raises(DataError, match=r"data\.pairs\.guidance: .*0\.png: is the guidance of another picture"):
        [prepared.batches.at(number) for number in range(4)]


def test_cleaning_begins_by_leaving_words_and_keeps_clean_ones(folders, small_pictures, tmp_path):
    maker = GuidanceMaker(str(folders / "pipeline"), str(folders / "vision"), count=3, hidden=40)
    save_guidance_maker(maker, tmp_path / "words.safetensors")
    photographs, moved = small_pictures(4), {}
    for same in (False, True):
        weights = str(tmp_path / "words.safetensors")
        recipe = words_tree(photographs, folders, "clean-words", weights=weights, hidden=40, same=same)
        prepared, held_out = prepare_words(read_recipe(recipe, "test"), tmp_path)
        batch = held_out.at(0)
        with torch.no_grad():
            words = prepared.module.words(batch.target)
            moved[same] = float((prepared.module.clean(words) - words).square().mean() / words.var())
    assert moved[True] < 1e-2 < moved[False]
    # Clean words that are moved cost as much as they are moved.
    with torch.no_grad():
        prepared.module.clean.of_words[0][-1].bias.add_(words.std())
        moved = float((prepared.module.clean(words) - words).square().mean() / words.var())
        degraded = prepared.module.words(batch.seen)
        all_moved = float((prepared.module.clean(degraded) - degraded).square().mean() / words.var())
    losses = [
        float(WordsObjective("clean", keep, still)(prepared.module, batch).detach())
        for keep, still in ((0.0, 0.0), (2.0, 0.0), (0.0, 2.0))
    ]
    assert losses[1] - losses[0] == pytest.approx(2 * moved, rel=1e-2)
    assert losses[2] - losses[0] == pytest.approx(2 * all_moved, rel=1e-2)


def test_known_pairs_say_what_pictures_do_and_the_best_is_kept(folders, small_pictures, tmp_path, monkeypatch):
    maker = GuidanceMaker(str(folders / "pipeline"), str(folders / "vision"), count=3, hidden=40)
    save_guidance_maker(maker, tmp_path / "words.safetensors")
    recipe = words_tree(
        small_pictures(4), folders, "clean-words", weights=str(tmp_path / "words.safetensors"), hidden=40, same=True,
        keep=1.0, pairs=5, choose=True,
    )  # fmt: skip
    prepared, held_out = prepare_words(read_recipe(recipe, "test"), tmp_path)
    pairs = prepared.batches
    assert isinstance(pairs, KnownPairs)
    assert len(pairs.words) == 6  # three batches of two
    drawn = WordsBatches(pairs.source, 64, 2, pairs.seed, held_out.settings).at(1)
    assert torch.allclose(pairs.words[2:4], prepared.module.words(drawn.seen), atol=1e-6)
    assert torch.allclose(pairs.clean[2:4], prepared.module.words(drawn.target), atol=1e-6)
    first, again, other = pairs.at(3), pairs.at(3), pairs.at(4)
    assert torch.equal(first.words, again.words)
    assert torch.equal(first.times, again.times)
    assert not torch.equal(first.times, other.times)
    assert any(torch.equal(first.latent[0], one) for one in pairs.latent)
    # Of a pair, the loss is what it is of the pictures.
    seen = KnownBatch(pairs.words[2:4], pairs.clean[2:4], pairs.latent[2:4], drawn.times, drawn.seed)
    losses = [float(prepared.objective(prepared.module, batch).detach()) for batch in (seen, drawn)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)

    # Scored after steps 2 and 4: the better one is kept, and a run that was broken off knows how good it was.
    shares = iter([0.5, 0.25, 0.4])
    monkeypatch.setattr(words_training, "_watched", lambda *_: {"nearer": next(shares)})
    run(recipe, tmp_path / "chosen", stop_at=2)
    kept = (tmp_path / "chosen" / "words.safetensors").read_bytes()
    run(recipe, tmp_path / "chosen", resume=True)
    assert (tmp_path / "chosen" / "words.safetensors").read_bytes() == kept
    assert [line["nearer"] for line in logged(tmp_path / "chosen")] == [0.5, 0.25]


@pytest.mark.parametrize("count", [5, 10])
def test_the_number_of_words_is_a_setting(folders, small_pictures, tmp_path, count):
    """Table 9; 20 and more do not fit the tiny text encoder, and tests/diffusion has them on the tokenizer alone."""
    recipe = words_tree(small_pictures(4), folders, "image-to-words")
    override(recipe, f"words.count={count}")
    recipe["train"] |= {"steps": 1}
    run(recipe, tmp_path / "run")
    assert load_guidance_maker(tmp_path / "run" / "words.safetensors").settings["count"] == count


@pytest.mark.parametrize("name", ["nafnet", "restormer", "promptir", "sfnet", "drsformer"])
def test_every_host_of_the_paper_has_its_recipe(name):
    recipe = load_tree("guided")
    override(recipe, f"network.settings.network={{name: {name}}}")
    settings = read_recipe(recipe, "guided").network.settings
    with torch.device("meta"):
        assert recipe["data"]["crop"] % build_network("guided", settings).contract.multiple == 0


def test_contradictions_are_said(folders, small_pictures, tmp_path):
    photographs = small_pictures(3)
    for name, words, message in (
        ("clean-words", {"weights": None}, "goes on from what stage image-to-words"),
        ("image-to-words", {"weights": "words.safetensors"}, "image-to-words begins"),
        ("image-to-words", {"stage": "both"}, "image-to-words"),
        ("image-to-words", {"keep": 1.0}, "words.keep, still, same, pairs and choose: are for stage clean"),
    ):
        with pytest.raises(SettingsError, match=message):
            read_recipe(words_tree(photographs, folders, name, **words), name)
    recipe = words_tree(photographs, folders, "image-to-words") | {"network": {"name": "nafnet"}}
    with pytest.raises(SettingsError, match="words stand alone"):
        read_recipe(recipe, "test")
    recipe = words_tree(photographs, folders, "image-to-words")
    recipe["data"]["crop"] = 40
    with pytest.raises(SettingsError, match=r"data\.crop: must be divisible by 16"):
        run(recipe, tmp_path / "run")
    with pytest.raises(ModelError, match="no such folder"):
        run(words_tree(photographs, folders, "image-to-words", pipeline="/nowhere"), tmp_path / "run")
