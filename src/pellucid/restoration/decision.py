"""What is found in a photograph, what is done about it, and what is left alone and why: one record, and how it is made.

A model of experts has two opinions of a photograph: the diagnosis, which was taught kinds and severities, and the gate,
which was taught what each expert would make of it. Each errs by itself. Where tones would be changed, both must be
sure; elsewhere the gate decides, and the diagnosis may name an expert that the gate only half believes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pellucid.degradations import KINDS, MEASURED
from pellucid.diagnosis import grade, name_of
from pellucid.errors import SettingsError, unknown_name
from pellucid.models.header import Policy
from pellucid.networks import Experts

__all__ = [
    "LOW_LIGHT",
    "PERHAPS",
    "PRESENT",
    "Action",
    "Chooser",
    "Chosen",
    "Decision",
    "Found",
    "Left",
    "Wish",
    "rules_of",
    "took",
]

PRESENT = 0.5
"""A kind that is more probable is found."""

PERHAPS = 0.4
"""A kind that is more probable may be there beside one that is found."""

LOW_LIGHT = "low-light"

NEGLIGIBLE = 0.05
"""A smaller part of a result is not worth its network."""


@dataclass(frozen=True)
class Found:
    """A kind of degradation in a photograph, with its probability, 0 to 1, and its severity, 0 to 100; and what was
    measured of it in words, where it was."""

    kind: str
    probability: float
    severity: float
    told: str = ""

    def words(self) -> str:
        """Such as "strong noise (severity 48, p 0.97)"."""
        if self.told:
            return f"{name_of(self.kind)} ({self.told})"
        return f"{grade(self.severity)} {name_of(self.kind)} (severity {self.severity:.0f}, p {self.probability:.2f})"


@dataclass(frozen=True)
class Action:
    """What one pass did, or what was repaired before the first.

    Attributes:
        experts: who was asked, by their numbers in the model, most first; nobody where no network is needed.
        kinds: for each the kinds of degradations that it is asked for: those it is for and that were found, or else
            all.
        shares: the part of each in the result of the pass, of sum 1.
        strength: how much of that result there is beside what it was made from, 0 to 1.
        why: where the strength is less than the model's own: why.
    """

    experts: tuple[int, ...]
    kinds: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...]
    strength: float = 1.0
    why: str = ""

    def words(self) -> str:
        """Such as "noise, ringing (71 %) and jpeg (29 %) at strength 0.80: the tones would move"."""
        parts = [
            ", ".join(name_of(kind) for kind in kinds) + (f" ({share:.0%})" if len(self.shares) > 1 else "")
            for kinds, share in zip(self.kinds, self.shares, strict=True)
        ]
        strength = "" if self.strength == 1 else f" at strength {self.strength:.2f}"
        return " and ".join(parts) + strength + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Left:
    """What was left alone, and why; a kind of degradation, or with an empty kind the whole photograph."""

    kind: str
    why: str

    def words(self) -> str:
        """Such as "underexposure: the gate is not sure; --only low-light restores it"."""
        return f"{name_of(self.kind)}: {self.why}" if self.kind else self.why


@dataclass(frozen=True)
class Decision:
    """What was found in a photograph, what was done, and what was left alone and why.

    Attributes:
        model: the model's name.
        found: kinds that are more probable than not, the most severe first; none for a model that does not diagnose.
        done: the passes, in order; none for a model without experts, which is called once.
        left: what was left alone.
        unchanged: whether the photograph comes back as it is.
        scale: by how much its sides have grown, where that was asked for.
        sampling: of a model that samples: with what it can be done again (prompt, seed, controls), and what it took.
    """

    model: str
    found: tuple[Found, ...] = ()
    done: tuple[Action, ...] = ()
    left: tuple[Left, ...] = ()
    unchanged: bool = False
    scale: float | None = None
    sampling: Mapping[str, Any] | None = None

    def words(self) -> str:
        """One line for people."""
        found = ", ".join(one.words() for one in self.found)
        done = "; then ".join(one.words() for one in self.done)
        left = "; ".join(one.words() for one in self.left)
        as_it_was = self.unchanged or any(not one.kind for one in self.left)
        if not as_it_was and not done:
            done = f"restored by {self.model}" + ("" if self.sampling is None else f": {took(self.sampling)}")
        elif done:
            done = f"restored {done}"
        grown = f"enlarged {self.scale:g} times" if self.scale is not None else ""
        told = [f"found {found}" if found else "", done, f"left alone {left}" if left else "", grown]
        return "; ".join(part for part in told if part) or "nothing is wrong"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the attributes, and `words`."""
        tree = {"words": self.words(), **asdict(self)}
        return tree if self.sampling is not None else {key: value for key, value in tree.items() if key != "sampling"}


def took(sampling: Mapping[str, Any]) -> str:
    """Such as "denoise 20; 8 steps over 12 tiles, 96 evaluations, 3.2 s per megapixel, 700 MB at most"."""
    return (
        f"{sampling['prompt'] or 'nothing asked for'}; {sampling['steps']} steps over {sampling['tiles']} "
        f"{'tile' if sampling['tiles'] == 1 else 'tiles'}, {sampling['evaluations']} evaluations, "
        f"{sampling['seconds_per_megapixel']:.2f} s per megapixel, {sampling['peak_memory_mb']:.0f} MB at most"
    )


@dataclass(frozen=True)
class Wish:
    """What people want beyond what a model decides by itself: kinds alone, or kinds not at all.

    Raises:
        SettingsError: a kind that there is not.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    amount: Mapping[str, float] = field(default_factory=dict)
    """How much of a kind goes, 0 to 1; of one that is not there all."""

    def __post_init__(self) -> None:
        for option in ("only", "skip", "amount"):
            for kind in getattr(self, option):
                if kind not in (*KINDS, *MEASURED):
                    raise SettingsError(f"{option}: {unknown_name('kind', kind, (*KINDS, *MEASURED))}")

    def __bool__(self) -> bool:
        return bool(self.only or self.skip)

    def of_networks(self) -> "Wish | None":
        """The part that networks can grant; None where all that is wanted is what no network is for."""
        only = tuple(kind for kind in self.only if kind in KINDS)
        return None if self.only and not only else Wish(only, self.skip, self.amount)

    def part(self, kinds: Collection[str]) -> float:
        """How much of any of these kinds goes."""
        return max((self.amount.get(kind, 1.0) for kind in kinds), default=1.0)


@dataclass(frozen=True)
class Chosen:
    """Which experts are asked in a pass, and who is not, for which reason.

    Attributes:
        weights: (experts,), of sum 1; None where nothing is to be done.
        strength: the part of the gate's trust that these have; the rest of the result is what it was made from.
        left: why kinds that were found are left alone.
    """

    weights: tuple[float, ...] | None
    strength: float = 1.0
    left: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chooser:
    """Chooses the experts of each pass over one photograph.

    Attributes:
        experts: the model.
        policy: the model's.
        wish: what people want.
        probabilities: of every kind in the photograph as it came, by the diagnosis.
        least: how probable a kind must be for its expert to be asked beside that for a kind that was found; at 0
            nothing need be found.
        drawn: whether the picture counts as one that nobody photographed (`Policy.drawn`).
    """

    experts: Experts
    policy: Policy
    wish: Wish
    probabilities: Mapping[str, float]
    least: float = PERHAPS
    drawn: bool = False

    @property
    def found(self) -> tuple[str, ...]:
        """The kinds that are more probable than not, the most probable first."""
        kinds = (kind for kind, probability in self.probabilities.items() if probability > PRESENT)
        return tuple(sorted(kinds, key=lambda kind: -self.probabilities[kind]))

    def first(self, trust: Sequence[float]) -> Chosen:
        """Who is asked first, by how much the gate believes each expert, of sum 1."""
        if self.wish.only:
            return self._named(trust, ())
        alone, left = self._tonal(trust, (), self.probabilities)
        if alone is not None:
            return Chosen(_only(alone, len(trust)), 1.0, left)
        weights = [share if self._may_act(number, self.least) else 0.0 for number, share in enumerate(trust)]
        weights = [share if share >= NEGLIGIBLE else 0.0 for share in weights]
        top = max(range(len(trust)), key=weights.__getitem__)
        if not self._is_for(top, self.found) or not weights[top]:
            other = self._second_opinion(trust, self.probabilities, ())
            if other is not None:
                return Chosen(_only(other, len(trust)), 1.0, left)
        active = [number for number, share in enumerate(weights) if share and not self._is_idle(number)]
        needed = max((self._probability(number) for number in active), default=0.0)
        if not active or (self.least and needed <= PRESENT):
            return Chosen(None, 0.0, left)
        kept = sum(weights)
        # Who is left out saw something wrong, too: where the diagnosis is sure of what the others are for, they do it
        # all.
        strength = 1.0 if needed >= self.policy.second_probability else kept
        return Chosen(tuple(share / kept for share in weights), strength, left)

    def next(self, trust: Sequence[float], asked: Collection[int], still: Mapping[str, float]) -> Chosen:
        """Who is asked after others, of whom none is asked again, and none for what was not found in the beginning.

        Args:
            trust: how much the gate believes each expert now.
            asked: the others.
            still: the probabilities of kinds in what they made.
        """
        if self.wish.only:
            return self._named(trust, asked)
        alone, left = self._tonal(trust, asked, self.surer(still))
        if alone is None:
            weights = [0.0 if self._is_tonal(number) else share for number, share in enumerate(trust)]
            weights = [share if share >= NEGLIGIBLE else 0.0 for share in weights]
            top = max(range(len(trust)), key=weights.__getitem__)
            if weights[top] and top not in asked and self._may_act(top, PRESENT) and not self._is_idle(top):
                strength = sum(weights)
                return Chosen(tuple(share / strength for share in weights), strength, left)
            alone = self._second_opinion(trust, still, asked)
        return Chosen(None, 0.0, left) if alone is None else Chosen(_only(alone, len(trust)), 1.0, left)

    def surer(self, still: Mapping[str, float]) -> dict[str, float]:
        """The probabilities, where a kind that was found in the picture as it came may show more surely in what others
        have made of it: haze does where noise lay over it.

        Args:
            still: the probabilities of kinds in what they made.
        """
        return {
            kind: max(found, still.get(kind, 0.0)) if found > PRESENT else found
            for kind, found in self.probabilities.items()
        }

    def _tonal(
        self, trust: Sequence[float], asked: Collection[int], probabilities: Mapping[str, float]
    ) -> tuple[int | None, dict[str, str]]:
        """The expert that is to change tones, if any; else why it does not, by kinds that were found."""
        left = {}
        for number in sorted(range(len(trust)), key=lambda number: -trust[number]):
            if number in asked or not self._is_tonal(number):
                continue
            kinds = [
                kind for kind in self.probabilities if self._is_for(number, (kind,)) and kind not in self.wish.skip
            ]
            if self.drawn and LOW_LIGHT in kinds:
                kinds.remove(LOW_LIGHT)
                left[LOW_LIGHT] = "dark without any noise, it seems to be drawn"
            sure = [kind for kind in kinds if probabilities[kind] >= self.policy.tones.get(kind, (1, 1))[0]]
            if any(trust[number] >= self.policy.tones[kind][1] for kind in sure if kind in self.policy.tones):
                return number, left
            doubting = "the gate" if sure else "the diagnosis"
            for kind in kinds:
                if self.probabilities[kind] > PRESENT:
                    left[kind] = f"the tones are changed only where that is sure, and {doubting} is not"
        return None, left

    def _second_opinion(
        self, trust: Sequence[float], probabilities: Mapping[str, float], asked: Collection[int]
    ) -> int | None:
        """The expert for what the diagnosis is sure of, where the gate does not put it first, but half believes it."""
        for kind in self.found:
            sure = min(self.probabilities[kind], probabilities[kind]) >= self.policy.second_probability
            for number, share in enumerate(trust):
                if not self._is_for(number, (kind,)):
                    continue
                open_to_it = kind not in self.wish.skip and number not in asked and not self._is_tonal(number)
                if open_to_it and sure and share >= self.policy.second_share:
                    return number
        return None

    def _named(self, trust: Sequence[float], asked: Collection[int]) -> Chosen:
        """The next of the experts for the kinds that people name: they know better, and are not asked whether it is
        so."""
        kinds = self.wish.only
        named = [number for number in range(len(trust)) if self._is_for(number, kinds) and number not in asked]
        if not named:
            return Chosen(None, 0.0)
        return Chosen(_only(max(named, key=trust.__getitem__), len(trust)))

    def _may_act(self, number: int, least: float) -> bool:
        """Whether a kind that an expert is for, that changes no tones and is not to be skipped, is as probable as
        that."""
        return self._is_idle(number) or (not self._is_tonal(number) and self._probability(number) >= least)

    def _probability(self, number: int) -> float:
        """That of the most probable kind that an expert is for, and that is not to be skipped."""
        kinds = (kind for kind in self.probabilities if kind not in self.wish.skip and self._is_for(number, (kind,)))
        return max((self.probabilities[kind] for kind in kinds), default=0.0)

    def _is_tonal(self, number: int) -> bool:
        return any(kind in self.policy.tones for kind in self.experts.kinds[number] or ())

    def _is_for(self, number: int, kinds: Collection[str]) -> bool:
        return self.experts.is_for(number, kinds)

    def _is_idle(self, number: int) -> bool:
        return not self._is_for(number, KINDS)


def rules_of(policy: Policy) -> dict[str, Any]:
    """The numbers by which `Chooser.first` chooses, and the kinds that R is for, JSON-able: for those who have a
    model's graphs and not this program."""
    return {
        "present": PRESENT,
        "perhaps": PERHAPS,
        "negligible": NEGLIGIBLE,
        "second_probability": policy.second_probability,
        "second_share": policy.second_share,
        "tones": {kind: list(pair) for kind, pair in policy.tones.items()},
        "refined": None if policy.refined is None else list(policy.refined),
    }


def _only(number: int, count: int) -> tuple[float, ...]:
    return tuple(float(other == number) for other in range(count))
