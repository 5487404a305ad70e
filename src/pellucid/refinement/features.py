"""PTG-RM inside a network: its deepest feature map, rather than its result, is refined as the prior says.

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), the rows "-f" of
table 1. The paper names the place and not the layers; these are ours, after equations (1) to (7):

    f = R_e(deep)                       1x1, to the latent's channels
    f_bar = C(A(f, g), g)               as for images                       `latent.LatentRefinement`
    [D_m, D_r] = R_d(f_bar)             1x1, back to twice the map's channels
    refined = deep D_m + D_r
"""

from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError
from pellucid.refinement.guidance import coordinates
from pellucid.refinement.latent import LatentRefinement, LatentSettings, affordable_hidden
from pellucid.refinement.windows import Windows

__all__ = ["FeatureRefinement"]

# R without T_m and T_c has about 350,000 parameters, and 52 more for each channel of the map.
BUDGET, BUDGET_PER_CHANNEL = 620_000, 52


class FeatureRefinement(LatentRefinement):
    """R for the feature map of one of a network's layers, of any height and width.

    The layer before R_e is a normalisation over the channels of each place, for feature maps come in any range. The
    mask is
    counted from one and the last layer starts at zero: untrained, it returns the map as it is, bit for bit.

    R's statistics (of the transposed attention and the pooling) are those of the map it is given: where a network runs
    over tiles, those of the tile.

    Args:
        prior_width: length of the prior's vector, or channels of its maps where those are concatenated.
        channels: of the layer's map.
        layer: the layer's dotted name in the network.
        settings: of `LatentSettings`, except `range_map="snr"`: a feature map has no signal-to-noise ratio.
    """

    multiple = 1

    def __init__(self, prior_width: int = 512, *, channels: int, layer: str, **settings: Any) -> None:
        if settings.get("prior_hidden") is None:
            width = settings.get("width", LatentSettings.width)
            settings["prior_hidden"] = affordable_hidden(prior_width, width, BUDGET - BUDGET_PER_CHANNEL * channels)
        latent = LatentSettings.of(prior_width, settings)
        if latent.range_map == "snr":
            raise ValueError("range_map 'snr' needs the degraded image; a feature map takes 'learned' or 'sum'")
        super().__init__(nn.Conv2d(channels, latent.width, 1, bias=False), latent)
        self.settings: dict[str, Any] = {**latent.as_dict(), "channels": channels, "layer": layer}
        self.layer, self.channels = layer, channels
        self.norm = nn.LayerNorm(channels)
        self.decoder = nn.Conv2d(latent.width, 2 * channels, 1)
        nn.init.zeros_(self.decoder.weight)
        assert self.decoder.bias is not None
        nn.init.zeros_(self.decoder.bias)

    def forward(self, deep: Tensor, feature: Tensor, *, grid: Tensor | None = None) -> Tensor:
        """Refines a feature map.

        Args:
            deep: (B, channels, h, w); B may be a whole multiple of the number of images, where a network puts the
                channels or the parts of each image one after another in the batch.
            feature: the prior's vector of the whole degraded images, (B, prior_width), or its maps where `takes_maps`.
            grid: where the images lie in the whole ones, (B, 4): top, left, bottom, right as fractions; None: they are
                whole.

        Returns:
            The same shape and type.

        Raises:
            ModelError: the map has other channels, or does not belong to so many images.
            ValueError: the feature is of another kind or width.
        """
        if deep.shape[1] != self.channels or len(deep) % len(feature):
            raise ModelError(
                f"layer {self.layer!r}: the refinement was made for maps ({len(feature)}, {self.channels}, h, w), "
                f"got {tuple(deep.shape)}"
            )
        copies = len(deep) // len(feature)
        feature = feature.repeat_interleave(copies, 0)
        grid = None if grid is None else grid.repeat_interleave(copies, 0)
        windows = Windows(*deep.shape[2:])
        own = self.decoder.weight.dtype  # the network may be of another precision
        normalised: Tensor = self.norm(deep.to(own).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        latent = self._join(self.encoder(normalised), feature, grid, windows)
        place = coordinates(latent.shape, grid, latent.device).to(own)
        enhanced = self._enhance(latent, place, feature, windows)
        mask, residual = self.decoder(self._attention(enhanced, feature, windows)(enhanced, place)).float().chunk(2, 1)
        refined = torch.addcmul(residual, deep.float(), 1 + mask)
        return refined.to(deep.dtype)
