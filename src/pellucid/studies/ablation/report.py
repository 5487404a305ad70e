"""Scoring what an ablation has trained, and writing down what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pellucid.evaluation.candidates import INPUT
from pellucid.evaluation.job import EvaluationJob
from pellucid.evaluation.reports.document import as_json
from pellucid.evaluation.reports.files import write_files
from pellucid.evaluation.score import Failure
from pellucid.evaluation.sets import TestSet
from pellucid.models.priors import find_prior
from pellucid.priors import Cached, Prior
from pellucid.studies.ablation.arms import BASE
from pellucid.studies.ablation.runs import Runs
from pellucid.studies.ablation.table import ArmResult, as_csv, as_document, as_latex, as_markdown, results_of
from pellucid.studies.probing import FEWEST, ProbeResult, probe

__all__ = ["check", "score", "write"]


def check(
    sets: Sequence[TestSet],
    *,
    sigmas: Sequence[float] = (),
    degradations: Sequence[str] = (),
    protocol: str | None = None,
) -> None:
    """Raises SettingsError where sets could not be scored so, which should be known before hours of training."""
    job = EvaluationJob(pictures=False)
    for photographs in sets:
        job.add(photographs, [INPUT], sigmas=sigmas, degradations=degradations, protocol=protocol)


def score(
    runs: Runs,
    sets: Sequence[TestSet],
    folder: Path,
    *,
    sigmas: Sequence[float] = (),
    degradations: Sequence[str] = (),
    protocol: str | None = None,
    **options: Any,
) -> tuple[list[ArmResult], dict[str, Any], list[Failure]]:
    """Scores every model of an ablation on sets; scores that the folder holds already are not computed again.

    Sets of clean photographs are degraded as `evaluation.job.EvaluationJob.add` does it. All arms restore by the same
    options, of `RestoreOptions`.

    Returns:
        The results, everything as a document, and what could not be scored.

    Raises:
        SettingsError: a protocol, levels of noise or degradations that do not suit a set.
        ModelError: a model is missing or fails.
        DataError: the folder cannot be written.
    """
    found = runs.candidates(**options)
    job = EvaluationJob(folder / "evaluation", pictures=False)
    for photographs in sets:
        tested = [candidate for candidate, _ in found]
        job.add(photographs, tested, sigmas=sigmas, degradations=degradations, protocol=protocol)
    for _ in job.run():
        pass
    outcome = job.finish({"models": {candidate.name: dict(candidate.details) for candidate, _ in found}})
    results = results_of(
        outcome.rows,
        {candidate.name: run for candidate, run in found},
        {candidate.name: candidate.details["parameters_added"] for candidate, _ in found},
    )
    made: dict[str, Any] = {
        "seeds": sorted({run.seed for run in runs.runs}),
        "recipes": {run.name: dict(run.arm.tree) for run in runs.runs},
    }
    made |= {"options": options} if options else {}
    document = as_document(results, outcome.document["protocols"], made)
    document["probe"] = _probed(_priors_of(runs), sets, sigmas, degradations)
    return results, document, outcome.failures


def _priors_of(runs: Runs) -> list[Prior]:
    """The priors that are asked about, each once: of the recipes as they are, and those put in their stead."""
    settings = [run.arm.recipe(run.seed).prior for run in runs.runs if run.arm.name == BASE or run.arm.prior]
    found: dict[str, Prior] = {}
    for prior in settings:
        if prior is not None and not prior.shuffled and prior.name not in found:
            built = find_prior(prior.name, weights=prior.weights)
            found[prior.name] = Cached(built, prior.cache) if prior.cache else built
    return [prior for name, prior in found.items() if not name.startswith("oracle:")]


def _probed(
    priors: Sequence[Prior], sets: Sequence[TestSet], sigmas: Sequence[float], degradations: Sequence[str]
) -> list[dict[str, Any]]:
    """What is readable of the clean pictures from each prior's vectors, by set, condition and prior; nothing of sets of
    fewer photographs than a probe needs."""
    found: list[dict[str, Any]] = []
    for photographs in sets:
        for levels, texts in photographs.ways(sigmas, degradations):
            protocol = photographs.protocol(None, synthetic=bool(texts))
            cases = photographs.cases(protocol, levels, 0, texts)
            fewest = len(cases) / max(1, len({case.condition for case in cases}))
            for result in probe(priors, cases) if priors and fewest >= FEWEST else ():
                if isinstance(result, ProbeResult):
                    found.append({"data": photographs.name, **asdict(result)})
    return found


def write(results: Sequence[ArmResult], document: Mapping[str, Any], folder: Path) -> str:
    """Writes `ablation.json`, `.md`, `.tex` and `.csv` to the folder; returns the Markdown.

    Raises:
        DataError: the folder cannot be written.
    """
    markdown = as_markdown(document, results)
    write_files(
        folder,
        {
            "ablation.json": as_json(document),
            "ablation.md": markdown,
            "ablation.tex": as_latex(document, results),
            "ablation.csv": as_csv(results),
        },
    )
    return markdown
