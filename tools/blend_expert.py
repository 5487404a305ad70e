"""Puts a network trained further in the place of one of a model's experts, whole or blended with what it is there now.

    python tools/blend_expert.py src/pellucid/models/weights/default.safetensors 4 runs/restore-noise --share 0.5

The mean of a network's weights before and after further training keeps much of what both can do ("Robust fine-tuning of
zero-shot models", Wortsman et al., CVPR 2022). Everything else of the file stays bit for bit. Its card, and the
recipe and log beside the documents, are told of the run.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from pack_model import DOCUMENTS, portable, stage

from pellucid.errors import ModelError
from pellucid.models.file import describe_model, open_model, read_tensors, write_tensors


def main() -> None:
    """Reads the arguments and changes the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path, help="a model of experts; changed in place")
    parser.add_argument("expert", type=int, help="its number, from 0")
    parser.add_argument("run", type=Path, nargs="+", help="run folders in order; the last one's model is taken")
    parser.add_argument("--share", type=float, default=1.0, help="the part of the new weights, 0..1")
    options = parser.parse_args()
    try:
        header = describe_model(options.model)
        kept = read_tensors(options.model)
        _, found = open_model(options.run[-1] / "model.safetensors")
        place = f"network.experts.{options.expert}."
        names = {name for name in kept if name.startswith(place)}
        if not names or names != {place + name.removeprefix("network.") for name in found}:
            parser.error(f"{options.run[-1]}: not the network of expert {options.expert}")
        for name in names:
            new = found["network." + name.removeprefix(place)].float()
            kept[name] = torch.lerp(kept[name].float(), new, options.share).to(kept[name].dtype)
        stages = [stage(folder) for folder in options.run]
        stages[-1] |= {"share": options.share}
        card = dict(header.card) | {"stages": [*header.card.get("stages", []), *stages]}
        write_tensors(kept, options.model, replace(header, card=card))
    except ModelError as error:
        parser.error(str(error))
    document(DOCUMENTS / options.model.stem, options.run)


def document(path: Path, runs: list[Path]) -> None:
    """Adds what runs did to the recipe and the log of a model; what stands there stays."""
    with path.with_suffix(".yaml").open("a", encoding="utf-8") as recipes:
        for folder in runs:
            recipe: Any = portable(yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8")))
            recipes.write("---\n" + yaml.safe_dump(recipe, sort_keys=False))
    with path.with_suffix(".log.jsonl").open("a", encoding="utf-8") as log:
        for folder in runs:
            for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
                log.write(json.dumps({"run": folder.name} | json.loads(line)) + "\n")


if __name__ == "__main__":
    main()
