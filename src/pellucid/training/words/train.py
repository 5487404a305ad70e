"""From a recipe with a words section to a run folder, with `words.safetensors` in it at the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from pellucid.diffusion.guidance_image import GuidanceMaker, load_guidance_maker, save_guidance_maker
from pellucid.errors import SettingsError
from pellucid.training.card import card
from pellucid.training.data import split_sources
from pellucid.training.loop import Step
from pellucid.training.places import check_places
from pellucid.training.run import Run
from pellucid.training.run_folder import is_due, is_main_process, logged_steps, start
from pellucid.training.settings import Recipe
from pellucid.training.words.batches import WordsBatch, WordsBatches

__all__ = ["prepare_words", "train_words"]

BATCHES = 4
"""Held out, by which training is watched."""


class WordsObjective:
    """The squared error of the noise; see `GuidanceMaker.error`, and `WordsSettings.keep`.

    Args:
        stage: of the training.
        keep: weight of how far words of clean pictures are moved.
    """

    def __init__(self, stage: Any, keep: float = 0.0) -> None:
        self.stage, self.keep = stage, keep

    def __call__(self, module: nn.Module, batch: WordsBatch) -> Tensor:
        """The loss of a batch, a scalar."""
        maker = module.module if isinstance(module, DistributedDataParallel) else module
        assert isinstance(maker, GuidanceMaker)
        times = (batch.times * maker.noising.steps).long()
        shape = len(times), maker.codec.channels, *(side // maker.codec.stride for side in batch.target.shape[2:])
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(batch.seed)).to(batch.target)
        error = maker.error(batch.seen, batch.target, times, noise, self.stage)
        if not self.keep:
            return error
        words = maker.words(batch.target)
        return error + self.keep * F.mse_loss(maker.clean(words), words) / words.var()


def train_words(recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains a stage of words, yielding each step; see `training.train.train`.

    Raises:
        SettingsError: the crops do not suit the pipeline, or stage 1 was learnt with other settings.
        ModelError: the pipeline or the vision tower cannot be loaded, or is of another kind.
    """
    run, held_out = prepare_words(recipe, folder)
    start(run, recipe.as_tree(), resume=resume)

    def scores(step: Step) -> dict[str, Any]:
        return _watched(run, held_out) if is_due(run, step) else {}

    yield from logged_steps(run, scores)
    if is_main_process():
        assert isinstance(run.module, GuidanceMaker)
        assert recipe.words is not None
        run.module.cleaned = recipe.words.stage == "clean"
        with run.average.applied():
            save_guidance_maker(run.module, folder / "words.safetensors", card(recipe, run))


def prepare_words(recipe: Recipe, folder: Path) -> tuple[Run, WordsBatches]:
    """The run of a recipe, and batches of the photographs that are held out; raises as `train_words` does."""
    check_places(recipe)
    settings = recipe.words
    assert settings is not None
    torch.manual_seed(recipe.train.seed)
    training, held_out = split_sources(recipe.data)
    if settings.weights is not None:
        maker = load_guidance_maker(settings.weights, pipeline=settings.pipeline, vision=settings.vision)
        for name in ("count", "hidden"):
            if maker.settings[name] != getattr(settings, name):
                raise SettingsError(f"words.{name}: stage 1 has {maker.settings[name]}, not {getattr(settings, name)}")
    else:
        maker = GuidanceMaker(settings.pipeline, settings.vision, count=settings.count, hidden=settings.hidden)
    multiple = maker.codec.stride * 2 ** (len(maker.unet.config.block_out_channels) - 1)
    if recipe.data.crop % multiple:
        raise SettingsError(f"data.crop: must be divisible by {multiple} for this pipeline, got {recipe.data.crop}")
    maker.learns(settings.stage)
    torch.manual_seed(recipe.train.seed)
    data, train = recipe.data, recipe.train
    batches = WordsBatches(training, data.crop, train.batch, train.seed, settings)
    if settings.same:
        _leave(maker, batches)
    run = Run(maker, WordsObjective(settings.stage, settings.keep), batches, train, folder / "checkpoint.pt")
    return run, WordsBatches(held_out, data.crop, train.batch, 10_000 + train.seed, settings)


def _leave(maker: GuidanceMaker, batches: WordsBatches) -> None:
    """Begins the networks that clean words as ones that do not, by the size of words of one batch."""
    with torch.no_grad():
        words = maker.words(batches.at(0).target)
    maker.clean.leave(float(words.square().mean().sqrt()))


@torch.no_grad()
def _watched(run: Run, held_out: WordsBatches) -> dict[str, Any]:
    """The loss on always the same batches of photographs that are held out, by the averaged weights."""
    device = next(run.module.parameters()).device
    with run.average.applied():
        losses = [float(run.objective(run.module, held_out.at(number).to(device))) for number in range(BATCHES)]
    return {"loss_held_out": round(sum(losses) / len(losses), 5)}
