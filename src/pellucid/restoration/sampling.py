"""Restoring by a network that samples: tiles meet in every step.

The state of the whole picture is one; in each step the network predicts for every tile of it, the predictions are
blended as restored tiles are, and one step of the scheduler is taken with the whole. So tiles cannot drift apart: there
is one field of noise, and one picture. The controls may ask for other weights, for a grid that moves with each step, or
for tiles that meet as finished pictures only, which shows what meeting is worth.

Source: the joint diffusion over overlapping windows of "MultiDiffusion: Fusing Diffusion Paths for Controlled Image
Generation" (Bar-Tal et al., ICML 2023, arXiv 2302.08113), equation (5); with this package's weights for the windows,
alike as there, or Gaussian as in "Exploiting Diffusion Prior for Real-World Image Super-Resolution" (Wang et al., IJCV
2024, arXiv 2305.07015), section 3.3.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pellucid.diffusion.controls import Controls
from pellucid.errors import ModelError
from pellucid.guidance import Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.networks import SamplingNetwork
from pellucid.restoration.tiles import Layout, Place, Tiles, over_tiles

__all__ = ["gaussian", "sample_in_tiles", "sampled_states"]

VARIANCE = 0.01
"""Of the Gaussian over a tile whose side is one."""


def sample_in_tiles(network: SamplingNetwork, image: Tensor, guidance: Guidance, tiles: Tiles) -> Tensor:
    """All steps of a sampling network over a picture of any size; of several samples, their mean.

    Args:
        network: what samples.
        image: the whole degraded picture, (B, channels, H, W) in [0, 1].
        guidance: what is known of it; the seed decides what is drawn, the controls how it is sampled.
        tiles: how it is cut, in pixels of the picture; their multiple must be one of the network's.

    Returns:
        (B, 3, H * scale, W * scale), float32.

    Raises:
        ModelError: the network has no steps.
    """
    height, width = image.shape[2:]
    controls = controls_of(guidance)
    if controls.up != 1:
        larger = [round(side * controls.up) for side in (height, width)]
        image = interpolate(image, larger, mode="bicubic", align_corners=False).clamp(0, 1)
    padded = pad_to_multiple(image, network.contract.multiple)
    if controls.tiles == "full":
        tiles = Tiles(max(16, *padded.shape[2:]) + tiles.multiple, 0, tiles.multiple)
    whole: Tensor | None = None
    for number in range(controls.samples):
        drawn = guidance.knowing(seed=(guidance.seed or 0) + number) if controls.samples > 1 else guidance
        sample = _independent if controls.tiles == "independent" else _met
        one = sample(network, padded, drawn, tiles)
        whole = one if whole is None else whole + (one - whole) / (number + 1)
    assert whole is not None
    scale = network.contract.scale
    whole = whole[:, :, : image.shape[2] * scale, : image.shape[3] * scale]
    if controls.up == 1:
        return whole
    return interpolate(whole, [height * scale, width * scale], mode="bicubic", align_corners=False, antialias=True)


def sampled_states(network: SamplingNetwork, padded: Tensor, guidance: Guidance, tiles: Tiles) -> Iterator[Tensor]:
    """The state of the whole picture after each step, (B, C, H / stride, W / stride); for who shows how far it is.

    Args:
        network: what samples.
        padded: the degraded picture, sides divisible by the network's multiple.
        guidance: what is known of it.
        tiles: how it is cut, in pixels of the picture.
    """
    state = network.start(padded, guidance)
    rows, columns = state.shape[2:]
    of_state, kind = _of_state(tiles, network.stride), controls_of(guidance).tiles
    layout = Layout(rows, columns, of_state)
    weights = layout.weights(1, state.device, SHAPES.get(kind))
    shifts = torch.Generator().manual_seed(guidance.seed or 0)
    for time in network.times():
        prediction = torch.zeros_like(state, dtype=torch.float32)
        if kind == "shift" and len(layout.places) > 1:
            places, weights = _shifted(rows, columns, of_state, shifts), {}
        else:
            places = layout.places
        for place in places:
            told = guidance if len(places) == 1 else guidance.knowing(grid=place.grid(rows, columns))
            part = network.predict(place.of(state), place.of(padded, network.stride), time, told).float()
            across, along = weights.get(place, (1.0, 1.0))
            place.of(prediction).add_(part * across * along)
        state = network.advance(state, prediction.to(state.dtype), time)
        yield state


def _met(network: SamplingNetwork, padded: Tensor, guidance: Guidance, tiles: Tiles) -> Tensor:
    """One sample of a padded picture, whose tiles meet in every step."""
    last = deque(sampled_states(network, padded, guidance, tiles), maxlen=1)
    if not last:
        raise ModelError(f"{type(network).__name__}: samples in no steps at all")
    if network.decodes_whole:
        return network.decode(last[0], padded, guidance).float()

    def decoded(tile: Tensor, told: Guidance) -> Tensor:
        place = told.grid  # of the state, which lies as the picture does
        part = padded if place is None else _part(padded, place)
        return network.decode(tile, part, told)

    of_state = _of_state(tiles, network.stride)
    return over_tiles(decoded, last[0], guidance, of_state, scale=network.stride * network.contract.scale)


def _independent(network: SamplingNetwork, padded: Tensor, guidance: Guidance, tiles: Tiles) -> Tensor:
    """One sample of a padded picture whose tiles, begun from one field of noise, are blended when they are finished."""
    whole = network.start(padded, guidance)
    rows, columns = whole.shape[2:]

    def sampled(tile: Tensor, told: Guidance) -> Tensor:
        place = told.grid
        state = network.start(tile, told)
        if place is not None:
            top, left, bottom, right = _corners(place, rows, columns)
            state = whole[:, :, top:bottom, left:right]
        for time in network.times():
            state = network.advance(state, network.predict(state, tile, time, told), time)
        return network.decode(state, tile, told)

    return over_tiles(sampled, padded, guidance, tiles, scale=network.contract.scale)


def controls_of(guidance: Guidance) -> Controls:
    """The controls in a guidance, or what they are where nobody says anything."""
    return guidance.controls if isinstance(guidance.controls, Controls) else Controls()


def gaussian(length: int) -> Tensor:
    """Weights along a tile's side: a Gaussian about the middle, of variance 0.01 for a side of one."""
    place = (torch.arange(length, dtype=torch.float32) - (length - 1) / 2) / length
    return torch.exp(-place.square() / (2 * VARIANCE))


SHAPES: Mapping[str, Callable[[int], Tensor]] = {"gaussian": gaussian, "uniform": lambda length: torch.ones(length)}
"""Weights of tiles by the control `tiles`, where they are not those of restored tiles."""


def _shifted(rows: int, columns: int, tiles: Tiles, generator: torch.Generator) -> list[Place]:
    """Tiles side by side, none overlapping, from a random corner on."""

    def spans(length: int) -> list[tuple[int, int]]:
        side = max(tiles.side // tiles.multiple, 1)
        first = int(torch.randint(1, side + 1, (), generator=generator)) * tiles.multiple
        cuts = [0, *range(first, length, side * tiles.multiple), length]
        return list(pairwise(cuts))

    across, along = spans(rows), spans(columns)
    return [Place(top, left, bottom, right) for top, bottom in across for left, right in along]


def _of_state(tiles: Tiles, stride: int) -> Tiles:
    """The same tiles in places of the state."""
    return Tiles(max(16, tiles.side // stride), tiles.overlap // stride, max(1, tiles.multiple // stride))


def _part(image: Tensor, grid: Tensor) -> Tensor:
    """What lies at a place of an image, given as fractions of its sides (1, 4)."""
    top, left, bottom, right = _corners(grid, *image.shape[2:])
    return image[:, :, top:bottom, left:right]


def _corners(grid: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    top, left, bottom, right = (grid[0] * torch.tensor([height, width, height, width])).round().int().tolist()
    return top, left, bottom, right
