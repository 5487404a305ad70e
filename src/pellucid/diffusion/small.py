"""The family `small`: a denoiser of our own, built from a config, with the words that it can be told."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.diffusion.prompts import Prompt
from pellucid.diffusion.unet import SmallUNet
from pellucid.diffusion.words import WordEncoder

__all__ = ["OPERATIONS_OF_SMALL", "SmallDenoiser"]

OPERATIONS_OF_SMALL = ("denoise", "deblur", "defocus deblur", "motion deblur", "dejpeg", "sr")
"""What a small denoiser is told of where its settings do not say."""


class SmallDenoiser(nn.Module):
    """What a denoiser is to `Generative`: state, degraded picture as a state, time and words to a prediction.

    Args:
        channels: of a state.
        entry: how the degraded picture enters: `concat`, or `none` for a prior that sees none.
        unet: arguments of `SmallUNet`.
        operations: verbs of prompts that it can be told.
    """

    def __init__(
        self,
        channels: int,
        entry: str = "concat",
        unet: Mapping[str, Any] | None = None,
        operations: Sequence[str] = OPERATIONS_OF_SMALL,
    ) -> None:
        super().__init__()
        self.entry, self.channels = entry, channels
        self.unet = SmallUNet(channels * (2 if entry == "concat" else 1), channels, **(unet or {}))
        self.words = WordEncoder(operations, self.unet.embedding)
        self.multiple = self.unet.multiple
        if entry == "concat":
            _close(self.unet, channels)
        self.register_load_state_dict_pre_hook(_from_prior)  # type: ignore[no-untyped-call]

    def told(self, prompts: Sequence[Prompt]) -> Tensor:
        """Prompts as numbers; see `WordEncoder.numbered`."""
        return self.words.numbered(prompts)

    def forward(self, state: Tensor, degraded: Tensor, times: Tensor, told: Tensor) -> Tensor:
        """What it says of states (B, channels, h, w) at times (B,), of pictures that look so, when it is told so."""
        embedding = self.unet.embed(times) + self.words(told)
        inputs = torch.cat([state, degraded], 1) if self.entry == "concat" else state
        said: Tensor = self.unet(inputs, embedding)
        return said


def _close(unet: SmallUNet, channels: int) -> None:
    """Zeros where the degraded picture enters: at first a denoiser does as if it saw none."""
    with torch.no_grad():
        unet.conv_in.weight[:, channels:] = 0


def _from_prior(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Widens the weights of a denoiser that saw no degraded picture: zeros for what comes in besides."""
    assert isinstance(module, SmallDenoiser)
    for name in ("unet.conv_in.weight", "unet.gains.weight", "unet.gains.bias"):
        wanted, given = module.get_parameter(name), state.get(prefix + name)
        dimension = 1 if name.startswith("unet.conv_in") else 0
        if given is not None and given.shape[dimension] == module.channels < wanted.shape[dimension]:
            grown = given.new_zeros(wanted.shape)
            grown.narrow(dimension, 0, module.channels).copy_(given)
            state[prefix + name] = grown
