"""What a study asks, fixed when its folder is made, in `study.json`: votes on other questions never get into it."""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pellucid.errors import DataError
from pellucid.files import sha256_of

if TYPE_CHECKING:  # reading a plan must not wait for torch
    from pellucid.studies.preference.files import StudyFiles

__all__ = ["NAME", "Plan", "PlannedPhotograph", "open_plan", "plan_of", "read_plan"]

NAME = "study.json"
QUESTION = "Which looks better?"


class PlannedPhotograph(BaseModel):
    """One photograph of a study; its files by their sha256, so that a changed file is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    a: str
    b: str
    input: str
    clean: str | None


class Plan(BaseModel):
    """What a study asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    a: str
    """The folder of the first system, as it was given: its name in the results."""
    b: str
    """The folder of the second."""
    question: str = QUESTION
    seed: int = 0
    repeat: int = Field(1, ge=1)
    """How often each participant sees each photograph."""
    ties: bool = False
    """Whether "no difference" is an answer."""
    photographs: tuple[PlannedPhotograph, ...]
    secret: str = Field(default_factory=lambda: secrets.token_hex(16))
    """Makes the identifiers that browsers see, which nobody can trace back to names."""

    def differs(self, other: "Plan") -> str | None:
        """What is not the same in another plan, in words; None where the two ask the same. Folders may have moved."""
        for key in ("question", "seed", "repeat", "ties"):
            mine, theirs = getattr(self, key), getattr(other, key)
            if mine != theirs:
                return f"{key} {mine!r}, not {theirs!r}"
        if self.photographs != other.photographs:
            here, there = ({entry.name: entry for entry in plan.photographs} for plan in (self, other))
            changed = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
            return f"other pictures of {changed[0]}" + (f" and {len(changed) - 1} more" if len(changed) > 1 else "")
        return None


def plan_of(
    sources: "list[StudyFiles]",
    a: Path,
    b: Path,
    *,
    question: str = QUESTION,
    seed: int = 0,
    repeat: int = 1,
    ties: bool,
) -> Plan:
    """The plan of a new study of these files. Raises DataError where one cannot be read."""
    photographs = tuple(
        PlannedPhotograph(
            name=source.name,
            a=_digest(source.a),
            b=_digest(source.b),
            input=_digest(source.input),
            clean=_digest(source.clean) if source.clean else None,
        )
        for source in sources
    )
    return Plan(a=str(a), b=str(b), question=question, seed=seed, repeat=repeat, ties=ties, photographs=photographs)


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def open_plan(folder: Path, wanted: Plan) -> Plan:
    """The plan in a study's folder; where there is none yet, `wanted` is written there.

    Raises:
        DataError: the folder holds a study that asks something else, or cannot be written.
    """
    path = folder / NAME
    if path.exists():
        stored = read_plan(folder)
        difference = stored.differs(wanted)
        if difference:
            raise DataError(f"{folder}: holds another study ({difference}); choose another folder for this one")
        return stored
    votes = folder / "votes.jsonl"
    if votes.exists() and votes.stat().st_size:
        raise DataError(f"{folder}: holds votes of a study, but not its {NAME}; choose another folder")
    beside = path.with_name(f".{NAME}.tmp")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(wanted.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    return wanted


def read_plan(folder: Path) -> Plan:
    """The plan in a study's folder.

    Raises:
        DataError: the folder is not that of a study, or its plan is damaged.
    """
    path = folder / NAME
    try:
        return Plan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{folder}: no study in this folder (it has no {NAME})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path}: not the plan of a study ({where}: {first['msg']})") from error
