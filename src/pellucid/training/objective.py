"""What training minimises: a weighted sum of losses, written as text, on what is restored and on what is refined.

Equation (8) of PTG-RM (arXiv 2403.06793): L(restored) + lambda_1 L(refined), where L is whatever the network is trained with.
It may be a loss that needs no clean image, such as a network's own:

    charbonnier + 0.1 ssim      compares with the clean image
    zero-dce level=0.4, sci     the networks' own losses; they also look at what the network computes on its way
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pellucid.data.batches import Batch
from pellucid.errors import SettingsError, unknown_name
from pellucid.losses import LOSSES, implied_illumination, sci, zero_dce
from pellucid.refinement import Boosted
from pellucid.training.perceptual import Perceptual
from pellucid.training.settings import Recipe

__all__ = ["TERMS", "Objective", "Term", "Trial", "build_objective", "through"]


@dataclass(frozen=True)
class Trial:
    """An image whose loss is asked for, and what there is to judge it by.

    Attributes:
        image: restored or refined, float32 (B, 3, H, W).
        degraded: what it was made from.
        clean: what it should be; None where no clean image exists.
        own: what the network computed on its way, as the term's `own` says; None where it did not for this image.
    """

    image: Tensor
    degraded: Tensor
    clean: Tensor | None
    own: Any


@dataclass(frozen=True)
class Term:
    """One loss of the sum.

    Attributes:
        measure: from a trial, and options, to a scalar.
        needs_clean: whether it compares with a clean image.
        own: the network's method that gives what the loss looks at beside images.
        made_by: the class of network whose method that is, where others have one of the same name that gives something else.
        shared: whether that belongs to the refined image as much as to the restored one.
        smallest: side of the smallest image it takes, in pixels.
        options: the numbers that a text may set.
    """

    measure: Callable[..., Tensor]
    needs_clean: bool = False
    own: str | None = None
    made_by: str | None = None
    shared: bool = False
    smallest: int = 1
    options: tuple[str, ...] = ()


def _zero_dce(trial: Trial, **options: float) -> Tensor:
    return zero_dce(trial.image, trial.degraded, trial.own.float(), **options)


def _sci(trial: Trial) -> Tensor:
    if trial.own is None:
        return sci([(trial.degraded, implied_illumination(trial.image, trial.degraded))])
    return sci([(stage.input.float(), stage.illumination.float()) for stage in trial.own])


def _compared(loss: Callable[..., Tensor], trial: Trial, **options: float) -> Tensor:
    if trial.clean is None:
        raise ValueError("this loss compares with clean images, and the batch has none")
    return loss(trial.image, trial.clean, **options)


TERMS: Mapping[str, Term] = {
    **{name: Term(partial(_compared, loss), needs_clean=True) for name, loss in LOSSES.items()},
    "charbonnier": Term(partial(_compared, LOSSES["charbonnier"]), needs_clean=True, options=("epsilon",)),
    "ssim": Term(partial(_compared, LOSSES["ssim"]), needs_clean=True, smallest=11),
    "sci": Term(_sci, own="stages", made_by="SCI"),
    "zero-dce": Term(_zero_dce, own="curves", shared=True, smallest=16, options=("level",)),
}
"""The losses by the name that recipes give them; `perceptual` is one more, made from its weights."""


@dataclass(frozen=True)
class Objective:
    """From a module and a batch to the scalar that is minimised.

    Args:
        terms: losses and their weights.
        refined_weight: lambda_1 of equation (8).
        frozen: leave the restored image out, since the network does not learn.
    """

    terms: tuple[tuple[float, Term], ...]
    refined_weight: float = 1.0
    frozen: bool = False

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        """L(restored), for a boosted network with lambda_1 L(refined)."""
        plain = module.module if isinstance(module, DistributedDataParallel) else module
        boosted = isinstance(plain, Boosted)
        network = plain.network if isinstance(plain, Boosted) else plain
        own: dict[str, list[Any]] = {term.own: [] for _, term in self.terms if term.own}
        with ExitStack() as block:
            for method, kept in own.items():
                block.enter_context(through(network, method, partial(_keep, kept)))
            if batch.withheld is not None and boosted:
                block.enter_context(through(plain, "feature", partial(_withhold, batch.withheld)))
            if boosted:
                refined, restored = module(batch.degraded, both=True, view=batch.view, grid=batch.grid)
            else:
                refined, restored = None, module(batch.degraded)
        for method, kept in own.items():
            if not kept:  # the network goes another way when it restores than when it learns
                kept.append(getattr(network, method)(batch.degraded))
        losses = []
        if not (boosted and self.frozen):
            losses.append(self._sum(restored, batch, {method: kept[-1] for method, kept in own.items()}))
        if refined is not None:
            # A network that is refined inside has run once for each image, for the refined one first.
            shared = {term.own: own[term.own][0] for _, term in self.terms if term.own and term.shared}
            losses.append(self.refined_weight * self._sum(refined, batch, shared))
        return torch.stack(losses).sum()

    def _sum(self, image: Tensor, batch: Batch, own: Mapping[str, Any]) -> Tensor:
        with torch.autocast(image.device.type, enabled=False):
            image = image.float()
            losses = [
                weight * term.measure(Trial(image, batch.degraded, batch.clean, own.get(term.own or "")))
                for weight, term in self.terms
            ]
            return torch.stack(losses).sum()

    def check(self, network: nn.Module) -> None:
        """Raises SettingsError where a loss looks at what the network does not compute."""
        for _, term in self.terms:
            kind = type(network).__name__
            if term.own and not (hasattr(network, term.own) and term.made_by in (None, kind)):
                owner = term.made_by or "the network"
                raise SettingsError(
                    f"train.loss: a loss of this sum looks at the {term.own} of {owner}; {kind} has none such"
                )


def build_objective(recipe: Recipe) -> Objective:
    """The objective that `train.loss` describes.

    Raises:
        SettingsError: an unknown loss, one that needs clean photographs where there are none, or larger crops.
        ModelError: the weights of the perceptual loss are missing or of another network.
    """
    settings, data = recipe.train, recipe.data
    terms = []
    for part in settings.loss.split("+"):
        weight, name, options = _parsed(part, settings.loss)
        term = _perceptual(recipe) if name == "perceptual" else TERMS.get(name)
        if term is None:
            raise SettingsError(unknown_name("loss", name, [*TERMS, "perceptual"]))
        if term.needs_clean and any(part.pairs is not None and part.pairs.clean is None for part in data.parts()):
            raise SettingsError(f"train.loss: {name!r} compares with clean photographs; give data.pairs.clean")
        if data.crop < term.smallest:
            raise SettingsError(f"data.crop: {name!r} needs crops of {term.smallest} pixels, got {data.crop}")
        for option in options:
            if option not in term.options:
                raise SettingsError(f"train.loss: {name!r}: {unknown_name('option', option, term.options)}")
        terms.append((weight, replace(term, measure=partial(term.measure, **options))))
    return Objective(tuple(terms), settings.refined_weight, settings.freeze_network)


def _parsed(part: str, text: str) -> tuple[float, str, dict[str, float]]:
    """Weight, name and options in a text such as `0.1 ssim` or `zero-dce level=0.4`; without a weight it is 1."""
    words = part.split()
    weighted = len(words) > 1 and "=" not in words[1]
    try:
        weight = float(words.pop(0)) if weighted else 1.0
        name, *assignments = words
        options = {key: float(value) for key, value in (word.split("=") for word in assignments)}
        if "=" in name or not all(0 < value < math.inf for value in (weight, *options.values())):
            raise ValueError
    except ValueError:
        raise SettingsError(
            f"train.loss: {text!r} is no weighted sum; write for example: charbonnier + 0.1 ssim"
        ) from None
    return weight, name, options


def _perceptual(recipe: Recipe) -> Term:
    path = recipe.train.perceptual_weights
    if path is None:
        raise SettingsError("train.loss: 'perceptual' needs train.perceptual_weights, torchvision's weights of VGG-16")
    distance = Perceptual(path)
    return Term(partial(_compared, distance), needs_clean=True, smallest=distance.smallest)


@contextmanager
def through(owner: nn.Module, method: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Within the block, what `owner.method` returns goes through `change`, whoever calls it."""
    original = getattr(owner, method)
    setattr(owner, method, lambda *arguments, **named: change(original(*arguments, **named)))
    try:
        yield
    finally:
        delattr(owner, method)


def _keep(kept: list[Any], result: Any) -> Any:
    kept.append(result)
    return result


def _withhold(withheld: Tensor, feature: Tensor) -> Tensor:
    """Zeros in place of the vectors (B, width) or maps (B, C, h, w) of the withheld samples."""
    return feature.masked_fill(withheld.reshape(-1, *[1] * (feature.ndim - 1)), 0)
