"""What an ablation says: each arm's scores over seeds, its gain over the network alone, and the prior's gain over controls."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from statistics import fmean, stdev
from typing import Any

from pellucid import __version__
from pellucid.ablation.arms import BASE, CONTROLS, NETWORK, STUDENT
from pellucid.ablation.runs import ArmRun
from pellucid.evaluation.latex import escaped
from pellucid.evaluation.rows import Row
from pellucid.metrics import paired_difference, shown, sign_flip_p

__all__ = ["Comparison", "Result", "as_csv", "as_document", "as_latex", "as_markdown", "results_of"]


@dataclass(frozen=True)
class Comparison:
    """The paired difference in PSNR to another arm, in dB, over photographs; each photograph's is the mean over seeds.

    The 95 % interval is that of the photographs: how far the seeds differ is told by `Result.psnr_deviation`. `shown` is 1 or
    -1 where the arm is shown to be above or below the other by `metrics.shown`, else 0.
    """

    other: str
    mean: float
    low: float
    high: float
    p: float
    shown: int


@dataclass(frozen=True)
class Result:
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
        over_controls: for arms with the recipe's prior (boosted, student): the difference to each control there is.
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
    over_network: Comparison | None = None
    over_controls: tuple[Comparison, ...] = ()


def results_of(rows: Sequence[Row], runs: Mapping[str, ArmRun], parameters: Mapping[str, int]) -> list[Result]:
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
    added = {(run.arm.host, run.arm.name): parameters[name] for name, run in runs.items()}
    results = []
    for (host, data, condition, protocol), arms in groups.items():
        for arm, by_seed in arms.items():
            means = [fmean(row.psnr for row in of_seed) for of_seed in by_seed.values()]
            network = arms.get(NETWORK) if arm != NETWORK else None
            controls = [name for name in CONTROLS if name in arms] if arm in (BASE, STUDENT) else []
            results.append(
                Result(
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
                    over_controls=tuple(_compared(by_seed, arms[name], name) for name in controls),
                )
            )
    return results


def verdict(results: Sequence[Result]) -> list[str]:
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


def as_document(results: Sequence[Result], protocols: Mapping[str, str], made: Mapping[str, Any]) -> dict[str, Any]:
    """All of it, JSON-able."""
    return {
        "format": 1,
        "pellucid": __version__,
        "made": dict(made),
        "protocols": dict(protocols),
        "results": [asdict(result) for result in results],
        "verdict": verdict(results),
    }


HEADINGS = ("arm", "parameters added", "PSNR dB", "SSIM", "over the network, dB", "boosted minus it, dB")


def cells(results: Sequence[Result]) -> list[tuple[tuple[str, str, str, str], list[list[str]]]]:
    """The table as texts: for each host and column (host, data, condition, protocol), a line per arm."""
    tables: dict[tuple[str, str, str, str], list[list[str]]] = {}
    for result in results:
        base = next(
            (other for other in results if other.arm == BASE and _place(other) == _place(result)),
            None,
        )
        against = next((one for one in base.over_controls if one.other == result.arm), None) if base else None
        spread = "" if result.psnr_deviation is None else f" ± {result.psnr_deviation:.2f}"
        tables.setdefault(_place(result), []).append(
            [
                result.arm,
                f"{result.parameters_added:,}",
                f"{result.psnr:.2f}{spread}",
                f"{result.ssim:.4f}",
                _said(result.over_network),
                _said(against),
            ]
        )
    return list(tables.items())


def as_markdown(document: Mapping[str, Any], results: Sequence[Result]) -> str:
    """One table per host and column, with its protocol, and the verdict."""
    parts = []
    for (host, data, condition, protocol), lines in cells(results):
        parts += [f"**{host}** on {data}, {condition}", ""]
        parts += [f"| {' | '.join(HEADINGS)} |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
        parts += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
        parts += ["", f"Protocol {document['protocols'][protocol]}.", ""]
    parts += [NOTE, "", *(f"- {sentence}" for sentence in document["verdict"]), ""]
    return "\n".join(parts)


NOTE = (
    "± is the standard deviation over seeds; intervals are 95 %, paired, over photographs, each photograph's difference "
    "being the mean over seeds. Clearly better is what lies above 0 with its whole interval, by 0.005 dB or more, and with p of "
    "0.05 at most when signs are flipped, for which 6 photographs are the fewest."
)


def as_latex(document: Mapping[str, Any], results: Sequence[Result]) -> str:
    """One booktabs table per host and column."""
    parts = []
    for (host, data, condition, protocol), lines in cells(results):
        parts += [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'r' * (len(HEADINGS) - 1)}}}", r"\toprule"]
        parts += [" & ".join(map(escaped, HEADINGS)) + r" \\", r"\midrule"]
        parts += [" & ".join(map(escaped, line)).replace("±", r"$\pm$") + r" \\" for line in lines]
        caption = f"{host} on {data}, {condition}. Protocol {document['protocols'][protocol]}."
        parts += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{escaped(caption)}}}", r"\end{table}", ""]
    return "\n".join(parts)


def as_csv(results: Sequence[Result]) -> str:
    """A line per arm and column."""
    text = StringIO()
    columns = [
        "host",
        "arm",
        "data",
        "condition",
        "protocol",
        "seeds",
        "parameters_added",
        "psnr",
        "psnr_deviation",
        "ssim",
    ]
    columns += ["over_network", "over_network_low", "over_network_high"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for result in results:
        gain = result.over_network
        interval = {} if gain is None else {"over_network_low": gain.low, "over_network_high": gain.high}
        writer.writerow({**asdict(result), "over_network": gain.mean if gain else None, **interval})
    return text.getvalue()


def _compared(first: Mapping[int, Sequence[Row]], second: Mapping[int, Sequence[Row]], name: str) -> Comparison:
    a, b = _by_photograph(first), _by_photograph(second)
    shared = [photograph for photograph in a if photograph in b and math.isfinite(a[photograph] + b[photograph])]
    ours, theirs = [a[photograph] for photograph in shared], [b[photograph] for photograph in shared]
    difference = paired_difference(ours, theirs)
    p = sign_flip_p(ours, theirs)
    return Comparison(name, difference.mean, difference.low, difference.high, p, shown(difference, p))


def _by_photograph(by_seed: Mapping[int, Sequence[Row]]) -> dict[str, float]:
    """Each photograph's mean over seeds."""
    scores: dict[str, list[float]] = {}
    for rows in by_seed.values():
        for row in rows:
            scores.setdefault(row.photograph, []).append(row.psnr)
    return {photograph: fmean(values) for photograph, values in scores.items()}


def _place(result: Result) -> tuple[str, str, str, str]:
    return result.host, result.data, result.condition, result.protocol


def _said(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    return f"{comparison.mean:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]"
