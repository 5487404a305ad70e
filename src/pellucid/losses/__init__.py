"""L: how far a restored image is from the clean one, and what may be asked of one where no clean image exists.

LOSSES holds the first kind by name. The second kind looks at what its network computes on its way (`zero_dce` at
curves, `sci` at stages), so each has a page and a signature of its own.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from pellucid.losses.fidelity import absolute, charbonnier, detail, dissimilarity, squared
from pellucid.losses.sci import implied_illumination, sci
from pellucid.losses.zero_dce import zero_dce

__all__ = [
    "LOSSES",
    "absolute",
    "charbonnier",
    "detail",
    "dissimilarity",
    "implied_illumination",
    "sci",
    "squared",
    "zero_dce",
]

LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "absolute": absolute,
    "charbonnier": charbonnier,
    "detail": detail,
    "squared": squared,
    "ssim": dissimilarity,
}
"""Losses of (restored, clean) by the name that recipes give them."""
