"""Further metrics of an evaluation, by name: beside PSNR and SSIM, which every protocol has."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from pellucid.errors import SettingsError, unknown_name
from pellucid.evaluation.score import Metric
from pellucid.metrics import blockiness, load_lpips, ms_ssim, noise_sigma, sharpness

__all__ = ["METRICS", "find_metrics"]

METRICS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "blockiness": lambda restored, clean: blockiness(restored),
    "ms-ssim": ms_ssim,
    "noise": lambda restored, clean: noise_sigma(restored),
    "sharpness": lambda restored, clean: sharpness(restored),
}
"""Further metrics by name, each (restored, clean) to one number (`pellucid.metrics`). LPIPS needs files of weights."""


def find_metrics(names: Sequence[str]) -> dict[str, Metric]:
    """Metrics by name.

    Raises:
        SettingsError: an unknown one, or LPIPS without its files.
        ModelError: files of LPIPS that are missing or wrong.
    """
    found: dict[str, Metric] = {}
    for name in names:
        kind, *files = name.split(":")
        if kind == "lpips" and len(files) == 3:
            measure: Callable[[Tensor, Tensor], Tensor] = load_lpips(files[1], files[2], files[0])
            digest = hashlib.sha256(b"".join(Path(file).read_bytes() for file in files[1:])).hexdigest()
            found[f"lpips-{files[0]}-{digest[:8]}"] = _as_number(measure)  # scores of other weights are other scores
        elif kind == "lpips":
            raise SettingsError(
                f"metric {name!r}: expected lpips:NETWORK:BACKBONE_FILE:HEADS_FILE with the network alex, vgg or "
                "squeeze"
            )
        elif name in METRICS:
            found[name] = _as_number(METRICS[name])
        else:
            raise SettingsError(unknown_name("metric", name, [*METRICS, "lpips"]))
    return found


def _as_number(measure: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    return lambda restored, clean: float(measure(restored, clean))
