"""How fast a run is, and how long it still takes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pellucid.batch.change import FileResult
from pellucid.batch.plan import Job

__all__ = ["Pace"]


class Pace:
    """The pace of a run.

    How many megapixels are left is estimated from the sizes of the files that are left, at the megapixels that a byte
    has had until now.

    Args:
        jobs: all of the run.
        clock: seconds.
    """

    def __init__(self, jobs: Sequence[Job], clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes = {job.target: _size(job.source) for job in jobs}
        self._clock, self._last = clock, clock()
        self._bytes_done, self._bytes_left = 0, sum(self._bytes.values())
        self.pictures, self.megapixels, self.seconds = 0, 0.0, 0.0
        """Done by now, without those that were skipped, and the time on the wall that they took."""

    def add(self, result: FileResult) -> None:
        """One more is through."""
        size, now = self._bytes.pop(result.target, 0), self._clock()
        self._bytes_left -= size
        if result.status not in ("skipped", "quarantined"):
            self.seconds += now - self._last
        if result.megapixels:
            self.pictures += 1
            self.megapixels += result.megapixels
            self._bytes_done += size
        self._last = now

    def __str__(self) -> str:
        """`2.1 pictures/s, 25 MP/s, 340 pictures and about 4080 MP left, 2 min 43 s`; empty before the first."""
        if not self.pictures or self.seconds <= 0:
            return ""
        rates = f"{self.pictures / self.seconds:.3g} pictures/s, {self.megapixels / self.seconds:.3g} MP/s"
        if not self._bytes:
            return rates
        left = self._bytes_left * self.megapixels / self._bytes_done if self._bytes_done else 0.0
        seconds = left * self.seconds / self.megapixels
        return f"{rates}, {len(self._bytes)} pictures and about {left:.4g} MP left, {_duration(seconds)}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
