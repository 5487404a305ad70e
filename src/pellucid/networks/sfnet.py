"""SFNet: features split into low and high frequencies by filters that the image itself chooses."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_around
from pellucid.networks.contract import Contract, Network
from pellucid.networks.injection import Inject, Side, untouched
from pellucid.networks.local_mean import local_mean
from pellucid.networks.published import Published, Weights, count, numbered

__all__ = ["Pool", "SFNet", "Stage"]

FILTERS = 8
"""Of each dynamic filter: groups of channels that share one."""
BASE = 256
"""Pixels of a side that windows are counted of, as the authors count them."""


class Pool:
    """The mean of a map (B, C, h, w), as (B, C, 1, 1); or of windows of it, (B, C, h, w).

    Args:
        window: side of the windows where the whole picture's is 256; None for the whole.
        whole: height and width of the whole picture.
        tile: of the part of it that the network sees.
    """

    def __init__(self, window: int | None, whole: tuple[int, int], tile: tuple[int, int]) -> None:
        self.window, self.whole, self.tile = window, whole, tile

    def __call__(self, features: Tensor) -> Tensor:
        """The means."""
        if self.window is None:
            return features.mean((2, 3), keepdim=True)
        sides = (
            max(1, own * whole // tile * self.window // BASE)
            for own, whole, tile in zip(features.shape[2:], self.whole, self.tile, strict=True)
        )
        return local_mean(features, *sides)


class DynamicFilter(nn.Module):
    """Low frequencies by a smoothing filter made for the image, high ones by what it leaves; then every channel of
    each is weighed, and both are added (the paper's decoupler and modulator)."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.filters = nn.Conv2d(width, FILTERS * side**2, 1, bias=False)
        self.norm = nn.BatchNorm2d(FILTERS * side**2)
        hidden = max(width // 2, 32)
        self.squeeze = nn.Conv2d(width, hidden, 1)
        self.high_weights = nn.Conv2d(hidden, width, 1)
        self.low_weights = nn.Conv2d(hidden, width, 1)
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor, pool: Pool) -> Tensor:
        """(B, width, h, w) in and out."""
        batch, width = features.shape[:2]
        taps = self.norm(self.filters(features.mean((2, 3), keepdim=True)))
        taps = taps.reshape(batch, FILTERS, self.side**2).softmax(2).repeat_interleave(width // FILTERS, 1)
        # One depthwise convolution over the channels of all images, each with the filter of its image and group.
        padded = pad_around(features, self.side // 2)
        padded = padded.reshape(1, batch * width, *padded.shape[2:])
        kernels = taps.reshape(batch * width, 1, self.side, self.side).to(features.dtype)
        low = F.conv2d(padded, kernels, groups=batch * width).reshape(features.shape)
        shown = self.squeeze(pool(features))
        high_weights, low_weights = (
            torch.cat([self.high_weights(shown), self.low_weights(shown)], 1).softmax(1).chunk(2, 1)
        )
        mixed: Tensor = self.project((features - low) * high_weights + low * low_weights)
        return mixed


class GlobalFrequencies(nn.Module):
    """The mean of each channel and what it leaves, each times a learned factor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.low = nn.Parameter(torch.zeros(width))
        self.high = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor, pool: Pool) -> Tensor:
        """(B, width, h, w) in and out."""
        mean = pool(features)
        return (features - mean) * (self.high[:, None, None] + 1) + mean * self.low[:, None, None]


class LocalFrequencies(nn.Module):
    """The same in each of the map's four quarters, with factors of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.low = nn.Parameter(torch.zeros(4 * width))
        self.high = nn.Parameter(torch.ones(4 * width))

    def forward(self, features: Tensor, pool: Pool) -> Tensor:
        """(B, width, h, w), sides even, in and out."""
        batch, width, height, breadth = features.shape
        quarters = features.reshape(batch, width, 2, height // 2, 2, breadth // 2).transpose(3, 4)
        quarters = quarters.reshape(batch, 4 * width, height // 2, breadth // 2)
        mean = pool(quarters)
        quarters = (quarters - mean) * self.high[:, None, None] + mean * self.low[:, None, None]
        quarters = quarters.reshape(batch, width, 2, 2, height // 2, breadth // 2).transpose(3, 4)
        return quarters.reshape(features.shape)


class FrequencyBlock(nn.Module):
    """Two convolutions with the means of whole and quarters between them, and the input again.

    Args:
        width: channels.
        dynamic: whether dynamic filters come before those.
    """

    def __init__(self, width: int, *, dynamic: bool) -> None:
        super().__init__()
        half = width // 2
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.filters = nn.ModuleList(DynamicFilter(half, side) for side in ((3, 5) if dynamic else ()))
        self.whole = GlobalFrequencies(half)
        self.quarters = LocalFrequencies(half)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor, pool: Pool) -> Tensor:
        """(B, width, h, w) in and out."""
        mixed = F.gelu(self.first(features))
        if len(self.filters):
            halves = zip(self.filters, mixed.chunk(2, 1), strict=True)
            mixed = torch.cat([one(half, pool) for one, half in halves], 1)
        one, other = mixed.chunk(2, 1)
        result: Tensor = self.second(torch.cat([self.whole(one, pool), self.quarters(other, pool)], 1)) + features
        return result


class Stage(nn.ModuleList):
    """Blocks one after another, the last with dynamic filters."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__(FrequencyBlock(width, dynamic=number == count - 1) for number in range(count))

    def forward(self, features: Tensor, pool: Pool) -> Tensor:
        """(B, width, h, w) in and out."""
        for block in self:
            features = block(features, pool)
        return features


class Shallow(nn.Sequential):
    """Features of the image at a smaller size, (B, 3, h, w) to (B, width, h, w)."""

    def __init__(self, width: int) -> None:
        quarter, half = width // 4, width // 2
        super().__init__(
            *(nn.Conv2d(3, quarter, 3, padding=1), nn.GELU(), nn.Conv2d(quarter, half, 1), nn.GELU()),
            *(nn.Conv2d(half, half, 3, padding=1), nn.GELU(), nn.Conv2d(half, width, 1)),
            nn.InstanceNorm2d(width, affine=True),
        )


class SFNet(Network):
    """Degraded image in, restored image out: (B, 3, H, W); H and W divisible by `multiple`.

    Source: Cui et al., "Selective Frequency Network for Image Restoration" (ICLR 2023), section 3: a U-Net of three
    scales with the smaller images beside it. Published: 13,271,209 parameters, for haze, motion blur, rain and snow.

    The means that its blocks take are, in evaluation, those of windows in some of the published networks (see
    `window`), whose size goes by the whole picture's: `look` notes its sides. A dynamic filter's own mean is of the
    tile.

    Args:
        width: channels at the finest scale; they double with each halving of the sides.
        blocks: of each stage.
        window: side of the means' windows for a picture of 256 pixels a side; None for the whole. The authors take 246
            for haze indoors, 210 outdoors, 80 for GoPro, 110 for HIDE, 200 for snow, and none for rain.
    """

    def __init__(self, width: int = 32, blocks: int = 16, window: int | None = None) -> None:
        super().__init__()
        if width < 2 * FILTERS or width % (2 * FILTERS) or blocks < 1 or (window is not None and window < 1):
            raise ValueError(f"width must divide by {2 * FILTERS}, and blocks and window be positive")
        self.contract = Contract(multiple=8, looks=window is not None)
        self.settings = {"width": width, "blocks": blocks, "window": window}
        self.window = window
        widths = [width, 2 * width, 4 * width]
        self.shallow = nn.ModuleList(Shallow(w) for w in widths[1:])
        self.joins = nn.ModuleList(nn.Conv2d(2 * w, w, 3, padding=1) for w in widths[1:])
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(Stage(w, blocks) for w in widths)
        self.downsamples = nn.ModuleList(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1) for w in widths[:-1])
        self.decoders = nn.ModuleList(Stage(w, blocks) for w in reversed(widths))
        self.upsamples = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, 4, stride=2, padding=1) for w in reversed(widths[:-1])
        )
        self.skips = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in reversed(widths[:-1]))
        self.tails = nn.ModuleList(nn.Conv2d(w, 3, 3, padding=1) for w in reversed(widths))

    @classmethod
    def tiny(cls) -> "SFNet":
        """The smallest useful instance, for tests."""
        return cls(width=2 * FILTERS, blocks=1)

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["sides"]`, (B, 2), of the pictures padded to the multiple, where windows go by them."""
        if self.window is None:
            return known
        sides = [-(-side // self.contract.multiple) * self.contract.multiple for side in image.shape[2:]]
        return known.knowing(own={"sides": torch.tensor([sides], device=image.device).expand(len(image), 2)})

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + the predicted correction."""
        return self.traced(tile, guidance)[0]

    def traced(self, tile: Tensor, guidance: Guidance) -> tuple[Tensor, list[Tensor]]:
        """The restored image; and those at half and at a quarter of its sides."""
        return self.injected_and_traced(tile, guidance, untouched)

    def injected(self, tile: Tensor, guidance: Guidance, inject: Inject) -> Tensor:
        """See `injection.Injected`; before the smaller images join."""
        return self.injected_and_traced(tile, guidance, inject)[0]

    def pool_of(self, tile: Tensor, guidance: Guidance) -> Pool:
        """How the blocks take means of a tile's maps."""
        sides = tile.shape[2], tile.shape[3]
        whole = sides if "sides" not in guidance.own else tuple(int(side) for side in guidance.own["sides"][0])
        return Pool(None if self.training else self.window, (whole[0], whole[1]), sides)

    def injected_and_traced(self, tile: Tensor, guidance: Guidance, inject: Inject) -> tuple[Tensor, list[Tensor]]:
        """What `traced` gives, every scale's features through `inject`."""
        pool = self.pool_of(tile, guidance)
        images = [tile, tile[:, :, ::2, ::2], tile[:, :, ::4, ::4]]
        features = self.encoders[0](inject("encoder", 0, F.gelu(self.head(tile))), pool)
        kept = [features]
        for scale, downsample in enumerate(self.downsamples):
            beside = self.shallow[scale](images[scale + 1])
            side: Side = "middle" if scale + 1 == len(self.downsamples) else "encoder"
            features = inject(side, scale + 1, F.gelu(downsample(features)))
            features = self.joins[scale](torch.cat([features, beside], 1))
            features = self.encoders[scale + 1](features, pool)
            kept.append(features)
        features = kept.pop()
        restored: list[Tensor] = []
        for number, (decode, tail) in enumerate(zip(self.decoders, self.tails, strict=True)):
            if number:
                features = torch.cat([F.gelu(self.upsamples[number - 1](features)), kept.pop()], 1)
                features = inject("decoder", len(kept), F.gelu(self.skips[number - 1](features)))
            features = decode(features, pool)
            restored.insert(0, images[2 - number] + tail(features))
        return restored[0], restored[1:]


def _settings(weights: Weights) -> dict[str, Any]:
    return {
        "width": weights["feat_extract.0.main.0.weight"].shape[0],
        "blocks": count(weights, r"Encoder\.0\.layers\.\d+\.conv1\.main\.0\.weight"),
    }


PUBLISHED = Published(
    task="",  # one set of weights for each of several
    marks=("feat_extract.0.main.0.weight", "SCM1.main.0.main.0.weight", "Encoder.0.layers.0.localap.h"),
    settings=_settings,
    names=(
        (r"^Encoder\.(\d)\.layers", r"encoders.\1"),
        (r"^Decoder\.(\d)\.layers", r"decoders.\1"),
        (r"^feat_extract\.0\.main\.0", "head"),
        (r"^feat_extract\.([12])\.main\.0", numbered("downsamples.{}", 1)),
        (r"^feat_extract\.([34])\.main\.0", numbered("upsamples.{}", 3)),
        (r"^feat_extract\.5\.main\.0", "tails.2"),
        (r"^ConvsOut\.(\d)\.main\.0", r"tails.\1"),
        (r"^Convs\.(\d)\.main\.0", r"skips.\1"),
        (r"^FAM([12])\.merge\.main\.0", lambda found: f"joins.{2 - int(found[1])}"),
        (r"^SCM([12])\.main\.4", lambda found: f"shallow.{2 - int(found[1])}.7"),
        (r"^SCM([12])\.main\.(\d)\.main\.0", lambda found: f"shallow.{2 - int(found[1])}.{2 * int(found[2])}"),
        (r"\.conv1\.main\.0", ".first"),
        (r"\.conv2\.main\.0", ".second"),
        (r"\.localap\.h", ".quarters.high"),
        (r"\.localap\.l", ".quarters.low"),
        (r"\.global_ap\.fscale_d", ".whole.low"),
        (r"\.global_ap\.fscale_h", ".whole.high"),
        (r"\.dyna\.", ".filters.0."),
        (r"\.dyna_2\.", ".filters.1."),
        (r"(filters\.\d)\.conv\.", r"\1.filters."),
        (r"(filters\.\d)\.bn\.", r"\1.norm."),
        (r"\.modulate\.fc\.", ".squeeze."),
        (r"\.modulate\.fcs\.0\.", ".high_weights."),
        (r"\.modulate\.fcs\.1\.", ".low_weights."),
        (r"\.modulate\.out\.", ".project."),
    ),
    idle=r".*\.lamb_[lh]$",
)
