"""The main job, on real photographs: degrade them, restore them with the embedded model, show and measure the result.

Without arguments it takes photographs that come with scikit-image, does three things to each that happen to
photographs, and writes what the model makes of them, one contact sheet and a small table to `demo/`. The model is not
told what was done. With `--photo` it restores that file as it is.
"""

import argparse
import sys
from pathlib import Path

import skimage.data
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import pellucid
from pellucid import images
from pellucid.batch.change import before_and_after
from pellucid.degradations import parse_drawn
from pellucid.degradations.seeding import drawn_for
from pellucid.errors import PellucidError
from pellucid.metrics import find_protocol
from pellucid.refinement import Boosted
from pellucid.restoration.restorer import Restorer

CASES = {
    "astronaut": ("noise sigma=25", "jpeg quality=10", "defocus radius=3"),
    "chelsea": ("noise sigma=50", "rain-lines amount=50", "shake length=12"),
    "coffee": ("low-light exposure=0.1 noise=5", "jpeg quality=20", "noise sigma=15, jpeg quality=60"),
    "rocket": ("haze amount=50", "snow amount=40", "resample factor=2.5"),
}
"""Photographs of scikit-image, and what is done to each."""


def restore_one(photo: Path, out: Path) -> None:
    """Restores a user's photograph and writes it beside a before-and-after picture."""
    photograph = images.read(photo)
    restored = pellucid.load("default")(photograph)
    out.mkdir(exist_ok=True)
    images.write(restored, out / photo.name)
    images.write(
        images.Photograph(before_and_after(photograph.pixels, restored.pixels)), out / f"{photo.stem}-compared.png"
    )
    print(f"{out / photo.name}\n{out / f'{photo.stem}-compared.png'}")


def demonstrate(out: Path) -> None:
    """Degrades, restores, measures and shows the photographs of scikit-image."""
    out.mkdir(exist_ok=True)
    protocol = find_protocol("synthetic-rgb")
    boosted = pellucid.load("default")
    assert isinstance(boosted.model, Boosted)  # that is what ships
    alone = Restorer(boosted.model.unrefined())
    table = Table("photograph", "degradation", "degraded dB", "network alone dB", "boosted dB")
    console = Console()
    rows = []
    for name, texts in CASES.items():
        clean = images.to_tensor(getattr(skimage.data, name)())
        for text in texts:
            degraded = images.quantise(drawn_for(parse_drawn(text), 0, name)(clean), 8)
            stages = (degraded, alone.restore_image(degraded), boosted.restore_image(degraded))
            scores = [float(protocol.score(stage, clean).psnr) for stage in stages]
            table.add_row(name, text, *(f"{score:.2f}" for score in scores))
            for label, stage in zip(("degraded", "restored"), (degraded, stages[2]), strict=True):
                images.write(images.Photograph(stage), out / f"{name}-{text.split()[0]}-{label}.png")
            rows.append([crop(stage) for stage in (degraded, stages[2], clean)])
            console.print(f"{name}, {text}: {scores[0]:.2f} -> {scores[2]:.2f} dB", highlight=False)
    images.write(images.Photograph(contact_sheet(rows)), out / "contact-sheet.png")
    console.print(table)
    console.print(f"Protocol {protocol.describe()}.", highlight=False)
    console.print(f"Pictures: {out}/; all of them at a glance: {out / 'contact-sheet.png'}", highlight=False)


def crop(image: Tensor, side: int = 200) -> Tensor:
    """The centre of an image (1, 3, H, W), side x side pixels."""
    top, left = (image.shape[2] - side) // 2, (image.shape[3] - side) // 2
    return image[:, :, top : top + side, left : left + side].clamp(0, 1)


def contact_sheet(rows: list[list[Tensor]], gap: int = 6) -> Tensor:
    """Rows of crops (degraded, restored, clean) in columns of one photograph's degradations, with white gaps."""
    bands = [torch.cat([_framed(image, gap) for image in row], dim=3) for row in rows]
    per = len(bands) // len(CASES)
    columns = [torch.cat(bands[start : start + per], dim=2) for start in range(0, len(bands), per)]
    halves = [torch.cat(columns[index : index + 2], dim=3) for index in range(0, len(columns), 2)]
    return torch.cat(halves, dim=2)


def _framed(image: Tensor, gap: int) -> Tensor:
    return torch.nn.functional.pad(image, (gap, gap, gap, gap), value=1.0)


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photo", type=Path, help="restore this photograph instead of the built-in ones")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder to write to")
    arguments = parser.parse_args()
    try:
        if arguments.photo:
            restore_one(arguments.photo, arguments.out)
        else:
            demonstrate(arguments.out)
    except PellucidError as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
