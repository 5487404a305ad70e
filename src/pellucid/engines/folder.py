"""A model as files that need neither torch nor pellucid: ONNX graphs of the two verbs, and a page of JSON on their use.

look.onnx        image -> vector, weights         once, the whole picture; of a model that diagnoses, image, rows and
                 columns -> vector, weights, probabilities
restore.onnx     image -> restored                the whole picture or tiles of it; one file per expert
refine.onnx      restored, degraded, vector -> refined       once, the whole picture
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.degradations import KINDS
from pellucid.diagnosis.prior import DiagnosisPrior
from pellucid.diagnosis.traces import BLOCK, BLOCKS, block_places
from pellucid.engines.graphs import OPSET, to_onnx, weights_key
from pellucid.engines.int8 import Rounding, quantised
from pellucid.engines.parity import test_picture
from pellucid.engines.parts import NetworkOnEngine, RefinementOnEngine, on_engine
from pellucid.engines.sessions import OnnxRuntimeSession
from pellucid.errors import ModelError
from pellucid.files import written_whole
from pellucid.guidance import NOTHING
from pellucid.networks import Experts
from pellucid.networks.contract import contract_of
from pellucid.refinement import Boosted
from pellucid.version import __version__

__all__ = ["Exported", "export"]

SIZES = ((104, 152), (200, 264))
"""Of the pictures by which the graphs are compared with torch; neither is that of an example."""

LARGEST = 1e-3
"""A graph that is further from torch, in float32 and of an image in [0, 1], is not written."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: in the folder.
        page: what `model.json` says.
    """

    files: tuple[Path, ...]
    page: Mapping[str, Any]


@torch.no_grad()
def export(
    model: nn.Module,
    folder: Path,
    *,
    name: str,
    licence: str = "",
    ranges: Mapping[str, Rounding] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> Exported:
    """Writes a model's graphs and its `model.json` to a folder.

    Args:
        model: a network of ours that takes images alone, or experts of such, alone or in a `Boosted`.
        folder: is made; files of the same names are replaced.
        name: of the model.
        licence: of its weights.
        ranges: what layers are given, by `weights_key`: restoring graphs of networks that are in it are written in 8
            bits.
        rules: numbers by which the experts of a model that diagnoses are chosen, for the page.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ModelError: a part of it has no graph, or one that is not equal to torch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graphs: dict[str, bytes] = {}
    page: dict[str, Any] = {
        "format": 1,
        "model": name,
        "pellucid": __version__,
        "opset": OPSET,
        "licence": licence,
        "image": "float32, 1 x 3 x height x width, RGB as in the file, 0 to 1; results in the same form, to be clamped",
    }
    differences: dict[str, float] = {}
    looking = _Look(model) if isinstance(model, Boosted) else None
    if looking is not None:
        graphs["look.onnx"] = _look_graph(looking, differences)
        page["look"] = {
            "file": "look.onnx",
            "inputs": list(looking.inputs),
            "outputs": list(looking.outputs),
            "smallest": 64,
            "of": "the whole picture, once",
        }
        if looking.diagnosis is not None:
            page["look"] |= {
                "kinds": list(KINDS),
                "blocks": {"side": BLOCK, "about": BLOCKS},
                "rules": dict(rules or {}),
            }
    model = on_engine(model, "onnx")
    network = model.network if isinstance(model, Boosted) else model
    experts: list[Any] = list(network.experts) if isinstance(network, Experts) else [network]
    page["restore"], left_out = [], {}
    for number, expert in enumerate(experts):
        kinds = network.kinds[number] if isinstance(network, Experts) else None
        row: dict[str, Any] = {"expert": number, "for": list(kinds) if kinds else "the rest"}
        if isinstance(expert, NetworkOnEngine):
            file = f"restore-{number}.onnx" if len(experts) > 1 else "restore.onnx"
            graphs[file] = expert.graph()
            differences[file] = _restore_difference(expert)
            row |= {"file": file, "inputs": ["image"], "outputs": ["restored"], "multiple": expert.contract.multiple}
            known = (ranges or {}).get(weights_key(expert.network))
            row["bits"] = 8 if known else 32
            graphs[file] = quantised(graphs[file], known.layers) if known else graphs[file]
            page["restore"].append(row)
        elif contract_of(expert).looks:
            left_out[str(number)] = {**row, "why": "what it must find out of the whole picture is no graph"}
        else:
            page["restore"].append({**row, "file": None, "outputs": ["the image itself"]})
    if isinstance(model, Boosted) and isinstance(model.refinement, RefinementOnEngine):
        graphs["refine.onnx"] = model.refinement.graph()
        differences["refine.onnx"] = _refine_difference(model.refinement)
        page["refine"] = {
            "file": "refine.onnx",
            "inputs": ["restored", "degraded", "maps" if model.takes_maps else "vector"],
            "outputs": ["refined"],
            "multiple": model.refinement.multiple,
        }
    page["left_out"] = left_out
    page["use"] = _use(page)
    page["parity"] = {
        "largest difference from torch, of 1": {key: float(f"{value:.2g}") for key, value in differences.items()}
    }
    for file, difference in differences.items():
        if not difference <= LARGEST:
            raise ModelError(f"{file}: ONNX Runtime is {difference:.2g} from torch, more than {LARGEST:g}")
    files = []
    for file, graph in [*graphs.items(), ("model.json", json.dumps(page, indent=1).encode() + b"\n")]:
        with written_whole(folder / file) as partial:
            partial.write_bytes(graph)
        files.append(folder / file)
    return Exported(tuple(files), page)


class _Look(nn.Module):
    """What a boosted model finds out of a whole picture, as a function of the image: the vector, and whom the gate
    believes how much.

    A diagnosis takes the rows and columns at which the blocks of `traces` begin, too, since a graph cannot say how many
    there are; and says how probable each of KINDS is. It does not look for where the blocks of a cropped JPEG begin.
    """

    def __init__(self, model: Boosted) -> None:
        super().__init__()
        if model.takes_maps:
            raise ModelError("a refinement that takes the prior's maps cannot be exported")
        self.prior = model.prior
        self.experts = model.network if isinstance(model.network, Experts) else None
        self.diagnosis = self.prior if isinstance(self.prior, DiagnosisPrior) and self.experts is not None else None
        self.inputs, self.outputs = ["image"], ["vector"]
        if self.experts is not None:
            self.outputs.append("weights")
        if self.diagnosis is not None:
            self.inputs += ["rows", "columns"]
            self.outputs.append("probabilities")

    def forward(self, image: Tensor, rows: Tensor | None = None, columns: Tensor | None = None) -> tuple[Tensor, ...]:
        if self.diagnosis is not None and rows is not None and columns is not None:
            view = self.diagnosis.view(image, (rows, columns))
            vector = self.diagnosis.encode(view)
            assert self.experts is not None
            return vector, self.experts.trust(vector), self.diagnosis.probabilities(view)
        vector = self.prior.encode(self.prior.prepare(image))
        return (vector,) if self.experts is None else (vector, self.experts.weights(vector))

    def given(self, image: Tensor) -> dict[str, Tensor]:
        """The inputs, by their names."""
        places = block_places(*image.shape[2:]) if self.diagnosis is not None else ()
        return dict(zip(self.inputs, (image, *places), strict=True))


def _look_graph(looking: _Look, differences: dict[str, float]) -> bytes:
    graph = to_onnx(looking, looking.given(test_picture(200, 304)), looking.outputs)
    session = OnnxRuntimeSession(graph, "float32")
    given = [looking.given(_picture(size)).values() for size in SIZES]
    pairs = [(session(*values), looking(*values)[0]) for values in given]
    differences["look.onnx"] = max(float((ours - theirs).abs().max()) for ours, theirs in pairs)
    return graph


def _restore_difference(part: NetworkOnEngine) -> float:
    images = [_picture(size).repeat(1, 4, 1, 1)[:, : part.planes] for size in SIZES]
    return max(float((part.restore(one, NOTHING) - part.network.restore(one, NOTHING)).abs().max()) for one in images)


def _refine_difference(part: RefinementOnEngine) -> float:
    vector = torch.randn(1, part.refinement.prior_width, generator=torch.Generator().manual_seed(0))
    pairs = [
        (part(one, one.flip(3), vector), part.refinement(one, one.flip(3), vector)) for one in map(_picture, SIZES)
    ]
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


def _picture(size: tuple[int, int]) -> Tensor:
    return test_picture(*size)


def _use(page: Mapping[str, Any]) -> list[str]:
    """How the files are used, step by step."""
    steps = [
        "grow the image by reflection at its bottom and right until its sides divide by `multiple`; cut it at last"
    ]
    look = page.get("look", {})
    if look:
        steps.append("look at the whole image once")
    if "rules" in look:
        steps.append(
            "`rows` and `columns`, int64, are where blocks of `side` pixels begin that lie in the image: 0, s, 2 s and "
            "so on, s being the root of height times width over `about`, rounded down, or half a side if that is more"
        )
        steps.append(
            "an expert for a kind in `tones` acts alone, where the kind's probability and the expert's weight reach "
            "both numbers there; else experts act whose weight reaches `negligible` and of whose kinds one reaches "
            "`perhaps`, if one of these exceeds `present`; examples/restore_with_onnx.py has it in full. The program "
            "itself does more: it aligns cropped JPEGs, asks further experts of the result, and checks the tones"
        )
    several = len(page["restore"]) > 1 or page["left_out"]
    steps.append(
        "sum what the experts restore, each times its number in `weights`; leave those out whose number is 0"
        if several
        else "restore the image, whole or in tiles that overlap by 48 pixels and start at multiples of `multiple`"
    )
    if "refine" in page:
        steps.append("refine the whole restored image, beside the degraded one")
    return steps
