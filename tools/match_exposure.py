"""Makes real noisy photographs of pairs of dark and bright ones: each dark one at its partner's exposure, beside the partner.

python tools/match_exposure.py DARK BRIGHT runs/real-noise
pellucid evaluate --model default --alone --data runs/real-noise/clean --degraded runs/real-noise/noisy --task "real denoising"
"""

import argparse
from pathlib import Path

from pellucid import images
from pellucid.data.exposure import matched_exposure
from pellucid.data.folders import list_pairs


def main() -> None:
    """Reads the arguments and writes both folders, as PNG of 8 bits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dark", type=Path)
    parser.add_argument("bright", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for name in ("noisy", "clean"):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    for dark, bright in list_pairs(options.dark, options.bright):
        degraded, clean = (images.read(path).pixels[0] for path in (dark, bright))
        for name, picture in (("noisy", matched_exposure(degraded, clean)), ("clean", clean)):
            images.write(images.Photograph(picture[None]), options.out / name / f"{dark.stem}.png", overwrite=True)


if __name__ == "__main__":
    main()
