"""Restores a photograph with onnxruntime and numpy alone: `python examples/restore_with_onnx.py FOLDER IN OUT`, where
`pellucid export default -o FOLDER` has written the folder."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image  # only to read and write files


def restore(folder: Path, image: Any) -> Any:
    """An image, float32 (height, width, 3) in [0, 1], restored by a folder's graphs."""
    page = json.loads((folder / "model.json").read_text())

    def run(part: Any, *inputs: Any) -> Any:
        session = onnxruntime.InferenceSession(str(folder / part["file"]))
        return session.run(None, dict(zip(part["inputs"], inputs, strict=True)))

    height, width = image.shape[:2]
    parts = [part for part in [*page["restore"], page.get("refine", {})] if part.get("file")]
    multiple = int(np.lcm.reduce([part["multiple"] for part in parts]))
    grown = np.pad(image, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="reflect")
    whole, padded = (one.transpose(2, 0, 1)[None].astype(np.float32) for one in (image, grown))
    look, vector, strength, refined = page.get("look"), None, 1.0, "refine" in page
    weights = {part["expert"]: 1.0 for part in page["restore"]}
    if look and "rules" in look:
        vector, trust, probabilities = run(look, whole, *blocks(look["blocks"], height, width))
        weights, strength, refined = chosen(page, trust[0].tolist(), probabilities[0].tolist())
    elif look:
        vector, *trust = run(look, whole)
        weights = dict(enumerate(trust[0][0].tolist())) if trust else weights
    there = {part["expert"]: part for part in page["restore"]}
    shares = {number: weight for number, weight in weights.items() if weight and number in there}
    if not shares:
        return image
    restored = np.zeros_like(padded)
    for number, weight in shares.items():
        answer = run(there[number], padded)[0] if there[number]["file"] else padded
        restored += np.float32(weight / sum(shares.values())) * answer
    if refined and "refine" in page:
        restored = run(page["refine"], restored, padded, vector)[0]
    restored = padded + np.float32(strength) * (restored - padded)
    return restored[0].transpose(1, 2, 0)[:height, :width].clip(0, 1)


def blocks(told: Any, height: int, width: int) -> list[Any]:
    """The rows and columns at which the blocks begin that are looked at."""
    side = told["side"]
    step = max(side // 2, int((height * width / told["about"]) ** 0.5))
    return [np.arange((length - side) // step + 1) * step for length in (height, width)]


def chosen(page: Any, trust: list[float], probabilities: list[float]) -> tuple[dict[int, float], float, bool]:
    """The weight of each expert that acts, by its number; how much of what they make counts; whether R goes over it."""
    rules, likely = page["look"]["rules"], dict(zip(page["look"]["kinds"], probabilities, strict=True))
    rows = {part["expert"]: part["for"] for part in [*page["restore"], *page["left_out"].values()]}
    named = {kind for kinds in rows.values() if kinds != "the rest" for kind in kinds}
    own = {
        number: [kind for kind in likely if (kind not in named if kinds == "the rest" else kind in kinds)]
        for number, kinds in rows.items()
    }
    tonal = {number for number, kinds in rows.items() if kinds != "the rest" and set(kinds) & set(rules["tones"])}
    found = sorted((kind for kind in likely if likely[kind] > rules["present"]), key=lambda kind: -likely[kind])
    most = {number: max((likely[kind] for kind in kinds), default=0.0) for number, kinds in own.items()}
    alone = None
    for number in sorted(tonal, key=lambda number: -trust[number]):
        sure = [kind for kind in own[number] if likely[kind] >= rules["tones"].get(kind, (2, 2))[0]]
        if alone is None and any(trust[number] >= rules["tones"][kind][1] for kind in sure):
            alone = number
    may = {number: not own[number] or (number not in tonal and most[number] >= rules["perhaps"]) for number in rows}
    weights = {
        number: trust[number] * (may[number] and trust[number] >= rules["negligible"]) for number in sorted(rows)
    }
    top = max(weights, key=lambda number: weights[number])
    if alone is None and (not set(own[top]) & set(found) or not weights[top]):
        sure = [kind for kind in found if likely[kind] >= rules["second_probability"]]
        others = (number for kind in sure for number in sorted(rows) if kind in own[number] and number not in tonal)
        alone = next((number for number in others if trust[number] >= rules["second_share"]), None)
    strength = 1.0
    if alone is not None:
        weights, top = {alone: 1.0}, alone
    else:
        needed = max((most[number] for number in rows if weights[number] and own[number]), default=0.0)
        if needed <= rules["present"]:
            return {}, 0.0, False
        strength = 1.0 if needed >= rules["second_probability"] else sum(weights.values())
    asked = [kind for kind in own[top] if kind in found] or own[top]
    refined = rules["refined"] is None or bool(set(asked) & set(rules["refined"]))
    return {number: weight for number, weight in weights.items() if weight}, strength, refined


if __name__ == "__main__":
    photograph = np.asarray(Image.open(sys.argv[2]).convert("RGB"), np.float32) / 255
    Image.fromarray((restore(Path(sys.argv[1]), photograph) * 255).round().astype(np.uint8)).save(sys.argv[3])
