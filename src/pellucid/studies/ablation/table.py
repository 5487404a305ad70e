"""What an ablation says: each arm's scores over seeds, its gain over the network alone, the prior's over controls."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from statistics import fmean, stdev
from typing import Any

from pellucid.evaluation.reports.latex import escaped
from pellucid.evaluation.rows import Row
from pellucid.metrics import paired_difference, shown, sign_flip_p
from pellucid.studies.ablation.arms import BASE, BASES, COLOUR, CONTROLS, NETWORK, NOTHING, OF_ANY, RECIPE, STUDENT
from pellucid.studies.ablation.runs import ArmRun
from pellucid.version import __version__

__all__ = ["ArmComparison", "ArmResult", "as_csv", "as_document", "as_latex", "as_markdown", "results_of"]


@dataclass(frozen=True)
class ArmComparison:
    """The paired difference in PSNR to another arm, in dB, over photographs and seeds.

    Attributes:
        other: the arm that it is a difference to.
        mean: over photographs and seeds.
        low: of the 95 % interval, for which photographs and seeds are both resampled.
        high: of the same.
        p: of the photographs' mean differences when signs are flipped.
        by_seed: the mean over photographs for each seed, in their order.
        shown: 1 or -1 where the arm is shown to be above or below the other: by `metrics.shown`, and with every seed;
            else 0.
    """

    other: str
    mean: float
    low: float
    high: float
    p: float
    by_seed: tuple[float, ...]
    shown: int


@dataclass(frozen=True)
class ArmResult:
    """One arm in one column.

    Attributes:
        host: the recipe.
        arm: its variant.
        data: the set.
        condition: of its photographs.
        protocol: how the numbers were made.
        seeds: how many trainings the numbers are means of.
        parameters_added: to the network; the prior is not counted, a student is.
        psnr: in dB, over photographs and seeds.
        psnr_deviation: the standard deviation of the seeds' means, in dB; None for one seed.
        ssim: over photographs and seeds.
        over_network: the gain over the network alone, or None.
        over_controls: for arms with the recipe's prior (boosted, student): the difference to each control there is; for
            those with another prior: to each that is a control of any; for a recipe whose network samples, as it is: to
            each other arm.
    """

    host: str
    arm: str
    data: str
    condition: str
    protocol: str
    seeds: int
    parameters_added: int
    psnr: float
    psnr_deviation: float | None
    ssim: float
    over_network: ArmComparison | None = None
    over_controls: tuple[ArmComparison, ...] = ()


def results_of(rows: Sequence[Row], runs: Mapping[str, ArmRun], parameters: Mapping[str, int]) -> list[ArmResult]:
    """One result per arm and column, in the order of the rows.

    Args:
        rows: scores, whose model is the name of a run.
        runs: by name.
        parameters: of each run's model, by name: what it adds to its network.
    """
    groups: dict[tuple[str, ...], dict[str, dict[int, list[Row]]]] = {}
    for row in rows:
        run = runs[row.model]
        arms = groups.setdefault((run.arm.host, *row.column), {})
        arms.setdefault(run.arm.name, {}).setdefault(run.seed, []).append(row)
    others: dict[str, set[str]] = {}
    for run in runs.values():
        others.setdefault(run.arm.host, set()).update([run.arm.name] if run.arm.prior else [])
    added = {(run.arm.host, run.arm.name): parameters[name] for name, run in runs.items()}
    results = []
    for (host, data, condition, protocol), arms in groups.items():
        for arm, by_seed in arms.items():
            means = [fmean(row.psnr for row in of_seed) for of_seed in by_seed.values()]
            network = arms.get(NETWORK) if arm != NETWORK else None
            usual = (*CONTROLS, COLOUR) if arm in (BASE, STUDENT) else OF_ANY if arm in others[host] else ()
            controls = [name for name in usual if name in arms]
            controls = [name for name in arms if name != RECIPE] if arm == RECIPE else controls
            compared = [_compared(by_seed, arms[name], name) for name in controls]
            results.append(
                ArmResult(
                    host=host,
                    arm=arm,
                    data=data,
                    condition=condition,
                    protocol=protocol,
                    seeds=len(by_seed),
                    parameters_added=added[host, arm],
                    psnr=fmean(means),
                    psnr_deviation=stdev(means) if len(means) > 1 else None,
                    ssim=fmean(row.ssim for of_seed in by_seed.values() for row in of_seed),
                    over_network=_compared(by_seed, network, NETWORK) if network else None,
                    over_controls=tuple(one for one in compared if one is not None),
                )
            )
    return results


def verdict(results: Sequence[ArmResult]) -> list[str]:
    """For each host and column, in a sentence: does the prior help?"""
    said = []
    for result in results:
        if result.arm != BASE or not result.over_controls:
            continue
        unclear = [comparison.other for comparison in result.over_controls if comparison.shown <= 0]
        where = f"{result.host}, {result.data}, {result.condition}"
        if unclear:
            said.append(f"{where}: the prior is not shown to help: not clearly better than {', '.join(unclear)}.")
        else:
            said.append(f"{where}: the prior helps: it is clearly better than every control.")
    return said


def as_document(results: Sequence[ArmResult], protocols: Mapping[str, str], made: Mapping[str, Any]) -> dict[str, Any]:
    """All of it, JSON-able."""
    return {
        "format": 1,
        "pellucid": __version__,
        "made": dict(made),
        "protocols": dict(protocols),
        "results": [asdict(result) for result in results],
        "verdict": verdict(results),
    }


HEADINGS = (
    "arm",
    "parameters added",
    "PSNR dB",
    "SSIM",
    "over the network, dB",
    "over no prior, dB",
    "the recipe minus it, dB",
)


def cells(results: Sequence[ArmResult]) -> list[tuple[tuple[str, str, str, str], list[list[str]]]]:
    """The table as texts: for each host and column (host, data, condition, protocol), a line per arm."""
    tables: dict[tuple[str, str, str, str], list[list[str]]] = {}
    for result in results:
        base = next(
            (other for other in results if other.arm in BASES and _place(other) == _place(result)),
            None,
        )
        nothing = next((one for one in result.over_controls if one.other == NOTHING), None)
        against = next((one for one in base.over_controls if one.other == result.arm), None) if base else None
        spread = "" if result.psnr_deviation is None else f" ± {result.psnr_deviation:.2f}"
        tables.setdefault(_place(result), []).append(
            [
                result.arm,
                f"{result.parameters_added:,}",
                f"{result.psnr:.2f}{spread}",
                f"{result.ssim:.4f}",
                _said(result.over_network),
                _said(nothing),
                _said(against),
            ]
        )
    return list(tables.items())


def as_markdown(document: Mapping[str, Any], results: Sequence[ArmResult]) -> str:
    """One table per host and column, with its protocol, and the verdict."""
    parts = []
    for (host, data, condition, protocol), lines in cells(results):
        parts += [f"**{host}** on {data}, {condition}", ""]
        parts += [f"| {' | '.join(HEADINGS)} |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
        parts += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
        parts += ["", f"Protocol {document['protocols'][protocol]}.", ""]
    parts += [NOTE, "", *(f"- {sentence}" for sentence in document["verdict"]), ""]
    probed = document.get("probe", ())
    parts += [PROBE, "", *(f"- {_readable(found)}" for found in probed), ""] if probed else []
    return "\n".join(parts)


NOTE = (
    "± is the standard deviation over seeds; intervals are 95 %, paired, over photographs and seeds, both resampled. "
    "Clearly better (*), or worse, is what lies above 0, or below, with its whole interval, with every seed, by "
    "0.005 dB or more, and with p of 0.05 at most when the signs of photographs are flipped, for which 6 photographs "
    "are the fewest."
)


PROBE = (
    "What a straight line reads of the clean picture from the prior's vector, as R² on photographs that it has not "
    "learnt from (1 is all, 0 or less nothing; `pellucid probe`):"
)


def _readable(found: Mapping[str, Any]) -> str:
    """A probe's result in a line."""
    numbers = ", ".join(f"{what} {share:.2f}" for what, share in found["readable"].items())
    return f"{found['prior']} on {found['data']}, {found['condition']}, {found['photographs']} photographs: {numbers}."


def as_latex(document: Mapping[str, Any], results: Sequence[ArmResult]) -> str:
    """One booktabs table per host and column."""
    parts = []
    for (host, data, condition, protocol), lines in cells(results):
        parts += [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'r' * (len(HEADINGS) - 1)}}}", r"\toprule"]
        parts += [" & ".join(map(escaped, HEADINGS)) + r" \\", r"\midrule"]
        parts += [" & ".join(map(escaped, line)).replace("±", r"$\pm$") + r" \\" for line in lines]
        caption = f"{host} on {data}, {condition}. {NOTE} Protocol {document['protocols'][protocol]}."
        caption = escaped(caption).replace("±", r"$\pm$")
        parts += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{caption}}}", r"\end{table}", ""]
    return "\n".join(parts)


def as_csv(results: Sequence[ArmResult]) -> str:
    """A line per arm and column; comparisons with their interval, p and what is shown."""
    text = StringIO()
    columns = ["host", "arm", "data", "condition", "protocol", "seeds", "parameters_added"]
    columns += ["psnr", "psnr_deviation", "ssim"]
    compared = [one.other for result in results for one in result.over_controls]
    for other in dict.fromkeys((NETWORK, *CONTROLS, COLOUR, *compared)):
        columns += _comparison_columns(other)
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for result in results:
        line = asdict(result)
        for one in (result.over_network, *result.over_controls):
            if one is not None:
                numbers = (one.mean, one.low, one.high, one.p, one.shown)
                line |= dict(zip(_comparison_columns(one.other), numbers, strict=True))
        line["over_network"] = result.over_network.mean if result.over_network else None
        writer.writerow(line)
    return text.getvalue()


def _comparison_columns(other: str) -> list[str]:
    """The names of the columns of a comparison: the mean difference, and what belongs to it."""
    name = "over_network" if other == NETWORK else f"over_{other.replace(' ', '_')}"
    return [name, *(f"{name}_{part}" for part in ("low", "high", "p", "shown"))]


def _compared(
    first: Mapping[int, Sequence[Row]], second: Mapping[int, Sequence[Row]], name: str
) -> ArmComparison | None:
    """The difference of two arms over the seeds and photographs that both have; None where they share none.

    A photograph that one of them restores exactly, with a PSNR of infinity, has no difference.
    """
    seeds = [seed for seed in first if seed in second]
    scores = [{row.photograph: row.psnr for row in arm[seed]} for arm in (first, second) for seed in seeds]
    shared = [
        photograph
        for photograph in (scores[0] if scores else ())
        if all(math.isfinite(of_run.get(photograph, math.nan)) for of_run in scores)
    ]
    if not shared:
        return None
    values = [[of_run[photograph] for photograph in shared] for of_run in scores]
    ours, theirs = values[: len(seeds)], values[len(seeds) :]
    difference, p = paired_difference(ours, theirs), sign_flip_p(ours, theirs)
    by_seed = tuple(fmean(a) - fmean(b) for a, b in zip(ours, theirs, strict=True))
    agreed = all(one * difference.mean > 0 for one in by_seed)
    return ArmComparison(
        name, difference.mean, difference.low, difference.high, p, by_seed, shown(difference, p) if agreed else 0
    )


def _place(result: ArmResult) -> tuple[str, str, str, str]:
    return result.host, result.data, result.condition, result.protocol


def _said(comparison: ArmComparison | None) -> str:
    if comparison is None:
        return ""
    return f"{comparison.mean:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]{'*' if comparison.shown else ''}"
