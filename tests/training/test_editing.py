"""Training what edits: batches are functions of their number, small runs go through, their files do what they say."""

import pytest
import torch

from pellucid.editing.colour import Colouring, ColourOptions
from pellucid.editing.filling import Filling
from pellucid.errors import DataError, SettingsError
from pellucid.images.lab import lab_of
from pellucid.networks import Colorizer, Inpainter
from pellucid.training.data import split_sources
from pellucid.training.editing.colouring import ColourBatches, ColouringObjective
from pellucid.training.editing.inpainting import HoleBatches, InpaintingObjective
from pellucid.training.settings import read_recipe
from pellucid.training.train import train
from pellucid.words.encoder import sentence_encoder

TINY = {"widths": [8, 16], "blocks": [1, 1]}
TRAIN = {"steps": 4, "batch": 2, "warmup_steps": 1, "validate_steps": 2, "precision": "float32"}


def inpainting(photographs, **changes):
    return {
        "name": "inpaint",
        "network": {"name": "inpainter", "settings": TINY},
        "data": {"folder": str(photographs), "degradations": ["clean"], "crop": 16, "validation": 2},
        "inpainting": {"share": [0.1, 0.3]},
        "train": TRAIN,
    } | changes


def colouring(photographs, **changes):
    return {
        "name": "colorize",
        "network": {"name": "colorizer", "settings": TINY | {"told": 64, "side": 16}},
        "data": {"folder": str(photographs), "degradations": ["clean"], "crop": 16, "validation": 2},
        "colouring": {},
        "train": TRAIN,
    } | changes


def trained(tree, folder):
    steps = list(train(read_recipe(tree, "test"), folder))
    assert steps[-1].last
    assert all(step.loss == step.loss for step in steps)
    return folder / "model.safetensors"


def test_an_inpainter_is_trained_and_fills(photographs, tmp_path):
    model = trained(inpainting(photographs), tmp_path / "run")
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert "psnr_smooth" in log
    mask = torch.zeros(1, 3, 20, 20)
    mask[..., 5:9, 5:9] = 1
    image = torch.rand(1, 3, 20, 20)
    found = Filling(mask, model).fill(image)
    assert torch.equal(found[mask == 0], image[mask == 0])
    with pytest.raises(SettingsError, match="resume"):
        trained(inpainting(photographs), tmp_path / "run")


def test_a_colorizer_is_trained_and_colours(photographs, tmp_path):
    model = trained(colouring(photographs), tmp_path / "run")
    assert "mistold" in (tmp_path / "run" / "log.jsonl").read_text()
    image = torch.rand(1, 1, 20, 30).expand(1, 3, -1, -1)
    coloured = Colouring(model, ColourOptions(text="blue sky")).colour(image)
    torch.testing.assert_close(lab_of(coloured)[:, 0], lab_of(image)[:, 0], atol=0.2, rtol=0)


def test_batches_are_functions_of_their_number(photographs):
    recipe = read_recipe(colouring(photographs), "test")
    source, _ = split_sources(recipe.data)
    network, encoder = Colorizer(**recipe.network.settings), sentence_encoder()
    batches = ColourBatches(source, network, 3, 0, recipe.colouring, encoder)
    first, again, other = batches.at(4), batches.at(4), batches.at(5)
    assert torch.equal(first.light, again.light)
    assert torch.equal(first.vector, again.vector)
    assert first.light.shape[2:] != other.light.shape[2:]  # wide, upright and square in turn
    assert first.chroma.shape[2:] == tuple(side // 2 for side in first.light.shape[2:])
    holes = HoleBatches(source, 16, 3, 0, read_recipe(inpainting(photographs), "test").inpainting)
    assert torch.equal(holes.at(2).missing, holes.at(2).missing)
    assert not torch.equal(holes.at(2).clean, holes.at(3).clean)


def test_what_is_learnt_falls_on_one_batch(photographs):
    """A network that sees one batch again and again must learn its colours, and what was in its holes."""
    recipe = read_recipe(colouring(photographs), "test")
    source, _ = split_sources(recipe.data)
    torch.manual_seed(0)
    network = Colorizer(**recipe.network.settings)
    colours = ColourBatches(source, network, 4, 0, recipe.colouring, sentence_encoder()).at(0)
    holes = HoleBatches(source, 16, 4, 0, read_recipe(inpainting(photographs), "test").inpainting).at(0)
    for module, objective, batch in (
        (network, ColouringObjective(0.04), colours),
        (Inpainter(**TINY), InpaintingObjective(1.0), holes),
    ):
        optimizer, losses = torch.optim.Adam(module.parameters(), 3e-3), []
        for _ in range(40):
            optimizer.zero_grad()
            loss = objective(module, batch)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.85 * losses[0]


def test_what_cannot_be_is_refused(photographs, tmp_path):
    other = inpainting(photographs, network={"name": "unet"})
    with pytest.raises(SettingsError, match="trains Inpainter"):
        trained(other, tmp_path / "a")
    narrow = colouring(photographs, network={"name": "colorizer", "settings": TINY | {"told": 8, "side": 16}})
    with pytest.raises(SettingsError, match="vectors of 64 numbers, and the network reads 8"):
        trained(narrow, tmp_path / "b")
    tree = inpainting(photographs)
    with pytest.raises(SettingsError, match="divisible by 4"):
        trained(tree | {"data": tree["data"] | {"crop": 18}}, tmp_path / "c")
    with pytest.raises(SettingsError, match="the least first"):
        read_recipe(inpainting(photographs, inpainting={"share": [0.4, 0.1]}), "test")
    pairs = {"pairs": {"degraded": str(photographs), "clean": str(photographs)}, "crop": 16, "validation": 2}
    with pytest.raises(DataError, match="not from pairs"):
        trained(inpainting(photographs, data=pairs), tmp_path / "d")


def test_an_encoder_of_sentences_is_trained(photographs, tmp_path):
    pytest.importorskip("transformers")
    tower = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "intermediate_size": 32}
    sentences = {
        "tower": tower | {"num_hidden_layers": 1, "num_attention_heads": 2},
        "text_width": 16,
        "text_layers": 1,
        "text_heads": 2,
        "width": 8,
        "text_steps": 3,
        "texts": 8,
        "first": 6,
        "fresh": 1,
        "pool": 8,
        "begins_as": None,
        "scored": 64,
    }
    tree = {
        "name": "sentence-encoder",
        "data": {"folder": str(photographs), "degradations": ["clean", "noise sigma=25"], "validation": 2},
        "sentences": sentences,
        "train": TRAIN | {"steps": 6},
    }
    recipe, folder = read_recipe(tree, "test"), tmp_path / "run"
    found = list(train(recipe, folder))
    assert len(found) == 6
    encoder = sentence_encoder(folder)
    assert encoder.width == 8
    assert "first_of_64" in (folder / "card.json").read_text()
    with pytest.raises(SettingsError, match="not shaped as that of the encoder of degradations"):
        list(
            train(read_recipe(tree | {"sentences": sentences | {"begins_as": "degradations"}}, "test"), tmp_path / "b")
        )
    with pytest.raises(SettingsError, match="stands alone"):
        read_recipe(tree | {"network": {"name": "dncnn"}}, "test")
