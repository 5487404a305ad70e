"""The published sets that restorers are compared on: where they are from, whether a copy is right, and what they share.

- `registry`: one record per set (`registry.yaml`, with one table of files per set in `files/`): task, split, count,
  source, licence, layout, and bytes and sha256 of every file of those that have a stable address.
- `layouts`: which file is the clean partner of which, by patterns of their paths.
- `places`: where the sets lie on this machine; `locate("set12")` is its folder, checked, or an error with the remedy.
- `checking`, `fetching` and `adopting`: is every file there and right; download what is not; or take it from a copy.
- `overlap`: which photographs of a training folder are pictures of a test set, by perceptual hash.

Importing this loads neither torch nor libvips; only `overlap` and `fingerprint` need them.
"""

from pellucid.data.benchmarks.adopting import adopt
from pellucid.data.benchmarks.checking import Check, verify
from pellucid.data.benchmarks.fetching import FailedFile, FetchOutcome, fetch
from pellucid.data.benchmarks.locating import locate, pairs
from pellucid.data.benchmarks.places import data_root, folder_of
from pellucid.data.benchmarks.registry import Benchmark, PublishedFile, benchmarks, find_benchmark, is_benchmark

__all__ = [
    "Benchmark",
    "Check",
    "FailedFile",
    "FetchOutcome",
    "PublishedFile",
    "adopt",
    "benchmarks",
    "data_root",
    "fetch",
    "find_benchmark",
    "folder_of",
    "is_benchmark",
    "locate",
    "pairs",
    "verify",
]
