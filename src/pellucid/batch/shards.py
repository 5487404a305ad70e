"""Parts of a run for several machines, which need not know of each other."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from pellucid.batch.plan import Job
from pellucid.errors import SettingsError

__all__ = ["parse_shard", "shard_of"]


def parse_shard(text: str) -> tuple[int, int]:
    """Which part of how many, of a text such as `2/5`, the first being 1. Raises SettingsError where it is none."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise SettingsError(f"--shard {text!r}: expected i/n, such as 2/5, with i from 1 to n")
    return int(match[1]), int(match[2])


def shard_of(jobs: Sequence[Job], shard: tuple[int, int]) -> list[Job]:
    """The jobs of a part. It depends on a job's name alone, so that photographs that come or go move no others."""
    part, parts = shard
    return [job for job in jobs if _number(job.name) % parts == part - 1]


def _number(name: str) -> int:
    # Some systems give the letters of a name in parts, others whole.
    data = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
