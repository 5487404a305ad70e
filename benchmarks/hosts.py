"""How fast the hosts are beside straightforward formulations of the same networks, as ratios within one run.

The straightforward ones are written as the papers' figures show them: parts of the image one after another, layer norms
by moving the channels, vectors normalised before their product, an enlargement before its 1 x 1 convolution. Both
compute the same function, which is checked. Expected beforehand: MPRNet 1.05 to 1.2 times as fast, Restormer and NAFNet
1.0 to 1.3 times.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from pellucid.devices import channels_last, processor
from pellucid.models.tables import build_network
from pellucid.networks import mprnet, nafnet, restormer
from pellucid.networks.contract import Network

SIZES: dict[str, dict[str, Any]] = {
    "restormer": {"width": 48, "blocks": [1, 1, 1, 2], "refinement_blocks": 1},
    "mprnet": {"width": 40, "step": 20, "extra": 16, "blocks": 2},
    "nafnet": {"width": 32, "encoder_blocks": [1, 1, 2, 2], "middle_blocks": 2, "decoder_blocks": [1, 1, 1, 1]},
}
"""Published widths, with few blocks, so that it ends within minutes on two cores; `--full` takes the published ones."""


def _layer_norm(self: nafnet.ChannelNorm, features: Tensor) -> Tensor:
    normalised = F.layer_norm(features.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.epsilon)
    return normalised.permute(0, 3, 1, 2)


def _attended(self: restormer.TransposedAttentionBlock, features: Tensor) -> Tensor:
    queries, keys, values = self._by_head(self.mix(features))
    logits = F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).mT * self.temperature
    mixed = features + self.attention_out((logits.softmax(-1) @ values).reshape(features.shape))
    normalised = self.gate_norm(mixed.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    gate, value = self.gate_depthwise(self.gate_in(normalised)).chunk(2, 1)
    result: Tensor = mixed + self.gate_out(F.gelu(gate) * value)
    return result


def _grown(convolution: nn.Module, features: Tensor) -> Tensor:
    enlarged = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    result: Tensor = convolution(enlarged)
    return result


def _one_by_one(self: mprnet.Encoder, features: Tensor, slope: Tensor, encoded: Any, decoded: Any) -> list[Tensor]:
    parts = [
        _ENCODE(self, one, slope, *(_of_part(found, index) for found in (encoded, decoded)))
        for index, one in enumerate(torch.split(features, 1))
    ]
    return [torch.cat(scale) for scale in zip(*parts, strict=True)]


def _of_part(found: list[Tensor] | None, index: int) -> list[Tensor] | None:
    return None if found is None else [one[index : index + 1] for one in found]


_ENCODE = mprnet.Encoder.forward


@contextmanager
def straightforward() -> Iterator[None]:
    """A context in which the networks compute as their papers show it."""
    with (
        mock.patch.object(nafnet.ChannelNorm, "forward", _layer_norm),
        mock.patch.object(restormer.TransposedAttentionBlock, "forward", _attended),
        mock.patch.object(mprnet, "_grown", _grown),
        mock.patch.object(mprnet.Encoder, "forward", _one_by_one),
    ):
        yield


def timed(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of one call."""
    started = clock()
    run()
    return clock() - started


@torch.no_grad()
def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=512, help="of the square test picture, in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="networks of the published numbers of blocks")
    parser.add_argument("--cpu", action="store_true", help="one thread, and its CPU time instead of the clock's")
    options = parser.parse_args()
    clock = time.thread_time if options.cpu else time.perf_counter
    if options.cpu:
        torch.set_num_threads(1)
    torch.manual_seed(0)
    picture = torch.rand(1, 3, options.side, options.side)
    table = Table("network", "parameters", "ours, s", "straightforward over ours", "differ by")
    for name, settings in SIZES.items():
        network: Network = build_network(name, {} if options.full else settings).eval()
        fast = channels_last(build_network(name, network.settings).eval())
        fast.load_state_dict(network.state_dict())

        def plain(network: Network = network) -> Tensor:
            with straightforward():
                result: Tensor = network(picture)
            return result

        def ours(fast: nn.Module = fast) -> Tensor:
            result: Tensor = fast(picture.contiguous(memory_format=torch.channels_last))
            return result

        difference = float((plain() - ours()).abs().max())
        times = [(timed(plain, clock), timed(ours, clock)) for _ in range(options.repeats)]
        ratio = statistics.median(slow / quick for slow, quick in times)
        seconds = statistics.median(quick for _, quick in times)
        count = sum(value.numel() for value in network.parameters())
        table.add_row(name, f"{count / 1e6:.2f} M", f"{seconds:.2f}", f"{ratio:.2f}", f"{difference:.1e}")
    console = Console()
    console.print(table)
    console.print(f"{options.side} x {options.side}, float32, {processor()}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
