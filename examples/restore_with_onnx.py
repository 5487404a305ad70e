"""Restores a photograph with onnxruntime and numpy alone: `python examples/restore_with_onnx.py FOLDER IN OUT`, where
`pellucid export denoise -o FOLDER` has written the folder."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image  # only to read and write files


def restore(folder: Path, image: np.ndarray) -> np.ndarray:
    """An image, float32 (height, width, 3) in [0, 1], restored by a folder's graphs."""
    page = json.loads((folder / "model.json").read_text())

    def run(part: dict[str, object], *inputs: np.ndarray) -> list[np.ndarray]:
        session = onnxruntime.InferenceSession(str(folder / str(part["file"])))
        return session.run(None, dict(zip(part["inputs"], inputs, strict=True)))

    height, width = image.shape[:2]
    multiple = int(
        np.lcm.reduce([part["multiple"] for part in [*page["restore"], page.get("refine", {})] if part.get("file")])
    )
    grown = np.pad(image, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="reflect")
    whole, padded = (one.transpose(2, 0, 1)[None].astype(np.float32) for one in (image, grown))
    vector, weights = (*run(page["look"], whole), np.ones((1, 1)))[:2] if "look" in page else (None, np.ones((1, 1)))
    asked = [part for part in page["restore"] if weights[0, part["expert"]] > 0]
    total = sum(weights[0, part["expert"]] for part in asked)  # less than 1 where an expert could not be exported
    shares = [np.float32(weights[0, part["expert"]] / total) for part in asked]
    restored = sum(
        share * (run(part, padded)[0] if part["file"] else padded) for share, part in zip(shares, asked, strict=True)
    )
    if "refine" in page:
        restored = run(page["refine"], restored, padded, vector)[0]
    return restored[0].transpose(1, 2, 0)[:height, :width].clip(0, 1)


if __name__ == "__main__":
    photograph = np.asarray(Image.open(sys.argv[2]).convert("RGB"), np.float32) / 255
    Image.fromarray((restore(Path(sys.argv[1]), photograph) * 255).round().astype(np.uint8)).save(sys.argv[3])
