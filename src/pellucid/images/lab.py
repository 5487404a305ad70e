"""CIELAB of 1976, by the white D65: how light a colour is, apart from which colour it is.

Pictures are taken for sRGB (IEC 61966-2-1). Sources: CIE 15:2004, section 8.2.1; the matrix is that of IEC 61966-2-1.
"""

import torch
from torch import Tensor

__all__ = ["lab_of", "paler_until_real", "rgb_of"]

_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = (0.9505, 1.0, 1.089)
_LINE = 6 / 29
"""Below its cube, the cube root goes on as a line."""
_HALVINGS = 12


def lab_of(image: Tensor) -> Tensor:
    """RGB (B, 3, H, W) in [0, 1] to L, a and b: L in 0..100, a and b about -110..110; float32."""
    linear = _linear(image.float())
    xyz = _mixed(linear, _matrix(linear)) / _column(_WHITE, linear)
    root = torch.where(xyz > _LINE**3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / (3 * _LINE**2) + 4 / 29)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def rgb_of(lab: Tensor) -> Tensor:
    """L, a and b (B, 3, H, W) to RGB, float32; outside [0, 1] where no screen has the colour. Nothing is clipped, so
    that gradients go on."""
    lab = lab.float()
    y = (lab[:, 0] + 16) / 116
    root = torch.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], 1)
    xyz = torch.where(root > _LINE, root**3, 3 * _LINE**2 * (root - 4 / 29)) * _column(_WHITE, lab)
    return _encoded(_mixed(xyz, torch.linalg.inv(_matrix(lab))))


def paler_until_real(lab: Tensor) -> Tensor:
    """The same lightness with a and b made smaller, by one number for each pixel, until a screen has the colour."""
    unreal = ~_real(lab)
    if not bool(unreal.any()):
        return lab
    pixels = lab.movedim(1, 3)[unreal].mT[None, :, None]  # (1, 3, 1, n): those alone are looked for
    least, most = torch.zeros_like(pixels[:, :1]), torch.ones_like(pixels[:, :1])
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        inside = _real(torch.cat([pixels[:, :1], pixels[:, 1:] * middle], 1))[:, None]
        least, most = torch.where(inside, middle, least), torch.where(inside, most, middle)
    paler = lab.movedim(1, 3).clone()
    paler[unreal] = torch.cat([pixels[:, :1], pixels[:, 1:] * least], 1)[0, :, 0].mT
    return paler.movedim(3, 1)


def _real(lab: Tensor) -> Tensor:
    """Whether a screen has the colours of (B, 3, H, W): bool (B, H, W)."""
    rgb = rgb_of(lab)
    return ((rgb >= -1e-4) & (rgb <= 1 + 1e-4)).all(1)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(_TO_XYZ, dtype=like.dtype, device=like.device)


def _column(numbers: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)


def _mixed(image: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix, image)


def _linear(image: Tensor) -> Tensor:
    return torch.where(image <= 0.04045, image / 12.92, ((image.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def _encoded(linear: Tensor) -> Tensor:
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
