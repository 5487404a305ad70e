"""Restores a photograph with onnxruntime and numpy alone: `python examples/restore_with_onnx.py FOLDER IN OUT`, where
`pellucid export denoise -o FOLDER` has written the folder."""

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
    if "look" in page and not page["look"]["file"]:
        sys.exit(f"this model's folder does not say by itself which expert is to be asked: {page['look']['why']}")
    vector, weights = (*run(page["look"], whole), np.ones((1, 1)))[:2] if "look" in page else (None, np.ones((1, 1)))
    shares = {part["expert"]: float(weights[0, part["expert"]]) for part in page["restore"]}
    restored = np.zeros_like(padded)
    for part in page["restore"]:
        share = shares[part["expert"]] / sum(shares.values())  # the sum is 1, unless an expert was left out
        if share:
            restored += np.float32(share) * (run(part, padded)[0] if part["file"] else padded)
    if "refine" in page:
        restored = run(page["refine"], restored, padded, vector)[0]
    return restored[0].transpose(1, 2, 0)[:height, :width].clip(0, 1)


if __name__ == "__main__":
    photograph = np.asarray(Image.open(sys.argv[2]).convert("RGB"), np.float32) / 255
    Image.fromarray((restore(Path(sys.argv[1]), photograph) * 255).round().astype(np.uint8)).save(sys.argv[3])
