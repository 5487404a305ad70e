"""Makes pairs of noisy and clean photographs as cameras do that pellucid's own degradations know nothing of.

python tools/simulate_cameras.py runs/held-out runs/cameras
pellucid evaluate --model MODEL --data runs/cameras/phone/clean --degraded runs/cameras/phone/noisy --task "real
denoising"

Every stage is another one than those of `camera-noise`, which works on the noise alone: photons are counted, values are
rounded and clipped as a sensor does, demosaicking follows edges, and the picture itself is denoised, sharpened and
scaled by scikit-image. The clean partner is what the same camera makes of the same light when every photon arrives that
should.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter  # type: ignore[import-untyped]
from skimage.color import rgb2ycbcr, ycbcr2rgb
from skimage.filters import unsharp_mask
from skimage.restoration import denoise_bilateral, denoise_nl_means
from skimage.transform import resize

from pellucid.data.folders import list_photographs
from pellucid.errors import PellucidError

Array = NDArray[np.float64]

LEVELS = 4095 - 64
"""Of the analogue-digital converter, of 12 bits, above the level of black."""


@dataclass(frozen=True)
class Simulated:
    """A camera: electrons that white fills a pixel with, the deviation of reading in electrons, and what comes then.

    Attributes:
        white, read: in electrons; the fewer, the higher the ISO.
        gains: of red and blue against green.
        lens: the standard deviation of the blur of the lens, in pixels.
        denoised: by which way brightness is denoised: none, bilateral or (non-local) means.
        colour: the standard deviation of the Gaussian over the colours, in pixels.
        sharpened: the amount of the unsharp mask.
        scale: of each side, before it is stored.
        stored: quality and subsampling of each JPEG file; between two the first three rows and columns are cut off.
    """

    white: float
    read: float
    gains: tuple[float, float]
    lens: float
    denoised: str
    colour: float
    sharpened: float
    scale: float
    stored: tuple[tuple[int, int], ...]


CAMERAS = {
    "phone": Simulated(1200, 3, (1.9, 1.7), 0.5, "bilateral", 2.0, 0.8, 1.0, ((92, 2),)),
    "compact": Simulated(900, 5, (1.5, 2.4), 0.6, "means", 3.0, 1.2, 1.0, ((85, 2),)),
    "reflex": Simulated(2500, 6, (2.1, 1.6), 0.4, "none", 0.0, 0.5, 1.0, ((97, 0),)),
    "sent": Simulated(500, 4, (2.3, 1.5), 0.5, "bilateral", 1.5, 0.5, 0.6, ((90, 2), (78, 2))),
    "zoomed": Simulated(1500, 4, (1.4, 2.7), 0.8, "none", 1.0, 0.0, 1.5, ((90, 1),)),
}
"""A subsampling of 0 is 4:4:4, of 1 is 4:2:2, of 2 is 4:2:0, as Pillow counts."""


def photograph(camera: Simulated, scene: Array, random: np.random.Generator | None) -> Array:
    """What a camera makes of a picture (H, W, 3) in [0, 1]: noisy where there is chance, else as it should be, not
    stored."""
    light = gaussian_filter(scene**2.2, (camera.lens, camera.lens, 0)) * 0.9
    gains = np.array([camera.gains[0], 1.0, camera.gains[1]])
    colours = light / gains
    height, width = (length // 2 * 2 for length in light.shape[:2])
    there = np.zeros((height, width, 3))
    there[0::2, 0::2, 0] = there[0::2, 1::2, 1] = there[1::2, 0::2, 1] = there[1::2, 1::2, 2] = 1
    electrons = (colours[:height, :width] * there).sum(2) * camera.white
    if random is not None:
        electrons = random.poisson(electrons) + random.normal(0, camera.read, electrons.shape)
        electrons = (np.clip(electrons / camera.white * LEVELS, -64, LEVELS)).round() / LEVELS * camera.white
    balanced = _along_edges(electrons / camera.white, there) * gains
    matrix = np.array([[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [-0.05, -0.45, 1.5]])
    encoded = np.clip(balanced @ matrix.T, 0, 1) ** (1 / 2.2)
    return _processed(camera, 0.7 * encoded + 0.3 * (0.5 - 0.5 * np.cos(np.pi * encoded)))


def _along_edges(mosaic: Array, there: Array) -> Array:
    """Demosaicking by Hamilton and Adams (US 5629734, 1997): green along the smaller gradient, then colour
    differences."""
    step, second = np.array([[1.0, 0, 1]]), np.array([[-1.0, 0, 2, 0, -1]])
    guesses, slopes = [], []
    for turned in (lambda taps: taps, np.transpose):
        bend = convolve(mosaic, turned(second), mode="mirror")
        guesses.append(convolve(mosaic, turned(step / 2), mode="mirror") + bend / 4)
        slopes.append(np.abs(convolve(mosaic, turned(np.array([[1.0, 0, -1]])), mode="mirror")) + np.abs(bend))
    across, down = guesses
    green = np.where(slopes[0] < slopes[1], across, np.where(slopes[0] > slopes[1], down, (across + down) / 2))
    green = np.where(there[..., 1] > 0, mosaic, green)
    near = np.array([[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]])
    red, blue = (green + convolve((mosaic - green) * there[..., channel], near, mode="mirror") for channel in (0, 2))
    return np.stack([red, green, blue], 2)


def _processed(camera: Simulated, picture: Array) -> Array:
    """Denoised, sharpened and scaled."""
    luma, *colours = np.moveaxis(np.asarray(rgb2ycbcr(picture)), 2, 0)
    luma = luma / 255
    smoothed: dict[str, Callable[[Array], Any]] = {
        "none": lambda plane: plane,
        "bilateral": lambda plane: denoise_bilateral(plane, sigma_color=0.05, sigma_spatial=1.2),
        "means": lambda plane: denoise_nl_means(plane, patch_size=3, patch_distance=5, h=0.03),
    }
    luma = unsharp_mask(np.asarray(smoothed[camera.denoised](luma)), 1.0, camera.sharpened, preserve_range=True)
    if camera.colour:
        colours = [gaussian_filter(plane, camera.colour) for plane in colours]
    picture = np.clip(np.asarray(ycbcr2rgb(np.stack([luma * 255, *colours], 2))), 0, 1)
    size = [round(length * camera.scale) for length in picture.shape[:2]]
    return np.asarray(resize(picture, size, order=3, anti_aliasing=camera.scale < 1)).clip(0, 1)


def simulate(source: Path, out: Path, side: int) -> None:
    """Writes `noisy` and `clean` of each camera, as PNG of 8 bits, of the middle of each photograph.

    Raises:
        DataError: the folder is missing or empty.
    """
    for number, path in enumerate(list_photographs(source)):
        with Image.open(path) as opened:
            scene = np.asarray(opened.convert("RGB"), float) / 255
        top, left = (max(0, (length - side) // 2) for length in scene.shape[:2])
        scene = scene[top : top + side, left : left + side]
        for place, (name, camera) in enumerate(CAMERAS.items()):
            noisy = _bytes(photograph(camera, scene, np.random.default_rng([number, place])))
            clean = _bytes(photograph(camera, scene, None))
            for turn, (quality, subsampling) in enumerate(camera.stored):
                cut = 3 * (turn > 0)
                noisy, clean = _stored(noisy[cut:, cut:], quality, subsampling), clean[cut:, cut:]
            for kind, picture in (("noisy", noisy), ("clean", clean)):
                target = out / name / kind / f"{path.stem}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(target)


def _bytes(picture: Array) -> NDArray[np.uint8]:
    return (picture * 255).round().astype(np.uint8)


def _stored(picture: NDArray[np.uint8], quality: int, subsampling: int) -> NDArray[np.uint8]:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as decoded:
        return np.array(decoded)


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=320, help="of the part of each photograph, in pixels")
    options = parser.parse_args()
    try:
        simulate(options.source, options.out, options.side)
    except PellucidError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
