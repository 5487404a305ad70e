"""A restoration network guided by a picture that shows the same: features are found there, brought here, and fused.

Source: "Improving Image Restoration through Removing Degradations in Textual Representations" (CVPR 2024, arXiv
2312.17334), section 3.3: one encoder for the degraded picture and the guidance image, a matcher (`matching`), and
blocks of the network's own kind, which begin by changing nothing, where its scales begin.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_to, pad_to_multiple
from pellucid.networks.contract import Contract, Network
from pellucid.networks.drsformer import DRSformer, SparseBlock
from pellucid.networks.injection import Side
from pellucid.networks.matching import BLOCK, find, relative, transferred
from pellucid.networks.nafnet import NAFBlock, NAFNet
from pellucid.networks.residual_block import ResidualBlock
from pellucid.networks.restormer import Restormer, TransposedAttentionBlock
from pellucid.networks.sfnet import SFNet, Stage

__all__ = ["INJECT", "Guided", "ReferenceEncoder"]

INJECT: Mapping[str, tuple[Side, ...]] = {
    "encoder": ("encoder",),
    "decoder": ("decoder",),
    "released": ("encoder", "middle"),
    "both": ("encoder", "middle", "decoder"),
}
"""Where guidance is put in: before the blocks of the scales on these sides. `released` is what the authors' code
does, `both` what their paper reports."""
FEWEST = 3
"""Places of a side that a reference's deepest features need, for one patch."""

Host = NAFNet | Restormer | SFNet | DRSformer
"""PromptIR is a Restormer."""


class ReferenceEncoder(nn.Module):
    """The features by which pictures are compared and of which is taken, at every scale; one for both pictures.

    Args:
        channels: of a picture.
        widths: of the scales' features, finest first; each scale has half the sides of the one before.
        blocks: of each scale.
    """

    def __init__(self, channels: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.heads, self.stages = nn.ModuleList(), nn.ModuleList()
        for scale, (before, width) in enumerate(zip([channels, *widths], widths, strict=False)):
            self.heads.append(nn.Conv2d(before, width, 3, stride=2 if scale else 1, padding=1))
            self.stages.append(nn.Sequential(*(ResidualBlock(width) for _ in range(blocks))))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, channels, H, W), sides divisible by the deepest scale's stride, to features, finest first."""
        found: list[Tensor] = []
        for head, stage in zip(self.heads, self.stages, strict=True):
            image = stage(head(image).relu())
            found.append(image)
        return found


class Fusion(nn.Module):
    """Features and what was brought, joint, through blocks that begin by changing nothing: the features' channels.

    Args:
        blocks: on as many channels as both have together.
        scaled: whether each block's result is added times a number of its own, zero at first; else the blocks
            themselves begin as the identity, as NAFNet's do.
    """

    def __init__(self, blocks: Sequence[nn.Module], *, scaled: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.alphas = nn.ParameterList(torch.zeros(()) for _ in blocks) if scaled else None

    def forward(self, features: Tensor, brought: Tensor, *told: Any) -> Tensor:
        """(B, C, h, w) and (B, G, h, w) to (B, C, h, w); further arguments are the blocks'."""
        joint = torch.cat([features, brought], 1)
        for number, block in enumerate(self.blocks):
            made = block(joint, *told)
            joint = made if self.alphas is None else joint + self.alphas[number] * made
        return joint[:, : features.shape[1]]


class Guided(Network):
    """A network that is shown another picture of what it restores: (B, channels, H, W) to images, as the network does.

    The picture is `guidance.reference`; without one the network restores by itself. Before any training a guided
    network gives what the network alone gives, to the bit.

    `look` encodes the reference, once and whole. Every tile then searches all of it: nothing says which part of a
    picture made from words belongs to a tile, so none is cut out. A tile holds the same blocks as the whole picture,
    for `multiple` is a block's side, and its windows go by the whole picture's size: it finds what the whole picture
    finds, but for what its own borders hide.

    Published parameters, put in as `released`: NAFNet 223.8 M (67.9 M without), Restormer 60.1 M, PromptIR 69.6 M,
    DRSformer 72.7 M.

    Args:
        network: NAFNet, Restormer, PromptIR, SFNet or DRSformer.
        inject: where, of INJECT.
        blocks: of a fusion; NAFNet's middle has one, as the authors'.
        encoder_blocks: residual ones of each scale of the encoder.
        relative: whether features are compared by how they differ from their surroundings (`matching.relative`): for
            pictures that are much darker than what guides them. What is brought are the features themselves.
        settings: what builds it again, JSON-able.

    Raises:
        ValueError: another network, or another place.
    """

    def __init__(
        self,
        network: Network,
        *,
        inject: str = "both",
        blocks: int = 2,
        encoder_blocks: int = 4,
        relative: bool = False,
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(network, Host):
            raise ValueError(f"NAFNet, Restormer, PromptIR, SFNet and DRSformer can be guided, not {_name(network)}")
        if inject not in INJECT:
            raise ValueError(f"inject must be one of {', '.join(INJECT)}; got {inject!r}")
        if min(blocks, encoder_blocks) < 1:
            raise ValueError(f"blocks and encoder_blocks must be 1 at least; got {blocks} and {encoder_blocks}")
        self.network: Host = network
        self.relative = relative
        self.settings = settings or {}
        own = network.contract
        width = network.settings["width"]
        levels = _levels(network)
        widths = [width * 2**scale for scale in range(levels)]
        self.stride = 2 ** (levels - 1)
        self.contract = Contract(
            multiple=BLOCK * self.stride, channels=own.channels, numbers=own.numbers, looks=True, reference=True
        )
        self.encoder = ReferenceEncoder(own.channels, widths, encoder_blocks)
        self.fusions = nn.ModuleDict()
        for side in INJECT[inject]:
            scales = [levels - 1] if side == "middle" else range(levels - 1)
            count = 1 if side == "middle" and isinstance(network, NAFNet) else blocks
            for scale in scales:
                # Restormer's last decoder works on what comes from below and on what was kept, side by side.
                doubled = side == "decoder" and scale == 0 and not isinstance(network, NAFNet | SFNet)
                joint = widths[scale] * (3 if doubled else 2)
                self.fusions[f"{side} {scale}"] = _fusion(network, scale, joint, count)

    @classmethod
    def tiny(cls) -> "Guided":
        """The smallest useful instance, for tests."""
        host = NAFNet.tiny()
        settings: dict[str, Any] = {"network": {"name": "nafnet", "settings": host.settings}, "encoder_blocks": 1}
        return cls(host, encoder_blocks=1, settings=settings)

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["sides"]`, (1 or B, 2), of the deepest features of the pictures; where there is a reference, its
        features, finest first, as `own["reference 0"]` and so on; and what the network itself must know."""
        sides = [-(-length // self.contract.multiple) * BLOCK for length in image.shape[2:]]
        own = {"sides": torch.tensor([sides], device=image.device)}
        if known.reference is not None:
            own |= {
                f"reference {scale}": one for scale, one in enumerate(self._encoded(known.reference.to(image.device)))
            }
        inner = self.network.look(image, known.part("network", torch.arange(len(image))), cut=cut)
        return known.knowing(own=own, parts={**known.parts, "network": inner})

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Restores, with what the reference shows where there is one."""
        return self.traced(tile, guidance)[0]

    def traced(self, tile: Tensor, guidance: Guidance) -> tuple[Tensor, Any]:
        """As `restore`, and what the network's own loss looks at: SFNet's smaller images; of the others nothing."""
        told = guidance.part("network", torch.arange(len(tile)))
        reference = self._reference(guidance)
        if reference is None:
            return self.network.traced(tile, told)
        planes = tile.reshape(-1, self.contract.channels, *tile.shape[2:])
        each = len(planes) // len(reference[0])  # planes of one picture, or pictures that share a reference
        reference = [one.repeat_interleave(each, 0) for one in reference] if each > 1 else reference
        whole = None if "sides" not in guidance.own else tuple(guidance.own["sides"][0].tolist())
        deepest, shown = self.encoder(planes)[-1], reference[-1]
        if self.relative:
            deepest, shown = relative(deepest), relative(shown)
        found = find(deepest, shown, whole)
        further = (self.network.pool_of(tile, told),) if isinstance(self.network, SFNet) else ()
        brought: dict[int, Tensor] = {}

        def fused(side: Side, scale: int, features: Tensor) -> Tensor:
            name = f"{side} {scale}"
            if name not in self.fusions:
                return features
            if scale not in brought:
                brought[scale] = transferred(reference[scale], found)
            result: Tensor = self.fusions[name](features, brought[scale].to(features.dtype), *further)
            return result

        if isinstance(self.network, SFNet):
            return self.network.injected_and_traced(tile, told, fused)
        return self.network.injected(tile, told, fused), None

    def _reference(self, guidance: Guidance) -> list[Tensor] | None:
        """The reference's features: those that were looked at, or of the picture."""
        if "reference 0" in guidance.own:
            return [guidance.own[f"reference {scale}"] for scale in range(len(self.encoder.heads))]
        return None if guidance.reference is None else self._encoded(guidance.reference)

    def _encoded(self, reference: Tensor) -> list[Tensor]:
        """The features of pictures (B, 3, H, W) of any size; seen by both eyes of a network for two views."""
        channels = self.contract.channels
        if channels == 6:
            reference = torch.cat([reference, reference], 1)
        elif channels == 1:
            reference = reference.mean(1, keepdim=True)
        least = FEWEST * self.stride
        reference = pad_to(reference, least, least)
        features: list[Tensor] = self.encoder(pad_to_multiple(reference, self.stride))
        return features


def _levels(network: Host) -> int:
    """How many scales a network has."""
    return len(network.downsamples) + 1


def _fusion(network: Host, scale: int, joint: int, count: int) -> Fusion:
    """Blocks of a network's own kind for one of its scales, on so many channels."""
    settings = network.settings
    if isinstance(network, NAFNet):
        window = settings.get("window")
        places = None if window is None else window // 2**scale
        return Fusion([NAFBlock(joint, places) for _ in range(count)], scaled=False)
    if isinstance(network, SFNet):
        return Fusion([Stage(joint, count)], scaled=True)
    heads, expansion = settings["heads"][scale], settings["expansion"]
    if isinstance(network, DRSformer):
        return Fusion([SparseBlock(joint, heads, expansion) for _ in range(count)], scaled=True)
    more = {"bias": settings["bias"], "norm_bias": settings["norm_bias"]}
    return Fusion([TransposedAttentionBlock(joint, heads, expansion, **more) for _ in range(count)], scaled=True)


def _name(network: nn.Module) -> str:
    return type(network).__name__
