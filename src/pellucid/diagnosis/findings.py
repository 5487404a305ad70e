"""A diagnosis: for every kind of degradation whether it is there, and how strong; as data, as words and as JSON."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from pellucid.degradations import UNMEANT

__all__ = ["GRADES", "UNLIKELY", "Diagnosis", "Finding", "Measured", "grade", "name_of"]

GRADES: tuple[tuple[float, str], ...] = (
    (15, "slight"),
    (30, "light"),
    (45, "moderate"),
    (70, "strong"),
    (float("inf"), "heavy"),
)
"""Words for severities, each for those below its number."""

UNLIKELY = 0.3
"""The probability from which on a kind may be there, for the question whether to leave a photograph alone."""

NAMES = {
    "aberration": "chromatic aberration",
    "clipping": "overexposure",
    "colour-cast": "colour cast",
    "impulses": "impulse noise",
    "jpeg": "JPEG blocking",
    "low-light": "underexposure",
    "low-resolution": "loss of resolution",
}
"""What kinds are called in a sentence, where it is not their own name."""


def grade(severity: float) -> str:
    """The word for a severity of 0 to 100: slight, light, moderate, strong or heavy."""
    return next(word for limit, word in GRADES if severity < limit)


def name_of(kind: str) -> str:
    """What a kind of degradation is called in a sentence."""
    return NAMES.get(kind, kind)


@dataclass(frozen=True)
class Finding:
    """What is known of one kind of degradation in one photograph.

    Attributes:
        kind: of `pellucid.degradations.KINDS`.
        probability: that it is there, 0 to 1.
        present: whether it is more likely there than not.
        severity: how strong it is if it is there, 0 to 100: as likely to be less as to be more.
        low, high: an interval that holds the severity, if the kind is there, with the diagnosis' coverage.
    """

    kind: str
    probability: float
    present: bool
    severity: float
    low: float
    high: float

    def words(self) -> str:
        """Such as "strong noise (severity 48 ± 9)"; the 9 is half of the interval's width."""
        half = (self.high - self.low) / 2
        return f"{grade(self.severity)} {name_of(self.kind)} (severity {self.severity:.0f} ± {half:.0f})"


@dataclass(frozen=True)
class Measured:
    """What was measured in one photograph; but for `degradations.UNMEANT` it may be meant.

    Attributes:
        kind: of `pellucid.degradations.MEASURED`.
        severity: 0 to 100, as of the degradation that makes it.
        told: what was measured, in words.
    """

    kind: str
    severity: float
    told: str

    def words(self) -> str:
        """Such as "impulse noise (5.7 % of the pixels, salt and pepper)"."""
        return f"{name_of(self.kind)} ({self.told})"


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a photograph.

    Attributes:
        findings: one of every kind, in the order of `pellucid.degradations.KINDS`.
        coverage: how often an interval is meant to hold the severity, 0 to 1.
        measured: what is there of `pellucid.degradations.MEASURED`.
    """

    findings: tuple[Finding, ...]
    coverage: float
    measured: tuple[Measured, ...] = ()

    def __getitem__(self, kind: str) -> Finding:
        """The finding of a kind. Raises KeyError for another name."""
        for finding in self.findings:
            if finding.kind == kind:
                return finding
        raise KeyError(kind)

    def only(self, kind: str) -> "Diagnosis":
        """The same, but no other kind than this one is there."""
        findings = (one if one.kind == kind else replace(one, probability=0.0, present=False) for one in self.findings)
        return replace(self, findings=tuple(findings))

    @property
    def present(self) -> tuple[Finding, ...]:
        """The kinds that are there, the most severe first."""
        return tuple(sorted((one for one in self.findings if one.present), key=lambda one: -one.severity))

    @property
    def nothing_wrong(self) -> bool:
        """Whether nothing is measured that nobody means, and no kind is more likely there than not; `leave_alone` asks
        for more."""
        return not self._unmeant and not any(finding.present for finding in self.findings)

    @property
    def leave_alone(self) -> bool:
        """Whether nothing is measured that nobody means, and every kind so unlikely that restoring could only harm.

        To leave a spoilt photograph alone is a failure. Of photographs that no training saw this leaves none of 288
        with a severity of 30 or more alone (in a second such count 5 of 384 of 40 or more, of snow and low resolution),
        and 39 of 68 clean ones of CBSD68, 16 of 24 of Kodak24, but 2 of 15 bright interiors (of LOL) and 4 of 12 grey
        ones (Set12): the model must then itself leave alone what is well, as `default` does.
        """
        return not self._unmeant and all(finding.probability < UNLIKELY for finding in self.findings)

    @property
    def _unmeant(self) -> bool:
        return any(one.kind in UNMEANT for one in self.measured)

    @property
    def likeliest(self) -> Finding:
        """The finding of the highest probability, present or not."""
        return max(self.findings, key=lambda finding: finding.probability)

    def words(self) -> str:
        """One line for people: "strong noise (severity 48 ± 9), slight JPEG blocking (severity 12 ± 8)"."""
        told = [one.words() for one in self.measured] + [finding.words() for finding in self.present]
        return ", ".join(told) or "nothing wrong"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: words, whether nothing is wrong, whether to leave it alone, coverage, all findings by kind, and
        what was measured."""
        return {
            "words": self.words(),
            "nothing_wrong": self.nothing_wrong,
            "leave_alone": self.leave_alone,
            "coverage": self.coverage,
            "kinds": {
                finding.kind: {key: value for key, value in asdict(finding).items() if key != "kind"}
                for finding in self.findings
            },
            "measured": {one.kind: {"severity": one.severity, "told": one.told} for one in self.measured},
        }
