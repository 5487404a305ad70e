"""Packs a trained model as an embedded one: float16 weights, and beside the documents a card, its recipe and its log.

    python tools/pack_model.py runs/restore/model.safetensors src/pellucid/models/weights/default.safetensors \
        --results runs/evaluation/results.json --row runs/restore/model.safetensors \
        --logs runs/restore-light runs/restore-rain runs/restore-blur runs/restore-jpeg \
            runs/restore-noise runs/restore \
        --good-for "photographs that ..."
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
import yaml

from pellucid.models.file import describe_model
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.save import save_model

LICENCE = "Apache-2.0"
DOCUMENTS = Path(__file__).parents[1] / "docs" / "models"
"""Where cards, recipes and logs go: no code reads them, so they are no part of the package."""
KEPT = ("data", "condition", "protocol", "photographs", "psnr", "ssim")
"""What a card keeps of a result."""
CARD = """# {name}

{summary}

- **Licence of the weights**: {licence}. The photographs that they learnt from were published for non-commercial
  research; judge for yourself whether that binds you.
- **Trained on**: {photographs} photographs, without the scenes of any test set. Degradations: {degradations}.
- **How**: {how}.
- **Good for**: {good_for}
- **Parts**: {parts}.

## Numbers (run, by `pellucid evaluate`)

{table}

{protocols}

Recipe: `{stem}.yaml`. Log: `{stem}.log.jsonl`.
"""


def main() -> None:
    """Reads the arguments and packs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument(
        "--results", type=Path, required=True, nargs="+", help="results.json files of `pellucid evaluate`"
    )
    parser.add_argument("--row", required=True, help="the model's name in those results")
    parser.add_argument("--good-for", required=True, help="what it is good for, and what not, for the card")
    parser.add_argument("--logs", type=Path, nargs="+", required=True, help="run folders, in the order of training")
    parser.add_argument("--network", type=Path, help="take the network's weights from this model file")
    parser.add_argument("--summary", help="instead of the recipe's")
    options = parser.parse_args()
    header = describe_model(options.model)
    results = [json.loads(path.read_text(encoding="utf-8")) for path in options.results]
    numbers = [row for found in results for row in found["summaries"] if row["model"] == options.row]
    if not numbers:
        parser.error(f"no row {options.row!r} in {', '.join(map(str, options.results))}")
    protocols = {name: text for found in results for name, text in found["protocols"].items()}
    card = dict(header.card) | {
        "licence": LICENCE,
        "numbers": {"protocols": protocols, "rows": [{key: row[key] for key in KEPT} for row in numbers]},
        "stages": [stage(folder) for folder in options.logs],
    }
    if options.summary:
        card["summary"] = options.summary
    module: Any = load_model(options.model).module
    if options.network:
        load_network_weights(module.network, options.network)
    options.target.parent.mkdir(parents=True, exist_ok=True)
    save_model(
        module,
        options.target,
        recipe=portable(dict(header.recipe)),
        card=card,
        policy=header.policy,
        dtype=torch.float16,
    )
    documents = DOCUMENTS / options.target.stem
    documents.parent.mkdir(parents=True, exist_ok=True)
    documents.with_suffix(".md").write_text(written_card(card, module, options), encoding="utf-8")
    written = [folder / "recipe.yaml" for folder in options.logs if (folder / "recipe.yaml").exists()]
    recipes = [portable(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in written]
    documents.with_suffix(".yaml").write_text(
        "---\n".join(yaml.safe_dump(recipe, sort_keys=False) for recipe in recipes), encoding="utf-8"
    )
    lines = [
        json.dumps({"run": folder.name} | json.loads(line))
        for folder in options.logs
        for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    documents.with_suffix(".log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def portable(tree: Any) -> Any:
    """A recipe without this machine's folders: absolute paths start at the folder `runs`, or one named like `my-runs`.

    Raises SystemExit for any other absolute path: what it names is nowhere else.
    """
    if isinstance(tree, dict):
        return {key: portable(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [portable(value) for value in tree]
    if not isinstance(tree, str):
        return tree
    found = re.sub(r"^/(.*/)?([^/]*-)?runs/", "runs/", tree)
    if found.startswith("/"):
        raise SystemExit(f"{tree}: a path of this machine; give one relative to the checkout")
    return found


def stage(folder: Path) -> dict[str, Any]:
    """How long a run took, from the last line of its log."""
    last = json.loads((folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return {"run": folder.name, "steps": last["step"], "minutes": round(last["seconds"] / 60, 1)}


def written_card(card: dict[str, Any], module: torch.nn.Module, options: argparse.Namespace) -> str:
    """The card as Markdown."""
    lines = ["| set | condition | protocol | PSNR dB | SSIM | photographs |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row['data']} | {row['condition']} | {row['protocol']} | {row['psnr']:.2f} | {row['ssim']:.4f} "
        f"| {row['photographs']} |"
        for row in card["numbers"]["rows"]
    ]
    counts = {name: sum(value.numel() for value in part.parameters()) for name, part in module.named_children()}
    return CARD.format(
        name=options.target.stem,
        summary=card["summary"],
        licence=card["licence"],
        photographs=card["trained"]["photographs"],
        degradations="; ".join(card["trained"]["degradations"]),
        how="; ".join(f"{part['run']}: {part['steps']} steps in {part['minutes']} minutes" for part in card["stages"])
        + f", on {card['trained']['device']} (two cores)",
        good_for=options.good_for,
        parts=", ".join(f"{name} {count / 1e6:.2f} M parameters" for name, count in counts.items()),
        table="\n".join(lines),
        protocols="\n\n".join(f"Protocol {text}." for text in card["numbers"]["protocols"].values()),
        stem=options.target.stem,
    )


if __name__ == "__main__":
    main()
