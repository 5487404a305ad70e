"""Makes real noisy photographs of pairs of dark and bright ones: each dark one at its partner's exposure.

python tools/match_exposure.py DARK BRIGHT runs/real-noise
pellucid evaluate --model default --alone --task "real denoising" \\
    --data runs/real-noise/clean --degraded runs/real-noise/noisy
"""

import argparse
from pathlib import Path

from pellucid import images
from pellucid.data.exposure import matched_exposure
from pellucid.data.folders import list_pairs
from pellucid.errors import DataError, PellucidError


def match(dark: Path, bright: Path, out: Path) -> None:
    """Writes both folders, as PNG of 8 bits, with the folders that the dark ones lie in.

    Raises:
        DataError: a folder is missing, a file has no partner, or one of another size.
        ImageError: a file cannot be read or written.
    """
    for one, other in list_pairs(dark, bright):
        degraded, clean = (images.read(path).pixels[0] for path in (one, other))
        try:
            noisy = matched_exposure(degraded, clean)
        except DataError as error:
            raise DataError(f"{one}, {other}: {error}") from None
        for name, picture in (("noisy", noisy), ("clean", clean)):
            target = (out / name / one.relative_to(dark)).with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            images.write(images.Photograph(picture[None]), target, overwrite=True)


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dark", type=Path)
    parser.add_argument("bright", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    try:
        match(options.dark, options.bright, options.out)
    except PellucidError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
