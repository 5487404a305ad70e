"""Diagnosing many files, one after another; a bad one never stops the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid import images
from pellucid.diagnosis.diagnoser import Diagnoser
from pellucid.diagnosis.findings import Diagnosis
from pellucid.errors import PellucidError, one_line
from pellucid.restoration.memory import available_memory

__all__ = ["FileDiagnosis", "diagnose_files"]


@dataclass(frozen=True)
class FileDiagnosis:
    """What was found of a file: a diagnosis, or the error that kept it from being made."""

    source: Path
    diagnosis: Diagnosis | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the source, and the diagnosis' own entries or `error`."""
        found = {"error": self.error} if self.diagnosis is None else self.diagnosis.as_dict()
        return {"source": str(self.source), **found}


def diagnose_files(diagnoser: Diagnoser, paths: Sequence[Path]) -> Iterator[FileDiagnosis]:
    """The diagnoses of files, in order."""
    for path in paths:
        try:
            photograph = images.read(path, memory=available_memory())
            visible = None if photograph.alpha is None else images.visible_part(photograph.alpha)
            yield FileDiagnosis(
                path, diagnoser(photograph.pixels if visible is None else photograph.pixels[..., *visible])
            )
        except PellucidError as error:
            yield FileDiagnosis(path, error=str(error))
        except (MemoryError, OSError, RuntimeError) as error:  # torch reports a lack of memory as a RuntimeError
            yield FileDiagnosis(path, error=f"{path}: {one_line(error)}")
