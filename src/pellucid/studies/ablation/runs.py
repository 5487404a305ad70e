"""Training every arm for every seed, in folders that an interrupted ablation goes on in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from pellucid.errors import ModelError, SettingsError
from pellucid.evaluation.candidates import Candidate, candidates_of
from pellucid.evaluation.remembering import Remembered
from pellucid.evaluation.saved_pictures import safe_name
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.models.tables import build_network
from pellucid.studies.ablation.arms import BASE, BASES, STUDENT, Arm
from pellucid.training.distill import distill
from pellucid.training.loop import Step
from pellucid.training.train import train

__all__ = ["ArmRun", "Runs"]

MODEL = "model.safetensors"


@contextmanager
def _said_of(run: "ArmRun") -> Iterator[None]:
    """A damaged file says what to do about it: the other arms need not be trained again."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{run.name}: {error}; without the folder {run.folder} this arm begins anew") from error


@dataclass(frozen=True)
class ArmRun:
    """One arm with one seed, and the folder of its training."""

    arm: Arm
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """What it is called among others."""
        return f"{self.arm.host}: {self.arm.name}, seed {self.seed}"

    @property
    def model(self) -> Path:
        """Its model file, there once it is trained."""
        return self.folder / MODEL

    @property
    def network(self) -> nn.Module | None:
        """A network of the user's own, with any weights; None where the recipe has one of ours.

        It comes from the recipe that the user gave: what model files name is not looked at.
        """
        network = self.arm.recipe(self.seed).network
        return build_network(network.name, network.settings) if network.name == "external" else None


class Runs:
    """All trainings of an ablation.

    Args:
        arms: of one host or of several.
        seeds: every arm is trained once with each.
        folder: where the run folders go.
        student: distil the base arm of each host, too.

    Raises:
        SettingsError: no seed, or one twice; two hosts of one name; or a student of a recipe that says nothing of it.
    """

    def __init__(self, arms: Sequence[Arm], seeds: Sequence[int], folder: Path, *, student: bool = False) -> None:
        if not seeds or len(set(seeds)) < len(seeds):
            raise SettingsError("ablate: give each seed once, and at least one")
        hosts = [arm.host for arm in arms if arm.name in BASES]
        if twice := next((host for host in hosts if hosts.count(host) > 1), None):
            raise SettingsError(f"ablate: two recipes are called {twice!r}; give each once, by a name of its own")
        for arm in arms if student else ():
            if arm.name == BASE and arm.tree.get("distill") is None:
                raise SettingsError(f"ablate: --student needs a recipe with distill, which {arm.host!r} has not")
        self.folder, self.student = folder, student
        # Seed by seed, so that a complete table of fewer seeds is there early.
        self.runs = [
            ArmRun(arm, seed, folder / "arms" / safe_name(arm.host) / safe_name(arm.name) / f"seed-{seed}")
            for seed in seeds
            for arm in arms
        ]

    @property
    def total(self) -> int:
        """How many trainings there are, those that are done included."""
        trained = sum(not run.arm.network for run in self.runs)
        return trained + (sum(run.arm.name == BASE for run in self.runs) if self.student else 0)

    def train(self) -> Iterator[tuple[ArmRun, Step]]:
        """Trains what is not trained yet, one after the other, yielding each step.

        Raises:
            SettingsError: a run folder holds another recipe.
            ModelError: a training diverged, or a checkpoint is damaged.
        """
        for run in self.runs:
            if not run.arm.network:
                yield from self._trained(run)
            if run.arm.name == BASE and self.student:
                yield from self._distilled(run)

    def candidates(self, **options: Any) -> list[tuple[Candidate, ArmRun]]:
        """What is to be scored: every trained model, the networks of those that leave it alone, and the students.

        Args:
            options: of `RestoreOptions`, by which all of them restore.
        """
        found = []
        remembered = Remembered()  # a frozen network restores each test picture once, for all of its arms
        for run in self.runs:
            if run.arm.network:
                base = next(other for other in self.runs if (other.arm.host, other.arm.name) == (run.arm.host, BASE))
                both = candidates_of(
                    [str(base.model)], alone=True, network=base.network, remembered=remembered, **options
                )
                found.append((replace(both[0], name=run.name), run))
            else:
                (scored,) = candidates_of([str(run.model)], network=run.network, remembered=remembered, **options)
                found.append((replace(scored, name=run.name), run))
            if run.arm.name == BASE and self.student:
                student = self._student(run)
                scored = candidates_of([str(student.model)], network=student.network, **options)[0]
                found.append((replace(scored, name=student.name), student))
        return found

    def _trained(self, run: ArmRun) -> Iterator[tuple[ArmRun, Step]]:
        recipe = run.arm.recipe(run.seed)
        if run.model.exists():
            with _said_of(run):
                kept = describe_model(run.model).recipe
            if kept != recipe.as_tree(travelling=True):
                raise SettingsError(f"{run.folder}: holds a model of another recipe; choose another folder")
            return
        resume = (run.folder / "checkpoint.pt").exists()
        with _said_of(run):
            for step in train(recipe, run.folder, resume=resume):
                yield run, step

    def _student(self, base: ArmRun) -> ArmRun:
        return ArmRun(
            Arm(STUDENT, base.arm.tree, base.arm.host), base.seed, base.folder.parents[1] / STUDENT / base.folder.name
        )

    def _distilled(self, base: ArmRun) -> Iterator[tuple[ArmRun, Step]]:
        run = self._student(base)
        if run.model.exists():
            return
        resume = (run.folder / "checkpoint.pt").exists()
        teacher = load_model(base.model, network=base.network)
        for step in distill(teacher, base.arm.recipe(base.seed), run.folder, resume=resume):
            yield run, step
