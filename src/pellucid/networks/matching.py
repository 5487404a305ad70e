"""Finding, for every place of a degraded picture's features, where another picture shows the same, and bringing that
here.

Features of the deepest scale are compared: first the middle of every block of them with all of the reference, at three
dilations; then every place of the block with a window about what was found. What is found there is copied at all
scales, weighed by how well it fits. Nothing says that the two pictures show the same at the same place, or are equally
large.

Source: "MASA-SR: Matching Acceleration and Spatial Adaptation for Reference-Based Image Super-Resolution" (CVPR 2021,
arXiv 2106.02299), sections 3.2 and 3.3, as "Improving Image Restoration through Removing Degradations in Textual
Representations" (CVPR 2024, arXiv 2312.17334) takes it for pictures made from words.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.networks.autocast import without_autocast

__all__ = ["BLOCK", "Found", "find", "relative", "transferred"]

BLOCK = 8
"""Places of a block's side."""
DILATIONS = (1, 2, 3)
"""Of the patches about the middle of a block."""
REACH = 1.5
"""Of a window, over a block's share of the reference."""
SURROUNDINGS = 3
"""Places to each side that a place is taken relative to."""
LEAST = 1e-12
NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]


@dataclass(frozen=True)
class Found:
    """Where a reference shows what the places of a picture's deepest features show.

    Attributes:
        places: in the reference's deepest features, row by row, the middle of the patch of 3 x 3 that fits best, int64
            (B, h, w); h and w are multiples of BLOCK.
        scores: the cosines of the patches, (B, 1, h, w).
        size: of the picture's deepest features, without what fills the last blocks.
        reference: of the reference's.
    """

    places: Tensor
    scores: Tensor
    size: tuple[int, int]
    reference: tuple[int, int]


def find(features: Tensor, reference: Tensor, whole: tuple[int, int] | None = None) -> Found:
    """Matches the deepest features of two pictures; gradients flow through the scores.

    Args:
        features: of the degraded picture or of a tile of it, (B, C, h, w), any size.
        reference: of the other one, (B, C, H, W), three places a side at least.
        whole: height and width of the whole picture's deepest features, by which the windows go; None: of `features`.
    """
    height, width = features.shape[2:]
    down, right = -height % BLOCK, -width % BLOCK
    with without_autocast(features):
        # The border is repeated: a patch about a place there reaches beyond it.
        padded = F.pad(features.float(), (1, 1 + right, 1, 1 + down), mode="replicate")
        reference = reference.float().expand(len(features), -1, -1, -1)
        with torch.no_grad():
            middles = _coarse(padded[:, :, 1:-1, 1:-1], reference)
            places = _fine(padded, reference, middles, whole or (height, width))
        scores = _scores(padded, reference, places)
    return Found(places, scores, (height, width), (reference.shape[2], reference.shape[3]))


def relative(features: Tensor) -> Tensor:
    """Features less the mean of their surroundings, over the spread there, in each channel: (B, C, h, w) in and out.

    Light and colour go, what is left is how a place differs from those about it: so a dark picture can be compared with
    a bright one. Surroundings are 7 x 7 places, and at a border those that there are; of a tile they are the picture's
    own but within three places of its border. This is no part of the published method.
    """
    side = 2 * SURROUNDINGS + 1

    def around(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, side, 1, SURROUNDINGS, count_include_pad=False)

    with without_autocast(features):
        centred = features.float() - around(features.float())
        spread: Tensor = around(centred.square()).clamp_min(LEAST).sqrt()
        return centred / spread


def transferred(reference: Tensor, found: Found) -> Tensor:
    """The reference's features at any scale where they were found: (B, C, H s, W s) to (B, C, h s, w s).

    Each place is given the patches of 3 x 3 places that were found for it and for its neighbours in its block, averaged
    where they overlap, times the score. Every place is gathered by itself, `s` x `s` values at once, at most nine
    times, so that patches never lie side by side in memory.
    """
    batch, channels = len(found.places), reference.shape[1]
    rows, columns = found.reference
    scale = reference.shape[2] // rows
    height, width = found.places.shape[1:]
    with without_autocast(reference):
        tiles = F.pixel_unshuffle(reference.float(), scale).flatten(2).mT.expand(batch, -1, -1)
        sources, shares = _sources(found, columns)
        first = torch.arange(batch, device=sources.device).view(-1, 1, 1, 1) * rows * columns
        joined = F.embedding_bag(
            (sources + first).flatten(0, 2), tiles.flatten(0, 1), per_sample_weights=shares.flatten(0, 2), mode="sum"
        )
        whole = joined.view(batch, height, width, channels * scale**2).permute(0, 3, 1, 2)
        whole = F.pixel_shuffle(whole, scale) * _enlarged(found.scores, scale)
    whole = whole.to(reference.dtype)
    return whole[:, :, : found.size[0] * scale, : found.size[1] * scale]


def _coarse(features: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns in the reference (B, down, across) of what is most like the middles of the blocks."""
    batch, channels, height, width = features.shape
    down, across = height // BLOCK, width // BLOCK
    middle, total = BLOCK // 2, torch.zeros(())
    power = reference.square().sum(1, keepdim=True)
    ones = torch.ones(1, 1, 3, 3, device=reference.device)
    for dilation in DILATIONS:
        patches = torch.stack(
            [
                features[:, :, middle + row * dilation :: BLOCK, middle + column * dilation :: BLOCK]
                for row, column in NEIGHBOURS
            ],
            -1,
        )  # (B, C, down, across, 9)
        kernels = patches.permute(0, 2, 3, 1, 4).reshape(batch * down * across, -1)
        kernels = F.normalize(kernels, dim=1, eps=LEAST).reshape(-1, channels, 3, 3)
        likeness = F.conv2d(
            reference.reshape(1, batch * channels, *reference.shape[2:]),
            kernels,
            padding=dilation,
            dilation=dilation,
            groups=batch,
        ).view(batch, down * across, *reference.shape[2:])
        norms = F.conv2d(power, ones, padding=dilation, dilation=dilation).clamp_min(0).sqrt().clamp_min(LEAST)
        total = likeness / norms + total
    best = total.flatten(2).argmax(2).view(batch, down, across)
    return best // reference.shape[3], best % reference.shape[3]


def _fine(padded: Tensor, reference: Tensor, middles: tuple[Tensor, Tensor], whole: tuple[int, int]) -> Tensor:
    """Where the patches that fit best lie, (B, h, w): for every place, of those within its block's window."""
    batch, channels = padded.shape[:2]
    down, across = middles[0].shape[1:]
    sides = reference.shape[2:]
    spans, starts = [], []
    for middle, side, length in zip(middles, sides, whole, strict=True):
        diameter = 2 * int(side // (2 * -(-length // BLOCK)) * REACH) + 1
        spans.append(min(diameter + 2, side))
        starts.append((middle - diameter // 2 - 1).clamp(0, side - spans[-1]))
    top, left = (start.flatten() for start in starts)
    device = padded.device
    rows = top[:, None] + torch.arange(spans[0], device=device)
    columns = left[:, None] + torch.arange(spans[1], device=device)
    window = rows[:, :, None] * sides[1] + columns[:, None, :]  # (B n, span, span)
    first = torch.arange(batch, device=device).repeat_interleave(down * across) * sides[0] * sides[1]
    table = reference.flatten(2).mT.reshape(-1, channels)
    beyond = BLOCK + 2
    blocks = padded.unfold(2, beyond, BLOCK).unfold(3, beyond, BLOCK)  # (B, C, down, across, 10, 10)
    blocks = blocks.permute(0, 2, 3, 4, 5, 1).reshape(batch * down * across, beyond**2, channels)
    seen = table[(window + first[:, None, None]).flatten(1)]  # (B n, span span, C)
    # Every place of a block with every place of its window; a patch's product is the sum of nine of these.
    products = (blocks @ seen.mT).view(-1, beyond, beyond, *spans)
    shape = spans[0] - 2, spans[1] - 2
    likeness = torch.zeros(len(products), BLOCK, BLOCK, *shape, device=device)
    power = torch.zeros(len(products), *shape, device=device)
    of_window = seen.square().sum(2).view(-1, *spans)
    for row, column in ((row + 1, column + 1) for row, column in NEIGHBOURS):
        there = slice(row, row + shape[0]), slice(column, column + shape[1])
        likeness += products[:, row : row + BLOCK, column : column + BLOCK, *there]
        power += of_window[:, *there]
    # The norm of the place's own patch is one and the same for all that it is compared with.
    best = (likeness / power.sqrt().clamp_min(LEAST)[:, None, None]).flatten(3).argmax(3)  # (B n, 8, 8)
    place_rows = best // shape[1] + top[:, None, None] + 1
    place_columns = best % shape[1] + left[:, None, None] + 1
    places = (place_rows * sides[1] + place_columns).view(batch, down, across, BLOCK, BLOCK)
    return places.transpose(2, 3).reshape(batch, down * BLOCK, across * BLOCK)


def _scores(padded: Tensor, reference: Tensor, places: Tensor) -> Tensor:
    """The cosines of the patches that were found, (B, 1, h, w)."""
    batch, channels = padded.shape[:2]
    height, width = places.shape[1:]
    columns = reference.shape[3]
    table = reference.flatten(2)
    product = own = other = torch.zeros((), device=padded.device)
    for row, column in NEIGHBOURS:
        here = padded[:, :, 1 + row : 1 + row + height, 1 + column : 1 + column + width].flatten(2)
        index = (places + row * columns + column).view(batch, 1, -1).expand(-1, channels, -1)
        there = table.gather(2, index)
        product = product + (here * there).sum(1)
        own, other = own + here.square().sum(1), other + there.square().sum(1)
    # Of patches of zeros nothing is learnt; the slope of the root, and of what it divides, would be infinite.
    norms = own.clamp_min(LEAST).sqrt() * other.clamp_min(LEAST).sqrt()
    return (product / norms).view(batch, 1, height, width)


def _sources(found: Found, columns: int) -> tuple[Tensor, Tensor]:
    """Of which nine places of the reference each place is made, (B, h, w, 9), and by what shares."""
    places = found.places
    blocks = places.unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK)  # (B, down, across, 8, 8)
    padded = F.pad(blocks, (1, 1, 1, 1), value=-1)
    sources = []
    for row, column in NEIGHBOURS:
        of_neighbour = padded[..., 1 - row : 1 - row + BLOCK, 1 - column : 1 - column + BLOCK]
        sources.append(torch.where(of_neighbour < 0, -1, of_neighbour + row * columns + column))
    joint = torch.stack(sources, -1).transpose(2, 3).reshape(*places.shape, len(NEIGHBOURS))
    there = (joint >= 0).to(found.scores.dtype)
    return joint.clamp_min(0), there / there.sum(-1, keepdim=True)


def _enlarged(scores: Tensor, scale: int) -> Tensor:
    """The scores at a finer scale, interpolated within their blocks."""
    batch, _, height, width = scores.shape
    blocks = scores.view(batch, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    larger = F.interpolate(
        blocks.reshape(-1, 1, BLOCK, BLOCK), scale_factor=float(scale), mode="bilinear", align_corners=False
    )
    larger = larger.view(batch, height // BLOCK, width // BLOCK, BLOCK * scale, BLOCK * scale).transpose(2, 3)
    return larger.reshape(batch, 1, height * scale, width * scale)
