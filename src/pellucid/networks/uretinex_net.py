"""URetinex-Net: Retinex by unfolding, each step of an optimisation followed by a learned one."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, numbered

__all__ = ["URetinexNet"]

SLOPE = 0.2
"""Of every leaky ReLU."""


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

    def forward(self, reflectance: Tensor, illumination: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, 1, H, W) to (B, 3, H, W), which may leave [0, 1]."""
        features = torch.cat([self.from_reflectance(reflectance), self.from_illumination(illumination)], 1).relu()
        weights = self.excite(self.squeeze(features.mean((2, 3))).relu()).sigmoid()
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
    round. The result is R times the illumination adjusted by a ratio, by how much light is to grow: `told["ratio"]`,
    or that of the settings. Published: 340,105 parameters. LOL, 15 photographs: 19.84 dB with a ratio of 5; 21.33 dB is
    reached only where each photograph's ratio is taken from its bright original.

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
        self.contract = Contract(numbers=("ratio",))
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

    def split(self, degraded: Tensor) -> tuple[Tensor, Tensor]:
        """The reflectance R (B, 3, H, W) and the illumination L (B, 1, H, W) of an image, after the last round."""
        auxiliary, light = self.decomposition(degraded).float().relu().split((3, 1), 1)
        reflectance, illumination = self._learned(auxiliary, light)
        for number in range(1, self.rounds):
            auxiliary, light = self._minimisers(degraded, light, reflectance, illumination, number)
            reflectance, illumination = self._learned(auxiliary, light)
        return reflectance, illumination

    def _learned(self, auxiliary: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
        return self.reflectance(auxiliary, light).float(), self.illumination(light).float().relu()

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
        reflectance, illumination = self.split(tile)
        asked = torch.cat([illumination, torch.full_like(illumination, ratio)], 1)
        with without_autocast(tile):  # what it multiplies is the image
            light = F.relu(self.adjustment(asked))
        restored: Tensor = light * reflectance
        return restored


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
