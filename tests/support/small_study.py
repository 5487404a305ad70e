"""Pictures for a small study."""

import torch

from pellucid import images

NAMES = ("première", "lakeside_dusk", "old mill", "zebra")
"""Names of photographs; like those of the folders, they must not reach a browser."""


def picture(path, height=32, width=48, seed=0, **fields):
    """Writes a picture of random pixels, and gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    if fields.get("grey"):
        pixels = pixels[:, :1].expand(-1, 3, -1, -1)
    images.write(images.Photograph(pixels, **fields), path)
    return path
