"""Gives one kind of degradation that an expert of a model is for among others to an expert of its own.

    python tools/split_expert.py src/pellucid/models/weights/default.safetensors 0 low-light runs/restore-curves

The new expert is the last one. The gate's weights for all others stay, and what it believed the old expert it now
believes one of the two, by which of their kinds the diagnosis finds more probable, whose probabilities stand in the
prior's vector (`training.gate.split_output`). So no gate need be taught anew, and no photograph of another kind is
treated otherwise than before.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from blend_expert import document
from pack_model import DOCUMENTS, stage
from torch import Tensor

from pellucid.degradations import KINDS
from pellucid.errors import ModelError
from pellucid.models.file import describe_model, open_model, read_tensors, write_tensors
from pellucid.training.gate import split_output


def main() -> None:
    """Reads the arguments and changes the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path, help="a model of experts that a diagnosis guides; changed in place")
    parser.add_argument("expert", type=int, help="number of the expert that is for the kind now, from 0")
    parser.add_argument("kind", choices=KINDS, help="what the new expert is for")
    parser.add_argument("run", type=Path, nargs="+", help="run folders in order; the last one's model is taken")
    options = parser.parse_args()
    try:
        header = describe_model(options.model)
        tensors = read_tensors(options.model)
        if header.network.get("name") != "experts" or "diagnosis" not in (header.prior or {}):
            parser.error(f"{options.model}: not of experts that a diagnosis guides")
        settings: dict[str, Any] = dict(header.network["settings"])
        experts = [dict(one) for one in settings["experts"]]
        kinds = list(experts[options.expert].get("kinds") or ())
        if options.kind not in kinds or len(kinds) < 2:
            parser.error(f"expert {options.expert} is not for {options.kind} among others, but for {kinds}")
        others = [kind for kind in kinds if kind != options.kind]
        if len(others) > 1:
            parser.error(f"{', '.join(others)}: more kinds stay than one, and which is the most probable, no gate adds")
        new, found = open_model(options.run[-1] / "model.safetensors")
        experts[options.expert]["kinds"] = others
        experts.append(
            {"name": new.network["name"], "settings": dict(new.network["settings"]), "kinds": [options.kind]}
        )
        settings |= {"experts": experts, "hidden": settings["hidden"] + 4}
        dtype = tensors["network.gate.0.weight"].dtype
        start = settings["prior_width"] - 2 * len(KINDS)
        places = [start + KINDS.index(kind) for kind in (others[0], options.kind)]
        for name, value in split_output(gate_of(tensors), options.expert, *places).items():
            tensors[f"network.gate.{name}"] = value.to(dtype)
        number = len(experts) - 1
        for name, value in found.items():
            tensors[f"network.experts.{number}.{name.removeprefix('network.')}"] = value.to(dtype)
        card = dict(header.card)
        card["stages"] = [*card.get("stages", []), *(stage(folder) for folder in options.run)]
        network = {**header.network, "settings": settings}
        write_tensors(tensors, options.model, replace(header, network=network, card=card))
    except ModelError as error:
        parser.error(str(error))
    document(DOCUMENTS / options.model.stem, options.run)


def gate_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gate's weights, float32, by their names within it."""
    place = "network.gate."
    return {name.removeprefix(place): value.float() for name, value in tensors.items() if name.startswith(place)}


if __name__ == "__main__":
    main()
