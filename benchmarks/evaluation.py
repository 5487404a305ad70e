"""What an evaluation costs beside the network's own time: reading, noise, scoring, keeping results.

    python benchmarks/evaluation.py --model dncnn_s25.safetensors --data bsd68 --protocol gaussian-grey

A ratio within one run: all seconds of the evaluation over the seconds that the model itself took.
"""

import argparse
import tempfile
import time
from pathlib import Path

from pellucid.evaluation.candidates import INPUT, candidates_of
from pellucid.evaluation.job import EvaluationJob
from pellucid.evaluation.rows import Row
from pellucid.evaluation.sets import find_set


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="default")
    parser.add_argument("--data", default="cbsd68")
    parser.add_argument("--protocol")
    parser.add_argument("--sigma", type=float, nargs="+", default=[15, 25, 50])
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    photographs = find_set(options.data)
    (candidate,) = candidates_of([options.model], precision=options.precision)
    degraded, _ = photographs.cases(photographs.protocol(options.protocol), options.sigma, 0)[0].load()
    assert candidate.restore is not None
    candidate.restore(degraded)  # the first run of a network allocates
    for label, keeps in (("scores only", False), ("with --out", True)):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            job = EvaluationJob(Path(folder) if keeps else None)
            job.add(photographs, [INPUT, candidate], sigmas=options.sigma, protocol=options.protocol)
            rows = [row for row in job.run() if isinstance(row, Row)]
            job.finish({})
            total = time.perf_counter() - started
        network = sum(row.seconds or 0.0 for row in rows)
        print(f"{label}: {total:.1f} s in all, {network:.1f} s in the model: {100 * (total / network - 1):.1f} % more")


if __name__ == "__main__":
    main()
