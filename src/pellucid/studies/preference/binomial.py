"""How sure a share of votes is: the exact interval and the exact test of a binomial count."""

from math import exp, lgamma, log, log1p

__all__ = ["clopper_pearson", "sign_test"]


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """The interval (low, high) of the chance behind `successes` of `trials` (Clopper and Pearson, Biometrika 1934).

    It holds the chance at least as often as `level` says, however few the trials; and it leaves out one half exactly
    where `sign_test` is below 1 - level, so that the two never contradict each other.

    Raises ValueError unless 0 <= successes <= trials, trials > 0 and 0.5 <= level < 1.
    """
    _check(successes, trials)
    if not 0.5 <= level < 1:
        raise ValueError(f"level must lie in 0.5 to 1, got {level}")
    outside = (1 - level) / 2
    return _low(successes, trials, outside), 1 - _low(trials - successes, trials, outside)


def sign_test(successes: int, trials: int) -> float:
    """The two-sided exact p of `successes` of `trials` where success and failure are equally likely.

    Raises ValueError unless 0 <= successes <= trials and trials > 0.
    """
    _check(successes, trials)
    return min(1.0, 2 * _upper_tail(max(successes, trials - successes), trials, 0.5))


def _check(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"expected 0 <= successes <= trials and trials > 0, got {successes} of {trials}")


def _low(successes: int, trials: int, outside: float) -> float:
    """The chance at which `successes` or more of `trials` have the probability `outside`, by bisection."""
    low, high = 0.0, successes / trials
    for _ in range(60):
        middle = (low + high) / 2
        if _upper_tail(successes, trials, middle) < outside:
            low = middle
        else:
            high = middle
    return high


def _upper_tail(successes: int, trials: int, chance: float) -> float:
    """P(X >= successes); with successes >= chance * trials the terms fall from the first on."""
    if successes == 0:
        return 1.0
    if chance == 0:
        return 0.0
    failures = trials - successes
    term = exp(
        lgamma(trials + 1)
        - lgamma(successes + 1)
        - lgamma(failures + 1)
        + successes * log(chance)
        + failures * log1p(-chance)
    )
    total = term
    for count in range(successes, trials):
        term *= (trials - count) / (count + 1) * chance / (1 - chance)
        total += term
        if term < 1e-17 * total:
            break
    return total
