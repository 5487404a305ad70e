"""Restoring by a network that samples: tiles meet in every step.

The state of the whole picture is one; in each step the network predicts for every tile of it, the predictions are
blended as restored tiles are, and one step of the scheduler is taken with the whole. So tiles cannot drift apart: there
is one field of noise, and one picture.

Source: the joint diffusion over overlapping windows of "MultiDiffusion: Fusing Diffusion Paths for Controlled Image
Generation" (Bar-Tal et al., ICML 2023, arXiv 2302.08113), equation (5), with this package's weights for the windows.
"""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.guidance import Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.networks import SamplingNetwork
from pellucid.restoration.tiles import Layout, Tiles, over_tiles

__all__ = ["sample_in_tiles", "sampled_states"]


def sample_in_tiles(network: SamplingNetwork, image: Tensor, guidance: Guidance, tiles: Tiles) -> Tensor:
    """All steps of a sampling network over a picture of any size.

    Args:
        network: what samples.
        image: the whole degraded picture, (B, channels, H, W) in [0, 1].
        guidance: what is known of it; the seed decides what is drawn.
        tiles: how it is cut, in pixels of the picture; their multiple must be one of the network's.

    Returns:
        (B, 3, H * scale, W * scale), float32.

    Raises:
        ModelError: the network has no steps.
    """
    height, width = image.shape[2:]
    padded = pad_to_multiple(image, network.contract.multiple)
    last = deque(sampled_states(network, padded, guidance, tiles), maxlen=1)
    if not last:
        raise ModelError(f"{type(network).__name__}: samples in no steps at all")
    scale = network.contract.scale

    def decoded(tile: Tensor, told: Guidance) -> Tensor:
        place = told.grid  # of the state, which lies as the picture does
        part = padded if place is None else _part(padded, place)
        return network.decode(tile, part, told)

    of_state = _of_state(tiles, network.stride)
    whole = over_tiles(decoded, last[0], guidance, of_state, scale=network.stride * scale)
    return whole[:, :, : height * scale, : width * scale]


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
    layout = Layout(rows, columns, _of_state(tiles, network.stride))
    weights = layout.weights(1, state.device)
    for time in network.times():
        prediction = torch.zeros_like(state)
        for place in layout.places:
            told = guidance if len(layout.places) == 1 else guidance.knowing(grid=place.grid(rows, columns))
            part = network.predict(place.of(state), place.of(padded, network.stride), time, told)
            across, along = weights[place]
            place.of(prediction).add_((part * across * along).to(prediction.dtype))
        state = network.advance(state, prediction, time)
        yield state


def _of_state(tiles: Tiles, stride: int) -> Tiles:
    """The same tiles in places of the state."""
    return Tiles(max(16, tiles.side // stride), tiles.overlap // stride, max(1, tiles.multiple // stride))


def _part(image: Tensor, grid: Tensor) -> Tensor:
    """What lies at a place of an image, given as fractions of its sides (1, 4)."""
    height, width = image.shape[2:]
    top, left, bottom, right = (grid[0] * torch.tensor([height, width, height, width])).round().int().tolist()
    return image[:, :, top:bottom, left:right]
