"""D, the degradations: clean image in, degraded image out, every draw from an explicit generator.

A degradation is written as text, `noise sigma=25 bits=8`, prints itself as that text, and is read back from it; several
make a chain, `blur sigma=2, noise sigma=25, jpeg quality=40`. In a recipe a number may be a range, `noise sigma=0..55`:
each photograph then draws its own value. `DEGRADATIONS` has the single ones, `MIXTURES` the families that are drawn
from.
"""

from pellucid.degradations.chains import KINDS, MEASURED, UNMEANT, Chain, Clean, Degradation, severities
from pellucid.degradations.mixtures import MIXTURES, RealWorld, Single, parse_mixture
from pellucid.degradations.noise import GaussianNoise
from pellucid.degradations.texts import DEGRADATIONS, DrawnDegradation, Family, as_text, parse, parse_family

__all__ = [
    "DEGRADATIONS",
    "KINDS",
    "MEASURED",
    "MIXTURES",
    "UNMEANT",
    "Chain",
    "Clean",
    "Degradation",
    "DrawnDegradation",
    "Family",
    "GaussianNoise",
    "RealWorld",
    "Single",
    "as_text",
    "parse",
    "parse_drawn",
    "severities",
]


def parse_drawn(text: str) -> Family:
    """The family that a text describes: a mixture, or degradations with ranges; `parse` is for definite ones.

    Raises:
        SettingsError: the text does not parse, or an end of a range is not allowed.
    """
    return parse_mixture(text) if text.split()[:1] and text.split()[0] in MIXTURES else parse_family(text)
