"""TextIR: a generator of StyleGAN2's kind that fills, colours or enlarges, steered by CLIP's vector; its discriminator.

Source: Bai et al., "TextIR: A Simple Framework for Text-based Editable Image Restoration" (TVCG, arXiv 2302.14736),
equations (3) to (8); blocks of StyleGAN2 (Karras et al., CVPR 2020, arXiv 1912.04958), written from these papers. Names
of weights and the arithmetic are those of the authors' networks, tested against their outputs.
"""

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ModelError
from pellucid.guidance import Guidance
from pellucid.images.lab import lab_of, rgb_of
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, Weights, count

__all__ = ["PUBLISHED", "TextIR", "TextIRDiscriminator", "TextIRTask"]

TextIRTask = Literal["inpainting", "colour", "super-resolution"]

INPUTS = {"inpainting": 4, "colour": 1, "super-resolution": 3}
SMALLEST = 16
"""Pixels of the side where the encoder ends and the generator begins."""
LARGEST_FACTOR = 64.0
"""The factor of enlarging is told as a part of this."""


def channels_at(side: int, narrow: float) -> int:
    """Channels where the picture has this side: 512 up to 64 pixels, then half as many for each doubling."""
    return max(1, int(min(512, 512 * 64 / side) * narrow))


class _EqualLinear(nn.Module):
    """A linear layer whose weights are scaled when it runs; `fused`: a leaky ReLU follows, times the root of two."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, fused: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale, self.fused = inputs**-0.5, fused

    def forward(self, values: Tensor) -> Tensor:
        found = F.linear(values, self.weight * self.scale)
        return _leaky(found + self.bias) if self.fused else found + self.bias


class _EqualConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, side: int, *, stride: int = 1, pad: int = 0, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.stride, self.pad = (inputs * side**2) ** -0.5, stride, pad

    def forward(self, image: Tensor) -> Tensor:
        return F.conv2d(image, self.weight * self.scale, self.bias, self.stride, self.pad)


class _Activate(nn.Module):
    """Leaky ReLU of 0.2 of what is given and a bias, times the root of two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, image: Tensor) -> Tensor:
        return _leaky(image + self.bias.view(1, -1, 1, 1))


class _Smooth(nn.Module):
    """The kernel 1, 3, 3, 1 along both sides, with zeros around; `gain` times as strong."""

    def __init__(self, before: int, after: int, gain: float = 1.0) -> None:
        super().__init__()
        self.pads, self.gain = (before, after, before, after), gain

    def forward(self, image: Tensor) -> Tensor:
        line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=image.dtype, device=image.device)
        kernel = line[:, None] * line / line.sum() ** 2 * self.gain
        channels = image.shape[1]
        return F.conv2d(F.pad(image, self.pads), kernel.expand(channels, 1, 4, 4), groups=channels)


def _convolution(
    inputs: int, outputs: int, side: int, *, down: bool = False, bias: bool = True, activate: bool = True
) -> nn.Sequential:
    """A convolution, with smoothing before it where it halves, and a leaky ReLU after it."""
    layers: list[nn.Module] = []
    if down:
        layers.append(_Smooth(2, 2) if side == 3 else _Smooth(1, 1))
    pad, stride = (0, 2) if down else (side // 2, 1)
    layers.append(_EqualConv(inputs, outputs, side, stride=stride, pad=pad, bias=bias and not activate))
    if activate:
        layers.append(_Activate(outputs))
    return nn.Sequential(*layers)


def _leaky(values: Tensor) -> Tensor:
    return F.leaky_relu(values, 0.2) * math.sqrt(2)


class _ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by what the style says, and whose outputs are brought back to one
    size (`demodulate`); with `up` it doubles the sides."""

    def __init__(
        self, inputs: int, outputs: int, side: int, style: int, *, demodulate: bool = True, up: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, side, side) / math.sqrt(inputs * side**2))
        self.modulation = _EqualLinear(style, inputs, bias=1.0)
        self.scale, self.side, self.demodulate = (inputs * side**2) ** -0.5, side, demodulate
        self.smooth = _Smooth(1, 1, 4.0) if up else None

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        number, inputs, height, width = image.shape
        weight = self.weight * self.scale * self.modulation(style).view(number, 1, inputs, 1, 1)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        outputs = weight.shape[1]
        grouped = image.reshape(1, number * inputs, height, width)
        if self.smooth is None:
            found = F.conv2d(grouped, weight.flatten(0, 1), padding=self.side // 2, groups=number)
            return found.view(number, outputs, height, width)
        turned = weight.transpose(1, 2).reshape(number * inputs, outputs, self.side, self.side)
        found = F.conv_transpose2d(grouped, turned, stride=2, groups=number)
        smooth: Tensor = self.smooth(found.view(number, outputs, *found.shape[2:]))
        return smooth


class _StyleConv(nn.Module):
    """A modulated convolution, noise, and where it is given features of the encoder the fusion of equation (5)."""

    def __init__(self, inputs: int, outputs: int, style: int, *, up: bool = False) -> None:
        super().__init__()
        self.modulated_conv = _ModulatedConv(inputs, outputs, 3, style, up=up)
        self.weight = nn.Parameter(torch.zeros(1))
        self.activate = _Activate(outputs)

    def forward(
        self, image: Tensor, style: Tensor, noise: Tensor, fused: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> Tensor:
        found = self.modulated_conv(image, style) + self.weight * noise
        if fused is not None:
            own, other, features = fused
            found = found * own + features * other
        activated: Tensor = self.activate(found)
        return activated


class _ToRGB(nn.Module):
    def __init__(self, inputs: int, style: int) -> None:
        super().__init__()
        self.modulated_conv = _ModulatedConv(inputs, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, image: Tensor, style: Tensor, skip: Tensor | None) -> Tensor:
        found: Tensor = self.modulated_conv(image, style) + self.bias
        return found if skip is None else found + _doubled(skip)


def _doubled(image: Tensor) -> Tensor:
    """Twice the size, by zeros between the pixels and the kernel 1, 3, 3, 1."""
    number, channels, height, width = image.shape
    spread = image.new_zeros(number, channels, height, 2, width, 2)
    spread[:, :, :, 0, :, 0] = image
    doubled: Tensor = _Smooth(2, 1, 4.0)(spread.view(number, channels, 2 * height, 2 * width))
    return doubled


class _Noises(nn.Module):
    """Buffers that the authors' files hold and that nothing reads: the generator draws its noise."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        for layer in range(layers):
            side = 2 ** ((layer + 5) // 2)
            self.register_buffer(f"noise{layer}", torch.zeros(1, 1, side, side))


class TextIR(Network):
    """Pictures (B, 3, H, W) in [0, 1] to filled, coloured or sharpened ones of the same size.

    For inpainting what is missing is NaN, and what is known stays; colouring keeps L of CIELAB; super-resolution is
    given the small picture made as large as the result by a bicubic kernel, and `Guidance.told["factor"]`, by how much.
    The vector of `Guidance.vector`, of the picture in training and of a sentence in use, is that of CLIP ViT-B/32 or of
    another encoder; without one it is zeros.

    Args:
        task: inpainting, colour or super-resolution; one network for each.
        size: side of the pictures that it is made for, in pixels, a power of two; larger ones may be given.
        narrow: channels over those of the paper.
        style: length of a layer's style, 512 times `narrow` in the paper: 512.
        words: length of the vector.
        signed: as the authors' code, take the weights of the fusion with their signs; equation (5) has absolute values.
    """

    def __init__(
        self,
        task: TextIRTask = "inpainting",
        size: int = 256,
        narrow: float = 1.0,
        style: int = 512,
        words: int = 512,
        signed: bool = False,
    ) -> None:
        super().__init__()
        if task not in INPUTS:
            raise ValueError(f"task must be one of {', '.join(INPUTS)}, got {task!r}")
        levels = int(math.log2(size)) - 4 if size > 0 else 0
        if levels < 1 or size != SMALLEST * 2**levels:
            raise ValueError(f"size must be a power of two from {2 * SMALLEST} on, got {size}")
        self.settings = {"task": task, "size": size, "narrow": narrow, "style": style, "words": words, "signed": signed}
        self.task, self.words, self.signed = task, words, signed
        self.contract = Contract(multiple=2**levels, numbers=("factor",) if task == "super-resolution" else ())
        sides = [size // 2**level for level in range(levels + 1)]
        widths = [channels_at(side, narrow) for side in sides]
        self.latents, told = 2 * int(math.log2(size)) - 6, 1 if task == "super-resolution" else words
        self.conv_body_first = _convolution(INPUTS[task], widths[0], 3)
        self.conv_body_down = nn.ModuleList(
            _convolution(fine, coarse, 3, down=True) for fine, coarse in pairwise(widths)
        )
        self.final_conv = _convolution(widths[-1], widths[-1], 3)
        self.final_linear = _EqualLinear(words, style * self.latents, fused=True)
        # In the order of the encoder, full size first; the generator takes them from behind.
        self.condition_scale1 = nn.ModuleList(_EqualLinear(told, width, bias=1.0) for width in widths)
        self.condition_scale2 = nn.ModuleList(_EqualLinear(told, width, bias=1.0) for width in widths)
        self.condition_shift = nn.ModuleList(_convolution(width, width, 3, activate=False) for width in widths)
        self.style_conv1 = _StyleConv(widths[-1], widths[-1], style)
        self.to_rgb1 = _ToRGB(widths[-1], style)
        self.style_convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for coarse, fine in pairwise(reversed(widths)):
            self.style_convs.append(_StyleConv(coarse, fine, style, up=True))
            self.style_convs.append(_StyleConv(fine, fine, style))
            self.to_rgbs.append(_ToRGB(fine, style))
        self.noises = _Noises(2 * levels + 1)
        if task == "colour":
            self.out_conv = nn.Sequential(_EqualConv(3, 2, 3, pad=1, bias=True))

    @classmethod
    def tiny(cls) -> "TextIR":
        """The smallest useful instance, for tests."""
        return cls("inpainting", size=32, narrow=1 / 64, style=8, words=4)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """See the class. The noise is drawn by the guidance's seed, or by 0.

        Raises:
            ModelError: the vector has another length.
        """
        seed = 0 if guidance.seed is None else guidance.seed
        vector = tile.new_zeros(1, self.words) if guidance.vector is None else guidance.vector.to(tile)
        vector = F.normalize(vector, dim=1).expand(len(tile), -1)  # of unit length, as it was learnt
        if vector.shape[1] != self.words:
            raise ModelError(f"TextIR reads vectors of {self.words} numbers, and was given one of {vector.shape[1]}")
        factor = guidance.told.get("factor", 4.0)
        if self.task == "super-resolution":
            return self.generate(tile, vector, factor, seed=seed)
        if self.task == "colour":
            light = lab_of(tile)[:, :1]
            return rgb_of(torch.cat([light, self.generate(light, vector, seed=seed)], 1)).clamp(0, 1)
        missing = tile.isnan().any(1, keepdim=True)
        known = torch.where(missing, 0, tile)
        found = self.generate(torch.cat([known, missing.to(known)], 1), vector, seed=seed)
        return torch.where(missing, found, tile)

    def generate(
        self,
        given: Tensor,
        vector: Tensor,
        factor: float | Tensor = 4.0,
        *,
        seed: int | None = None,
        noises: list[Tensor] | None = None,
    ) -> Tensor:
        """What the generator makes of the task's own input.

        Args:
            given: for inpainting RGB, 0 where it is missing, and 1 there, (B, 4, H, W); for colour L in 0..100, (B, 1,
                H, W); for super-resolution RGB, (B, 3, H, W).
            vector: (B, words).
            factor: of enlarging, a number or one for each, (B,).
            seed: of the noise; None draws from torch's own generator, as training does.
            noises: instead of drawing, one for each layer, (B or 1, 1, h, w), coarse first.

        Returns:
            RGB (B, 3, H, W), or a and b (B, 2, H, W); not bounded.
        """
        styles = self.final_linear(vector).view(len(vector), self.latents, -1)
        told = vector
        if self.task == "super-resolution":
            told = torch.as_tensor(factor, dtype=vector.dtype, device=vector.device) / LARGEST_FACTOR
            told = told.view(-1, 1).expand(len(vector), 1)
        features = [self.conv_body_first(given)]
        for down in self.conv_body_down:
            features.append(down(features[-1]))
        fusions = [
            (*self._shares(one(told), two(told)), shift(feature))
            for one, two, shift, feature in zip(
                self.condition_scale1, self.condition_scale2, self.condition_shift, features, strict=True
            )
        ][::-1]
        drawn = (
            self._drawn([feature.shape[2:] for feature in features[::-1]], given, seed) if noises is None else noises
        )
        image = self.style_conv1(self.final_conv(features[-1]), styles[:, 0], drawn[0], fusions[0])
        skip = self.to_rgb1(image, styles[:, 1], None)
        for level, to_rgb in enumerate(self.to_rgbs):
            first, second = self.style_convs[2 * level], self.style_convs[2 * level + 1]
            at = 2 * level + 1
            image = first(image, styles[:, at], drawn[at])
            image = second(image, styles[:, at + 1], drawn[at + 1], fusions[level + 1])
            skip = to_rgb(image, styles[:, at + 2], skip)
        result: Tensor = self.out_conv(skip) if self.task == "colour" else skip
        return result

    def _shares(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Equation (5): how much of the generator's features and of the encoder's counts, of each channel; their
        squares sum to one."""
        size = torch.rsqrt(own.square() + other.square() + 1e-8)
        if not self.signed:
            own, other = own.abs(), other.abs()
        return (own * size)[:, :, None, None], (other * size)[:, :, None, None]

    def _drawn(self, sizes: list[torch.Size], like: Tensor, seed: int | None) -> list[Tensor]:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        every = [sizes[0], *(size for size in sizes[1:] for _ in range(2))]
        return [torch.randn(len(like), 1, *size, generator=generator).to(like) for size in every]


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, inputs, 3)
        self.conv2 = _convolution(inputs, outputs, 3, down=True)
        self.skip = _convolution(inputs, outputs, 1, down=True, bias=False, activate=False)

    def forward(self, image: Tensor) -> Tensor:
        halved: Tensor = (self.conv2(self.conv1(image)) + self.skip(image)) / math.sqrt(2)
        return halved


class TextIRDiscriminator(nn.Module):
    """Pictures (B, 3, size, size) in [0, 1] to how real each looks, (B, 1), unbounded.

    StyleGAN2's residual discriminator without the deviation over a batch; it sees no words.

    Args:
        size: side of the pictures, a power of two.
        narrow: channels over those of the paper.
    """

    def __init__(self, size: int = 256, narrow: float = 1.0) -> None:
        super().__init__()
        sides = [size // 2**level for level in range(int(math.log2(size)) - 1)]
        widths = [channels_at(side, narrow) for side in sides]
        self.conv_body = nn.Sequential(
            _convolution(3, widths[0], 1), *(_Residual(fine, coarse) for fine, coarse in pairwise(widths))
        )
        self.final_conv = _convolution(widths[-1], widths[-1], 3)
        self.final_linear = nn.Sequential(
            _EqualLinear(widths[-1] * 16, widths[-1], fused=True), _EqualLinear(widths[-1], 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        judged: Tensor = self.final_linear(self.final_conv(self.conv_body(image)).flatten(1))
        return judged


def _settings(weights: Weights) -> dict[str, Any]:
    """From the authors' shapes; their networks take the weights of the fusion with their signs."""
    tasks = {channels: task for task, channels in INPUTS.items()}
    return {
        "task": tasks[weights["conv_body_first.0.weight"].shape[1]],
        "size": SMALLEST * 2 ** (count(weights, r"condition_scale1\.\d+\.weight") - 1),
        "narrow": weights["final_conv.0.weight"].shape[0] / 512,
        "style": weights["to_rgb1.modulated_conv.modulation.weight"].shape[1],
        "words": weights["final_linear.weight"].shape[1],
        "signed": True,
    }


PUBLISHED = Published(
    task="",
    marks=("conv_body_first.0.weight", "condition_scale1.0.weight", "final_linear.weight"),
    settings=_settings,
    names=(),
)
