"""The middle of R, between its encoder and its decoder: a latent, enhanced and attended to as the prior says.

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), equations (2) to
(7), and the variants of its table 3, each a setting.

    f_hat = M R_s(f) + (1 - M) R_l(f)    near and far context (2, 3): `RangeMap`, `ShortRange`, `LongRange`
    f_c = f_hat M_c;  f_p = f_hat M_s    channel and spatial attention (4, 5, 6): `ChannelAttention`, `SpatialAttention`
    f_bar = R_f(f_c + f_p) + f_hat       fusion (7), + between maps in R_f stands for concatenation
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pellucid.errors import unknown_name
from pellucid.refinement.attention import ChannelAttention, SpatialAttention
from pellucid.refinement.guidance import (
    Concatenation,
    PositionEmbedding,
    PriorMap,
    PriorNorm,
    Standardise,
    centres,
    spread,
)
from pellucid.refinement.spatial import LongRange, RangeMap, ShortRange
from pellucid.refinement.windows import Windows

__all__ = ["LatentRefinement", "LatentSettings", "affordable_hidden"]

RangeMapKind = Literal["learned", "sum", "snr"]
Guidance = Literal["attention", "concatenated-vector", "concatenated-maps"]


@dataclass(frozen=True)
class LatentSettings:
    """What the middle of R is made of; the defaults are the paper's.

    Attributes:
        prior_width: length of the prior's vector; channels of its maps where `guidance` is "concatenated-maps".
        width: channels of the latent (c in the paper).
        prior_hidden: hidden width of T_m, T_c and of the T that concatenation has instead; None takes the paper's 256,
            halved until R has under a million parameters.
        kernel: side of the per-location kernels.
        blocks: transposed-attention blocks of the far branch.
        range_map: what near and far context are mixed with. "learned": M of equation (2). "sum": nothing, they are
            added. "snr": the signal-to-noise ratio of the degraded image weighs the near branch.
        channel_attention: whether there is equation (4). Without it R_f of equation (7) joins only f_p; what R_f gives
            is added to f_hat, so the unweighted features are in the sum already.
        spatial_attention: whether there are equations (5) and (6), likewise. Without either f_bar is f_hat.
        position: whether S_m and S_c are part of equations (2) and (5).
        guidance: how the prior comes in. "attention": T_m(g) and T_c(g) in equations (2), (4) and (5).
            "concatenated-vector": in none of them; instead T(g) is repeated at every place, concatenated to the latent
            that the encoder gives, and mixed in by a 1x1 convolution. "concatenated-maps": the same with the prior's
            maps, T applied at each of their places, then resized to the latent bilinearly.
        prior_norm: how the prior's numbers are normalised before T, which the paper does not. "components": by a layer
            normalisation over the numbers of one photograph. "photographs": each by its mean and deviation over the
            training photographs (`learn_prior`); for vectors only. "length": to unit length, as in the authors' code.
        bounded: whether kernels and logits are kept from growing with the features, which the paper does not do: there
            M and M_s may end at 0 or 1 almost everywhere, and what leads to them learns no more.
        added: whether T_m(g), through a linear map, is also added to the latent at every place: what concatenation
            does, beside the attention. Only where `guidance` is "attention" and `range_map` "learned".

    Raises:
        ValueError: a value that cannot be.
    """

    prior_width: int = 512
    width: int = 16
    prior_hidden: int | None = None
    kernel: int = 3
    blocks: int = 4
    range_map: RangeMapKind = "learned"
    channel_attention: bool = True
    spatial_attention: bool = True
    position: bool = True
    guidance: Guidance = "attention"
    prior_norm: PriorNorm = "none"
    bounded: bool = False
    added: bool = False

    def __post_init__(self) -> None:
        for name, least in (("prior_width", 1), ("width", 1), ("prior_hidden", 1), ("kernel", 1), ("blocks", 0)):
            value = getattr(self, name)
            if value is None and name == "prior_hidden":
                continue
            if type(value) is not int or value < least:
                raise ValueError(f"{name} must be a whole number, {least} or more; got {value!r}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}")
        for name, known in (("range_map", RangeMapKind), ("guidance", Guidance), ("prior_norm", PriorNorm)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(unknown_name(name, str(getattr(self, name)), get_args(known)))
        for name in ("channel_attention", "spatial_attention", "position", "bounded", "added"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if self.added and (self.guidance != "attention" or self.range_map != "learned"):
            raise ValueError("added: T_m(g) is there with guidance 'attention' and range_map 'learned' only")
        if self.prior_norm == "photographs" and self.guidance == "concatenated-maps":
            raise ValueError(
                "prior_norm 'photographs' is for a prior's vector, and guidance 'concatenated-maps' takes its maps"
            )

    @classmethod
    def of(cls, prior_width: int, settings: Mapping[str, Any]) -> "LatentSettings":
        """From settings by their names. Raises ValueError for one that there is not, with the near names."""
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                raise ValueError(unknown_name("setting", name, known))
        return cls(prior_width, **settings)

    @property
    def hidden(self) -> int:
        """The hidden width of T_m and T_c."""
        return affordable_hidden(self.prior_width, self.width) if self.prior_hidden is None else self.prior_hidden

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with nothing left to be chosen."""
        return asdict(self) | {"prior_hidden": self.hidden}


class LatentRefinement(nn.Module):
    """What the refinements of an image and of a network's features share; they add a decoder and `forward`.

    Args:
        encoder: from whatever is refined to the latent.
        latent: what the rest is made of.
    """

    takes_maps: bool
    """Whether the prior's maps (B, C, h, w) are taken instead of its vector (B, prior_width)."""
    far_weighted = False
    """Whether the learned M weighs the far branch: the authors' code swaps the branches of equation (3)."""

    range_prior: PriorMap | None
    range_position: PositionEmbedding | None
    attention_prior: PriorMap | None
    attention_position: PositionEmbedding | None
    channel_attention: ChannelAttention | None
    spatial_attention: SpatialAttention | None

    def __init__(self, encoder: nn.Module, latent: LatentSettings) -> None:
        super().__init__()
        width, guided, placed = latent.width, latent.guidance == "attention", latent.position
        attended = latent.channel_attention or latent.spatial_attention
        self.range_kind, self.guidance = latent.range_map, latent.guidance
        self.prior_width, self.takes_maps = latent.prior_width, latent.guidance == "concatenated-maps"
        self.encoder = encoder
        if not guided:
            self.concatenation = Concatenation(latent.prior_width, latent.hidden, width, norm=latent.prior_norm)

        def prior_map(needed: bool) -> PriorMap | None:
            if not needed or not guided:
                return None
            return PriorMap(latent.prior_width, latent.hidden, width, norm=latent.prior_norm)

        def position(needed: bool) -> PositionEmbedding | None:
            return PositionEmbedding(width) if needed and placed else None

        learned = latent.range_map == "learned"
        self.range_prior, self.range_position = prior_map(learned), position(learned)
        if learned:
            self.range_map = RangeMap(width, prior=guided, position=placed, bounded=latent.bounded)
        self.shift = nn.Linear(4 * width, width, bias=False) if latent.added else None
        self.short_range = ShortRange(width)
        self.long_range = LongRange(width, latent.blocks)
        self.attention_prior, self.attention_position = prior_map(attended), position(latent.spatial_attention)
        bounded = latent.bounded
        self.channel_attention = (
            ChannelAttention(width, prior=guided, bounded=bounded) if latent.channel_attention else None
        )
        self.spatial_attention = (
            SpatialAttention(width, latent.kernel, prior=guided, position=placed, bounded=bounded)
            if latent.spatial_attention
            else None
        )
        if attended:
            branches = latent.channel_attention + latent.spatial_attention
            self.fusion = nn.Conv2d(branches * width, width, 1, bias=False)
        self.reach = 1 + self.spatial_attention.reach if self.spatial_attention else 0
        """Rows above and below of f_hat, on which a row of f_bar depends."""

    @property
    def standardises(self) -> bool:
        """Whether it needs `learn_prior`."""
        return any(isinstance(module, Standardise) for module in self.modules())

    def learn_prior(self, vectors: Tensor) -> None:
        """How the prior's vectors (N, prior_width) of training photographs are spread, for
        `prior_norm="photographs"`."""
        for module in self.modules():
            if isinstance(module, Standardise):
                module.learn(vectors)

    def range_weights(self, latent: Tensor, place: Tensor, feature: Tensor) -> Tensor:
        """M of equation (2), (B, 1, h, w), of a latent (B, width, h, w) at `coordinates`; for `range_map="learned"`
        only."""
        weights: Tensor = self.range_map(
            latent, _applied(self.range_prior, feature), _applied(self.range_position, place)
        )
        return weights

    def _join(self, latent: Tensor, feature: Tensor, grid: Tensor | None, windows: Windows) -> Tensor:
        """The latent with the prior concatenated and mixed in, where that is how the prior comes in.

        Raises:
            ValueError: the feature is not what this refinement was made for.
        """
        form = "maps (B, {}, h, w)" if self.takes_maps else "vector (B, {})"
        if feature.ndim != (4 if self.takes_maps else 2) or feature.shape[1] != self.prior_width:
            raise ValueError(
                f"this refinement takes the prior's {form.format(self.prior_width)}, got {tuple(feature.shape)}"
            )
        if self.guidance == "attention":
            if self.shift is None:
                return latent
            assert self.range_prior is not None
            shift: Tensor = self.shift(self.range_prior(feature))[:, :, None, None]
            return latent + shift
        projected = self.concatenation.project(feature)
        if not self.takes_maps:
            return windows.map(lambda part: self.concatenation(part, projected), latent, halo=0)
        return windows.map(
            lambda part, middles: self.concatenation(part, spread(projected, middles)),
            latent,
            centres(latent.shape, grid, latent.device),
            halo=0,
        )

    def _enhance(
        self, latent: Tensor, place: Tensor, feature: Tensor, windows: Windows, near_weight: Tensor | None = None
    ) -> Tensor:
        """PTG-SVE: f to f_hat, equations (2) and (3); `near_weight` (B, 1, h, w) stands for M where that is not
        learned."""

        def blend(latent: Tensor, far: Tensor, place: Tensor, *given: Tensor) -> Tensor:
            near: Tensor = self.short_range(latent)
            if self.range_kind == "sum":
                return near + far
            if given:
                return given[0] * near + (1 - given[0]) * far
            weight = self.range_weights(latent, place, feature)
            if self.far_weighted:
                near, far = far, near
            return weight * near + (1 - weight) * far

        given = () if near_weight is None else (near_weight,)
        return windows.map(blend, latent, self.long_range(latent, windows), place, *given, halo=3)

    def _attention(self, enhanced: Tensor, feature: Tensor, windows: Windows) -> Callable[[Tensor, Tensor], Tensor]:
        """PTG-CSA, equations (4) to (7): a function from f_hat and the coordinates of a window to its f_bar.

        The pooling of equation (4) is taken here, over the whole; a row of the function's result depends on `reach`
        rows.
        """
        prior = _applied(self.attention_prior, feature)
        channel_weights: Tensor | None = None
        if self.channel_attention is not None:
            pixels = enhanced.shape[2] * enhanced.shape[3]
            pooled = windows.total(lambda part: part, lambda part: part.float().sum((2, 3)), enhanced, halo=0) / pixels
            channel_weights = self.channel_attention(pooled.to(enhanced.dtype), prior)[:, :, None, None]

        def attend(enhanced: Tensor, place: Tensor) -> Tensor:
            branches = []
            if channel_weights is not None:
                branches.append(enhanced * channel_weights)
            if self.spatial_attention is not None:
                position = _applied(self.attention_position, place)
                branches.append(enhanced * self.spatial_attention(enhanced, prior, position))
            if not branches:
                return enhanced
            fused: Tensor = self.fusion(torch.cat(branches, 1)) + enhanced
            return fused

        return attend


def affordable_hidden(prior_width: int, width: int, budget: int = 600_000) -> int:
    """256, halved until T_m and T_c together stay under `budget` parameters (the rest of R has about 377,000)."""
    hidden = 256
    while hidden > 16 and 2 * hidden * (prior_width + 4 * width) > budget:
        hidden //= 2
    return hidden


def _applied(module: nn.Module | None, value: Tensor) -> Tensor | None:
    return None if module is None else module(value)
