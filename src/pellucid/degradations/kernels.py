"""Kernels of blur, and convolution with them.

Every kernel is a plane (K, K) of float32, K odd, never negative, of sum 1, with its centre of mass on the middle pixel.
A kernel's strength is its standard deviation in pixels: the root of half the trace of its covariance.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.images.padding import pad_around, transform_size

__all__ = ["aperture_kernel", "convolve", "gaussian_kernel", "line_kernel", "shake_kernel"]

_NEGLIGIBLE = 1e-4
"""Where a profile has fallen to this part of its peak, the kernel ends."""

_SUBPIXELS = 8
"""Steps per pixel with which the coverage of a pixel by an aperture is measured."""

_MOMENTS = 400
"""Moments of an exposure at which the camera's place is known."""


def gaussian_kernel(sigma: float, ratio: float = 1.0, angle: float = 0.0, shape: float = 1.0) -> Tensor:
    """A generalised Gaussian, sampled at the pixels' centres: exp(-½ (d / a)^(2 shape)), with d the elliptic distance.

    The scale a is such that sigma is the standard deviation for every shape: with E[d²] = 2^(1/b) Γ(2/b) / Γ(1/b) a²
    for the shape b in two dimensions. The family of Wang et al., "Real-ESRGAN", ICCVW 2021 (arXiv 2107.10833, section
    3.1), where sigma instead is a, and its spread depends on the shape.

    Args:
        sigma: standard deviation along the longer axis, in pixels, above 0.
        ratio: shorter axis over longer axis, above 0, up to 1.
        angle: of the longer axis, in degrees, counter-clockwise from the horizontal.
        shape: 1 is the Gaussian, 0.5 has a sharp peak and long tails, above 2 it has a plateau with steep sides.
    """
    scale = math.sqrt(2 ** (1 - 1 / shape) * math.gamma(1 / shape) / math.gamma(2 / shape))
    reach = scale * (-2 * math.log(_NEGLIGIBLE)) ** (1 / (2 * shape))
    x, y = _grid(max(1, math.ceil(sigma * reach)))
    turn = math.radians(angle)
    along = x * math.cos(turn) - y * math.sin(turn)
    across = x * math.sin(turn) + y * math.cos(turn)
    squared = (along.square() + (across / ratio).square()) / (sigma * scale) ** 2
    return _normalised(torch.exp(-squared.pow(shape) / 2))


def aperture_kernel(radius: float, blades: int = 0, rotation: float = 0.0) -> Tensor:
    """The image of a point out of focus: a disk, or a regular polygon of its area, by the part of each pixel it covers.

    Args:
        radius: in pixels, any positive number; the variance along each axis is radius² / 4 (polygons: 0 to 2 % more).
        blades: corners of the polygon, 3 or more; 0 is a disk.
        rotation: of the polygon, in degrees, counter-clockwise.
    """
    half = math.tan(math.pi / blades) if blades else 0.0
    apothem = radius * math.sqrt(math.pi / (blades * half)) if blades else radius
    outermost = math.hypot(apothem, apothem * half)
    reach = max(0, math.ceil(outermost - 0.5))
    if reach == 0:  # within its own pixel, however small: finer than the coverage can be measured
        return torch.ones(1, 1)
    size = 2 * reach + 1
    places = (torch.arange(size * _SUBPIXELS, dtype=torch.float64) + 0.5) / _SUBPIXELS - size / 2
    x, y = places[None, :], places[:, None]
    if blades:
        normals = torch.arange(blades, dtype=torch.float64) * (2 * math.pi / blades) + math.radians(rotation)
        distance = torch.full((1, 1), -math.inf, dtype=torch.float64)
        for normal in normals.tolist():
            distance = torch.maximum(distance, x * math.cos(normal) - y * math.sin(normal) - apothem)
    else:
        distance = torch.hypot(x, y) - apothem
    inside = (0.5 - distance * _SUBPIXELS).clamp(0, 1)
    covered = inside.reshape(size, _SUBPIXELS, size, _SUBPIXELS).mean((1, 3))
    return _normalised(covered)


def shake_kernel(length: float, curvature: float, generator: torch.Generator) -> Tensor:
    """The path of a shaking camera during the exposure: a random motion with inertia and impulses.

    After Boracchi and Foi, "Modeling the performance of image restoration from motion blur", IEEE TIP 21(8), 2012: the
    velocity drifts at random, is pulled back to where the motion began, and now and then is thrown into another
    direction. The path is scaled so that its standard deviation is that of straight motion at constant speed, length /
    √24, whatever its curvature; it is drawn at sub-pixel places, each shared by its four pixels.

    Args:
        length: of the straight motion that blurs as much, in pixels, 0 or more.
        curvature: 0 is straight motion at constant speed, 1 the most erratic.
        generator: of the direction and of all that is random.
    """
    x, y = _trajectory(curvature, generator)
    spread = math.sqrt(float(x.var(correction=0) + y.var(correction=0)))
    scale = length / math.sqrt(12) / spread
    return _path_kernel(x * scale, y * scale)


def line_kernel(length: float, slant: float) -> Tensor:
    """Straight motion at constant speed, such as that of a falling drop.

    Args:
        length: in pixels, 0 or more.
        slant: from the vertical, in degrees; positive leans to the right at the top.
    """
    along = (torch.arange(_MOMENTS, dtype=torch.float64) + 0.5) / _MOMENTS - 0.5
    turn = math.radians(slant)
    return _path_kernel(along * length * math.sin(turn), -along * length * math.cos(turn))


def _path_kernel(x: Tensor, y: Tensor) -> Tensor:
    """A path at equal moments, y downwards, around its mean; each place is shared by its four pixels."""
    reach = math.ceil(max(float(x.abs().max()), float(y.abs().max()))) + 1
    size = 2 * reach + 1
    left, top = x.floor(), y.floor()
    across, down = x - left, y - top
    corner = (top.long() + reach) * size + left.long() + reach
    places = torch.cat([corner, corner + 1, corner + size, corner + size + 1])
    weights = torch.cat([(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down])
    return _normalised(torch.bincount(places, weights, minlength=size * size).reshape(size, size))


def convolve(image: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
    """The image (..., H, W), of any size, convolved with each kernel (K, K), K odd; borders continue by reflection.

    By the fast Fourier transform, whose cost hardly depends on the kernels' sizes.
    """
    height, width = image.shape[-2:]
    reach = max(kernel.shape[-1] for kernel in kernels) // 2
    size = (transform_size(height + 2 * reach), transform_size(width + 2 * reach))
    spectrum = torch.fft.rfft2(pad_around(image, reach), s=size)
    convolved = []
    for kernel in kernels:
        product = spectrum * torch.fft.rfft2(kernel.to(image), s=size)
        first = reach + kernel.shape[-1] // 2
        convolved.append(torch.fft.irfft2(product, s=size)[..., first : first + height, first : first + width])
    return convolved


def _trajectory(curvature: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Places (x, y) of the camera at equal moments, around their mean."""
    turn = 2 * math.pi * float(torch.rand((), generator=generator))
    pushes = torch.randn(2, _MOMENTS, generator=generator).tolist()
    throws = torch.rand(2, _MOMENTS, generator=generator).tolist()
    step = 1 / _MOMENTS
    place, velocity = 0j, complex(math.cos(turn), math.sin(turn))
    places = []
    for moment in range(_MOMENTS):
        places.append(place)
        place += velocity * step
        push = complex(pushes[0][moment], pushes[1][moment])
        velocity += curvature * (2.0 * math.sqrt(step) * push - 6.0 * step * place)
        if throws[0][moment] < 3 * curvature * step:
            away = math.pi * (0.5 + throws[1][moment])
            velocity *= 1 + curvature * complex(math.cos(away) - 1, math.sin(away))
    path = torch.tensor(places, dtype=torch.complex128)
    path -= path.mean()
    return path.real, path.imag


def _grid(reach: int) -> tuple[Tensor, Tensor]:
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    return places[None, :], places[:, None]


def _normalised(kernel: Tensor) -> Tensor:
    return (kernel / kernel.sum()).float()
