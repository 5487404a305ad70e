"""What every prior is: a frozen pre-trained model G that gives one vector per image, g = G(y).

The refinement of PTG-RM (arXiv 2403.06793, equation 1) sees a prior only through this page. A prior looks at the
whole image, once: `prepare` brings any photograph to one fixed size, so that the views of differently sized
photographs can be batched and cached, and `encode` turns views into vectors.

All vectors have unit root-mean-square. The authors' code divides by the L2 norm instead, which makes the components of
a vector of width d as small as 1 / sqrt(d), and so makes the best learning rate and initialisation of the layers behind
it depend on d. Unit root-mean-square is the same vector times sqrt(d): its components are of size one for every prior.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ModelError
from pellucid.scratch import by_rows, on_disk, pooled

__all__ = ["FrozenPrior", "Normalise", "Prior", "check_image", "feature_maps", "unit_rms", "whole_view"]

MAX_SHRINK = 32
"""The antialiased resize of a GPU keeps its filter in shared memory, which is full at a factor somewhat above this."""


@runtime_checkable
class Prior(Protocol):
    """A frozen pre-trained model: image (B, 3, H, W) in, one vector per image (B, width) out.

    Implementations are `nn.Module`s whose parameters need no gradient and which stay in evaluation mode. Those that
    have two-dimensional features also offer `maps(image) -> (B, C, h, w)`.
    """

    name: str
    """What it is, such as "mobilenet_v2" or "clip:openai/clip-vit-base-patch32"; recorded in model files."""
    width: int
    """Length of the vector."""
    size: tuple[int, int]
    """Height and width of a view, in pixels."""
    view_channels: int
    """Channels of a view: 3, where it is a picture."""

    def prepare(self, image: Tensor) -> Tensor:
        """From (B, 3, H, W) of any size, RGB in [0, 1], to views (B, view_channels, *size) in [0, 1]."""
        ...

    def encode(self, view: Tensor) -> Tensor:
        """From views (B, view_channels, *size) to float32 vectors (B, width) of unit root-mean-square."""
        ...

    def __call__(self, image: Tensor) -> Tensor:
        """`encode(prepare(image))`, without gradients."""
        ...


class FrozenPrior(nn.Module):
    """What frozen priors share: they never train, and unless they say otherwise their view is the whole image resized.

    A subclass fills its modules, calls `freeze` at the end of its `__init__`, and defines `encode`.
    """

    view_channels = 3

    def __init__(self, name: str, width: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.name = name
        self.width = width
        self.size = size

    def freeze(self) -> None:
        """Lets no parameter take a gradient, and switches to evaluation mode."""
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode whatever `mode` says: dropout and batch statistics would change what is known."""
        return super().train(False)

    def prepare(self, image: Tensor) -> Tensor:
        """The whole image at the prior's size: (B, 3, H, W), any size, in [0, 1], to (B, 3, *size) in [0, 1]."""
        return whole_view(image, self.size)

    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) to vectors (B, width), float32, of unit root-mean-square, without gradients."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """One vector per image: (B, 3, H, W) in [0, 1] to (B, width)."""
        return self.encode(self.prepare(image))

    def extra_repr(self) -> str:
        """The prior's name, width and view size, for `print`."""
        return f"{self.name}, width={self.width}, size={self.size}"


class Normalise(nn.Module):
    """From RGB in [0, 1] to what a model was trained on: `(view - mean) / std`, in the precision of its weights.

    Args:
        mean, std: one number per channel, in RGB order.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, numbers in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)

    def forward(self, view: Tensor) -> Tensor:
        """Views (B, 3, h, w) in [0, 1] to normalised pixels of the same shape."""
        return (view.to(self.mean.dtype) - self.mean) / self.std


def feature_maps(prior: Any, image: Tensor) -> Tensor:
    """What `prior.maps` gives for images (B, 3, H, W): (B, C, h, w). Raises ModelError where the prior has no maps."""
    if not hasattr(prior, "maps"):
        raise ModelError(f"{prior.name}: this prior has no feature map, only a vector")
    features: Tensor = prior.maps(image)
    return features


def unit_rms(vector: Tensor, eps: float = 1e-12) -> Tensor:
    """Scales the last axis to a root-mean-square of one, in float32: L2-normalised, times sqrt(width).

    `eps` is added to the mean square, so that a vector of zeros stays zeros and its gradient stays finite.
    """
    vector = vector.float()
    return vector * torch.rsqrt(vector.square().mean(-1, keepdim=True) + eps)


def check_image(image: Tensor) -> None:
    """Raises ValueError unless `image` is (B, 3, H, W) and not empty."""
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape[2:]:
        raise ValueError(f"expected an RGB image of shape (B, 3, H, W), got {tuple(image.shape)}")


def whole_view(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The whole image resized to `size` (height, width), with antialias: (B, 3, H, W) to (B, 3, *size), in [0, 1].

    Nothing is cropped and proportions are not kept: what stands at the margins of a photograph belongs to it. Values
    outside [0, 1] are clamped first. Bicubic; sides of more than 32 times the target are averaged down to that first.
    Raises ValueError when `image` is not (B, 3, H, W).
    """
    check_image(image)
    if image.device.type == "cpu" and not torch.compiler.is_exporting():
        down, across = (_taps(side, target) for side, target in zip(image.shape[2:], size, strict=True))
        with torch.autocast("cpu", enabled=False):
            # One picture at a time: products of a batch differ in their last bits, by which caches know pictures.
            views = [by_rows(down, one[None], lambda part: part.float().clamp(0, 1)) @ across.T for one in image]
            return torch.cat(views).clamp(0, 1)
    sides = (min(image.shape[2], MAX_SHRINK * size[0]), min(image.shape[3], MAX_SHRINK * size[1]))
    if sides == image.shape[2:] and not on_disk(image):
        image = image.float().clamp(0, 1)
    else:
        image = pooled(image, sides, lambda part: part.float().clamp(0, 1))
    # The bicubic filter overshoots at edges, hence the second clamp.
    return F.interpolate(image, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


@lru_cache(maxsize=16)
def _taps(length: int, target: int) -> Tensor:
    """What each of `length` places counts in each of `target`, (target, length): the resize along one side as a product
    of matrices, which takes a fifth of the time that torch takes for it at four megapixels."""
    held = min(length, MAX_SHRINK * target)
    ratio = held / target
    width = max(ratio, 1.0)
    centre = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * ratio
    place = torch.arange(held, dtype=torch.float64)
    # Which places the kernel reaches is decided by whole numbers, as torch does it.
    first, last = (centre - 2 * width + 0.5).floor(), (centre + 2 * width + 0.5).floor()
    far = ((place + 0.5 - centre) / width).abs()
    near = (1.5 * far - 2.5) * far * far + 1
    weights = torch.where(far < 1, near, ((-0.5 * far + 2.5) * far - 4) * far + 2)
    weights = torch.where((far < 2) & (place >= first) & (place < last), weights, 0.0)
    weights = weights / weights.sum(1, keepdim=True)
    if held < length:  # the means of about equal parts first
        starts = torch.arange(held) * length // held
        counts = -(-torch.arange(1, held + 1) * length // held) - starts
        whole = torch.zeros(target, length, dtype=torch.float64)
        for step in range(int(counts.max())):
            some = counts > step
            whole.index_add_(1, starts[some] + step, (weights / counts)[:, some])
        weights = whole
    return weights.float()
