"""URetinex-Net: Retinex by unfolding, each step of an optimisation followed by a learned one."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.guidance import NOTHING, Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, numbered

__all__ = ["URetinexNet"]

SLOPE = 0.2
"""Of every leaky ReLU."""
REACH = 8
"""Pixels that a result of any of the networks depends on around it, at most."""
STRIP = 2**18
"""Pixels of a picture that are looked at together."""


class ReflectanceStep(nn.Module):
    """The reflectance R from the auxiliary P (3 channels), guided by Q (1 channel): P and a learned correction."""

    def __init__(self, width: int) -> None:
        super().__init__()
        both = 2 * width
        self.from_reflectance = nn.Conv2d(3, width, 3, padding=1)
        self.from_illumination = nn.Conv2d(1, width, 3, padding=1)
        hidden = max(1, both // 16)
        self.squeeze = nn.Linear(both, hidden, bias=False)
        self.excite = nn.Linear(hidden, both, bias=False)
        self.convolutions = nn.ModuleList(nn.Conv2d(both, both, 3, padding=1) for _ in range(5))
        self.tail = nn.Conv2d(both, 3, 3, padding=1)

    def features(self, reflectance: Tensor, illumination: Tensor) -> Tensor:
        """What is weighed, (B, 2 width, H, W); reach 1 pixel."""
        return torch.cat([self.from_reflectance(reflectance), self.from_illumination(illumination)], 1).relu()

    def weights(self, mean: Tensor) -> Tensor:
        """The weights of the features, (B, 2 width), from their means over the whole picture."""
        weights: Tensor = self.excite(self.squeeze(mean).relu()).sigmoid()
        return weights

    def forward(self, reflectance: Tensor, illumination: Tensor, weights: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) and (B, 1, H, W) to (B, 3, H, W), which may leave [0, 1]; reach `REACH` pixels.

        Without weights those of the images, as if they were whole pictures.
        """
        features = self.features(reflectance, illumination)
        weights = self.weights(features.mean((2, 3))) if weights is None else weights
        features = features * weights[:, :, None, None]
        for convolution in self.convolutions:
            features = convolution(features).relu()
        refined: Tensor = reflectance + self.tail(features)
        return refined


class URetinexNet(Network):
    """Dark image in, bright image out: (B, 3, H, W) in [0, 1], any size.

    Source: Wu et al., "URetinex-Net: Retinex-Based Deep Unfolding Network for Low-Light Image Enhancement" (CVPR 2022),
    section 3. A first network splits I into P and Q; then come rounds. In each, P and Q are the minimisers of

        |I - P Q|^2 + wp |P - R|^2          P = (I Q + wp R) / (Q^2 + wp)
        |I - P Q|^2 + wq |Q - L|^2          Q = (sum_rgb I P + wq L) / (sum_rgb P^2 + wq)

    with weights that grow from round to round, and R and L are what networks make of P and Q, the same ones every
    round. The result is R times the illumination adjusted by a ratio, by how much light is to grow:
    `told["ratio"]`, or that of the settings. A step weighs its features by their means over the whole picture: of
    one that is to be cut `look` finds the weights, strip by strip; tiles then come out as they do in the whole.
    Published: 340,105 parameters. LOL, 15 photographs: 19.84 dB with a ratio of 5; 21.33 dB is reached only where
    each photograph's ratio is taken from its bright original.

    Args:
        width: channels of the networks; twice as many in that for the reflectance.
        rounds: of the unfolding.
        ratio: where the user does not say another; the authors advise 3 to 5.
        reflectance_weight: wp of the first round but one, less one increment.
        illumination_weight: wq of it.
        increment: of both, each round.

    Raises:
        SettingsError: a ratio that is not positive is told.
    """

    def __init__(
        self,
        width: int = 32,
        rounds: int = 3,
        ratio: float = 5.0,
        reflectance_weight: float = 0.1,
        illumination_weight: float = 0.5,
        increment: float = 0.05,
    ) -> None:
        super().__init__()
        if min(width, rounds) < 1 or ratio <= 0 or min(reflectance_weight, illumination_weight) <= 0 or increment < 0:
            raise ValueError("width, rounds, ratio and weights must be positive, and increment not negative")
        self.contract = Contract(looks=True, numbers=("ratio",))
        self.settings = {
            "width": width,
            "rounds": rounds,
            "ratio": ratio,
            "reflectance_weight": reflectance_weight,
            "illumination_weight": illumination_weight,
            "increment": increment,
        }
        self.rounds, self.ratio, self.increment = rounds, ratio, increment
        self.reflectance_weight, self.illumination_weight = reflectance_weight, illumination_weight
        self.decomposition = _leaky([nn.Conv2d(3, width, 3, padding=1), *_same(2, width, 3), _last(width, 4, 3)])
        self.reflectance = ReflectanceStep(width)
        self.illumination = _leaky([nn.Conv2d(1, width, 5, padding=2), *_same(3, width, 5), _last(width, 1, 1)])
        self.adjustment = _leaky([nn.Conv2d(2, width, 5, padding=2), *_same(2, width, 5), _last(width, 1, 5)])

    @classmethod
    def tiny(cls) -> "URetinexNet":
        """The smallest useful instance, for tests."""
        return cls(width=4)

    def split(self, degraded: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The reflectance R (B, 3, H, W) and the illumination L (B, 1, H, W) of an image, after the last round.

        Args:
            degraded: the image.
            weights: those of the whole picture in each round, (B, rounds, 2 width), where the image is a part of it.
        """
        auxiliary, light = self._decomposed(degraded)
        reflectance = illumination = light
        for number in range(self.rounds):
            if number:
                auxiliary, light = self._minimisers(degraded, light, reflectance, illumination, number)
            own = None if weights is None else weights[:, number]
            reflectance, illumination = self.reflectance(auxiliary, light, own).float(), self._illumination(light)
        return reflectance, illumination

    def _decomposed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        parts: Tensor = self.decomposition(image).float().relu()
        return parts[:, :3], parts[:, 3:]

    def _illumination(self, light: Tensor) -> Tensor:
        illumination: Tensor = self.illumination(light).float().relu()
        return illumination

    @torch.no_grad()
    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["weights"]`, of the features in each round, (B, rounds, 2 width), for a picture that will be cut.

        One that is not shows them to `restore` itself.
        """
        if not cut:
            return known
        decomposed = _by_strips(lambda part: torch.cat(self._decomposed(part), 1), image)
        auxiliary, light = decomposed[:, :3], decomposed[:, 3:]
        found, step = [], self.reflectance
        reflectance = illumination = light
        for number in range(self.rounds):
            if number:
                auxiliary, light = self._minimisers(image, light, reflectance, illumination, number)
            both = torch.cat([auxiliary, light], 1)
            means = _by_strips(lambda part: step.features(part[:, :3], part[:, 3:]).float(), both, total=True)
            found.append(step.weights(means / (image.shape[2] * image.shape[3])))
            if number + 1 < self.rounds:
                last = found[-1]
                reflectance = _by_strips(lambda part: step(part[:, :3], part[:, 3:], last).float(), both)  # noqa: B023
                illumination = _by_strips(self._illumination, light)
        return known.knowing(own={"weights": torch.stack(found, 1)})

    def _minimisers(
        self, image: Tensor, light: Tensor, reflectance: Tensor, illumination: Tensor, number: int
    ) -> tuple[Tensor, Tensor]:
        wp = self.reflectance_weight + number * self.increment
        wq = self.illumination_weight + number * self.increment
        with without_autocast(image):
            auxiliary = (image * light + wp * reflectance) / (light.square() + wp)
            numerator = (image * auxiliary).sum(1, keepdim=True) + wq * illumination
            return auxiliary, numerator / (auxiliary.square().sum(1, keepdim=True) + wq)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns R times the adjusted L."""
        ratio = guidance.told.get("ratio", self.ratio)
        if ratio <= 0:
            raise SettingsError(f"ratio must be positive, got {ratio:g}")
        reflectance, illumination = self.split(tile, guidance.own.get("weights"))
        asked = torch.cat([illumination, torch.full_like(illumination, ratio)], 1)
        with without_autocast(tile):  # what it multiplies is the image
            light = F.relu(self.adjustment(asked))
        restored: Tensor = light * reflectance
        return restored


def _by_strips(function: Callable[[Tensor], Tensor], image: Tensor, *, total: bool = False) -> Tensor:
    """What a function that reaches `REACH` pixels makes of a picture (B, C, H, W), from strips of it.

    With `total`, the sums of that over the pixels, (B, C).
    """
    height, rows = image.shape[2], max(1, STRIP // image.shape[3])
    found = []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(0, top - REACH), min(height, bottom + REACH)
        own = function(image[:, :, first:last])[:, :, top - first : bottom - first]
        found.append(own.sum((2, 3)) if total else own)
    return torch.stack(found).sum(0) if total else torch.cat(found, 2)


def _same(count: int, width: int, side: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, side, padding=side // 2) for _ in range(count)]


def _last(width: int, outputs: int, side: int) -> nn.Module:
    return nn.Conv2d(width, outputs, side, padding=side // 2)


def _leaky(convolutions: list[nn.Module]) -> nn.Sequential:
    """The convolutions with leaky ReLUs between them."""
    between = [layer for convolution in convolutions for layer in (convolution, nn.LeakyReLU(SLOPE))]
    return nn.Sequential(*between[:-1])


PUBLISHED = Published(
    task="low light",
    marks=("decom.decom.0.weight", "unfolding_r.conv1.weight", "adjust.conv1.weight"),
    settings=lambda weights: {"width": weights["decom.decom.0.weight"].shape[0]},
    names=(
        (r"^decom\.decom", "decomposition"),
        (r"^unfolding_r\.conv1\b", "reflectance.from_reflectance"),
        (r"^unfolding_r\.conv2\b", "reflectance.from_illumination"),
        (r"^unfolding_r\.conv8\b", "reflectance.tail"),
        (r"^unfolding_r\.conv(\d)", numbered("reflectance.convolutions.{}", 3)),
        (r"^unfolding_r\.se_layer\.fc\.0", "reflectance.squeeze"),
        (r"^unfolding_r\.se_layer\.fc\.2", "reflectance.excite"),
        (r"^unfolding_l\.conv(\d)", lambda found: f"illumination.{2 * (int(found[1]) - 1)}"),
        (r"^adjust\.conv(\d)", lambda found: f"adjustment.{2 * (int(found[1]) - 1)}"),
    ),
)
