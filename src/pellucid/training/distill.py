"""Distilling: a small student learns the vector that the prior gives of degraded photographs, and takes its place.

What R makes of the vector is all that counts, so the student is trained on two things: the vector itself (cosine
distance), and T_m(g) and T_c(g), the two projections through which R sees it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.data.batches import Batches
from pellucid.data.sources import Source
from pellucid.errors import ModelError, SettingsError, one_line
from pellucid.models.assemble import assemble
from pellucid.models.load import LoadedModel
from pellucid.models.own_network import save_own_network
from pellucid.models.save import save_model
from pellucid.networks import contract_of
from pellucid.priors import Prior, Student
from pellucid.refinement import Boosted
from pellucid.refinement.guidance import PriorMap
from pellucid.training.data import split_sources
from pellucid.training.loop import Step
from pellucid.training.run import Run, TrainSettings
from pellucid.training.run_folder import is_main_process, logged_steps, start
from pellucid.training.settings import Recipe

__all__ = ["distill"]


@dataclass(frozen=True)
class Views:
    """What a student and its teacher are shown of the same B whole photographs, as each prepares it."""

    teacher: Tensor
    student: Tensor

    def to(self, device: torch.device) -> "Views":
        """The same on a device."""
        return Views(self.teacher.to(device), self.student.to(device))


@dataclass(frozen=True)
class ViewBatches:
    """Batches of whole degraded photographs, of which only what the two priors are shown is kept.

    Args:
        photographs: batches of crops with the photographs that they are from.
        teacher: what prepares a view of a photograph (1, 3, H, W) for the teacher.
        student: likewise for the student.
    """

    photographs: Batches
    teacher: Callable[[Tensor], Tensor]
    student: Callable[[Tensor], Tensor]

    @property
    def source(self) -> Source:
        """What they are drawn from."""
        return self.photographs.source

    def at(self, number: int, *, rank: int = 0) -> Views:
        """Batch `number` of process `rank`: a pure function of both."""
        seen = [sample.seen[None] for sample in self.photographs.samples(number, rank=rank) if sample.seen is not None]
        return Views(*(torch.cat([prepare(one) for one in seen]) for prepare in (self.teacher, self.student)))


class StudentLoss(nn.Module):
    """A student beside its teacher: how far the student's vectors are off, for R and by themselves.

    The loss is 1 - cos(v, g) for the teacher's vector g and the student's v, both (B, width), and for each projection T
    of R, which is T_m or T_c, the mean square of T(v) - T(g) over that of T(g).
    """

    def __init__(self, student: Student, teacher: Prior, refinement: nn.Module) -> None:
        super().__init__()
        self.student = student
        projections = [module for module in refinement.modules() if isinstance(module, PriorMap)]
        self.projections = nn.ModuleList(projections).requires_grad_(False)
        self._teacher: list[Any] = [teacher]  # in a list: a frozen teacher is no part of what is saved

    def forward(self, views: Views) -> Tensor:
        """The loss of a batch, a scalar."""
        teacher = self._teacher[0] = self._teacher[0].to(views.teacher.device)
        with torch.no_grad():
            target = teacher.encode(views.teacher)
        vector = self.student.encode(views.student)
        loss = (1 - F.cosine_similarity(vector, target)).mean()
        for projection in self.projections:
            wanted = projection(target).float()
            loss = loss + F.mse_loss(projection(vector).float(), wanted) / wanted.square().mean().clamp_min(1e-6)
        return loss


def distill(model: LoadedModel, recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains the student of a boosted model and writes `model.safetensors`, which needs no other file, to a folder.

    But for a network of the user's own, whose weights are written to `network.safetensors` beside it.

    Raises:
        SettingsError: the recipe says nothing of distilling, or the folder holds another run.
        ModelError: the model has no prior to learn from.
    """
    settings = recipe.distill
    if settings is None:
        raise SettingsError(f"{recipe.name}: the recipe has no distill section; give one with --set distill.minutes=10")
    boosted = model.module
    if not isinstance(boosted, Boosted) or boosted.refinement is None:
        raise ModelError("distill: the model is a network alone, it has no prior to learn from")
    if isinstance(boosted.prior, Student):
        raise ModelError("distill: the model's prior is a student already")
    if contract_of(boosted.network).vector is not None:
        raise ModelError("distill: the prior guides the network, too, and a student learns for the refinement alone")
    if boosted.takes_maps:
        raise ModelError("distill: the refinement takes the prior's maps, and a student gives a vector")
    torch.manual_seed(recipe.train.seed)
    fixed = {"width": boosted.prior.width, "teacher": boosted.prior.name}
    try:
        student = Student(**(settings.settings | fixed))
    except Exception as error:  # settings can be wrong in ways that only torch notices
        raise SettingsError(f"distill.settings: {one_line(error)}") from error
    learner = StudentLoss(student, boosted.prior, boosted.refinement)
    training, _ = split_sources(recipe.data)
    # The crops are not looked at, only the photographs that they are from.
    photographs = Batches(training, 32, settings.batch, recipe.train.seed + 1)
    batches = ViewBatches(photographs, boosted.prior.prepare, student.prepare)
    optimisation = TrainSettings(
        steps=settings.steps,
        minutes=settings.minutes,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        precision=recipe.train.precision,
        seed=recipe.train.seed,
    )
    run = Run(learner, _loss, batches, optimisation, folder / "checkpoint.pt")
    start(run, recipe.as_tree(), resume=resume)
    yield from logged_steps(run, lambda _: {})
    if is_main_process():
        card: dict[str, Any] = dict(model.header.card)
        card["distilled"] = {
            "teacher": boosted.prior.name,
            "steps": run.step,
            "minutes": round(run.seconds / 60, 1),
            "recipe": {
                name: part.as_tree(travelling=True) for name, part in (("data", recipe.data), ("distill", settings))
            },
        }
        with run.average.applied():
            distilled = assemble(boosted.network, student.freeze(), boosted.refinement)
            save_own_network(distilled, folder)  # first: a run is complete where its model file is
            save_model(
                distilled,
                folder / "model.safetensors",
                recipe=model.header.recipe,
                card=card,
                policy=model.header.policy,
            )


def _loss(module: nn.Module, views: Views) -> Tensor:
    loss: Tensor = module(views)
    return loss
