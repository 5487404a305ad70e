"""GridDehazeNet: three scales side by side, joined by learned weights at every node of a grid."""

import torch
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, count

__all__ = ["GridDehazeNet"]


class DenseBlock(nn.Module):
    """A residual dense block: convolutions that each see all before them, a 1 x 1 one, and the input again."""

    def __init__(self, width: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(width + n * growth, growth, 3, padding=1) for n in range(layers))
        self.join = nn.Conv2d(width + layers * growth, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        seen = features
        for layer in self.layers:
            seen = torch.cat([seen, layer(seen).relu()], 1)
        result: Tensor = self.join(seen) + features
        return result


class Down(nn.Module):
    """To half the sides, rounded up, and twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shrink = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.widen = nn.Conv2d(width, 2 * width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) to (B, 2 width, (h + 1) / 2, (w + 1) / 2)."""
        result: Tensor = self.widen(self.shrink(features).relu()).relu()
        return result


class Up(nn.Module):
    """To twice the sides, or one less, and half the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(width, width, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(width, width // 2, 3, padding=1)

    def forward(self, features: Tensor, like: Tensor) -> Tensor:
        """(B, width, h, w) to (B, width / 2, H, W), with the sides of `like`."""
        grown = self.grow(features, output_size=list(like.shape[2:])).relu()
        result: Tensor = self.narrow(grown).relu()
        return result


class GridDehazeNet(Network):
    """Hazy image in, clear image out: (B, 3, H, W) in [0, 1], any size.

    Source: Liu et al., "GridDehazeNet: Attention-Based Multi-Scale Network for Image Dehazing" (ICCV 2019, arXiv
    1908.03245), section 3. A grid of nodes: each row is a scale, in its left half features go right and down, in its
    right half right and up; where two meet, each channel of each has a learned weight. Published: 958,051 parameters.

    Args:
        width: channels of the finest row; they double from row to row.
        rows: scales.
        columns: nodes of each row, an even number.
        growth: channels that each convolution of a dense block adds.
        layers: of these convolutions.
        symmetric: whether the image goes in as 2 x - 1, as in the paper.
    """

    def __init__(
        self,
        width: int = 16,
        rows: int = 3,
        columns: int = 6,
        growth: int = 16,
        layers: int = 4,
        symmetric: bool = True,
    ) -> None:
        super().__init__()
        if min(width, rows, columns, growth, layers) < 1 or columns % 2:
            raise ValueError("width, rows, columns, growth and layers must be positive, and columns even")
        self.contract = Contract()
        self.settings = {
            "width": width,
            "rows": rows,
            "columns": columns,
            "growth": growth,
            "layers": layers,
            "symmetric": symmetric,
        }
        self.rows, self.columns, self.symmetric = rows, columns, symmetric
        widths, half = [width * 2**row for row in range(rows)], columns // 2
        # Of each node, for what comes from the left and from above or below; some nodes have one neighbour and no use
        # for theirs, but published files hold them all.
        self.shares = nn.Parameter(torch.ones(rows, columns, 2, widths[-1]))
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.first = DenseBlock(width, growth, layers)
        self.across = nn.ModuleDict(
            {f"{r}_{c}": DenseBlock(widths[r], growth, layers) for r in range(rows) for c in range(columns - 1)}
        )
        self.down = nn.ModuleDict({f"{r}_{c}": Down(widths[r]) for r in range(rows - 1) for c in range(half)})
        self.up = nn.ModuleDict({f"{r}_{c}": Up(widths[r + 1]) for r in range(rows - 1) for c in range(half, columns)})
        self.last = DenseBlock(width, growth, layers)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def tiny(cls) -> "GridDehazeNet":
        """The smallest useful instance, for tests."""
        return cls(width=4, columns=4, growth=4, layers=2)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns an image that is not negative, and not limited above."""
        nodes: list[Tensor | None] = [None] * self.rows
        features = self.first(self.head(tile * 2 - 1 if self.symmetric else tile))
        for column in range(self.columns):
            going_down = column < self.columns // 2
            for row in range(self.rows) if going_down else reversed(range(self.rows)):
                nodes[row] = self._node(row, column, nodes, features, going_down)
        assert nodes[0] is not None
        restored: Tensor = self.tail(self.last(nodes[0])).relu()
        return restored

    def _node(self, row: int, column: int, nodes: list[Tensor | None], first: Tensor, going_down: bool) -> Tensor:
        """A node's features, from those of its row that stand in `nodes` and those of the row above or below it."""
        left = nodes[row]
        along = first if left is None and row == 0 else None
        if left is not None:
            along = self.across[f"{row}_{column - 1}"](left)
        neighbour = row - 1 if going_down else row + 1
        if not 0 <= neighbour < self.rows:
            assert along is not None
            return along
        beside = nodes[neighbour]
        assert beside is not None
        if going_down:
            crossing = self.down[f"{neighbour}_{column}"](beside)
        else:
            assert along is not None
            crossing = self.up[f"{row}_{column}"](beside, along)
        if along is None:
            result: Tensor = crossing
            return result
        shares = self.shares[row, column, :, : along.shape[1], None, None]
        joined: Tensor = shares[0] * along + shares[1] * crossing
        return joined


PUBLISHED = Published(
    task="dehazing",
    marks=("coefficient", "conv_in.weight", "rdb_in.conv_1x1.weight", "rdb_in.residual_dense_layers.0.conv.weight"),
    settings=lambda weights: {
        "width": weights["conv_in.weight"].shape[0],
        "rows": weights["coefficient"].shape[0],
        "columns": weights["coefficient"].shape[1],
        "growth": weights["rdb_in.residual_dense_layers.0.conv.weight"].shape[0],
        "layers": count(weights, r"rdb_in\.residual_dense_layers\.\d+\.conv\.weight"),
    },
    names=(
        (r"^coefficient", "shares"),
        (r"^conv_in", "head"),
        (r"^conv_out", "tail"),
        (r"^rdb_in", "first"),
        (r"^rdb_out", "last"),
        (r"^rdb_module", "across"),
        (r"^downsample_module\.(\w+)\.conv1", r"down.\1.shrink"),
        (r"^downsample_module\.(\w+)\.conv2", r"down.\1.widen"),
        (r"^upsample_module\.(\w+)\.deconv", r"up.\1.grow"),
        (r"^upsample_module\.(\w+)\.conv", r"up.\1.narrow"),
        (r"residual_dense_layers\.(\d+)\.conv", r"layers.\1"),
        (r"conv_1x1", "join"),
    ),
)
