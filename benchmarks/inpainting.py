"""Filling measured: PSNR inside the holes, against OpenCV's two methods where opencv-python-headless is installed.

python benchmarks/inpainting.py --photographs data/eval/kodak24 --sheet sheet.png
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import images
from pellucid.data.holes import drawn_holes
from pellucid.editing.filling import Filling, filled
from pellucid.metrics.statistics import paired_difference
from pellucid.networks.inpainter import smooth_fill

SHARES = ((0.1, 0.2), (0.2, 0.3), (0.3, 0.4))
"""Of the picture, for the photographs in turn."""
RADIUS = 3


def main() -> None:
    """Measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--last", type=int, default=0, help="Only so many, the last by name.")
    parser.add_argument("--model", default="inpaint")
    parser.add_argument("--sheet", type=Path, help="A picture of results.")
    options = parser.parse_args()
    files = sorted(path for path in options.photographs.rglob("*") if images.supported(path))[-options.last :]
    network = Filling(None, options.model).network
    scores: dict[str, list[float]] = {}
    groups: dict[str, dict[str, list[float]]] = {}
    shown = []
    for number, path in enumerate(files):
        picture = images.read(path).pixels
        share = SHARES[number % len(SHARES)]
        generator = torch.Generator().manual_seed(50 + number)
        missing = drawn_holes(picture.shape[2], picture.shape[3], generator, share=share, kind="strokes")[None]
        results = {"ours": filled(network, picture, missing), "smooth": smooth_fill(picture, missing)}
        results |= of_opencv(picture, missing)
        for name, result in results.items():
            value = inside(result, picture, missing)
            scores.setdefault(name, []).append(value)
            groups.setdefault(f"{share[0]:.0%} to {share[1]:.0%}", {}).setdefault(name, []).append(value)
        holed = torch.where(missing, 1.0, picture)
        shown.append(torch.cat([picture, holed, results.get("telea", results["smooth"]), results["ours"]], 3))
    found: dict[str, object] = {
        "photographs": len(files),
        "psnr_inside": {name: round(sum(values) / len(values), 3) for name, values in scores.items()},
        **{
            group: {name: round(sum(values) / len(values), 3) for name, values in known.items()}
            for group, known in groups.items()
        },
    }
    for name in scores:
        if name != "ours":
            found[f"ours_less_{name}"] = str(paired_difference(scores["ours"], scores[name]))
    print(json.dumps(found, indent=1))
    if options.sheet:
        rows = [F.interpolate(one, (300, 4 * 400), mode="bilinear", antialias=True) for one in shown[:12]]
        images.write(images.Photograph(torch.cat(rows, 2)), options.sheet)


def inside(result: Tensor, picture: Tensor, missing: Tensor) -> float:
    """PSNR in dB of what is missing."""
    error = (result.clamp(0, 1) - picture).square().mean(1, keepdim=True)[missing].mean()
    return -10 * float(error.log10())


def of_opencv(picture: Tensor, missing: Tensor) -> dict[str, Tensor]:
    """What Telea's and the Navier-Stokes method make of it; nothing where OpenCV is not there."""
    try:
        import cv2
    except ImportError:
        return {}
    bytes_ = (picture[0].permute(1, 2, 0) * 255).round().byte().numpy()[:, :, ::-1].copy()
    mask = missing[0, 0].byte().numpy() * 255
    found = {}
    for name, method in (("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)):
        filled_ = cv2.inpaint(bytes_, mask, RADIUS, method)[:, :, ::-1].copy()
        found[name] = torch.from_numpy(filled_).permute(2, 0, 1)[None].float() / 255
    return found


if __name__ == "__main__":
    main()
