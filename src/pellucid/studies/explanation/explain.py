"""A whole explanation: one boosted model on sets of photographs, measured once, said once."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from torch import nn

from pellucid.errors import DataError, ModelError, SettingsError
from pellucid.evaluation.candidates import DEGRADED, Candidate, candidates_of
from pellucid.evaluation.reports.document import as_json
from pellucid.evaluation.reports.files import write_files
from pellucid.evaluation.reports.page import write_page
from pellucid.evaluation.score import Failure
from pellucid.evaluation.sets import TestSet
from pellucid.files import sha256_of
from pellucid.models.header import Header
from pellucid.models.hub import find_model
from pellucid.models.load import load_model
from pellucid.priors import Student, Zeros
from pellucid.refinement import Boosted
from pellucid.studies.explanation.differences import ExplainedColumn, columns_of
from pellucid.studies.explanation.feeding import BOOSTED, FED, NETWORK, Subject
from pellucid.studies.explanation.html import as_html
from pellucid.studies.explanation.markdown import as_markdown
from pellucid.studies.explanation.measurement import ExplainedPhotograph, Measurement
from pellucid.studies.explanation.pictures import PhotographPanels, chosen, shown_photographs
from pellucid.studies.explanation.verdict import fixed_notes, verdict_on
from pellucid.version import __version__

__all__ = ["Explanation", "ExplanationOutcome"]

FORMAT = 1
"""Of the document."""
RESERVED = (DEGRADED, NETWORK, BOOSTED, *FED)
"""What is measured of the model itself."""


@dataclass(frozen=True)
class ExplanationOutcome:
    """What came of an explanation.

    Attributes:
        document: everything but the pictures, JSON-able.
        markdown: the same for people.
        failures: photographs that could not be measured, and are in no number.
    """

    document: dict[str, Any]
    markdown: str
    failures: list[Failure]


class Explanation:
    """One boosted model, taken apart.

    Args:
        model: its name or file.
        against: names or files of models to compare it with, such as the controls that an ablation trained.
        student: the name or file of the same model with its prior distilled.
        seed: of the noise, and of all else that degradations draw.
        device: "auto", "cpu", "cuda", ...
        memory: for intermediate maps, such as "1GB".
        import_network: import the networks of the user's own that model files name: this runs their code.

    Raises:
        ModelError: there is no such model, it is not boosted, its prior or its network is missing, or the student is
            not of its prior.
        SettingsError: a model is given twice, or an option that cannot be.
    """

    def __init__(
        self,
        model: str,
        *,
        against: Sequence[str] = (),
        student: str | None = None,
        seed: int = 0,
        device: str = "auto",
        memory: str | None = None,
        import_network: bool = False,
    ) -> None:
        named = [model, *against, *([student] if student else [])]
        places = [os.path.realpath(name) for name in named]
        if twice := next((name for name, place in zip(named, places, strict=True) if places.count(place) > 1), None):
            raise SettingsError(f"explain: the model {twice} is given twice")
        boosted, header = _boosted(model, import_network)
        names = _names(named)
        self.seed = seed
        self.student = None if student is None else names[student]
        self.subject = Subject(boosted, device=device, memory=memory)
        self.others = [names[name] for name in against]
        self._imitation = None if student is None else _student_of(boosted, student, model, import_network)
        found = candidates_of(
            named[1:], import_network=import_network, device=device, memory=memory, precision="float32"
        )
        self._candidates = [replace(one, name=names[one.name]) for one in found]
        if self._imitation is not None:
            self._imitation.to(self.subject.device)
        self._made: dict[str, Any] = {
            "model": names[model],
            "models": {
                names[model]: _details(model, boosted, header),
                **{names[one.name]: _described(one) for one in found},
            },
        }
        trained = header.recipe.get("train")
        self._notes = list(
            fixed_notes(
                student=boosted.prior.name if isinstance(boosted.prior, Student) else None,
                jointly=isinstance(trained, dict) and not trained.get("freeze_network"),
            )
        )
        self._parts: list[Measurement] = []
        self._results: list[ExplainedPhotograph | Failure] = []

    def add(
        self,
        photographs: TestSet,
        *,
        sigmas: Sequence[float] = (),
        degradations: Sequence[str] = (),
        protocol: str | None = None,
    ) -> None:
        """Measures on a set, too.

        Args:
            photographs: the set.
            sigmas: levels of noise as the tables draw it, for a set of clean photographs.
            degradations: what else is done to them, as texts that `pellucid.degradations.parse_drawn` reads.
            protocol: its name; None takes the usual one of the set's task, and of degradations.

        Raises:
            SettingsError: a protocol or degradations that do not suit the set, or it is added already.
            DataError: the set has fewer than two photographs.
        """
        _require_two(photographs.name, len(photographs.files))
        if photographs.name in self._made.get("data", {}):
            raise SettingsError(f"explain: the set {photographs.name} is given twice")
        for levels, texts in photographs.ways(list(dict.fromkeys(sigmas)), degradations):
            part = Measurement(
                self.subject,
                photographs,
                photographs.protocol(protocol, synthetic=bool(texts)),
                levels,
                self.seed,
                self._candidates,
                self._imitation,
                texts,
            )
            part.cases()  # which says what cannot be before hours are spent
            self._parts.append(part)
        sets = self._made.setdefault("data", {})
        sets[photographs.name] = {"photographs": len(photographs.files), "task": photographs.task}

    @property
    def total(self) -> int:
        """How many photographs there are to measure, over all conditions."""
        return sum(part.total for part in self._parts)

    def run(self) -> Iterator[ExplainedPhotograph | Failure]:
        """Measures everything, set by set; yields each photograph's numbers, or why there are none.

        Raises:
            ModelError: a model fails, or is not for the task.
        """
        for part in self._parts:
            for result in part.run():
                self._results.append(result)
                yield result

    def finish(self, out: Path) -> ExplanationOutcome:
        """Says what `run` has measured, and writes `explain.json`, `.md` and `.html` to a folder.

        Raises:
            DataError: the folder cannot be written, or fewer than two photographs of a column could be measured.
        """
        results = [result for result in self._results if isinstance(result, ExplainedPhotograph)]
        failures = [result for result in self._results if isinstance(result, Failure)]
        columns = columns_of(results, self.others, self.student)
        if not columns and failures:
            raise DataError(f"explain: nothing could be measured; the first reason: {failures[0].reason}")
        for column in columns:
            _require_two(f"{column.data}, {column.condition}", column.photographs)
        document = self._document(columns, results)
        markdown = as_markdown(document)
        page = as_html(document, self._shown(results))
        write_files(out, {"explain.json": as_json(document), "explain.md": markdown})
        write_page(page, out / "explain.html")
        return ExplanationOutcome(document, markdown, failures)

    def _shown(self, results: Sequence[ExplainedPhotograph]) -> dict[tuple[str, str, str], list[PhotographPanels]]:
        """The photographs to show of each column."""
        shown: dict[tuple[str, str, str], list[PhotographPanels]] = {}
        for part in self._parts:
            place = part.photographs.name, part.protocol.name
            of_part = [result for result in results if (result.data, result.protocol) == place]
            choices = {
                (condition, choice.photograph): choice
                for condition in dict.fromkeys(result.condition for result in of_part)
                for choice in chosen([result for result in of_part if result.condition == condition])
            }
            psnr = {(result.condition, result.photograph): result.psnr for result in of_part}
            found = dict(shown_photographs(part, choices, psnr))
            for condition, photograph in choices:  # in the order of their gain
                column = part.photographs.name, condition, part.protocol.name
                shown.setdefault(column, []).append(found[condition, photograph])
        return shown

    def _probe(self, data: str, condition: str, protocol: str) -> dict[str, float]:
        """What is readable of the clean pictures of a column from what R is fed."""
        parts = (part for part in self._parts if (part.photographs.name, part.protocol.name) == (data, protocol))
        return next((part.probes[condition] for part in parts if condition in part.probes), {})

    def _document(self, columns: Sequence[ExplainedColumn], results: Sequence[ExplainedPhotograph]) -> dict[str, Any]:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        return {
            "format": FORMAT,
            "pellucid": __version__,
            "made": {**self._made, "seed": self.seed, "precision": "float32", "date": date},
            "protocols": {
                part.protocol.name: part.protocol.describe(drawn=not part.photographs.paired) for part in self._parts
            },
            "verdict": asdict(verdict_on(columns, self.others, self.student)),
            "notes": self._notes,
            "columns": [
                {**asdict(column), "probe": self._probe(column.data, column.condition, column.protocol)}
                for column in columns
            ],
            "rows": [result.as_dict() for result in results],
        }


def _boosted(name: str, import_network: bool) -> tuple[Boosted, Header]:
    found = load_model(find_model(name), import_network=import_network)
    if not isinstance(found.module, Boosted) or found.module.refinement is None:
        raise ModelError(f"{name}: is a network alone; only a boosted model has a prior to explain")
    if isinstance(found.module.prior, Zeros):
        raise ModelError(
            f"{name}: its prior is {found.module.prior.name}, which says nothing; give controls as --against"
        )
    return found.module, found.header


def _student_of(boosted: Boosted, name: str, model: str, import_network: bool) -> Student:
    """The student in a distilled model. Raises ModelError where it is not of the model's prior."""
    if isinstance(boosted.prior, Student):
        raise ModelError(
            f"{model}: its prior is a student already; explain the model that it was distilled from, with --student "
            f"{model}"
        )
    distilled, _ = _boosted(name, import_network)
    if not isinstance(distilled.prior, Student):
        raise ModelError(f"{name}: its prior is no student but {distilled.prior.name}; `pellucid distill` makes one")
    teacher = distilled.prior.settings["teacher"]
    if teacher != boosted.prior.name or distilled.prior.width != boosted.prior.width:
        raise ModelError(f"{name}: is a student of {teacher}, but the prior of {model} is {boosted.prior.name}")
    return distilled.prior


def _details(name: str, boosted: Boosted, header: Header) -> dict[str, Any]:
    assert header.refinement is not None
    return {
        "file": name,
        "weights": sha256_of(find_model(name)),
        "network": header.network.get("name", "external"),
        "prior": boosted.prior.name,
        "refinement": header.refinement["name"],
        "parameters of R": sum(value.numel() for value in cast(nn.Module, boosted.refinement).parameters()),
    }


def _described(candidate: Candidate) -> dict[str, Any]:
    kept = {key: candidate.details[key] for key in ("weights", "parameters", "parameters_added")}
    return {"file": candidate.name, **kept}


def _names(given: Sequence[str]) -> dict[str, str]:
    """What to call models: their paths below the folder that holds them all; a run's file by its folder."""
    files = {name: Path(os.path.abspath(name)) for name in given if Path(name).is_file()}
    folders = {name: path.parent if path.name == "model.safetensors" else path for name, path in files.items()}
    if len(folders) < 2 or len({folder.drive for folder in folders.values()}) > 1:
        return {name: name for name in given}
    above = os.path.commonpath([folder.parent for folder in folders.values()])
    short = {name: Path(os.path.relpath(folder, above)).as_posix() for name, folder in folders.items()}
    # What is called as something measured of the model itself would stand for that.
    return {name: name if short.get(name, name) in RESERVED else short.get(name, name) for name in given}


def _require_two(name: str, photographs: int) -> None:
    if photographs < 2:
        raise DataError(
            f"{name}: {photographs} photograph; an explanation compares photographs and feeds each another's vector: "
            "give two at least"
        )
