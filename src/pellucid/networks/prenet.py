"""PReNet: one small residual network, run several times over, that takes rain away bit by bit."""

import torch
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, count, numbered
from pellucid.networks.residual_block import ResidualBlock

__all__ = ["PReNet"]


class RectifiedBlock(ResidualBlock):
    """relu(x + relu(conv(relu(conv(x)))))."""

    def forward(self, features: Tensor) -> Tensor:
        """Features in, features out, (B, width, h, w)."""
        refined: Tensor = (features + self.second(self.first(features).relu_()).relu_()).relu_()
        return refined


class PReNet(Network):
    """Rainy image in, clear image out: (B, 3, H, W) in [0, 1], any size.

    Source: Ren et al., "Progressive Image Deraining Networks: A Better and Simpler Baseline" (CVPR 2019, arXiv
    1901.09221), section 3. For the stages t = 1 to 6, which share their weights, with x^0 = y the rainy image:

        x^{t-0.5} = f_in(x^{t-1}, y)                   a convolution with ReLU
        s^t = f_recurrent(s^{t-1}, x^{t-0.5})          a convolutional LSTM, s^0 = 0
        x^t = y + f_out(f_res(s^t))                    five residual blocks and a convolution

    Args:
        width: channels of the features and of the LSTM's state.
        blocks: residual blocks of a stage.
        iterations: stages; weights do not depend on it.
    """

    def __init__(self, width: int = 32, blocks: int = 5, iterations: int = 6) -> None:
        super().__init__()
        if min(width, blocks, iterations) < 1:
            raise ValueError(f"width, blocks and iterations must be positive; got {width}, {blocks}, {iterations}")
        self.contract = Contract()
        self.settings = {"width": width, "blocks": blocks, "iterations": iterations}
        self.width, self.iterations = width, iterations
        self.head = nn.Conv2d(6, width, 3, padding=1)
        self.input_gate, self.forget_gate, self.candidate, self.output_gate = (
            nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(4)
        )
        self.blocks = nn.Sequential(*(RectifiedBlock(width) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def tiny(cls) -> "PReNet":
        """The smallest useful instance, for tests."""
        return cls(width=4, blocks=1, iterations=2)

    def stages(self, degraded: Tensor) -> list[Tensor]:
        """The result of every stage, the best last, for losses that supervise each of them."""
        hidden = degraded.new_zeros(degraded.shape[0], self.width, *degraded.shape[2:])
        cell, results = hidden, [degraded]
        for _ in range(self.iterations):
            features = self.head(torch.cat([degraded, results[-1]], 1)).relu_()
            seen = torch.cat([features, hidden], 1)
            keep, write = self.forget_gate(seen).sigmoid(), self.input_gate(seen).sigmoid()
            cell = keep * cell + write * self.candidate(seen).tanh()
            hidden = self.output_gate(seen).sigmoid() * cell.tanh()
            results.append(degraded + self.tail(self.blocks(hidden)))
        return results[1:]

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the result of the last stage."""
        return self.stages(tile)[-1]


PUBLISHED = Published(
    task="deraining",
    marks=("conv0.0.weight", "conv_g.0.weight"),
    settings=lambda weights: {
        "width": weights["conv0.0.weight"].shape[0],
        "blocks": count(weights, r"res_conv\d+\.0\.weight"),
    },
    names=(
        (r"^conv0\.0", "head"),
        (r"^conv_i\.0", "input_gate"),
        (r"^conv_f\.0", "forget_gate"),
        (r"^conv_g\.0", "candidate"),
        (r"^conv_o\.0", "output_gate"),
        (r"^res_conv(\d+)\.0", numbered("blocks.{}.first", 1)),
        (r"^res_conv(\d+)\.2", numbered("blocks.{}.second", 1)),
        (r"^conv\.0", "tail"),
    ),
)
