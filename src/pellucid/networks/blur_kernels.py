"""How a blurred photograph was blurred, found from itself: blind estimation of one kernel for the whole of it.

The scheme is that of Cho and Lee, "Fast motion deblurring" (ACM TOG 28(5), 2009): from a coarse copy of the photograph
to the finest, a sharp image and the kernel are found in turn, each with the other held. The sharp image is one with few
gradients, min |k * x - y|² + λ |∇x|₀, solved by half-quadratic splitting as in Xu, Zheng and Jia, "Unnatural L0 sparse
representation for natural image deblurring" (CVPR 2013), equations (3) to (7); it need not be natural, for it only
shows where edges were. The kernel follows in closed form from the gradients, min |k * ∇x - ∇y|² + γ |k|², in the
Fourier domain.

Nothing here is learned, and nothing is differentiated. Images are luminance, (B, H, W) in [0, 1]; kernels (B, K, K), K
odd, not negative, of sum 1.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.images.padding import pad_before, pad_to, transform_size

__all__ = [
    "agreement",
    "blur_kernels",
    "busiest_part",
    "centres",
    "gradient_spectra",
    "padded_spectrum",
    "transfer_functions",
]

ROUNDS = 5
"""Times that image and kernel are found in turn at each scale."""

COARSEST = 5
"""Pixels of the kernel's side at the coarsest scale; each finer one is √2 as fine."""

SPARSITY = (4e-3, 4e-4)
"""λ in the first round of all and in the last; between, it falls by a constant factor."""

KERNEL_WEIGHT = 10.0
"""γ. Beside the squared gradients of a whole picture it is little, and where there are none it decides."""

SPLITTING = (2.0, 1e3)
"""The weight of the splitting starts at this many λ, doubles, and ends at the second."""

FAINT = 0.05
"""Places of a kernel that are fainter than this part of its peak are taken for noise."""

FULL = 0.2
"""A kernel fills its window where its spread is more than this part of its side; an even one has 0.29."""

SMALLEST = 32
"""An image with a shorter side shows too little of its blur: it counts as sharp."""


@torch.no_grad()
def blur_kernels(luminance: Tensor, size: int) -> Tensor:
    """The kernel of each image, its centre of mass as near to the middle as whole pixels bring it; a point for a small
    image.

    The scheme is chaotic where edges are few: a change of a millionth in the image may give another kernel.

    Args:
        luminance: (B, H, W) in [0, 1].
        size: K, the side of the kernels, odd; blur that is wider is not found.
    """
    image = luminance.float()
    sides = _sides(size)
    if min(image.shape[1:]) < SMALLEST:
        return _points(len(image), size, image.device)
    kernels = _points(len(image), sides[0], image.device)
    kernels[:, sides[0] // 2, sides[0] // 2 - 1 : sides[0] // 2 + 2] = torch.tensor([0.25, 0.5, 0.25])
    total = ROUNDS * len(sides)
    weights = [SPARSITY[0] * (SPARSITY[1] / SPARSITY[0]) ** (step / (total - 1)) for step in range(total)]
    for scale, side in enumerate(sides):
        coarseness = math.sqrt(0.5) ** (len(sides) - 1 - scale)
        coarse = image
        if coarseness < 1:
            shape = [max(1, round(length * coarseness)) for length in image.shape[1:]]
            coarse = F.interpolate(image[:, None], size=shape, mode="bicubic", antialias=True)[:, 0]
        if scale:
            kernels = F.interpolate(kernels[:, None], size=(side, side), mode="bicubic")[:, 0]
            kernels = _centred(_cleaned(kernels))
        kernels = _centred(_at_one_scale(coarse, kernels, weights[scale * ROUNDS : (scale + 1) * ROUNDS]))
    return kernels


def _at_one_scale(image: Tensor, kernels: Tensor, weights: list[float]) -> Tensor:
    """Better kernels: image and kernel in turn, once for each λ of `weights`."""
    side = kernels.shape[-1]
    height, width = image.shape[1:]
    whole = _faded(image, side)
    horizontal, vertical = _difference_spectra(whole.shape[1:], image.device)
    inside = torch.zeros(whole.shape[1:], device=image.device)
    inside[side : side + height - 1, side : side + width - 1] = 1
    blurred = [torch.fft.rfft2(gradient * inside) for gradient in _gradients(whole)]
    spectrum, power = torch.fft.rfft2(whole), _power(horizontal) + _power(vertical)
    for weight in weights:
        transfer = transfer_functions(kernels, whole.shape[1:])
        back, own = torch.view_as_real(transfer.conj() * spectrum), _power(transfer)
        sharp, splitting = whole, SPLITTING[0] * weight
        while splitting < SPLITTING[1]:
            # Divided by λ₂ throughout, and with the edges' divergence taken before the transform: one for two. Real
            # numbers beside complex ones: a real factor would be made complex first.
            edges = torch.view_as_real(torch.fft.rfft2(_divergence(sharp, weight / splitting)))
            edges.add_(back, alpha=1 / splitting).div_(torch.add(power, own, alpha=1 / splitting)[..., None])
            sharp = torch.fft.irfft2(torch.view_as_complex(edges), s=whole.shape[1:])
            splitting *= 2
        edges_of = [torch.fft.rfft2(gradient * inside) for gradient in _gradients(sharp)]
        shared = torch.view_as_real(edges_of[0].conj() * blurred[0] + edges_of[1].conj() * blurred[1])
        shared.div_((_power(edges_of[0]) + _power(edges_of[1]) + KERNEL_WEIGHT)[..., None])
        found = torch.fft.irfft2(torch.view_as_complex(shared), s=whole.shape[1:])
        found = found.roll((side // 2, side // 2), (1, 2))
        kernels = _cleaned(found[:, :side, :side])
    return kernels


def _divergence(image: Tensor, faintest: float) -> Tensor:
    """What the adjoint of `_gradients` makes of the image's gradients, less those of a square below `faintest`."""
    across, down = _gradients(image)
    faint = across.square().addcmul_(down, down) < faintest
    across.masked_fill_(faint, 0)
    down.masked_fill_(faint, 0)
    return across.roll(1, 2).sub_(across).add_(down.roll(1, 1)).sub_(down)


def agreement(luminance: Tensor, size: int) -> float:
    """How much alike the kernels of both halves of an image are: the peak of their correlation, 0 to 1; 0 where one
    fills its window, as a smear does that is estimated from a sky.

    Who moved the camera, or missed the focus, blurred all of it alike. What only looks blurred, as soft things do, or
    what lies behind the focus, shows another kernel in each half: the estimate finds what is not there.

    Args:
        luminance: (H, W) in [0, 1]; it is halved along its longer side.
        size: K, the side of the kernels, odd.
    """
    height, width = luminance.shape
    halves = luminance.tensor_split(2, 0 if height > width else 1)
    one, other = (blur_kernels(half[None], size)[0] for half in halves)
    if max(_spread(one), _spread(other)) > FULL * size:
        return 0.0
    shape = (2 * size, 2 * size)
    spectrum = torch.fft.rfft2(one, s=shape) * torch.fft.rfft2(other, s=shape).conj()
    return float(torch.fft.irfft2(spectrum, s=shape).amax() / (one.norm() * other.norm()))


def _spread(kernel: Tensor) -> float:
    """The geometric mean of the standard deviations of a kernel (K, K) along both axes, in pixels."""
    places = torch.arange(kernel.shape[-1], device=kernel.device) - kernel.shape[-1] // 2
    variances = []
    for marginal in (kernel.sum(1), kernel.sum(0)):
        mean = (marginal * places).sum()
        variances.append(float((marginal * (places - mean).square()).sum()))
    return float((variances[0] * variances[1]) ** 0.25)


def centres(kernels: Tensor) -> Tensor:
    """Where the centre of mass of each kernel is, (B, 2): pixels below and to the right of the middle."""
    places = torch.arange(kernels.shape[-1], device=kernels.device) - kernels.shape[-1] // 2
    return torch.stack([(kernels.sum(2) * places).sum(1), (kernels.sum(1) * places).sum(1)], 1)


def transfer_functions(kernels: Tensor, shape: tuple[int, ...], *, centred: bool = False) -> Tensor:
    """Spectra (B, h, w // 2 + 1) of kernels whose middle is the origin, or, if `centred`, whose centre of mass is."""
    side = kernels.shape[-1]
    height, width = shape
    grown = F.pad(kernels, (0, width - side, 0, height - side)).roll((-(side // 2), -(side // 2)), (1, 2))
    spectra: Tensor = torch.fft.rfft2(grown)
    if centred:
        down, right = centres(kernels).mT[:, :, None, None]
        vertical, horizontal = _frequencies(shape, kernels.device)
        spectra = spectra * torch.exp(1j * (down * vertical[:, None] + right * horizontal))
    return spectra


def gradient_spectra(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """|∇|² at each frequency, (h, w // 2 + 1), 0 to 8."""
    horizontal, vertical = _difference_spectra(shape, device)
    return _power(horizontal) + _power(vertical)


def padded_spectrum(image: Tensor, margin: int) -> tuple[Tensor, tuple[int, int]]:
    """The spectrum of an image (..., H, W) that is continued by reflection for `margin` pixels and more; and its size
    in pixels.

    The image itself starts at (margin, margin).
    """
    grown = _continued(image, margin)
    return torch.fft.rfft2(grown), (grown.shape[-2], grown.shape[-1])


def busiest_part(image: Tensor, side: int) -> Tensor:
    """The part of images (B, C, H, W), at most `side` long and wide, that has most gradients: it shows best how it was
    blurred.

    Where the images are much larger it is found on every second, third, ... pixel, so that it costs little memory.
    """
    height, width = (min(side, length) for length in image.shape[2:])
    if (height, width) == image.shape[2:]:
        return image
    step = max(1, max(image.shape[2:]) // (2 * side))
    sketch = image[:, :, ::step, ::step].float().mean((0, 1))[None]
    steepness = sum(gradient.abs() for gradient in _gradients(sketch))
    window, stride = [-(-length // step) for length in (height, width)], max(1, side // (16 * step))
    sums = F.avg_pool2d(torch.as_tensor(steepness), window, stride)[0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    top, left = min(row * stride * step, image.shape[2] - height), min(column * stride * step, image.shape[3] - width)
    return image[:, :, top : top + height, left : left + width]


def _sides(size: int) -> list[int]:
    """The kernel's side at each scale, the coarsest first; all odd."""
    count = max(0, math.floor(2 * math.log2(size / COARSEST))) + 1
    sides = [math.ceil(size * math.sqrt(0.5) ** scale) for scale in reversed(range(count))]
    return [side + 1 - side % 2 for side in sides]


def _points(count: int, side: int, device: torch.device) -> Tensor:
    points = torch.zeros(count, side, side, device=device)
    points[:, side // 2, side // 2] = 1
    return points


def _continued(image: Tensor, margin: int) -> Tensor:
    height, width = (transform_size(length + 2 * margin) for length in image.shape[-2:])
    return pad_to(pad_before(image, margin), height, width)


def _faded(image: Tensor, margin: int) -> Tensor:
    """The image, continued by reflection that fades to its mean: a periodic picture without a step."""
    grown, mean = _continued(image, margin), image.mean((1, 2), keepdim=True)
    fading = []
    for length, whole in zip(image.shape[1:], grown.shape[1:], strict=True):
        rise = torch.linspace(0, math.pi / 2, margin, device=image.device).sin().square()
        fall = torch.linspace(0, math.pi / 2, whole - length - margin, device=image.device).cos().square()
        fading.append(torch.cat([rise, torch.ones(length, device=image.device), fall]))
    return mean + (grown - mean) * fading[0][:, None] * fading[1]


def _gradients(image: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the right and downwards, of a picture that is periodic."""
    return image.roll(-1, 2) - image, image.roll(-1, 1) - image


def _frequencies(shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """In radians a pixel, downwards (h,) and to the right (w // 2 + 1,)."""
    turn = 2 * math.pi
    return turn * torch.fft.fftfreq(shape[0], device=device), turn * torch.fft.rfftfreq(shape[1], device=device)


def _difference_spectra(shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    vertical, horizontal = _frequencies(shape, device)
    return torch.exp(1j * horizontal)[None] - 1, torch.exp(1j * vertical)[:, None] - 1


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _cleaned(kernels: Tensor) -> Tensor:
    """Without what is faint, of sum 1; a single point where nothing is left."""
    peaks = kernels.amax((1, 2), keepdim=True)
    kept = torch.where(kernels >= FAINT * peaks, kernels, 0)
    kept = torch.where(peaks > 0, kept, _points(1, kernels.shape[-1], kernels.device))
    return kept / kept.sum((1, 2), keepdim=True)


def _centred(kernels: Tensor) -> Tensor:
    """Moved by whole pixels until the centre of mass is on the middle one, or as near as they get."""
    moved = []
    for kernel, (down, right) in zip(kernels, centres(kernels).round().int().tolist(), strict=True):
        side = kernel.shape[0]
        # What would leave the kernel on one side must not come back on the other.
        room = F.pad(kernel, (side,) * 4)
        moved.append(room[side + down : 2 * side + down, side + right : 2 * side + right])
    kept = torch.stack(moved)
    return kept / kept.sum((1, 2), keepdim=True)
