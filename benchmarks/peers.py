"""Quality against time: pellucid beside what people run, on the same noisy photographs, in one run.

Each denoiser restores the same crops of scikit-image's photographs, with Gaussian noise, 8 bits, in turn, in a process
of its own with one thread; CPU seconds count, since wall time depends on what else runs. Peers that are not installed,
or whose weights are not given, are left out and named. `--svg FILE` draws the picture.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import pellucid
from pellucid.devices import processor
from pellucid.engines.sessions import installed

Image = NDArray[np.uint8]
Denoise = Callable[[Image], Image]

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def pictures(sigma: float, side: int) -> list[tuple[Image, Image]]:
    """Clean and noisy crops (side, side, 3) of scikit-image's photographs."""
    random = np.random.default_rng(0)
    pairs = []
    for name in PHOTOGRAPHS:
        whole = getattr(skimage.data, name)()[..., :3]
        top, left = ((length - min(side, length)) // 2 for length in whole.shape[:2])
        clean = whole[top : top + side, left : left + side]
        noisy = (clean + random.normal(0, sigma, clean.shape)).clip(0, 255).round().astype(np.uint8)
        pairs.append((clean, noisy))
    return pairs


def ours(model: str, **options: Any) -> Denoise:
    """A model of ours, or published weights in a file."""
    restorer = pellucid.load(model, **options)
    return lambda noisy: np.asarray(restorer(noisy))


def non_local_means(sigma: float) -> Denoise:
    """OpenCV's, at the strength that its documentation means for the noise."""
    import cv2

    return lambda noisy: np.asarray(
        cv2.fastNlMeansDenoisingColored(noisy, None, sigma * 0.8, sigma * 0.8, 7, 21), np.uint8
    )


def bm3d(sigma: float) -> Denoise:
    """BM3D, told the noise."""
    import bm3d as package

    return lambda noisy: np.asarray((package.bm3d_rgb(noisy / 255, sigma / 255).clip(0, 1) * 255).round(), np.uint8)


def oidn() -> Denoise:
    """Intel's Open Image Denoise, made for renderings, given the picture alone."""
    import pyoidn

    def denoise(noisy: Image) -> Image:
        found = np.asarray(pyoidn.denoise(np.ascontiguousarray(noisy, np.float32) / 255))
        return (found.clip(0, 1) * 255).round().astype(np.uint8)

    return denoise


def skimage_means(sigma: float) -> Denoise:
    """scikit-image's non-local means, told the noise, in its fast form."""
    from skimage.restoration import denoise_nl_means

    def denoise(noisy: Image) -> Image:
        found = denoise_nl_means(
            noisy / 255, h=0.7 * sigma / 255, sigma=sigma / 255, patch_size=5, patch_distance=6, channel_axis=2
        )
        return np.asarray((found.clip(0, 1) * 255).round(), np.uint8)

    return denoise


def candidates(sigma: float, weights: Path | None) -> dict[str, Callable[[], Denoise]]:
    """Everything that could run, by name; what cannot raises when it is made."""
    found: dict[str, Callable[[], Denoise]] = {
        "OpenCV non-local means": lambda: non_local_means(sigma),
        "scikit-image non-local means": lambda: skimage_means(sigma),
        "BM3D": lambda: bm3d(sigma),
        "OIDN": oidn,
    }
    for model in ("denoise", "default", "fast"):
        found[f"pellucid {model}, torch"] = lambda model=model: ours(model, engine="torch")  # type: ignore[misc]
        if installed("openvino"):
            found[f"pellucid {model}, OpenVINO"] = lambda model=model: ours(model, engine="openvino")  # type: ignore[misc]
    for name, file in (("DnCNN (blind)", "dncnn_b"), ("FFDNet", "ffdnet_color"), ("Restormer", "restormer_blind")):
        path = None if weights is None else weights / f"{file}.safetensors"
        if path is not None and path.is_file():
            found[name] = lambda path=path: ours(str(path))  # type: ignore[misc]
            if name == "FFDNet":
                found[f"{name}, float32"] = lambda path=path: ours(str(path), precision="float32")  # type: ignore[misc]
    return found


def psnr(restored: Image, clean: Image) -> float:
    """In decibels, of 8 bits."""
    return float(10 * np.log10(255**2 / np.square(restored.astype(float) - clean).mean()))


class Worker:
    """A denoiser in a process of its own: of several engines and libraries in one, the threads of one wait and burn
    time that would count for another.

    Args:
        name: one of `candidates`.
        sigma: of the noise, for those that are told it.
        weights: see `candidates`.

    Raises:
        PeerError: it is not installed, or cannot run.
    """

    def __init__(self, name: str, sigma: float, weights: Path | None) -> None:
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (name, sigma, weights))

    def __call__(self, noisy: Image) -> tuple[Image, float]:
        """The restored picture, and the CPU seconds that it took."""
        return self.pool.submit(_run, noisy).result()


class PeerError(Exception):
    """Why a denoiser is left out."""


_running: dict[str, Any] = {}
"""In a worker: what it runs, or why it cannot."""


def _begin(name: str, sigma: float, weights: Path | None) -> None:
    torch.set_num_threads(1)
    try:
        _running["denoise"] = candidates(sigma, weights)[name]()
    except (ImportError, pellucid.errors.PellucidError) as error:
        _running["why"] = str(error).splitlines()[0]


def _run(noisy: Image) -> tuple[Image, float]:
    if "why" in _running:
        raise PeerError(_running["why"])
    started = time.process_time()
    restored = _running["denoise"](noisy)
    return restored, time.process_time() - started


def measure(
    names: Sequence[str], pairs: list[tuple[Image, Image]], rounds: int, sigma: float, weights: Path | None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of name, CPU seconds a megapixel and PSNR; and why others are left out."""
    workers, missing = {}, {}
    for name in names:
        worker = Worker(name, sigma, weights)
        try:
            for _, noisy in pairs:
                worker(noisy)  # the first time is another's: graphs, and what is compiled for a size
            workers[name] = worker
        except PeerError as error:
            missing[name] = str(error)
            worker.pool.shutdown()
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    scores: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for clean, noisy in pairs:
            for name, worker in workers.items():
                restored, taken = worker(noisy)
                seconds[name].append(taken / (noisy.shape[0] * noisy.shape[1] / 1e6))
                scores[name].append(psnr(restored, clean))
    for worker in workers.values():
        worker.pool.shutdown()
    rows = [
        {"name": name, "cpu_seconds": statistics.median(seconds[name]), "psnr": statistics.fmean(scores[name])}
        for name in workers
    ]
    return sorted(rows, key=lambda row: -row["psnr"]), missing


def drawn(rows: list[dict[str, Any]], title: str) -> str:
    """An SVG: CPU seconds a megapixel to the right, by powers of ten, decibels upwards."""
    width, height, left, bottom = 760, 420, 60, 50
    times = np.log10([row["cpu_seconds"] for row in rows])
    low, high = np.floor(times.min()), np.ceil(times.max())
    least, most = np.floor(min(row["psnr"] for row in rows)), np.ceil(max(row["psnr"] for row in rows))

    def across(seconds: float) -> float:
        return float(left + (np.log10(seconds) - low) / max(high - low, 1) * (width - left - 210))

    def up(decibels: float) -> float:
        return float(height - bottom - (decibels - least) / max(most - least, 1) * (height - bottom - 40))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/><text x="{left}" y="20" font-size="14">{title}</text>',
    ]
    for power in range(int(low), int(high) + 1):
        x = across(10.0**power)
        parts.append(f'<line x1="{x:.0f}" y1="40" x2="{x:.0f}" y2="{height - bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.0f}" y="{height - bottom + 18}" text-anchor="middle">{10.0**power:g}</text>')
    for decibels in range(int(least), int(most) + 1):
        y = up(decibels)
        parts.append(f'<line x1="{left}" y1="{y:.0f}" x2="{width - 210}" y2="{y:.0f}" stroke="#eee"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{decibels}</text>')
    parts.append(f'<text x="{left}" y="{height - 10}">CPU seconds a megapixel (PSNR in dB upwards)</text>')
    for number, row in enumerate(rows, 1):
        x, y = across(row["cpu_seconds"]), up(row["psnr"])
        colour = "#c33" if row["name"].startswith("pellucid") else "#357"
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{colour}"/>')
        beside, anchor = (x - 7, "end") if number % 2 else (x + 7, "start")
        parts.append(f'<text x="{beside:.0f}" y="{y + 4:.0f}" text-anchor="{anchor}" fill="{colour}">{number}</text>')
        line = 50 + 18 * number
        parts.append(f'<text x="{width - 180}" y="{line}" fill="{colour}">{number} {row["name"]}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Measures, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sigma", type=float, default=25)
    parser.add_argument("--side", type=int, default=256, help="of the crops, in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", type=Path, help="a folder with dncnn_b, ffdnet_color, restormer_blind.safetensors")
    parser.add_argument("--without", action="append", default=[], help="a peer to leave out; again for more")
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--svg", type=Path, help="draw the picture there")
    options = parser.parse_args()
    known = candidates(options.sigma, options.weights)
    names = [name for name in known if not any(word in name for word in options.without)]
    shown = pictures(options.sigma, options.side)
    rows, missing = measure(names, shown, options.rounds, options.sigma, options.weights)
    table = Table("denoiser", "CPU s/MP", "PSNR")
    for row in rows:
        table.add_row(row["name"], f"{row['cpu_seconds']:.2f}", f"{row['psnr']:.2f}")
    console = Console()
    console.print(f"{processor()}; noise of sigma {options.sigma:g}, one thread", highlight=False)
    console.print(table)
    for name, why in missing.items():
        console.print(f"left out: {name}: {why}", highlight=False)
    if options.json:
        options.json.write_text(
            json.dumps({"processor": processor(), "rows": rows, "left_out": missing}, indent=1) + "\n"
        )
    if options.svg:
        options.svg.write_text(
            drawn(rows, f"Gaussian noise of sigma {options.sigma:g}, one thread of {processor().split(' cpu')[0]}")
        )


if __name__ == "__main__":
    main()
