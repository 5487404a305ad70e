"""From a recipe with a words section to a run folder, with `words.safetensors` in it at the end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from pellucid.diffusion.guidance_image import GuidanceMaker, Stage, load_guidance_maker, save_guidance_maker
from pellucid.diffusion.image_words import distance_of_words
from pellucid.errors import SettingsError
from pellucid.training.card import card
from pellucid.training.data import split_sources
from pellucid.training.loop import Step
from pellucid.training.places import check_places
from pellucid.training.run import Run
from pellucid.training.run_folder import is_due, is_main_process, logged_steps, start
from pellucid.training.settings import Recipe
from pellucid.training.words.batches import KnownBatch, KnownPairs, WordsBatch, WordsBatches, looked_at

__all__ = ["prepare_words", "train_words"]

BATCHES = 4
"""Held out, by which training is watched."""


class WordsObjective:
    """The squared error of the noise; see `GuidanceMaker.error`, and `keep` and `still` of `WordsSettings`.

    Args:
        stage: of the training.
        keep: weight of how far words of clean pictures are moved.
        still: weight of how far words of degraded pictures are moved.
    """

    def __init__(self, stage: Stage, keep: float = 0.0, still: float = 0.0) -> None:
        self.stage, self.keep, self.still = stage, keep, still

    def __call__(self, module: nn.Module, batch: WordsBatch | KnownBatch) -> Tensor:
        """The loss of a batch, a scalar."""
        maker = module.module if isinstance(module, DistributedDataParallel) else module
        assert isinstance(maker, GuidanceMaker)
        known = batch if isinstance(batch, KnownBatch) else looked_at(maker, batch, clean=self.keep + self.still > 0)
        times = (known.times * maker.noising.steps).long()
        noise = torch.randn(known.latent.shape, generator=torch.Generator().manual_seed(known.seed))
        words = maker.clean(known.words) if self.stage == "clean" else known.words
        error = maker.error(words, known.latent, times, noise.to(known.latent))
        if known.clean is None:
            return error
        if self.still:
            error = error + self.still * F.mse_loss(words, known.words) / known.clean.var()
        if self.keep:
            error = error + self.keep * F.mse_loss(maker.clean(known.clean), known.clean) / known.clean.var()
        return error


def train_words(recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains a stage of words, yielding each step; see `training.train.train`.

    Raises:
        SettingsError: the crops do not suit the pipeline, or stage 1 was learnt with other settings.
        ModelError: the pipeline or the vision tower cannot be loaded, or is of another kind.
    """
    run, held_out = prepare_words(recipe, folder)
    settings = recipe.words
    assert settings is not None
    start(run, recipe.as_tree(), resume=resume)
    best = max((line["nearer"] for line in _log(folder)), default=-1.0) if resume and settings.choose else -1.0

    def scores(step: Step) -> dict[str, Any]:
        nonlocal best
        if not is_due(run, step):
            return {}
        with run.average.applied():
            found = _watched(run, held_out)
            if settings.choose and found["nearer"] > best:
                best = found["nearer"]
                _save(recipe, run)
        return found

    yield from logged_steps(run, scores)
    if is_main_process() and not settings.choose:
        with run.average.applied():
            _save(recipe, run)


def _save(recipe: Recipe, run: Run) -> None:
    """Writes `words.safetensors`."""
    maker, settings = run.module, recipe.words
    assert isinstance(maker, GuidanceMaker)
    assert settings is not None
    maker.cleaned = settings.stage == "clean"
    save_guidance_maker(maker, run.checkpoint.parent / "words.safetensors", card(recipe, run))


def _log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log in which held-out photographs were scored."""
    path = folder / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line for line in map(json.loads, lines) if "nearer" in line]


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
    drawn = WordsBatches(training, data.crop, train.batch, train.seed, settings)
    if settings.same:
        _leave(maker, drawn)
    if settings.pairs:
        maker.to("cuda" if torch.cuda.is_available() else "cpu")
    batches: KnownPairs | WordsBatches = KnownPairs(maker, drawn, settings.pairs) if settings.pairs else drawn
    run = Run(
        maker, WordsObjective(settings.stage, settings.keep, settings.still), batches, train, folder / "checkpoint.pt"
    )
    return run, WordsBatches(held_out, data.crop, train.batch, 10_000 + train.seed, settings)


def _leave(maker: GuidanceMaker, batches: WordsBatches) -> None:
    """Begins the networks that clean words as ones that do not, by the size of words of one batch."""
    with torch.no_grad():
        words = maker.words(batches.at(0).target)
    maker.clean.leave(float(words.square().mean().sqrt()))


@torch.no_grad()
def _watched(run: Run, held_out: WordsBatches) -> dict[str, Any]:
    """The loss on always the same batches of photographs that are held out, and in stage 2 the share of them whose
    cleaned words are nearer to those of their clean partners than they were."""
    maker = run.module
    assert isinstance(maker, GuidanceMaker)
    losses: list[float] = []
    nearer: list[float] = []
    device = next(maker.parameters()).device
    for number in range(BATCHES):
        known = looked_at(maker, held_out.at(number).to(device), clean=True)
        losses.append(float(run.objective(maker, known)))
        assert known.clean is not None
        before, after = (distance_of_words(words, known.clean) for words in (known.words, maker.clean(known.words)))
        nearer.append(float((after < before).float().mean()))
    found = {"loss_held_out": round(sum(losses) / BATCHES, 5)}
    return found | ({"nearer": round(sum(nearer) / BATCHES, 4)} if held_out.settings.stage == "clean" else {})
