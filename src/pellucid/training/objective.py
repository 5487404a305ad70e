"""What training minimises: a weighted sum of losses, written as text, on what is restored and on what is refined.

Equation (8) of PTG-RM (arXiv 2403.06793): L(restored) + lambda_1 L(refined), where L is whatever the network is trained
with. It may be a loss that needs no clean image, such as a network's own:

    charbonnier + 0.1 ssim      compares with the clean image
    zero-dce level=0.4, sci     the networks' own losses; they also look at what the network computes on its way
    absolute + sfnet            SFNet's, of its three images: absolute errors at full, half and a quarter of the sides
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from pellucid.data.batches import Batch
from pellucid.errors import SettingsError, unknown_name
from pellucid.guidance import NOTHING, Guidance
from pellucid.losses import LOSSES, implied_illumination, sci, zero_dce
from pellucid.networks import SCI, Guided, Network, SFNet, ZeroDCE, contract_of, verbs_of
from pellucid.refinement import Boosted, Refined
from pellucid.training.perceptual import Perceptual
from pellucid.training.settings import Recipe

__all__ = ["TERMS", "Judged", "Objective", "Term", "build_objective", "glanced", "looked"]


@dataclass(frozen=True)
class Judged:
    """An image whose loss is asked for, and what there is to judge it by.

    Attributes:
        image: restored or refined, float32 (B, 3, H, W).
        degraded: what it was made from.
        clean: what it should be; None where no clean image exists.
        trace: what the network computed on its way; None where it did not for this image.
    """

    image: Tensor
    degraded: Tensor
    clean: Tensor | None
    trace: Any


@dataclass(frozen=True)
class Term:
    """One loss of the sum.

    Attributes:
        measure: from what is judged, and options, to a scalar.
        needs_clean: whether it compares with a clean image.
        trace_of: the class of network whose trace (`Network.traced`) the loss looks at; None where it sees images
            alone.
        trace_name: what that trace is called.
        shared: whether it belongs to the refined image as much as to the restored one.
        smallest: side of the smallest image it takes, in pixels.
        options: the numbers that a text may set.
    """

    measure: Callable[..., Tensor]
    needs_clean: bool = False
    trace_of: type[Network] | None = None
    trace_name: str = ""
    shared: bool = False
    smallest: int = 1
    options: tuple[str, ...] = ()


def _zero_dce(judged: Judged, **options: float) -> Tensor:
    return zero_dce(judged.image, judged.degraded, judged.trace.float(), **options)


def _sci(judged: Judged) -> Tensor:
    if judged.trace is None:
        return sci([(judged.degraded, implied_illumination(judged.image, judged.degraded))])
    return sci([(stage.input.float(), stage.illumination.float()) for stage in judged.trace])


def _sfnet(judged: Judged) -> Tensor:
    if judged.clean is None:
        raise ValueError("this loss compares with clean images, and the batch has none")
    errors = [judged.image.new_zeros(())]
    for image in judged.trace or ():  # what is refined has no smaller images
        # No antialias, as the authors make them: of four or sixteen pixels the four in the middle are averaged.
        clean = F.interpolate(judged.clean, image.shape[2:], mode="bilinear", align_corners=False)
        errors.append(F.l1_loss(image.float(), clean))
    return torch.stack(errors).sum()


def _compared(loss: Callable[..., Tensor], judged: Judged, **options: float) -> Tensor:
    if judged.clean is None:
        raise ValueError("this loss compares with clean images, and the batch has none")
    return loss(judged.image, judged.clean, **options)


TERMS: Mapping[str, Term] = {
    **{name: Term(partial(_compared, loss), needs_clean=True) for name, loss in LOSSES.items()},
    "charbonnier": Term(partial(_compared, LOSSES["charbonnier"]), needs_clean=True, options=("epsilon",)),
    "ssim": Term(partial(_compared, LOSSES["ssim"]), needs_clean=True, smallest=11),
    "sci": Term(_sci, trace_of=SCI, trace_name="stages"),
    "sfnet": Term(_sfnet, needs_clean=True, trace_of=SFNet, trace_name="smaller images", smallest=8),
    "zero-dce": Term(_zero_dce, trace_of=ZeroDCE, trace_name="curves", shared=True, smallest=16, options=("level",)),
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
        traced = any(term.trace_of for _, term in self.terms)
        if traced and batch.guidance.restored is not None:
            raise SettingsError("train.loss: looks at what the network computes on its way, and it is not run")
        if not isinstance(plain, Boosted):
            known = looked(plain, batch.guidance)
            told = () if known == NOTHING else (known,)
            restored, trace = (
                module(batch.degraded, *told, trace=True) if traced else (module(batch.degraded, *told), None)
            )
            return self._sum(restored, batch, lambda _: trace)
        guidance = plain.told(batch.degraded, batch.guidance)
        if batch.withheld is not None:
            guidance = guidance.withheld(batch.withheld)
        if traced:
            outcome = module(batch.degraded, guidance, trace=True)
        else:
            refined, restored = module(batch.degraded, guidance, both=True)
            outcome = Refined(refined, restored, None, None)
        losses = []
        if not self.frozen:
            losses.append(self._sum(outcome.restored, batch, lambda _: outcome.restored_trace))
        shared = self._sum(outcome.refined, batch, lambda term: outcome.refined_trace if term.shared else None)
        losses.append(self.refined_weight * shared)
        return torch.stack(losses).sum()

    def _sum(self, image: Tensor, batch: Batch, trace_of: Callable[[Term], Any]) -> Tensor:
        with torch.autocast(image.device.type, enabled=False):
            image = image.float()
            losses = [
                weight * term.measure(Judged(image, batch.degraded, batch.clean, trace_of(term)))
                for weight, term in self.terms
            ]
            return torch.stack(losses).sum()

    def check(self, network: nn.Module) -> None:
        """Raises SettingsError where a loss looks at what the network does not compute."""
        inner = network.network if isinstance(network, Guided) else network
        for _, term in self.terms:
            if term.trace_of and not isinstance(inner, term.trace_of):
                raise SettingsError(
                    f"train.loss: a loss of this sum looks at the {term.trace_name} of {term.trace_of.__name__}; "
                    f"{type(network).__name__} has none such"
                )


def glanced(side: int, photograph: Tensor, clean: Tensor | None = None) -> Tensor:
    """What a network of that `Contract.glance` is shown of a whole photograph (1, 3, H, W): (1, 3, side, side)."""
    return F.adaptive_avg_pool2d(photograph, side)


def looked(network: nn.Module, guidance: Guidance) -> Guidance:
    """What a network that is not boosted is told of its crops, with what it finds out by itself of the whole pictures,
    where a batch has them small (`Contract.glance`)."""
    known = Guidance(scale=guidance.scale, reference=guidance.reference)
    if guidance.view is None or contract_of(network).glance is None:
        return known
    return verbs_of(network).look(guidance.view, known.knowing(grid=guidance.grid))


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
