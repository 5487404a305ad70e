"""How fast the hosts are beside straightforward formulations of the same networks, as ratios within one run.

The straightforward ones are written as the papers' figures show them, in float32 and torch's usual layout: parts of the
image one after another, norms by moving the channels or written out, vectors normalised before their product, a change
of size before its 1 x 1 convolution, places gathered, moved to the last axis, mixed by a linear layer and moved back.
Both compute the same function, which is checked. Ours run in float32, and as the restorer runs them on this machine:
channels last, and in bfloat16 where that is quick. The three take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from pellucid.devices import channels_last, fast_bfloat16, processor
from pellucid.models.tables import build_network
from pellucid.networks import maxim, maxim_blocks, mprnet, nafnet, restormer
from pellucid.networks.contract import Network

SIZES: dict[str, dict[str, Any]] = {
    "restormer": {"width": 48, "blocks": [1, 1, 1, 2], "refinement_blocks": 1},
    "mprnet": {"width": 40, "step": 20, "extra": 16, "blocks": 2},
    "nafnet": {"width": 32, "encoder_blocks": [1, 1, 2, 2], "middle_blocks": 2, "decoder_blocks": [1, 1, 1, 1]},
    "maxim": {"stages": 1, "width": 32, "blocks": 1, "bottlenecks": 1},
}
"""Published widths, with few blocks, so that it ends within minutes on two cores; `--full` takes the published ones."""


def _norm_written_out(self: nafnet.ChannelNorm, features: Tensor) -> Tensor:
    centred = features - features.mean(1, keepdim=True)
    normalised = centred / (centred.pow(2).mean(1, keepdim=True) + self.epsilon).sqrt()
    return self.weight[:, None, None] * normalised + self.bias[:, None, None]


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


def _mixed_by_linear(self: maxim_blocks.PlaceMixer, features: Tensor) -> Tensor:
    batch, height, width, channels = features.shape
    side, near = self.side, self.axis == "block"
    rows, columns = (height // side, width // side) if near else (side, side)
    parts = features.reshape(batch, rows, height // rows, columns, width // columns, channels)
    gathered = parts.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1, channels)
    axis = 2 if near else 1
    mixed = F.linear(gathered.transpose(axis, 3), self.weight, self.bias).transpose(axis, 3)
    mixed = mixed.reshape(batch, rows, columns, height // rows, width // columns, channels)
    return mixed.permute(0, 1, 3, 2, 4, 5).reshape(features.shape)


def _convolved(convolution: nn.Module, features: Tensor) -> Tensor:
    result: Tensor = convolution(features.permute(0, 3, 1, 2).contiguous())
    return result.permute(0, 2, 3, 1).contiguous()


def _to_scale(self: maxim.ToScale, features: Tensor) -> Tensor:
    planes = features.permute(0, 3, 1, 2).contiguous()
    resized = planes if self.ratio == 1 else _RESIZED(planes, self.ratio)
    result: Tensor = self.project(resized)
    return result.permute(0, 2, 3, 1).contiguous()


_RESIZED = maxim._resized
_ENCODE = mprnet.Encoder.forward


@contextmanager
def straightforward() -> Iterator[None]:
    """A context in which the networks compute as their papers show it."""
    with (
        mock.patch.object(nafnet.ChannelNorm, "forward", _norm_written_out),
        mock.patch.object(restormer.TransposedAttentionBlock, "forward", _attended),
        mock.patch.object(mprnet, "_grown", _grown),
        mock.patch.object(mprnet.Encoder, "forward", _one_by_one),
        mock.patch.object(maxim_blocks.PlaceMixer, "forward", _mixed_by_linear),
        mock.patch.object(maxim_blocks, "convolved", _convolved),
        mock.patch.object(maxim, "convolved", _convolved),
        mock.patch.object(maxim.ToScale, "forward", _to_scale),
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
    parser.add_argument("--network", action="append", choices=list(SIZES), help="only this one; again for more")
    parser.add_argument("--cpu", action="store_true", help="one thread, and its CPU time instead of the clock's")
    options = parser.parse_args()
    clock = time.thread_time if options.cpu else time.perf_counter
    if options.cpu:
        torch.set_num_threads(1)
    torch.manual_seed(0)
    picture = torch.rand(1, 3, options.side, options.side)
    last = picture.contiguous(memory_format=torch.channels_last)
    half = fast_bfloat16(picture.device)
    said = "bfloat16" if half else "float32"
    console = Console(width=120)
    table = Table(
        "network", "parameters", "straightforward, s", "over ours, float32", f"over ours, {said}", "differ by"
    )
    for name in options.network or SIZES:
        network: Network = build_network(name, {} if options.full else SIZES[name]).eval()
        for value in network.parameters():  # what begins at zero would hide the branch behind it
            value.add_(0.02 * torch.randn_like(value))
        fast = channels_last(build_network(name, network.settings).eval())
        fast.load_state_dict(network.state_dict())

        def plain(image: Tensor = picture, network: Network = network) -> Tensor:
            with straightforward():
                result: Tensor = network(image)
            return result

        def ours(image: Tensor = last, fast: nn.Module = fast, *, half: bool = False) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                result: Tensor = fast(image)
            return result

        # In small, where all that is done once is done, too.
        difference = float((plain(picture[..., :128, :128]) - ours(last[..., :128, :128])).abs().max())
        ours(last[..., :128, :128], half=half)
        times = []
        for turn in range(1, options.repeats + 1):
            times.append([timed(run, clock) for run in (plain, ours, partial(ours, half=half))])
            console.print(f"{name}, turn {turn}: {', '.join(f'{one:.2f}' for one in times[-1])} s")
        seconds = statistics.median(slow for slow, *_ in times)
        ratios = [statistics.median(one[0] / one[ours_] for one in times) for ours_ in (1, 2)]
        count = sum(value.numel() for value in network.parameters())
        table.add_row(
            name, f"{count / 1e6:.2f} M", f"{seconds:.2f}", *(f"{ratio:.2f}" for ratio in ratios), f"{difference:.1e}"
        )
    console.print(table)
    console.print(
        f"{options.side} x {options.side}, {options.repeats} turns, {processor()}, {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
