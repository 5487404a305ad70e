"""From a recipe that trains editing to a run folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from pellucid.data.sources import Source
from pellucid.devices import channels_last
from pellucid.errors import SettingsError
from pellucid.models.header import Policy
from pellucid.models.load import load_network_weights
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.networks import Colorizer, Inpainter
from pellucid.training.card import card
from pellucid.training.data import split_sources
from pellucid.training.editing.colouring import ColourBatches, ColouringObjective, validate_colouring
from pellucid.training.editing.inpainting import HoleBatches, InpaintingObjective, validate_inpainting
from pellucid.training.loop import Step
from pellucid.training.places import check_places
from pellucid.training.run import Run
from pellucid.training.run_folder import is_due, is_main_process, logged_steps, start
from pellucid.training.settings import Recipe
from pellucid.words.encoder import sentence_encoder

__all__ = ["train_editing"]

HELD_OUT_SEED = 10_000


def train_editing(recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains a network that edits, yielding each step; see `training.train.train`.

    Raises:
        SettingsError: the network is another one, or the crops do not suit it.
        DataError: no photographs, or pairs.
    """
    check_places(recipe)
    torch.manual_seed(recipe.train.seed)
    training, held_out = split_sources(recipe.data)
    prepare = _inpainting if recipe.inpainting is not None else _colouring
    run, score = prepare(recipe, training, held_out, folder)
    start(run, recipe.as_tree(), resume=resume)

    def scores(step: Step) -> dict[str, Any]:
        return score(run) if is_due(run, step) else {}

    yield from logged_steps(run, scores)
    if is_main_process():
        with run.average.applied():
            save_model(
                run.module,
                folder / "model.safetensors",
                recipe=recipe.as_tree(travelling=True),
                card=card(recipe, run),
                policy=Policy(**recipe.policy.as_tree()),
                dtype=torch.float16,
            )


Score = Callable[[Run], dict[str, Any]]


def _inpainting(recipe: Recipe, training: Source, held_out: Source, folder: Path) -> tuple[Run, Score]:
    settings, seed = recipe.inpainting, recipe.train.seed
    assert settings is not None
    network = _network(recipe, Inpainter)
    if recipe.data.crop % network.contract.multiple:
        raise SettingsError(f"data.crop: must be divisible by {network.contract.multiple}, got {recipe.data.crop}")
    batches, kept = (
        HoleBatches(source, recipe.data.crop, recipe.train.batch, number, settings)
        for source, number in ((training, seed), (held_out, HELD_OUT_SEED + seed))
    )
    run = Run(network, InpaintingObjective(settings.gradient), batches, recipe.train, folder / "checkpoint.pt")
    return run, lambda run: validate_inpainting(run, kept)


def _colouring(recipe: Recipe, training: Source, held_out: Source, folder: Path) -> tuple[Run, Score]:
    settings, seed = recipe.colouring, recipe.train.seed
    assert settings is not None
    network = _network(recipe, Colorizer)
    encoder = sentence_encoder(settings.encoder or "")
    if encoder.width != network.told:
        raise SettingsError(
            f"network.settings.told: {encoder.name} gives vectors of {encoder.width} numbers, and the network reads "
            f"{network.told}"
        )
    batches, kept = (
        ColourBatches(source, network, recipe.train.batch, number, settings, encoder)
        for source, number in ((training, seed), (held_out, HELD_OUT_SEED + seed))
    )
    run = Run(network, ColouringObjective(settings.vivid), batches, recipe.train, folder / "checkpoint.pt")
    return run, lambda run: validate_colouring(run, kept)


Kind = TypeVar("Kind", Inpainter, Colorizer)


def _network(recipe: Recipe, kind: type[Kind]) -> Kind:
    """The network of a recipe, with its weights, ready to learn."""
    network = build_network(recipe.network.name, recipe.network.settings)
    if not isinstance(network, kind):
        raise SettingsError(f"network.name: this recipe trains {kind.__name__}, not {recipe.network.name!r}")
    if recipe.network.weights:
        load_network_weights(network, recipe.network.weights)
    torch.manual_seed(recipe.train.seed)
    channels_last(network)
    return network
