"""What comparisons are called in reports, and how they were made."""

from collections.abc import Mapping

from pellucid.studies.explanation.feeding import ANOTHER, BOOSTED, NETWORK, RANDOM, ZEROS

__all__ = ["BAND_LABELS", "METHOD", "difference_text", "digits_of", "label_of", "levels_text", "probe_text"]

_LABELS: Mapping[tuple[str, str], str] = {
    (BOOSTED, NETWORK): "boosted over network alone",
    (BOOSTED, ZEROS): "own vector over zeros",
    (BOOSTED, ANOTHER): "own vector over another picture's",
    (BOOSTED, RANDOM): "own vector over a random one",
}

BAND_LABELS: Mapping[tuple[str, str], str] = {
    (BOOSTED, NETWORK): "boosted over network alone",
    (ZEROS, NETWORK): "fed zeros over network alone",
    (BOOSTED, ZEROS): "own vector over zeros",
}
"""The comparisons by frequency, in their order."""

METHOD = (
    "Differences are paired by photograph; intervals are 95 %, percentile bootstrap over photographs; p is "
    "two-sided, by flipping signs. A difference counts as shown where the interval leaves out 0, p is 0.05 at most "
    "and the mean is at least 0.005 dB, since less is 0.00 in every table; nothing is corrected for the number of "
    "comparisons. Frequency: the error of the luma, weighed by a sine squared to the borders, in octaves of the "
    "radial frequency; the finest has 1/4 cycles per pixel and more. Computed in float32."
)


def label_of(first: str, second: str) -> str:
    """What the difference of two is called."""
    if (first, second) in _LABELS:
        return _LABELS[first, second]
    if second == BOOSTED:
        return f"student {first} over true prior"
    return f"{first} over {second}"


def difference_text(mean: float, low: float, high: float) -> str:
    """A difference in dB with its interval."""
    digits = digits_of(low, high)
    mean, low, high = (round(value, digits) + 0.0 for value in (mean, low, high))  # -0.0 becomes 0.0
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def digits_of(low: float, high: float) -> int:
    """How many digits behind the point an interval in dB needs: more where it is very near to 0."""
    reach = max(abs(low), abs(high))
    return 3 if reach >= 0.01 or reach == 0 else 4 if reach >= 0.001 else 5


def probe_text(readable: Mapping[str, float]) -> str:
    """What a probe read from a prior's vectors, in a sentence."""
    numbers = ", ".join(f"{what} {value:.2f}" for what, value in readable.items())
    return (
        "What a straight line reads of the clean picture from what R is fed, on photographs that it was not fitted to "
        f"(R²: 1 all, 0 nothing): {numbers}."
    )


def levels_text(value: float) -> str:
    """A root mean square in levels of 8 bits."""
    return "0" if value == 0 else f"{value:.2f}" if value >= 0.01 else "under 0.01"
