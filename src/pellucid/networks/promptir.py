"""PromptIR: a Restormer whose decoder is prompted with what it sees of the degradation.

Source: Potlapalli et al., "PromptIR: Prompting for All-in-One Blind Image Restoration" (NeurIPS 2023, arXiv
    2306.13090),
section 3: prompt generation (PGM) mixes learned components by weights taken from the features, prompt interaction (PIM)
lets the features attend to the result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.networks.autocast import without_autocast
from pellucid.networks.injection import Inject, untouched
from pellucid.networks.published import Published, Weights, upwards
from pellucid.networks.restormer import (
    RESTORMER_NAMES,
    Restormer,
    TransposedAttentionBlock,
    restormer_settings,
    upsample,
)
from pellucid.scratch import reduced

__all__ = ["PromptBlock", "PromptGeneration", "PromptIR"]

SIDE, MOST = 128, 4
"""Of the parts of a picture that `PromptIR.prompt_weights` looks at: pixels, and their number along each side."""


class PromptGeneration(nn.Module):
    """PGM: learned components, mixed as the features say, brought to their size, then a 3x3 convolution.

    Args:
        features: channels of the features that the weights are taken from.
        components: how many there are.
        width: channels of a component.
        side: its height and width. Components are resized bilinearly to the features, so that they lie otherwise in
            pictures of another size than the training crop's.
    """

    def __init__(self, features: int, components: int, width: int, side: int) -> None:
        super().__init__()
        self.components = nn.Parameter(torch.rand(components, width, side, side))
        self.weigh = nn.Linear(features, components)
        self.smooth = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def logits(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to what the softmax makes weights of, (B, components), float32."""
        with without_autocast(features):
            logits: Tensor = self.weigh(features.float().mean((2, 3)))
            return logits

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """Features (B, C, h, w), of which the size counts, and weights (B, components) to the prompt (B, width, h,
        w)."""
        with without_autocast(features):
            mixed = torch.einsum("bn,nchw->bchw", weights.float(), self.components.float())
            resized = F.interpolate(mixed, features.shape[2:], mode="bilinear", align_corners=False)
        prompt: Tensor = self.smooth(resized)
        return prompt


class PromptBlock(nn.Module):
    """PGM, then PIM: a transformer block over features and prompt together, and a convolution back to fewer channels.

    Args:
        width: channels of the features.
        out: channels that leave.
        generation: makes the prompt.
        prompt_width: its channels.
        heads: of the transformer block.
        expansion: of its feed-forward network.
        kernel: side of the last convolution's kernel.
        bias: whether convolutions have biases.
        norm_bias: whether normalisations subtract the mean and have offsets.
    """

    def __init__(
        self,
        width: int,
        out: int,
        generation: PromptGeneration,
        prompt_width: int,
        *,
        heads: int,
        expansion: float,
        kernel: int,
        bias: bool,
        norm_bias: bool,
    ) -> None:
        super().__init__()
        joint = width + prompt_width
        self.generation = generation
        self.interaction = TransposedAttentionBlock(joint, heads, expansion, bias=bias, norm_bias=norm_bias)
        self.project = nn.Conv2d(joint, out, kernel, padding=kernel // 2, bias=bias)

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """Features (B, width, h, w) and the weights of the components (B, N) to prompted features (B, out, h, w)."""
        joint = torch.cat([features, self.generation(features, weights).to(features.dtype)], dim=1)
        result: Tensor = self.project(self.interaction(joint))
        return result


class PromptIR(Restormer):
    """Degraded image in, restored image out, whatever the degradation: (B, channels, H, W); sides divisible by
    `multiple`.

    Before each scale of the decoder the features are prompted. The weights of the prompt's components come from the
    features alone, no degradation is ever named; `prompt_weights` shows them.

    Three things depend on the size of the input, and in tiles on the tile's: the attention between channels of every
    block, the prompt's weights, and the prompt itself, which is stretched to the features. The weights are the whole
    picture's, for `look` finds them. The other two stay the tile's, since the features of a whole picture do not fit in
    bounded memory: a tiled result is close to the untiled one rather than equal.

    Without `prompts` it is Restormer to the bit. For a comparison at equal parameters, what the prompts took can be
    spent in
    five more blocks at the coarsest scale, where most of it was: `prompts=False, blocks=(4, 6, 6, 13)` has 99.2 % of
    the default's parameters.

    Args:
        width: channels at the finest scale, as in `Restormer`, like `blocks`, `refinement_blocks`, `heads`,
            `expansion`, `bias`, `norm_bias` and `channels`.
        prompts: whether there are any.
        components: of each prompt.
        prompt_widths: channels of the prompts, coarsest scale first.
        prompt_sides: height and width of their components, coarsest first; those of the features at the training crop,
            whose resizing then changes nothing (16, 32 and 64 at the paper's 128 pixels).
        interaction_heads: of the attention over features and prompt.
        interaction_kernel: side of the convolution after it; 1 as published with the weights, 3 as the paper draws it.
    """

    def __init__(
        self,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        bias: bool = False,
        norm_bias: bool = True,
        channels: int = 3,
        prompts: bool = True,
        components: int = 5,
        prompt_widths: Sequence[int] = (320, 128, 64),
        prompt_sides: Sequence[int] = (16, 32, 64),
        interaction_heads: int = 4,
        interaction_kernel: int = 1,
    ) -> None:
        super().__init__(width, blocks, refinement_blocks, heads, expansion, bias, norm_bias, channels)
        scales = len(blocks) - 1
        if prompts and not len(prompt_widths) == len(prompt_sides) == scales:
            raise ValueError(
                f"prompt_widths and prompt_sides need one entry for each of {scales} scales; "
                f"got {list(prompt_widths)} and {list(prompt_sides)}"
            )
        if min(components, *prompt_widths, *prompt_sides) < 1 or interaction_kernel not in (1, 3):
            raise ValueError(
                "components, prompt_widths and prompt_sides must be positive, and interaction_kernel 1 or 3; "
                f"got {components}, {list(prompt_widths)}, {list(prompt_sides)} and {interaction_kernel}"
            )
        self.contract = replace(self.contract, looks=prompts)
        self.settings |= {
            "prompts": prompts,
            "components": components,
            "prompt_widths": list(prompt_widths),
            "prompt_sides": list(prompt_sides),
            "interaction_heads": interaction_heads,
            "interaction_kernel": interaction_kernel,
        }
        self.prompts = nn.ModuleList()
        if not prompts:
            return
        coarsest = width * 2**scales
        entering = [coarsest, *(width * 2**scale for scale in range(scales - 1, 0, -1))]
        for features, prompt_width, side in zip(entering, prompt_widths, prompt_sides, strict=True):
            self.prompts.append(
                PromptBlock(
                    features,
                    coarsest // 2 if self.joins and features == coarsest else features,
                    PromptGeneration(features, components, prompt_width, side),
                    prompt_width,
                    heads=interaction_heads,
                    expansion=expansion,
                    kernel=interaction_kernel,
                    bias=bias,
                    norm_bias=norm_bias,
                )
            )
        if self.joins:
            # The coarsest prompt leaves half the channels, so the first scale of the decoder takes fewer than
            # Restormer's.
            self.upsamples[0] = upsample(coarsest // 2)
            self.joins[0] = nn.Conv2d(coarsest // 4 + coarsest // 2, coarsest // 2, 1, bias=bias)

    @classmethod
    def tiny(cls) -> "PromptIR":
        """The smallest useful instance, for tests."""
        return cls(
            width=4,
            blocks=(1, 1, 1, 1),
            refinement_blocks=1,
            heads=(1, 1, 2, 2),
            components=3,
            prompt_widths=(8, 4, 4),
            prompt_sides=(2, 3, 5),
            interaction_heads=2,
        )

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["weights 0"]` and so on: `prompt_weights`, each (B, colours or 1, components).

        A picture that is not cut shows them to `restore` itself.
        """
        if not cut or not self.prompts:
            return known
        weights = self.prompt_weights(reduced(image).to(next(self.parameters()).device))
        # By picture, and within it by colour where the network knows one channel.
        of_pictures = (found.reshape(len(image), -1, found.shape[1]) for found in weights)
        return known.knowing(own={f"weights {scale}": found for scale, found in enumerate(of_pictures)})

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the tile + the predicted correction; the prompts' weights are the tile's own where none are told."""
        return self.injected(tile, guidance, untouched)

    def injected(self, tile: Tensor, guidance: Guidance, inject: Inject) -> Tensor:
        """See `Restormer.injected`."""

        def prompted(scale: int, features: Tensor) -> Tensor:
            prompt = self._prompt(scale)
            told = guidance.own.get(f"weights {scale}")
            if told is None:
                weights = prompt.generation.logits(features).softmax(1)
            else:
                weights = told.expand(len(tile), -1, -1).flatten(0, 1)
            result: Tensor = prompt(features, weights)
            return result

        return self._restored(tile, prompted, inject) if self.prompts else super().injected(tile, guidance, inject)

    @torch.no_grad()
    def prompt_weights(self, image: Tensor) -> list[Tensor]:
        """How much of each component is in the prompts.

        At most sixteen parts of 128 x 128 pixels, spread over the picture, are looked at one after the other, and the
        means
        of their features stand for it: the memory this takes does not grow with the picture.

        Args:
            image: (B, channels, H, W), any size. Where the network knows one channel, those of a colour image count as
                images of a batch.

        Returns:
            One (B, components) for each scale of the decoder, coarsest first, float32; each row sums to one. Empty
            without prompts.
        """
        seen = [self._logits(pad_to_multiple(part, self.contract.multiple)) for part in _parts(image)]
        return [torch.stack(scale).mean(0).softmax(1) for scale in zip(*seen, strict=True)]

    def _logits(self, image: Tensor) -> list[Tensor]:
        """What the softmax makes weights of, for each prompt; the decoder runs as far as the last one needs."""
        if not self.prompts:
            return []
        features, skips = self._encode(self._planes(image))
        logits: list[Tensor] = []
        for scale in range(len(self.prompts)):
            prompt = self._prompt(scale)
            logits.append(prompt.generation.logits(features))
            if scale + 1 < len(self.prompts):
                features = self._decode(scale, prompt(features, logits[-1].softmax(1)), skips)
        return logits

    def _prompt(self, scale: int) -> PromptBlock:
        prompt = self.prompts[scale]
        assert isinstance(prompt, PromptBlock)
        return prompt


def _parts(image: Tensor) -> Iterator[Tensor]:
    """Parts of the image, spread evenly from border to border; they cover one that is not too large."""
    for top in _starts(image.shape[2]):
        for left in _starts(image.shape[3]):
            yield image[:, :, top : top + SIDE, left : left + SIDE]


def _starts(length: int) -> list[int]:
    count = min(MOST, -(-length // SIDE))
    return [(length - SIDE) * index // (count - 1) for index in range(count)] if count > 1 else [0]


def _promptir_settings(weights: Weights) -> dict[str, Any]:
    prompts = [weights[f"prompt{scale}.prompt_param"].shape for scale in (3, 2, 1)]
    return restormer_settings(weights) | {
        "components": prompts[0][1],
        "prompt_widths": [shape[2] for shape in prompts],
        "prompt_sides": [shape[3] for shape in prompts],
        "interaction_heads": weights["noise_level3.attn.temperature"].shape[0],
        "interaction_kernel": weights["reduce_noise_level3.weight"].shape[2],
    }


PUBLISHED = Published(
    task="",  # denoising, deraining and dehazing by one network
    marks=("patch_embed.proj.weight", "prompt1.prompt_param"),
    settings=_promptir_settings,
    names=(
        *RESTORMER_NAMES,
        (r"^prompt(\d)", upwards("prompts.{}.generation", 3)),
        (r"prompt_param", "components"),
        (r"linear_layer", "weigh"),
        (r"conv3x3", "smooth"),
        (r"^noise_level(\d)", upwards("prompts.{}.interaction", 3)),
        (r"^reduce_noise_level(\d)", upwards("prompts.{}.project", 3)),
    ),
    single=r"prompt\d\.prompt_param",
    idle=r"(chnl_reduce|reduce_noise_channel_)\d\.",
)
