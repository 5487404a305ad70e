"""How far an engine's results are from torch's, part by part."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.engines.parts import RefinementOnEngine, parts_of
from pellucid.guidance import NOTHING, Guidance

__all__ = ["Parity", "parity", "test_picture"]

SIZE = (160, 224)
"""Of the picture that is compared, in pixels."""

NOISE = 25 / 255


@dataclass(frozen=True)
class Parity:
    """The differences of one part, in levels of 255: the largest of a value, and the mean of all."""

    part: str
    precision: str
    largest: float
    mean: float

    def words(self) -> str:
        """One line for people."""
        return f"{self.part} in {self.precision}: {self.mean:.3f} of 255 from torch, {self.largest:.2f} at most"


@torch.no_grad()
def parity(model: nn.Module, *, bfloat16: bool = False) -> list[Parity]:
    """Compares every part of a model that an engine runs with the same part in torch in float32, on one noisy picture.

    Args:
        model: as `on_engine` gives it; one without such parts gives no rows.
        bfloat16: whether parts that are not rounded to 8 bits compute in it.
    """
    image = test_picture(*SIZE)
    precision = "bfloat16" if bfloat16 else "float32"
    rows = []
    for number, part in enumerate(parts_of(model)):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            if isinstance(part, RefinementOnEngine):
                feature = _feature(part)
                ours = part(image.flip(3), image, feature)
                with torch.autocast("cpu", enabled=False):
                    rows.append(_row("R", precision, ours, part.refinement(image.flip(3), image, feature)))
                continue
            given = image.repeat(1, 4, 1, 1)[:, : part.planes]
            name = f"{type(part.network).__name__} {number}"
            modes = {"never": [(precision, NOTHING)], "always": [("int8", NOTHING)]}
            rough = Guidance(own={"noise": torch.ones(1, 1)})
            for mode, told in modes.get(part.int8, [(precision, NOTHING), ("int8", rough)]):
                ours = part.restore(given, told)
                with torch.autocast("cpu", enabled=False):
                    theirs = part.network.restore(given, NOTHING)
                rows.append(_row(name, mode, ours, theirs))
    return rows


def test_picture(height: int, width: int) -> Tensor:
    """Slopes, edges and noise of NOISE, always the same, (1, 3, height, width) in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 5, 7, generator=generator)
    smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    blocks = F.interpolate((coarse > 0.5).float(), (height, width))
    noise = NOISE * torch.randn(1, 3, height, width, generator=generator)
    return ((0.7 * smooth + 0.3 * blocks) + noise).clamp(0, 1)


def _row(part: str, precision: str, ours: Tensor, theirs: Tensor) -> Parity:
    difference = 255 * (ours.float() - theirs.float()).abs()
    return Parity(part, precision, float(difference.max()), float(difference.mean()))


def _feature(part: RefinementOnEngine) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    places = (7, 9) if part.takes_maps else ()
    return torch.randn(1, part.refinement.prior_width, *places, generator=generator)
