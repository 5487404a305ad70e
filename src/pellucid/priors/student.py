"""A small network that imitates a prior, so that a model file needs no CLIP and no download at inference.

The PTG-RM paper's figure 1 says that pre-trained models are "not required during the inference", although its R takes
g there. A student makes that true: it is distilled to give a prior's vector from the degraded image, and travels
inside the model file.
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from pellucid.devices import channels_last
from pellucid.priors.composite import native_patches
from pellucid.priors.contract import unit_rms, whole_view

__all__ = ["Student"]

PATCHES = 4
"""Rows and columns of patches in a view."""


class Student(nn.Module):
    """A trainable prior of plain 3x3 convolutions; 0.9 M parameters for a width of 1280.

    Its view has six channels. Three are the whole image resized to size x size: what the picture shows. Resizing takes
    noise and blocks away, so three more are 4 x 4 patches side by side, at the image's own resolution, spread evenly
    over it: how it is degraded. Two trunks look at them, are averaged over the view and joined by one linear layer.

    Unlike other priors it can train: `encode` lets gradients through, and `train()` works, until `freeze` is called.
    Calling it as a prior, on images, never gives gradients.

    Args:
        width: length of the vector, the imitated prior's.
        size: side of the view in pixels; a multiple of 32.
        channels: of the trunk that sees the whole image; each entry halves the sides.
        texture: channels of the trunk that sees the patches; each entry halves the sides.
        teacher: name of the imitated prior, for `name`.

    Raises ValueError for sizes that make no network.
    """

    view_channels = 6

    def __init__(
        self,
        width: int,
        size: int = 128,
        channels: Sequence[int] = (32, 64, 96, 160),
        texture: Sequence[int] = (16, 32, 64),
        teacher: str = "",
    ) -> None:
        super().__init__()
        if width < 1 or size < 32 or size % 32 or not channels or not texture:
            raise ValueError(f"a student needs width >= 1, size a multiple of 32 and channels, got {width}, {size}")
        self.settings: dict[str, Any] = {
            "width": width,
            "size": size,
            "channels": list(channels),
            "texture": list(texture),
            "teacher": teacher,
        }
        self.name = f"student:{teacher}" if teacher else "student"
        self.width = width
        self.size = (size, size)
        self._frozen = False
        self.content = _trunk(channels)
        self.texture = _trunk(texture)
        self.join = nn.Linear(channels[-1] + texture[-1], width)

    def prepare(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) of any size, in [0, 1], to (B, 6, size, size): the whole image resized, and the patches."""
        patches = native_patches(image, PATCHES, PATCHES, self.size[0] // PATCHES)
        return torch.cat([whole_view(image, self.size), patches], 1)

    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 6, size, size) to vectors (B, width), float32, of unit root-mean-square; gradients flow."""
        view = ((view - 0.5) * 4).to(self.join.weight.dtype).contiguous(memory_format=torch.channels_last)
        content: Tensor = self.content(view[:, :3])
        texture: Tensor = self.texture(view[:, 3:])
        vector: Tensor = self.join(torch.cat([content.mean((2, 3)), texture.mean((2, 3))], 1))
        return unit_rms(vector)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """One vector per image, as every prior: (B, 3, H, W) in [0, 1] to (B, width)."""
        return self.encode(self.prepare(image))

    def freeze(self) -> Self:
        """Ends its training: no parameter takes a gradient, and it stays in evaluation mode."""
        self.requires_grad_(False)
        self._frozen = True
        return self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Training mode, unless frozen."""
        return super().train(mode and not self._frozen)


def _trunk(channels: Sequence[int]) -> nn.Sequential:
    """Halves the sides once per entry; a second convolution follows where it is cheap, at a quarter and below."""
    layers: list[nn.Module] = []
    before = 3
    for index, after in enumerate(channels):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        if index:
            layers += [nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    trunk = nn.Sequential(*layers)
    return channels_last(trunk)
