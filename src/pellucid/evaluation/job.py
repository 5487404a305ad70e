"""A whole evaluation: which candidates on which sets, run once, reported once, gone on with where it was stopped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from pellucid.data.benchmarks import find_benchmark, folder_of
from pellucid.data.benchmarks.places import how_to_get
from pellucid.errors import SettingsError, unknown_name
from pellucid.evaluation.candidates import INPUT, Candidate
from pellucid.evaluation.cases import PAIRS, Case
from pellucid.evaluation.further_metrics import find_metrics
from pellucid.evaluation.published import find_table, quoted
from pellucid.evaluation.reports.document import as_document, as_markdown
from pellucid.evaluation.reports.figures import Figures
from pellucid.evaluation.reports.files import write_reports
from pellucid.evaluation.reports.pictures import ReportPictures
from pellucid.evaluation.rows import Row, RowStore
from pellucid.evaluation.saved_pictures import SavedPictures
from pellucid.evaluation.score import Evaluation, Failure, Keeper
from pellucid.evaluation.sets import TestSet, find_set
from pellucid.evaluation.summary import default_baseline, summarise
from pellucid.metrics import Protocol, find_protocol

__all__ = ["EvaluationJob", "EvaluationOutcome"]


@dataclass(frozen=True)
class EvaluationOutcome:
    """What came of an evaluation.

    Attributes:
        document: everything, as `reports.document.as_document` lays it out.
        rows: every score in it.
        failures: photographs that could not be scored, and are in no mean.
        notes: what else people should know.
    """

    document: dict[str, Any]
    rows: list[Row]
    failures: list[Failure]
    notes: list[str]

    def __str__(self) -> str:
        """The tables, for people, in Markdown."""
        return as_markdown(self.document)

    def psnr(self, model: str) -> float:
        """The mean PSNR in dB of a model over all its photographs. Raises KeyError where it has none."""
        values = [row.psnr for row in self.rows if row.model == model]
        if not values:
            raise KeyError(model)
        return fmean(values)


class EvaluationJob:
    """Candidates on sets of photographs.

    Args:
        out: a folder for results; scores that it holds already are not computed again. None keeps nothing.
        seed: of the noise, and of all else that degradations draw.
        metrics: names of further metrics: a key of `further_metrics.METRICS`, or
            lpips:NETWORK:BACKBONE_FILE:HEADS_FILE.
        save_images: keep every restored picture under `out/images`.
        pictures: make crops and error maps for the report.
        share: (i, n): of n processes that work on one `out`, this is number i.

    Raises:
        SettingsError: an unknown metric, or pictures to be saved nowhere.
        DataError: the folder cannot be written.
    """

    def __init__(
        self,
        out: Path | None = None,
        *,
        seed: int = 0,
        metrics: Sequence[str] = (),
        save_images: bool = False,
        pictures: bool = True,
        share: tuple[int, int] = (1, 1),
    ) -> None:
        if save_images and out is None:
            raise SettingsError("--save-images: give --out, the folder to keep them in")
        self.seed, self.out, self.share = seed, out, share
        self.save_images, self.pictures = save_images, pictures
        self.metrics = find_metrics(metrics)
        self._store = RowStore(out, "" if share == (1, 1) else f"-{share[0]}-of-{share[1]}") if out else None
        self._parts: list[tuple[Evaluation, list[Case]]] = []
        self._quoted: list[Mapping[str, Any]] = []
        self._notes: list[str] = []
        self._drawn: dict[str, bool] = {}
        self._columns: set[tuple[str, str, str, str]] = set()
        self._made: dict[str, Any] = {}
        self._results: list[Row | Failure] = []

    def add(
        self,
        photographs: TestSet,
        candidates: Sequence[Candidate],
        *,
        sigmas: Sequence[float] = (),
        degradations: Sequence[str] = (),
        protocol: str | None = None,
    ) -> None:
        """Scores candidates on a set.

        Args:
            photographs: the set.
            candidates: what restores.
            sigmas: levels of noise as the tables draw it, for a set of clean photographs.
            degradations: what else is done to them, each a column, as texts that `pellucid.degradations.parse_drawn`
                reads.
            protocol: its name; None takes the usual one of the set's task, and of degradations.

        Raises:
            SettingsError: a text that does not parse, an unknown protocol, or one that does not suit the set.
        """
        sigmas = list(dict.fromkeys(float(f"{sigma:g}") for sigma in sigmas))
        candidates = [candidate.of_scale(photographs.scale) for candidate in candidates]
        for levels, texts in photographs.ways(sigmas, degradations):
            record = photographs.protocol(protocol, synthetic=bool(texts))
            self._add(photographs, candidates, record, photographs.cases(record, levels, self.seed, texts))

    def _add(self, photographs: TestSet, candidates: Sequence[Candidate], record: Protocol, cases: list[Case]) -> None:
        for condition in dict.fromkeys(case.condition for case in cases):
            for candidate in candidates:
                column = (photographs.name, condition, record.name, candidate.name)
                if column in self._columns:
                    raise SettingsError(
                        f"{photographs.name}, {condition}: asked for twice; each photograph counts once"
                    )
                self._columns.add(column)
        for candidate in candidates:
            self._note_task(candidate, photographs)
        keepers: list[Keeper] = []
        if self.out and self.pictures:
            by_clean = all(candidate.restore is None for candidate in candidates) and candidates[0] is not INPUT
            keepers.append(ReportPictures(Figures(self.out / "figures"), record, by_clean=by_clean))
        if self.out and self.save_images:
            keepers.append(SavedPictures(self.out / "images", record))
        self._parts.append((Evaluation(candidates, record, self._store, keepers, self.metrics, self.share), cases))
        sets = self._made.setdefault("data", {})
        sets.setdefault(photographs.name, {"photographs": len(photographs.files), "task": photographs.task})
        self._drawn[record.name] = self._drawn.get(record.name, False) or not photographs.paired

    def _note_task(self, candidate: Candidate, photographs: TestSet) -> None:
        """Says so where a model is scored on what it was not made for."""
        task = candidate.details.get("task")
        if task and photographs.task and task not in photographs.task:
            note = f"{candidate.name} was made for {task}, and is scored on {photographs.name} ({photographs.task})."
            self._notes += [note] if note not in self._notes else []

    def add_table(self, name: str, candidates: Sequence[Candidate]) -> None:
        """Quotes a published table, and scores candidates in those of its columns that can be run here.

        Columns of sets that are not here, or whose numbers none of our protocols makes, are quoted only;
        `EvaluationOutcome.notes` says so.

        Raises:
            SettingsError: there is no such table.
            DataError: a set that is here is incomplete, or not what was published.
        """
        table = find_table(name)
        self._quoted += quoted(table)
        self._notes.append(f"Quoted: {table.source}." + (f" Not in it: {table.missing}" if table.missing else ""))
        levels: dict[tuple[str, str], list[float]] = {}
        for column in table.columns:
            if column.data is None or column.protocol is None or not column.runnable:
                title = " ".join(filter(None, (column.data or column.title, column.condition, column.part)))
                why = column.protocol_note or (
                    "only a part of the set" if column.part else "a set that pellucid does not know"
                )
                self._notes.append(f"{title}: quoted only: {why}")
                continue
            noise = levels.setdefault((column.data, column.protocol), [])
            noise += [float(column.condition.rpartition("=")[2])] if column.condition != PAIRS else []
        for (data, protocol), sigmas in levels.items():
            if not folder_of(data).is_dir():
                self._notes.append(f"{data}: quoted only: {how_to_get(find_benchmark(data), folder_of(data))}")
                continue
            self.add(find_set(data), candidates, sigmas=sigmas, protocol=protocol)

    @property
    def total(self) -> int:
        """How many scores there will be, at most, in this process's share."""
        number, processes = self.share
        return sum(
            len(evaluation.candidates) * len(cases[number - 1 :: processes]) for evaluation, cases in self._parts
        )

    def check_baseline(self, baseline: str | None) -> None:
        """Raises SettingsError for a baseline that is no candidate."""
        names = {candidate.name for evaluation, _ in self._parts for candidate in evaluation.candidates}
        if baseline is not None and baseline not in names:
            raise SettingsError(unknown_name("baseline", baseline, names))

    def run(self) -> Iterator[Row | Failure]:
        """Scores everything, set by set; yields each row, or what could not be scored.

        Raises:
            ModelError: a candidate fails, or is not for the task.
        """
        for evaluation, cases in self._parts:
            for result in evaluation.run(cases):
                self._results.append(result)
                yield result

    def finish(self, made: Mapping[str, Any], *, baseline: str | None = None) -> EvaluationOutcome:
        """Means over what `run` has scored, and the files of the results.

        Args:
            made: what else the document should say of how the numbers were made.
            baseline: the candidate that gains are measured against; None takes the first.

        Raises:
            DataError: the folder cannot be written.
        """
        failures = [result for result in self._results if isinstance(result, Failure)]
        failed = {(failure.data, failure.condition, failure.photograph) for failure in failures}
        # What one candidate has no score of is in nobody's mean.
        rows = [
            result
            for result in self._results
            if isinstance(result, Row) and (result.data, result.condition, result.photograph) not in failed
        ]
        protocols = {evaluation.protocol.name: evaluation.protocol for evaluation, _ in self._parts}
        named = {row["protocol"]: None for row in self._quoted if row["protocol"]}
        protocols |= {name: find_protocol(name) for name in named if name not in protocols}
        baseline = baseline or default_baseline(rows)
        date = datetime.now(UTC).isoformat(timespec="seconds")
        document = as_document(
            rows,
            summarise(rows, baseline=baseline),
            list(protocols.values()),
            {**made, **self._made, "seed": self.seed, "baseline": baseline, "date": date},
            self._quoted,
            failures=list(dict.fromkeys(failures)),
            notes=self._notes,
            drawn=self._drawn,
        )
        notes = document["notes"]
        if self.share != (1, 1):
            notes.append(
                f"This was share {self.share[0]} of {self.share[1]}; "
                "once all are done, the same without --share makes the tables."
            )
        elif self.out:
            write_reports(document, self.out, self.out / "figures" if self.pictures else None)
        return EvaluationOutcome(document, rows, list(dict.fromkeys(failures)), notes)
