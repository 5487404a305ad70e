"""Takes R and its prior out of a model file; the network's weights stay bit for bit.

    python tools/drop_refinement.py src/pellucid/models/weights/denoise.safetensors \\
        --results runs/evaluation/results.json --row "denoise (network alone)" --summary "Blind denoising ..."

For a model whose R gains nothing on photographs that it has not learnt from. The results are those of the network
alone, by `pellucid evaluate --alone`.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from pack_model import KEPT

from pellucid.errors import ModelError
from pellucid.models.file import describe_model, read_tensors, write_tensors


def main() -> None:
    """Reads the arguments and changes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("--results", type=Path, nargs="+", required=True, help="results.json of `pellucid evaluate`")
    parser.add_argument("--row", required=True, help="the network's name in those results")
    parser.add_argument("--summary", required=True, help="for the card")
    options = parser.parse_args()
    results = [json.loads(path.read_text(encoding="utf-8")) for path in options.results]
    rows = [row for found in results for row in found["summaries"] if row["model"] == options.row]
    if not rows:
        parser.error(f"no row {options.row!r} in {', '.join(map(str, options.results))}")
    protocols = {name: text for found in results for name, text in found["protocols"].items()}
    try:
        header = describe_model(options.model)
        card = dict(header.card) | {
            "summary": options.summary,
            "numbers": {"protocols": protocols, "rows": [{key: row[key] for key in KEPT} for row in rows]},
        }
        tensors = {key: value for key, value in read_tensors(options.model).items() if key.startswith("network.")}
        write_tensors(tensors, options.model, replace(header, refinement=None, prior=None, card=card))
    except ModelError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
