"""Packs a model that edits as an embedded one: float16 weights, and beside the documents card, recipe and log.

    python tools/pack_editing.py runs/inpaint/model.safetensors src/pellucid/models/weights/inpaint.safetensors \\
        --measured kodak24=measured.json --logs runs/inpaint --good-for "scratches, ..." --protocol "PSNR inside ..."

What was measured is the JSON of `benchmarks/colour.py` or `benchmarks/inpainting.py`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import yaml
from pack_model import DOCUMENTS, LICENCE, portable, stage

from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.models.save import save_model

CARD = """# {name}

{summary}

- **Licence of the weights**: {licence}. The photographs that they learnt from were published for non-commercial
  research, and some under the licences named in [experiment 43](../experiments/43-upscaling.md); judge for yourself
  whether that binds you.
- **Trained on**: {photographs} photographs, without the scenes of any test set.
- **How**: {how}, on CPU (a part of one core).
- **Good for**: {good_for}
- **Parts**: {count:.2f} M parameters.

## Numbers (run)

{protocol}

{tables}

What was expected, and what is ugly: [experiment 50](../experiments/50-editing.md).

Recipe: `{name}.yaml`. Log: `{name}.log.jsonl`.
"""


def main() -> None:
    """Reads the arguments and packs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--measured", nargs="+", required=True, help="NAME=FILE of each set.")
    parser.add_argument("--logs", type=Path, nargs="+", required=True, help="Run folders, in the order of training.")
    parser.add_argument("--good-for", required=True)
    parser.add_argument("--protocol", required=True, help="How the numbers were made, in a sentence.")
    options = parser.parse_args()
    header, name = describe_model(options.model), options.target.stem
    measured = {}
    for text in options.measured:
        data, _, file = text.partition("=")
        measured[data] = json.loads(Path(file).read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = [{"data": data, **found} for data, found in measured.items()]
    card = dict(header.card) | {
        "licence": LICENCE,
        "numbers": {"protocols": {name: options.protocol}, "rows": rows},
        "stages": [stage(folder) for folder in options.logs],
    }
    module: Any = load_model(options.model).module
    save_model(module, options.target, recipe=portable(dict(header.recipe)), card=card, dtype=torch.float16)
    document = DOCUMENTS / name
    tables = "\n\n".join(table_of(data, found) for data, found in measured.items())
    document.with_suffix(".md").write_text(
        CARD.format(
            name=name,
            summary=card["summary"],
            licence=LICENCE,
            photographs=card["trained"]["photographs"],
            how="; ".join(f"{one['run']}: {one['steps']} steps in {one['minutes']} minutes" for one in card["stages"]),
            good_for=options.good_for,
            count=sum(value.numel() for value in module.parameters()) / 1e6,
            protocol=options.protocol,
            tables=tables,
        ),
        encoding="utf-8",
    )
    recipes = [
        portable(yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))) for folder in options.logs
    ]
    document.with_suffix(".yaml").write_text(
        "---\n".join(yaml.safe_dump(recipe, sort_keys=False) for recipe in recipes), encoding="utf-8"
    )
    lines = [
        json.dumps({"run": folder.name} | json.loads(line))
        for folder in options.logs
        for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    document.with_suffix(".log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def table_of(data: str, found: dict[str, Any]) -> str:
    """What was measured on one set, a line for each number."""
    lines = [f"| {data}, {found['photographs']} photographs | |", "|---|---:|"]
    for name, value in found.items():
        if isinstance(value, dict):
            lines += [f"| {name}: {key} | {number} |" for key, number in value.items()]
        elif name != "photographs":
            lines.append(f"| {name} | {value} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
