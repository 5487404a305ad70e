"""SCI: self-calibrated illumination, trained as a cascade of stages and used as one."""

from typing import NamedTuple

from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, count

__all__ = ["SCI", "SCIStage"]


class SCIStage(NamedTuple):
    """One stage of the cascade, each (B, 3, H, W)."""

    input: Tensor
    """v, the degraded image with the last stage's calibration."""
    illumination: Tensor
    """x, in [0.0001, 1]."""
    enhanced: Tensor
    """z = y / x, in [0, 1]."""


class Illumination(nn.Module):
    """H, the part that is used at test time: an image to its illumination, at least as bright as the image."""

    def __init__(self, repeats: int) -> None:
        super().__init__()
        self.repeats = repeats
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True))
        self.last = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, h, w) to the same, in [0.0001, 1]."""
        with without_autocast(image):
            features = self.first(image).relu_()
            for _ in range(self.repeats):
                features = features + self.block(features)
            illumination: Tensor = (image + self.last(features).sigmoid()).clamp(1e-4, 1)
        return illumination


class Calibration(nn.Module):
    """K, needed in training only: an enhanced image to what is added to the degraded one before the next stage."""

    def __init__(self, width: int, repeats: int) -> None:
        super().__init__()
        self.repeats = repeats
        self.first = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.block = nn.Sequential(
            *(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, enhanced: Tensor) -> Tensor:
        """(B, 3, h, w) in and out."""
        features = self.first(enhanced)
        for _ in range(self.repeats):
            features = features + self.block(features)
        calibration: Tensor = enhanced - self.last(features).sigmoid()
        return calibration


class SCI(Network):
    """Dark image in, bright image out: (B, 3, H, W) in [0, 1], any size.

    Source: Ma et al., "Toward Fast, Flexible, and Robust Low-Light Image Enhancement" (CVPR 2022, arXiv 2204.10137).
    Equation 1: u^t = H(x^t), x^{t+1} = x^t + u^t, x^0 = y, estimates the illumination x of the dark image y. Equation
        2, in
    training: z^t = y / x^t is enhanced, a calibration s^t = K(z^t) is computed of it, and v^t = y + s^t is the next
    stage's input (equation 3), so that all stages come to agree. At test time one stage suffices: 258 parameters, z = y
    / x.

    The losses are computed of every stage: `stages` gives them.

    Args:
        iterations: stages of the cascade in training.
        repeats: how often H applies its block (its weights are shared).
        calibration_width: channels of K.
        calibration_repeats: how often K applies its block.
    """

    def __init__(
        self, iterations: int = 3, repeats: int = 1, calibration_width: int = 16, calibration_repeats: int = 3
    ) -> None:
        super().__init__()
        if min(iterations, repeats, calibration_width, calibration_repeats) < 1:
            raise ValueError("iterations, repeats, calibration_width and calibration_repeats must be positive")
        self.contract = Contract()
        self.settings = {
            "iterations": iterations,
            "repeats": repeats,
            "calibration_width": calibration_width,
            "calibration_repeats": calibration_repeats,
        }
        self.iterations = iterations
        self.illumination = Illumination(repeats)
        self.calibration = Calibration(calibration_width, calibration_repeats)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    @classmethod
    def tiny(cls) -> "SCI":
        """The smallest useful instance, for tests."""
        return cls(calibration_width=4)

    def stages(self, degraded: Tensor) -> list[SCIStage]:
        """Every stage of the cascade, for the losses; the first one's `enhanced` is what `restore` returns."""
        image, stages = degraded, []
        for _ in range(self.iterations):
            illumination = self.illumination(image)
            enhanced = (degraded / illumination).clamp(0, 1)
            stages.append(SCIStage(image, illumination, enhanced))
            image = degraded + self.calibration(enhanced)
        return stages

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns y / H(y), in [0, 1]."""
        illumination: Tensor = self.illumination(tile)
        return (tile / illumination).clamp(0, 1)

    def traced(self, tile: Tensor, guidance: Guidance) -> tuple[Tensor, list[SCIStage]]:
        """What `restore` gives, and every stage: training runs the whole cascade, whose first stage alone restores."""
        stages = self.stages(tile)
        return stages[0].enhanced, stages


PUBLISHED = Published(
    task="low light",
    marks=("enhance.in_conv.0.weight", "calibrate.in_conv.0.weight"),
    settings=lambda weights: {
        "repeats": count(weights, r"enhance\.blocks\.\d+\.0\.weight"),
        "calibration_width": weights["calibrate.in_conv.0.weight"].shape[0],
        "calibration_repeats": count(weights, r"calibrate\.blocks\.\d+\.0\.weight"),
    },
    names=(
        (r"^enhance\.in_conv\.0", "illumination.first"),
        (r"^enhance\.conv", "illumination.block"),
        (r"^enhance", "illumination"),
        (r"^calibrate\.in_conv", "calibration.first"),
        (r"^calibrate\.convs", "calibration.block"),
        (r"^calibrate", "calibration"),
        (r"out_conv\.0", "last"),
    ),
    copies=r"(enhance|calibrate)\.blocks\.",  # one block, applied repeatedly
)
