"""How much white noise a picture shows, measured in the picture alone."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["noise_sigma"]

# The high-pass filter of Daubechies' wavelet with two vanishing moments: it takes out flat and evenly sloping parts.
_WAVELET = (-0.12940952255092145, -0.22414386804185735, 0.836516303737469, -0.48296291314469025)
_SIDE = 32
# The median of |x| for a unit Gaussian; then what the lower quartile of the blocks of pure noise lacks (measured).
_MEDIAN, _QUARTILE = 0.6744897501960817, 0.97


@torch.no_grad()
def noise_sigma(image: Tensor) -> Tensor:
    """The standard deviation of white noise in (B, C, H, W) pictures in [0, 1], on the scale 0..255, as float64 (B,).

    The median absolute diagonal wavelet coefficient (Donoho and Johnstone 1994) of each block of 32 x 32, then the
    lower quartile of the blocks, since texture only ever adds; the average of the channels. Places that are exactly 0
    or 1 are left out, since clipping removed their noise. On photographs within a tenth for sigma 10..50; a clean
    photograph gives what its finest texture looks like, 0.3 to 3 (7 for one that is texture throughout). Raises
    ValueError where a side is shorter than 4 pixels.
    """
    if image.ndim != 4:
        raise ValueError(f"expected pictures of shape (B, C, H, W), got {tuple(image.shape)}")
    height, width = image.shape[-2:]
    if min(height, width) < len(_WAVELET):
        raise ValueError(f"a picture of {width} x {height} pixels is too small: each side needs {len(_WAVELET)}")
    channels = [_channel_sigma(image[:, c]) for c in range(image.shape[1])]
    return torch.stack(channels).mean(0) * 255


def _channel_sigma(plane: Tensor) -> Tensor:
    wavelet = torch.tensor(_WAVELET, dtype=torch.float64, device=plane.device)
    wide = plane.to(torch.float64)[:, None]
    detail = F.conv2d(F.conv2d(wide, wavelet.reshape(1, 1, -1, 1)), wavelet.reshape(1, 1, 1, -1))[:, 0].abs_()
    clipped = F.max_pool2d(((plane == 0) | (plane == 1)).float()[:, None], 4, stride=1)[:, 0] > 0
    detail[clipped] = torch.nan
    return torch.stack([_typical(picture) for picture in detail]) / _MEDIAN


def _typical(detail: Tensor) -> Tensor:
    """The typical size of one picture's wavelet coefficients (H, W), of which some are nan; 0 if all are."""
    rows, columns = (side // _SIDE for side in detail.shape)
    tiled = detail[: rows * _SIDE, : columns * _SIDE].reshape(rows, _SIDE, columns, _SIDE)
    blocks = tiled.transpose(1, 2).reshape(rows * columns, _SIDE**2)
    blocks = blocks[blocks.isfinite().double().mean(1) >= 0.5]
    if len(blocks):
        return blocks.nanmedian(1).values.quantile(0.25) / _QUARTILE
    return detail.flatten().nanmedian().nan_to_num()
