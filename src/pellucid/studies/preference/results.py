"""Who is preferred, how often, and how sure that is."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.studies.preference.binomial import clopper_pearson, sign_test
from pellucid.studies.preference.plan import Plan
from pellucid.studies.preference.votes import Vote

__all__ = ["METHOD", "Preference", "StudyResults", "as_document", "results_of"]

METHOD = (
    "The share is that of A among the votes for A or B. Ties (no difference) are left out of it, of its interval "
    "(95 %, Clopper-Pearson) and of p (exact, two-sided, against one half). These take votes as independent, which "
    "those of one participant or on one photograph are not quite; so each participant, and each photograph, is also "
    "counted as one vote for the system it got more votes for."
)


@dataclass(frozen=True)
class Preference:
    """Votes for A, for B, and for neither."""

    a: int
    b: int
    ties: int

    @property
    def share(self) -> float | None:
        """The share of A among the votes for A or B; None where there are none."""
        return self.a / (self.a + self.b) if self.a + self.b else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % Clopper-Pearson interval of the share."""
        return clopper_pearson(self.a, self.a + self.b) if self.a + self.b else None

    @property
    def p(self) -> float | None:
        """The two-sided exact p of the share against one half."""
        return sign_test(self.a, self.a + self.b) if self.a + self.b else None


@dataclass(frozen=True)
class StudyResults:
    """A study's outcome."""

    plan: Plan
    overall: Preference
    photographs: dict[str, Preference]
    """Of every photograph, also those without a vote."""
    participants: dict[str, Preference]
    """Of everyone who has voted, in the order of their first votes."""
    left: int
    """How many votes for A or B were for what was on the left: far from half of them, people chose a side."""
    agreeing: tuple[int, int]
    """Where a participant preferred a system on a photograph more than once: how often always the same, of how many."""

    @property
    def by_participant(self) -> Preference:
        """Each participant as one vote."""
        return _majority(self.participants.values())

    @property
    def by_photograph(self) -> Preference:
        """Each photograph with a vote as one vote."""
        return _majority(self.photographs.values())


def results_of(plan: Plan, votes: Sequence[Vote]) -> StudyResults:
    """The outcome of a study so far. Votes on photographs that are not in the plan do not count."""
    names = [entry.name for entry in plan.photographs]
    known = set(names)
    votes = [vote for vote in votes if vote.photograph in known]
    decided = [vote for vote in votes if vote.choice != "tie"]
    repeated = [
        {vote.choice for vote in group}
        for group in _grouped(decided, lambda vote: (vote.participant, vote.photograph)).values()
        if len(group) > 1
    ]
    per_photograph = _grouped(votes, lambda vote: vote.photograph)
    return StudyResults(
        plan=plan,
        overall=_count(votes),
        photographs={name: _count(per_photograph.get(name, [])) for name in names},
        participants={name: _count(group) for name, group in _grouped(votes, lambda vote: vote.participant).items()},
        left=sum(vote.choice == vote.left for vote in decided),
        agreeing=(sum(len(choices) == 1 for choices in repeated), len(repeated)),
    )


def as_document(results: StudyResults) -> dict[str, Any]:
    """The results as JSON holds them."""
    plan = results.plan
    return {
        "a": plan.a,
        "b": plan.b,
        "question": plan.question,
        "trials_per_participant": len(plan.photographs) * plan.repeat,
        "overall": _as_dict(results.overall),
        "participants_as_votes": _as_dict(results.by_participant),
        "photographs_as_votes": _as_dict(results.by_photograph),
        "participants": [{"participant": name} | _as_dict(one) for name, one in results.participants.items()],
        "photographs": [{"photograph": name} | _as_dict(one) for name, one in results.photographs.items()],
        "left": results.left,
        "repeated": results.agreeing[1],
        "repeated_agreeing": results.agreeing[0],
        "method": METHOD,
    }


def _as_dict(preference: Preference) -> dict[str, Any]:
    low, high = preference.interval or (None, None)
    counts = {"a": preference.a, "b": preference.b, "ties": preference.ties}
    return counts | {"share": preference.share, "low": low, "high": high, "p": preference.p}


def _count(votes: Iterable[Vote]) -> Preference:
    choices = [vote.choice for vote in votes]
    return Preference(choices.count("a"), choices.count("b"), choices.count("tie"))


def _majority(preferences: Iterable[Preference]) -> Preference:
    """Each preference as one vote for the system that got more; those without a vote do not count."""
    voted = [one for one in preferences if one.a + one.b + one.ties]
    return Preference(
        sum(one.a > one.b for one in voted), sum(one.a < one.b for one in voted), sum(one.a == one.b for one in voted)
    )


def _grouped(votes: Iterable[Vote], key: Callable[[Vote], Any]) -> dict[Any, list[Vote]]:
    groups: dict[Any, list[Vote]] = defaultdict(list)
    for vote in votes:
        groups[key(vote)].append(vote)
    return groups
