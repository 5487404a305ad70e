"""Distilling: a small student learns the vector that the prior gives, from the degraded photograph, and takes its place.

What R makes of the vector is all that counts, so the student is trained on two things: the vector itself (cosine distance),
and T_m(g) and T_c(g), the two projections through which R sees it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.data.batches import Batch, Batches
from pellucid.errors import ModelError, SettingsError, one_line
from pellucid.models.model_file import ModelFile, save_model, save_own_network
from pellucid.priors import Prior, Student
from pellucid.refinement import Boosted, Guided
from pellucid.refinement.guidance import PriorMap
from pellucid.training.data import split_sources
from pellucid.training.loop import Run, Step
from pellucid.training.run_folder import is_main_process, logged_steps, start
from pellucid.training.settings import Recipe, TrainSettings

__all__ = ["distill"]


class _Apprentice(nn.Module):
    """A student beside its teacher: from whole degraded photographs to how far the student's vectors are off.

    Views of both travel in one tensor, the teacher's first, so that the batches need not know of two priors.
    """

    def __init__(self, student: Student, teacher: Prior, refinement: nn.Module) -> None:
        super().__init__()
        self.student = student
        projections = [module for module in refinement.modules() if isinstance(module, PriorMap)]
        self.projections = nn.ModuleList(projections).requires_grad_(False)
        self._teacher: list[Any] = [teacher]  # in a list: a frozen teacher is no part of what is saved

    def prepare(self, image: Tensor) -> Tensor:
        """Both views of a photograph, flattened into (1, n, 1, 1)."""
        views = (self._teacher[0].prepare(image), self.student.prepare(image))
        return torch.cat([view.flatten(1) for view in views], 1)[:, :, None, None]

    def forward(self, views: Tensor) -> Tensor:
        """The loss of a batch of views, a scalar."""
        teacher = self._teacher[0] = self._teacher[0].to(views.device)
        channels = [(prior.view_channels, *prior.size) for prior in (teacher, self.student)]
        sizes = [shape[0] * shape[1] * shape[2] for shape in channels]
        of_teacher, of_student = torch.split(views.flatten(1), sizes, 1)
        with torch.no_grad():
            target = teacher.encode(of_teacher.reshape(-1, *channels[0]))
        vector = self.student.encode(of_student.reshape(-1, *channels[1]))
        loss = (1 - F.cosine_similarity(vector, target)).mean()
        for projection in self.projections:
            wanted = projection(target).float()
            loss = loss + F.mse_loss(projection(vector).float(), wanted) / wanted.square().mean().clamp_min(1e-6)
        return loss


def distill(model: ModelFile, recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
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
    if not isinstance(boosted, Boosted):
        raise ModelError("distill: the model is a network alone, it has no prior to learn from")
    if isinstance(boosted.prior, Student):
        raise ModelError("distill: the model's prior is a student already")
    if isinstance(boosted.network, Guided):
        raise ModelError("distill: the prior guides the network, too, and a student learns for the refinement alone")
    if boosted.refinement.takes_maps:
        raise ModelError("distill: the refinement takes the prior's maps, and a student gives a vector")
    torch.manual_seed(recipe.train.seed)
    fixed = {"width": boosted.prior.width, "teacher": boosted.prior.name}
    try:
        student = Student(**(settings.settings | fixed))
    except Exception as error:  # settings can be wrong in ways that only torch notices
        raise SettingsError(f"distill.settings: {one_line(error)}") from error
    apprentice = _Apprentice(student, boosted.prior, boosted.refinement)
    training, _ = split_sources(recipe.data)
    # The crops are not looked at, only the photographs that they are from.
    batches = Batches(training, 32, settings.batch, recipe.train.seed + 1, apprentice.prepare)
    optimisation = TrainSettings(
        steps=settings.steps,
        minutes=settings.minutes,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        precision=recipe.train.precision,
        seed=recipe.train.seed,
    )
    run = Run(apprentice, _loss, batches, optimisation, folder / "checkpoint.pt")
    start(run, recipe.model_dump(mode="json"), resume=resume)
    yield from logged_steps(run, lambda _: {})
    if is_main_process():
        card: dict[str, Any] = dict(model.header["card"])
        card["distilled"] = {
            "teacher": boosted.prior.name,
            "steps": run.step,
            "minutes": round(run.seconds / 60, 1),
            "recipe": recipe.model_dump(mode="json", include={"data", "distill"}),
        }
        with run.average.applied():
            distilled = Boosted(boosted.network, student.freeze(), boosted.refinement)
            save_own_network(distilled, folder)  # first: a run is complete where its model file is
            save_model(distilled, folder / "model.safetensors", recipe=model.header["recipe"], card=card)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    loss: Tensor = module(batch.view)
    return loss
