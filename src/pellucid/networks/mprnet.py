"""MPRNet: restoration in three stages, on quarters, on halves and on the whole image."""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, Weights, numbered

__all__ = ["MPRNet"]

Scales = list[Tensor]
"""Features at the three scales of a stage, finest first."""


class AttentionBlock(nn.Module):
    """Two convolutions whose channels are weighed by their means (CAB), and the input again."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.first = _convolution(width, width, 3)
        self.second = _convolution(width, width, 3)
        self.squeeze = _convolution(width, width // reduction, 1)
        self.excite = _convolution(width // reduction, width, 1)

    def forward(self, features: Tensor, slope: Tensor) -> Tensor:
        """(B, width, h, w) in and out; `slope` is that of the network's one parametric ReLU."""
        mixed = self.second(F.prelu(self.first(features), slope))
        weights = self.excite(self.squeeze(mixed.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return torch.addcmul(features, mixed, weights)


class Blocks(nn.ModuleList):
    """Attention blocks one after another."""

    def __init__(self, width: int, count: int, reduction: int) -> None:
        super().__init__(AttentionBlock(width, reduction) for _ in range(count))

    def forward(self, features: Tensor, slope: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        for block in self:
            features = block(features, slope)
        return features


class Head(nn.Module):
    """A stage's first features of the image."""

    def __init__(self, channels: int, width: int, reduction: int) -> None:
        super().__init__()
        self.convolution = _convolution(channels, width, 3)
        self.block = AttentionBlock(width, reduction)

    def forward(self, image: Tensor, slope: Tensor) -> Tensor:
        """(B, channels, h, w) to (B, width, h, w)."""
        features: Tensor = self.block(self.convolution(image), slope)
        return features


class Encoder(nn.Module):
    """Three scales downwards; in the second stage, fed at each with what the first stage had there (CSFF)."""

    def __init__(self, widths: list[int], blocks: int, reduction: int, *, fed: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(Blocks(width, blocks, reduction) for width in widths)
        self.downsamples = nn.ModuleList(_convolution(a, b, 1) for a, b in pairwise(widths))
        kinds = ("encoded", "decoded") if fed else ()
        self.feeds = nn.ModuleDict({kind: nn.ModuleList(_convolution(w, w, 1) for w in widths) for kind in kinds})

    def forward(self, features: Tensor, slope: Tensor, encoded: Scales | None, decoded: Scales | None) -> Scales:
        """(B, width, h, w) to the features at each scale."""
        found: Scales = []
        for scale, level in enumerate(self.levels):
            if scale:
                # The mean of four is what bilinear halving gives.
                features = self.downsamples[scale - 1](F.avg_pool2d(features, 2))
            features = level(features, slope)
            if encoded is not None and decoded is not None:
                fed: Any = self.feeds
                features = features + fed["encoded"][scale](encoded[scale]) + fed["decoded"][scale](decoded[scale])
            found.append(features)
        return found


class Decoder(nn.Module):
    """Three scales upwards, with the encoder's features, each through a block, on the way."""

    def __init__(self, widths: list[int], blocks: int, reduction: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(Blocks(width, blocks, reduction) for width in widths)
        self.skips = nn.ModuleList(AttentionBlock(width, reduction) for width in widths[:-1])
        self.upsamples = nn.ModuleList(_convolution(b, a, 1) for a, b in pairwise(widths))

    def forward(self, encoded: Scales, slope: Tensor) -> Scales:
        """The encoder's features to those of the same scales here."""
        features = self.levels[-1](encoded[-1], slope)
        found = [features]
        for scale in reversed(range(len(self.skips))):
            features = _grown(self.upsamples[scale], features) + self.skips[scale](encoded[scale], slope)
            features = self.levels[scale](features, slope)
            found.insert(0, features)
        return found


class Supervised(nn.Module):
    """A stage's image, and its features weighed by what that image shows (SAM)."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.features = _convolution(width, width, 1)
        self.image = _convolution(width, channels, 1)
        self.weights = _convolution(channels, width, 1)

    def forward(self, features: Tensor, degraded: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width, h, w) and the image (B, channels, h, w) to the same."""
        image = self.image(features) + degraded
        return torch.addcmul(features, self.features(features), self.weights(image).sigmoid()), image


class OriginalResolution(nn.Module):
    """The third stage: blocks at full size alone (ORSNet), fed with all the second stage has found."""

    def __init__(self, widths: list[int], width: int, blocks: int, reduction: int) -> None:
        super().__init__()
        finest, middle, coarsest = widths
        self.groups = nn.ModuleList(Blocks(width, blocks, reduction) for _ in widths)
        self.ends = nn.ModuleList(_convolution(width, width, 3) for _ in widths)
        for kind in ("encoded", "decoded"):
            self.add_module(f"{kind}_from_middle", _convolution(middle, finest, 1))
            upwards = (_convolution(coarsest, middle, 1), _convolution(middle, finest, 1))
            self.add_module(f"{kind}_from_coarsest", nn.ModuleList(upwards))
            self.add_module(f"{kind}_feeds", nn.ModuleList(_convolution(finest, width, 1) for _ in widths))

    def forward(self, features: Tensor, slope: Tensor, encoded: Scales, decoded: Scales) -> Tensor:
        """(B, width, h, w) in and out."""
        for number, (group, end) in enumerate(zip(self.groups, self.ends, strict=True)):
            features = features + end(group(features, slope))
            features = features + self._fed(number, "encoded", encoded) + self._fed(number, "decoded", decoded)
        return features

    def _fed(self, scale: int, kind: str, found: Scales) -> Tensor:
        """The features of one scale, grown to full size and to this stage's width."""
        features = found[scale]
        if scale == 1:
            features = _grown(self.get_submodule(f"{kind}_from_middle"), features)
        if scale == 2:
            for convolution in self.get_submodule(f"{kind}_from_coarsest").children():
                features = _grown(convolution, features)
        fed: Tensor = self.get_submodule(f"{kind}_feeds.{scale}")(features)
        return fed


class MPRNet(Network):
    """Degraded image in, restored image out: (B, 3, H, W); H and W divisible by `multiple`.

    Source: Zamir et al., "Multi-Stage Progressive Image Restoration" (CVPR 2021, arXiv 2102.02808), section 3. The
    first stage sees the four quarters of the image, each alone; the second its two halves; the third the whole, at full
    resolution. Between stages go the features (CSFF) and the image that each has restored (SAM). Published: 20,127,073
    parameters for deblurring, 3,637,249 for deraining, 15,741,025 for real noise.

    Quarters and halves are batches here, and a 1 x 1 convolution comes before an enlargement rather than after: the
    same function with a quarter of its products. What the channel attentions pool is the quarter, half or whole of the
    tile.

    Args:
        width: channels at the finest scale.
        step: how many more each coarser scale has.
        extra: how many more the third stage has.
        blocks: in each group of the third stage.
        reduction: of the channel attention.
        channels: colour channels of the image.
    """

    def __init__(
        self,
        width: int = 96,
        step: int = 48,
        extra: int = 32,
        blocks: int = 8,
        reduction: int = 4,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if min(width, channels, blocks, reduction) < 1 or min(step, extra) < 0 or width < reduction:
            raise ValueError(
                "width, blocks, reduction and channels must be positive, step and extra not negative, and width not "
                "smaller than reduction"
            )
        self.contract = Contract(multiple=8, channels=channels)
        self.settings = {
            "width": width,
            "step": step,
            "extra": extra,
            "blocks": blocks,
            "reduction": reduction,
            "channels": channels,
        }
        widths = [width, width + step, width + 2 * step]
        self.slope = nn.Parameter(torch.tensor([0.25]))
        self.heads = nn.ModuleList(Head(channels, width, reduction) for _ in range(3))
        self.encoders = nn.ModuleList(Encoder(widths, 2, reduction, fed=fed) for fed in (False, True))
        self.decoders = nn.ModuleList(Decoder(widths, 2, reduction) for _ in range(2))
        self.supervised = nn.ModuleList(Supervised(width, channels) for _ in range(2))
        self.joins = nn.ModuleList((_convolution(2 * width, width, 3), _convolution(2 * width, width + extra, 3)))
        self.final = OriginalResolution(widths, width + extra, blocks, reduction)
        self.tail = _convolution(width + extra, channels, 3)

    @classmethod
    def tiny(cls) -> "MPRNet":
        """The smallest useful instance, for tests."""
        return cls(width=4, step=2, extra=2, blocks=1, reduction=2)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the image of the third stage."""
        return self.traced(tile, guidance)[0]

    def traced(self, tile: Tensor, guidance: Guidance) -> tuple[Tensor, list[Tensor]]:
        """The restored image; and those of the second and of the first stage."""
        slope, halves = self.slope, _halves(tile, 2)
        quarters = _halves(halves, 3)
        encoded = [_joined(one, 3) for one in self.encoders[0](self.heads[0](quarters, slope), slope, None, None)]
        decoded = self.decoders[0](encoded, slope)
        features, first = self.supervised[0](decoded[0], halves)

        features = self.joins[0](torch.cat([self.heads[1](halves, slope), features], 1))
        encoded = [_joined(one, 2) for one in self.encoders[1](features, slope, encoded, decoded)]
        decoded = self.decoders[1](encoded, slope)
        features, second = self.supervised[1](decoded[0], tile)

        features = self.joins[1](torch.cat([self.heads[2](tile, slope), features], 1))
        third = tile + self.tail(self.final(features, slope, encoded, decoded))
        return third, [second, _joined(first, 2)]


def _convolution(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)


def _grown(convolution: nn.Module, features: Tensor) -> Tensor:
    """To twice the sides, after a 1 x 1 convolution: with which interpolation commutes."""
    return F.interpolate(convolution(features), scale_factor=2, mode="bilinear", align_corners=False)


def _halves(images: Tensor, axis: int) -> Tensor:
    """(B, C, H, W) to (2 B, C, ...): all first halves along an axis, then all second ones."""
    return torch.cat(images.chunk(2, axis), 0)


def _joined(halves: Tensor, axis: int) -> Tensor:
    """Back from `_halves`."""
    return torch.cat(halves.chunk(2, 0), axis)


def _settings(weights: Weights) -> dict[str, Any]:
    slopes = [value for key, value in weights.items() if value.shape == (1,)]
    if any(not torch.equal(slope, slopes[0]) for slope in slopes):
        raise ValueError("the published network has one slope, and these weights have several")
    width = weights["shallow_feat1.0.weight"].shape[0]
    blocks = {key.split(".")[3] for key in weights if key.startswith("stage3_orsnet.orb1.body.") and ".CA." in key}
    return {
        "width": width,
        "step": weights["stage1_encoder.down12.down.1.weight"].shape[0] - width,
        "extra": weights["concat23.weight"].shape[0] - width,
        "blocks": len(blocks),
        "reduction": width // weights["shallow_feat1.1.CA.conv_du.0.weight"].shape[0],
        "channels": weights["tail.weight"].shape[0],
    }


PUBLISHED = Published(
    task="",  # deblurring, deraining and real noise; two of them have the same shapes
    marks=(
        "shallow_feat1.0.weight",
        "stage1_encoder.down12.down.1.weight",
        "concat23.weight",
        "tail.weight",
        "shallow_feat1.1.body.1.weight",
    ),
    settings=_settings,
    names=(
        (r"^shallow_feat1\.1\.body\.1\.weight$", "slope"),
        (r"^shallow_feat(\d)\.0", numbered("heads.{}.convolution", 1)),
        (r"^shallow_feat(\d)\.1", numbered("heads.{}.block", 1)),
        (r"^stage(\d)_encoder", numbered("encoders.{}", 1)),
        (r"^stage(\d)_decoder", numbered("decoders.{}", 1)),
        (r"(?:en|de)coder_level(\d)", numbered("levels.{}", 1)),
        (r"skip_attn(\d)", numbered("skips.{}", 1)),
        (r"down(\d)\d\.down\.1", numbered("downsamples.{}", 1)),
        (r"up\d(\d)\.up\.1", numbered("upsamples.{}", 1)),
        (r"csff_(enc|dec)(\d)", lambda found: f"feeds.{found[1]}oded.{int(found[2]) - 1}"),
        (r"^stage3_orsnet\.orb(\d)\.body\.(\d+)\.weight$", numbered("final.ends.{}.weight", 1)),
        (r"^stage3_orsnet\.orb(\d)\.body", numbered("final.groups.{}", 1)),
        (r"^stage3_orsnet\.up_(enc|dec)1\.up\.1", r"final.\1oded_from_middle"),
        (r"^stage3_orsnet\.up_(enc|dec)2\.(\d)\.up\.1", r"final.\1oded_from_coarsest.\2"),
        (r"^stage3_orsnet\.conv_(enc|dec)(\d)", lambda found: f"final.{found[1]}oded_feeds.{int(found[2]) - 1}"),
        (r"^sam(\d)\d\.conv1", numbered("supervised.{}.features", 1)),
        (r"^sam(\d)\d\.conv2", numbered("supervised.{}.image", 1)),
        (r"^sam(\d)\d\.conv3", numbered("supervised.{}.weights", 1)),
        (r"^concat(\d)\d", numbered("joins.{}", 1)),
        (r"body\.0", "first"),
        (r"body\.2", "second"),
        (r"CA\.conv_du\.0", "squeeze"),
        (r"CA\.conv_du\.2", "excite"),
    ),
    # The one slope stands under the name of every block. The groups' last convolutions end alike, in four dimensions.
    copies=r"(?!shallow_feat1\.).*(?:\.\d|_feat\d|skip_attn\d)\.body\.1\.weight$",
)
