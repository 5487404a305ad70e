"""Attention within square windows, shifted in every other block: what Swin transformers for images share.

Source: Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows" (ICCV 2021, arXiv
2103.14030), section 3.2. A shift rolls the map, so that the last windows of each row and column hold parts of opposite
borders; these must not attend to one another. Only those windows need a mask, and each of the four kinds of windows
(inner, last in its row, last in its column, the corner) one of its own: nothing here grows with the square of the
picture.
"""

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["attend", "cut", "joined", "relative_bias", "relative_places"]

APART = -100.0
"""Added to the logits of places that are no neighbours, as in the published networks."""


def cut(features: Tensor, side: int) -> Tensor:
    """(B, H, W, C) to windows (B, H / side, W / side, side * side, C)."""
    batch, height, width, channels = features.shape
    windows = features.reshape(batch, height // side, side, width // side, side, channels).transpose(2, 3)
    return windows.reshape(batch, height // side, width // side, side * side, channels)


def joined(windows: Tensor, side: int) -> Tensor:
    """Back from `cut`."""
    batch, rows, columns, _, channels = windows.shape
    features = windows.reshape(batch, rows, columns, side, side, channels).transpose(2, 3)
    return features.reshape(batch, rows * side, columns * side, channels)


def relative_places(side: int) -> Tensor:
    """For two places of a window the row of their distance in a table of (2 side - 1)^2, int64 (side^2, side^2)."""
    at = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    rows, columns = (at[:, None] - at[None] + side - 1).unbind(-1)
    return rows * (2 * side - 1) + columns


def relative_bias(table: Tensor, places: Tensor) -> Tensor:
    """What the table ((2 side - 1)^2, heads) adds to the logits, (heads, side^2, side^2)."""
    return table[places.flatten()].reshape(*places.shape, -1).permute(2, 0, 1)


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, shift: int) -> Tensor:
    """softmax(q k / sqrt(d) + bias) v in each window and head.

    Args:
        queries: of windows as `cut` gives them, (B, rows, columns, side^2, C); keys and values likewise.
        keys: see above.
        values: see above.
        bias: (heads, side^2, side^2).
        shift: by how many places the map was rolled up and left before it was cut.

    Returns:
        (B, rows, columns, side^2, C).
    """
    if not shift:
        return _attended(queries, keys, values, bias)
    side = isqrt(bias.shape[1])
    late = torch.arange(side, device=bias.device) >= side - shift
    across, down = late.repeat(side), late.repeat_interleave(side)

    def part(last_row: bool, last_column: bool) -> Tensor:
        rows = slice(-1, None) if last_row else slice(-1)
        columns = slice(-1, None) if last_column else slice(-1)
        apart = torch.zeros_like(bias[0], dtype=torch.bool)
        for last, where in ((last_row, down), (last_column, across)):
            apart = apart | (where[:, None] != where[None]) if last else apart
        masked = bias + APART * apart
        own = (slice(None), rows, columns)
        return _attended(queries[own], keys[own], values[own], masked)

    return torch.cat([torch.cat([part(low, right) for right in (False, True)], 2) for low in (False, True)], 1)


def _attended(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    if not queries.numel():
        return queries
    heads = len(bias)

    def by_head(tokens: Tensor) -> Tensor:
        return tokens.reshape(-1, tokens.shape[3], heads, tokens.shape[4] // heads).transpose(1, 2)

    mask = bias.to(queries.dtype)[None]
    answers = F.scaled_dot_product_attention(by_head(queries), by_head(keys), by_head(values), attn_mask=mask)
    return answers.transpose(1, 2).reshape(queries.shape)
