"""Which photographs of a column a report shows: the failures first, and where the models differ."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.evaluation.candidates import DEGRADED

__all__ = ["ChosenPhotograph", "telling_photographs"]


@dataclass(frozen=True)
class ChosenPhotograph:
    """A photograph to show, and why."""

    photograph: str
    reasons: tuple[str, ...]


def telling_photographs(rows: Iterable[Mapping[str, Any]]) -> list[ChosenPhotograph]:
    """At most six photographs of one column, chosen by its rows alone, so that nobody picks the flattering ones.

    The leader of the column is the model with the highest mean PSNR, apart from the input. Chosen are the two
    photographs where the leader does worst, the median one and the best, by its gain over the degraded input (by its
    PSNR where the input was not scored on all of them); and the two where the models' PSNR lie farthest apart, if there
    are several models. One that is chosen twice is shown once, with both reasons. Of equals the first named is taken;
    of an even number the lower median.

    Args:
        rows: of one column, as in a document; a PSNR that is null is infinite.

    Returns:
        From the leader's worst to its best; empty where no model but the input has rows.
    """
    by_model: dict[str, dict[str, float]] = {}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["photograph"]] = math.inf if row["psnr"] is None else row["psnr"]
    degraded = by_model.pop(DEGRADED, {})
    if not by_model:
        return []
    leader = max(by_model, key=lambda model: sum(by_model[model].values()) / len(by_model[model]))
    worth = _worth(by_model[leader], degraded)
    ordered = sorted(worth, key=worth.__getitem__)
    measure = f"{'gain' if degraded.keys() >= worth.keys() else 'PSNR'} of {leader}"
    ranks = {"least": 0, "most": -1, "median": (len(ordered) - 1) // 2, "second least": 1}
    named = [
        (ordered[rank], f"{word} {measure}, {worth[ordered[rank]]:.2f} dB")
        for word, rank in list(ranks.items())[: len(ordered)]
    ]
    apart = _apart(by_model, ordered)
    widest = sorted(apart, key=apart.__getitem__, reverse=True)[:2]
    named += [(photograph, f"models {apart[photograph]:.2f} dB apart") for photograph in widest]
    reasons: dict[str, list[str]] = {}
    for photograph, reason in named:
        reasons.setdefault(photograph, []).append(reason)
    return [ChosenPhotograph(photograph, tuple(reasons[photograph])) for photograph in ordered if photograph in reasons]


def _worth(scores: Mapping[str, float], degraded: Mapping[str, float]) -> dict[str, float]:
    """The gains over the input, or the scores themselves where some of the input's are missing."""
    if not degraded.keys() >= scores.keys():
        return dict(scores)
    return {photograph: _difference(score, degraded[photograph]) for photograph, score in scores.items()}


def _apart(by_model: Mapping[str, Mapping[str, float]], photographs: Iterable[str]) -> dict[str, float]:
    """How far the best model is from the worst, on the photographs where that can be seen in print."""
    apart = {}
    for photograph in photographs:
        scores = [scores[photograph] for scores in by_model.values() if photograph in scores]
        difference = _difference(max(scores), min(scores))
        if round(difference, 2):
            apart[photograph] = difference
    return apart


def _difference(first: float, second: float) -> float:
    """How much higher the first is; 0 for two infinities."""
    return 0.0 if first == second else first - second
