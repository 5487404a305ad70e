"""What is found in a photograph, what is done about it, and what is left alone and why: one record, and how it is made.

A model of experts has two opinions of a photograph: the diagnosis, which was taught kinds and severities, and the gate,
which was taught what each expert would make of it. Each errs by itself. Where tones would be changed, both must be sure;
elsewhere the gate decides, and the diagnosis may name an expert that the gate only half believes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from pellucid.degradations import KINDS
from pellucid.diagnosis import grade, name_of
from pellucid.errors import SettingsError, unknown_name
from pellucid.models.header import Policy
from pellucid.networks import Experts

__all__ = ["Action", "Chosen", "Decision", "Found", "Left", "Wish", "choose"]

PRESENT = 0.5
"""A kind that is more probable is found."""

NEGLIGIBLE = 0.05
"""A smaller part of a result is not worth its network."""


@dataclass(frozen=True)
class Found:
    """A kind of degradation in a photograph, with its probability, 0 to 1, and its severity, 0 to 100."""

    kind: str
    probability: float
    severity: float

    def words(self) -> str:
        """Such as "strong noise (severity 48, p 0.97)"."""
        return f"{grade(self.severity)} {name_of(self.kind)} (severity {self.severity:.0f}, p {self.probability:.2f})"


@dataclass(frozen=True)
class Action:
    """What one pass did.

    Attributes:
        experts: who was asked, by their numbers in the model, most first.
        kinds: for each the kinds of degradations that it is for; none where it is for what no other is for.
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
            (", ".join(kinds) or "other kinds") + (f" ({share:.0%})" if len(self.shares) > 1 else "")
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
    """

    model: str
    found: tuple[Found, ...] = ()
    done: tuple[Action, ...] = ()
    left: tuple[Left, ...] = ()
    unchanged: bool = False

    def words(self) -> str:
        """One line for people."""
        found = ", ".join(one.words() for one in self.found)
        done = "; then ".join(one.words() for one in self.done)
        left = "; ".join(one.words() for one in self.left)
        if not self.unchanged and not done:
            done = f"restored by {self.model}"
        elif done:
            done = f"restored {done}"
        told = [f"found {found}" if found else "", done, f"left alone {left}" if left else ""]
        return "; ".join(part for part in told if part) or "nothing is wrong"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the attributes, and `words`."""
        return {"words": self.words(), **asdict(self)}


@dataclass(frozen=True)
class Wish:
    """What people want beyond what a model decides by itself: kinds alone, or kinds not at all.

    Raises:
        SettingsError: a kind that there is not.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option in ("only", "skip"):
            for kind in getattr(self, option):
                if kind not in KINDS:
                    raise SettingsError(f"{option}: {unknown_name('kind', kind, KINDS)}")

    def __bool__(self) -> bool:
        return bool(self.only or self.skip)


@dataclass(frozen=True)
class Chosen:
    """Which experts are asked in a pass, and who is not, for which reason.

    Attributes:
        weights: (experts,), of sum 1; None where nothing is to be done.
        strength: the part of the gate's trust that these have; the rest of the result is what it was made from.
        left: why experts are not asked, by the kinds that they are for.
    """

    weights: tuple[float, ...] | None
    strength: float = 1.0
    left: Mapping[str, str] = field(default_factory=dict)


def choose(
    experts: Experts,
    trust: Sequence[float],
    probabilities: Mapping[str, float],
    policy: Policy,
    *,
    wish: Wish = Wish(),  # noqa: B008
    asked: Collection[int] = (),
    still: Mapping[str, float] | None = None,
) -> Chosen:
    """Which experts are asked in one pass over a photograph.

    Args:
        experts: the model.
        trust: how much the gate believes each expert now, of sum 1.
        probabilities: of every kind in the photograph as it came, by the diagnosis.
        policy: the model's.
        wish: what people want.
        asked: experts that were asked in earlier passes, and are not asked again.
        still: the probabilities in what the earlier passes made of it; None before the first.
    """
    found = {kind for kind, probability in probabilities.items() if probability > PRESENT}
    if wish.only:
        return _wanted(experts, trust, probabilities, wish.only, asked)
    open_kinds = found - set(wish.skip)
    left = dict.fromkeys(found & set(wish.skip), "it is to be skipped")
    numbers = range(len(trust))
    idle = [not experts.is_for(number, KINDS) for number in numbers]
    tonal = [experts.is_named_for(number, policy.tone_kinds) for number in numbers]

    for number in sorted(numbers, key=lambda number: -trust[number]):
        if not tonal[number] or number in asked:
            continue
        kinds = [kind for kind in policy.tone_kinds if experts.is_named_for(number, (kind,)) and kind not in wish.skip]
        probable = max((probabilities.get(kind, 0.0) for kind in kinds), default=0.0)
        if probable >= policy.tone_probability and trust[number] >= policy.tone_share:
            return Chosen(_alone(number, len(trust)), 1.0, left)
        doubting = "the diagnosis" if probable < policy.tone_probability else "the gate"
        for kind in open_kinds.intersection(kinds):
            left[kind] = f"tones are changed only where it is certain, and {doubting} is not; --only {kind} changes them"

    weights = [
        0.0
        if tonal[number]
        or share < NEGLIGIBLE
        or (wish.skip and not idle[number] and experts.is_for(number, wish.skip) and not experts.is_for(number, open_kinds))
        else share
        for number, share in enumerate(trust)
    ]
    top = max(numbers, key=weights.__getitem__)
    useful = top not in asked and experts.is_for(top, found if still is not None else KINDS) and weights[top] > 0
    # The second opinion: the diagnosis is sure of what the gate does not put first.
    if still is None and (idle[top] or not experts.is_for(top, open_kinds)) or still is not None and not useful:
        for kind in sorted(open_kinds - set(policy.tone_kinds), key=lambda kind: -probabilities[kind]):
            expert = next((number for number in numbers if experts.is_for(number, (kind,))), None)
            if expert is None or expert in asked or expert == top or tonal[expert]:
                continue
            sure = min(probabilities[kind], 1.0 if still is None else still[kind]) >= policy.second_probability
            if sure and trust[expert] >= policy.second_share:
                return Chosen(_alone(expert, len(trust)), 1.0, left)
            left.setdefault(kind, f"the gate does not ask for its expert; --only {kind} does")
    strength = sum(weights)
    if not useful or strength == 0:
        return Chosen(None, 0.0, left)
    return Chosen(tuple(weight / strength for weight in weights), strength, left)


def _wanted(
    experts: Experts,
    trust: Sequence[float],
    probabilities: Mapping[str, float],
    kinds: Collection[str],
    asked: Collection[int],
) -> Chosen:
    """The next of the experts for kinds that people name: who does so knows better, and is not guarded."""
    names = [number for number in range(len(trust)) if experts.is_for(number, kinds) and number not in asked]
    if not names:
        return Chosen(None)

    def order(number: int) -> tuple[float, float]:
        return trust[number], max(probabilities.get(kind, 0.0) for kind in kinds if experts.is_for(number, (kind,)))

    return Chosen(_alone(max(names, key=order), len(trust)))


def _alone(number: int, count: int) -> tuple[float, ...]:
    return tuple(float(other == number) for other in range(count))


def mean_luminance(image: Tensor) -> float:
    """Of (1, 3, H, W) in [0, 1], by the weights of ITU-R BT.601, in the range of 255."""
    red, green, blue = image.float().mean((0, 2, 3)).tolist()
    return 255 * (0.299 * red + 0.587 * green + 0.114 * blue)
