"""Where a participant stands, and what a vote changes; knows nothing of browsers."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from pellucid.studies.preference.files import StudyFiles
from pellucid.studies.preference.pictures import picture_path, prepare
from pellucid.studies.preference.plan import NAME, Plan, PlannedPhotograph, open_plan
from pellucid.studies.preference.trials import Trial, schedule
from pellucid.studies.preference.votes import Ledger, Vote

__all__ = [
    "Answer",
    "PicturePlace",
    "ShownTrial",
    "Standing",
    "Study",
    "TrialError",
    "is_participant",
    "new_participant",
    "open_study",
]

Answer = Literal["left", "right", "tie"]
PicturePlace = Literal["left", "right", "input", "clean"]


class TrialError(ValueError):
    """There is no such trial for this participant, or it is not its turn."""


@dataclass(frozen=True)
class ShownTrial:
    """What a browser may know of a trial."""

    id: str
    """Opaque, and another for every participant."""
    places: tuple[PicturePlace, ...]
    """The pictures there are of it."""


@dataclass(frozen=True)
class Standing:
    """How far a participant is."""

    done: int
    total: int
    trial: ShownTrial | None
    """The question to answer now; None at the end."""
    following: ShownTrial | None
    """The one after it, so that its pictures can be fetched ahead."""


def new_participant() -> str:
    """An identifier that nobody can guess."""
    return secrets.token_urlsafe(12)


def is_participant(text: str) -> bool:
    """Whether `text` may identify a participant: 1 to 64 letters, digits, hyphens and underscores."""
    return re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is not None


def open_study(
    folder: Path, wanted: Plan, sources: list[StudyFiles], *, progress: Callable[[int, str], None] = lambda *_: None
) -> "Study":
    """The study in `folder`, new or gone on with; its pictures are prepared.

    Raises:
        DataError: the folder holds another study, is served already or cannot be written; or pictures do not fit.
        ImageError: a picture cannot be read.
    """
    ledger = Ledger(folder)
    new = not (folder / NAME).exists()
    try:
        plan = open_plan(folder, wanted)
        prepare(plan, sources, folder / "pictures", progress=progress)
    except BaseException:
        if new:  # a study that never came about does not keep the folder
            (folder / NAME).unlink(missing_ok=True)
        ledger.close()
        raise
    return Study(plan, ledger, folder / "pictures")


class Study:
    """A study under way; safe for threads.

    Args:
        plan: what is asked.
        ledger: where votes go.
        folder: the PNG files, as `pictures.prepare` left them.
    """

    def __init__(self, plan: Plan, ledger: Ledger, folder: Path) -> None:
        self.plan = plan
        self.ledger = ledger
        self._folder = folder
        self._pictures: dict[str, PlannedPhotograph] = {entry.name: entry for entry in plan.photographs}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    def secret_name(self, *parts: object) -> str:
        """A name for something that tells nothing of it: 20 hexadecimal digits, the same for the same parts."""
        text = "\n".join(map(str, parts)).encode()
        return hmac.new(self.plan.secret.encode(), text, hashlib.sha256).hexdigest()[:20]

    def standing(self, participant: str) -> Standing:
        """Where the participant is; someone new is at the beginning."""
        trials = self._schedule(participant)
        left = [trial for trial in trials if not self.ledger.answered(participant, *trial.key)]
        shown = [self._shown(participant, trial) for trial in left[:2]] + [None, None]
        return Standing(len(trials) - len(left), len(trials), shown[0], shown[1])

    def vote(self, participant: str, trial_id: str, choice: str) -> Standing:
        """Records the answer to the trial that is open; where the participant stands after it.

        A second answer to the same trial, from another click, window or reload, changes nothing and is no error.

        Raises:
            ValueError: no such choice.
            TrialError: no such trial, or its turn has not come.
            DataError: the vote cannot be written.
        """
        if choice not in get_args(Answer) or (choice == "tie" and not self.plan.ties):
            raise ValueError("no such choice")
        trials = self._schedule(participant)
        number, trial = self._find(participant, trial_id, trials)
        if any(not self.ledger.answered(participant, *earlier.key) for earlier in trials[:number]):
            raise TrialError("its turn has not come")
        right = "b" if trial.left == "a" else "a"
        system = {"left": trial.left, "right": right, "tie": "tie"}[choice]
        fields = {"photograph": trial.photograph, "repetition": trial.repetition, "left": trial.left}
        vote = Vote.model_validate(
            fields | {"participant": participant, "number": number + 1, "choice": system},
        )
        self.ledger.record(vote)
        return self.standing(participant)

    def picture(self, participant: str, trial_id: str, place: str) -> Path:
        """The PNG file of a trial, of those already shown, the one that is open and the one after it.

        Raises:
            TrialError: there is none.
        """
        trials = self._schedule(participant)
        number, trial = self._find(participant, trial_id, trials)
        ahead = sum(not self.ledger.answered(participant, *earlier.key) for earlier in trials[:number])
        entry = self._pictures[trial.photograph]
        if ahead > 1 or place not in _places(entry):
            raise TrialError("no such picture")
        right = "b" if trial.left == "a" else "a"
        role = {"left": trial.left, "right": right}.get(place, place)
        return picture_path(self._folder, entry, role)

    def _schedule(self, participant: str) -> list[Trial]:
        return schedule(list(self._pictures), self.plan.repeat, self.plan.seed, participant)

    def _id(self, participant: str, trial: Trial) -> str:
        return self.secret_name("trial", participant, *trial.key)

    def _find(self, participant: str, trial_id: str, trials: list[Trial]) -> tuple[int, Trial]:
        for number, trial in enumerate(trials):
            if self._id(participant, trial) == trial_id:
                return number, trial
        raise TrialError("no such trial")

    def _shown(self, participant: str, trial: Trial) -> ShownTrial:
        return ShownTrial(self._id(participant, trial), _places(self._pictures[trial.photograph]))


def _places(entry: PlannedPhotograph) -> tuple[PicturePlace, ...]:
    return ("left", "right", "input") + (("clean",) if entry.clean else ())
