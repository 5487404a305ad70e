"""IAT: the Illumination Adaptive Transformer, which learns what a camera's signal processor does."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import NOTHING, Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, count
from pellucid.scratch import reduced

__all__ = ["IAT"]


class ChannelMix(nn.Module):
    """Instead of a normalisation: a matrix over the channels of each pixel, then a factor and an offset per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(width))
        self.scale = nn.Parameter(torch.ones(1, 1, width))  # shapes as in the published weights
        self.offset = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        weight = self.scale.reshape(-1, 1) * self.matrix
        return F.conv2d(features, weight[:, :, None, None], self.offset.reshape(-1))


class LocalBlock(nn.Module):
    """A transformer's block with a depthwise convolution for attention; both branches start near zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm_space = ChannelMix(width)
        self.project_in = nn.Conv2d(width, width, 1)
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.project_out = nn.Conv2d(width, width, 1)
        self.scale_space = nn.Parameter(torch.full((1, width, 1, 1), 1e-4))
        self.norm_channels = ChannelMix(width)
        self.widen = nn.Conv2d(width, 4 * width, 1)
        self.narrow = nn.Conv2d(4 * width, width, 1)
        self.scale_channels = nn.Parameter(torch.full((1, width, 1, 1), 1e-4))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        features = features + self.position(features)
        mixed = self.project_out(self.depthwise(self.project_in(self.norm_space(features))))
        features = features + self.scale_space * mixed
        mixed = self.narrow(F.gelu(self.widen(self.norm_channels(features))))
        result: Tensor = features + self.scale_channels * mixed
        return result


class LocalBranch(nn.Module):
    """Every pixel's factor and offset, at the picture's own scale."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.factor_blocks = nn.Sequential(*(LocalBlock(width) for _ in range(blocks)))
        self.offset_blocks = nn.Sequential(*(LocalBlock(width) for _ in range(blocks)))
        self.factor_tail = nn.Conv2d(width, 3, 3, padding=1)
        self.offset_tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, 3, h, w) to M, not negative, and A in [-1, 1], of its shape."""
        features = F.leaky_relu(self.head(image), 0.2)
        factor, offset = features + self.factor_blocks(features), features + self.offset_blocks(features)
        with without_autocast(image):
            return self.factor_tail(factor.float()).relu(), self.offset_tail(offset.float()).tanh()


class GlobalBranch(nn.Module):
    """The whole picture's exponent and colour matrix, by attention of ten learned queries to its features."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.embedding = nn.Sequential(
            *(nn.Conv2d(3, width // 2, 3, stride=2, padding=1), nn.BatchNorm2d(width // 2), nn.GELU()),
            *(nn.Conv2d(width // 2, width, 3, stride=2, padding=1), nn.BatchNorm2d(width)),
        )
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm_tokens = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.ones(1, 10, width))
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.project = nn.Linear(width, width)
        self.norm_answers = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.to_exponent = nn.Linear(width, 1)
        self.to_matrix = nn.Linear(width, 1)
        self.exponent = nn.Parameter(torch.ones(1))
        self.matrix = nn.Parameter(torch.eye(3))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.value.weight)  # no answer at the start: exponent 1 and the identity matrix

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, 3, h, w) to γ (B, 1) and W (B, 3, 3)."""
        features = self.embedding(image)
        features = features + self.position(features)
        tokens = self.norm_tokens(features.flatten(2).transpose(1, 2))
        queries = self.queries.expand(len(tokens), -1, -1)
        query, key, value = (self._by_head(part) for part in (queries, self.key(tokens), self.value(tokens)))
        answers = self.project(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        answers = answers + self.narrow(F.gelu(self.widen(self.norm_answers(answers))))
        exponent = self.exponent + self.to_exponent(answers[:, 0])
        matrix = self.matrix + self.to_matrix(answers[:, 1:]).reshape(-1, 3, 3)
        return exponent, matrix

    def _by_head(self, tokens: Tensor) -> Tensor:
        """(B, n, width) to (B, heads, n, width / heads)."""
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class IAT(Network):
    """Dark or badly exposed image in, well exposed image out: (B, 3, H, W) in [0, 1], any size.

    Source: Cui et al., "You Only Need 90K Parameters to Adapt Light: A Light Weight Transformer for Image Enhancement
    and Exposure Correction" (BMVC 2022, arXiv 2205.14871), section 3: I_t = max(W (I_i ∘ M + A), ε)^γ. A local branch
    gives every pixel a factor M and an offset A for each colour; a global branch asks the whole picture, by the
    attention of ten learned queries, for a 3 x 3 colour matrix W and the exponent γ. The stochastic depth of the
    authors' training is left out.

    The global branch must see the whole picture: that is what `look` does, and tiles then come out in their interior as
    they do in the whole picture. With tiles of 256 pixels and without it, the published weights fall from 23.4 to 18.9
    dB on LOL.

    Args:
        width: channels of the local branch.
        blocks: its blocks, for factor and offset each.
        global_width: channels of the global branch.
        heads: of its attention.
    """

    def __init__(self, width: int = 16, blocks: int = 3, global_width: int = 64, heads: int = 4) -> None:
        super().__init__()
        if min(width, blocks, heads) < 1 or global_width < 2 * heads or global_width % (2 * heads):
            raise ValueError(
                "width, blocks and heads must be positive, and global_width a multiple of twice heads; "
                f"got {width}, {blocks}, {heads} and {global_width}"
            )
        self.contract = Contract(looks=True)
        self.settings = {
            "width": width,
            "blocks": blocks,
            "global_width": global_width,
            "heads": heads,
        }
        self.local_branch = LocalBranch(width, blocks)
        self.global_branch = GlobalBranch(global_width, heads)

    @classmethod
    def tiny(cls) -> "IAT":
        """The smallest useful instance, for tests."""
        return cls(width=4, blocks=1, global_width=8, heads=2)

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["exponent"]`, γ (B, 1), and `own["matrix"]`, the colour matrix W (B, 3, 3).

        A picture that is not cut shows them to `restore` itself.
        """
        image = reduced(image).to(self.global_branch.exponent.device)
        return known.knowing(own=self._of_whole(image)) if cut else known

    def _of_whole(self, image: Tensor) -> dict[str, Tensor]:
        """The exponent and the matrix of a whole picture (B, 3, H, W)."""
        with without_autocast(image):
            exponent, matrix = self.global_branch(image)
        return {"exponent": exponent, "matrix": matrix}

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns max(W (tile ∘ M + A), ε)^γ, at most 1."""
        own = guidance.own if "exponent" in guidance.own else self._of_whole(tile)
        exponent, matrix = own["exponent"], own["matrix"]
        factor, offset = self.local_branch(tile)
        image = tile * factor + offset
        with without_autocast(tile):
            image = torch.einsum("bij,bjhw->bihw", matrix, image)
            restored: Tensor = image.clamp(1e-8, 1) ** exponent[:, :, None, None]
        return restored


PUBLISHED = Published(
    task="low light",
    marks=("local_net.conv1.weight", "global_net.generator.attn.q"),
    settings=lambda weights: {
        "width": weights["local_net.conv1.weight"].shape[0],
        "blocks": count(weights, r"local_net\.mul_blocks\.\d+\.gamma_1"),
        "global_width": weights["global_net.generator.attn.q"].shape[2],
    },
    names=(
        (r"^local_net\.conv1", "local_branch.head"),
        (r"^local_net\.mul_", "local_branch.factor_"),
        (r"^local_net\.add_", "local_branch.offset_"),
        (r"_end\.0", "_tail"),
        (r"(?<=\d\.)attn", "depthwise"),
        (r"(?<=\d\.)norm1", "norm_space"),
        (r"(?<=\d\.)norm2", "norm_channels"),
        (r"conv1", "project_in"),
        (r"conv2", "project_out"),
        (r"gamma_1", "scale_space"),
        (r"gamma_2", "scale_channels"),
        (r"alpha$", "scale"),
        (r"beta$", "offset"),
        (r"color$", "matrix"),
        (r"^global_net\.(generator\.)?", "global_branch."),
        (r"conv_large\.proj", "embedding"),
        (r"attn\.q$", "queries"),
        (r"attn\.k\.", "key."),
        (r"attn\.v\.", "value."),
        (r"attn\.proj", "project"),
        (r"norm1", "norm_tokens"),
        (r"norm2", "norm_answers"),
        (r"pos_embed", "position"),
        (r"mlp\.fc1", "widen"),
        (r"mlp\.fc2", "narrow"),
        (r"gamma_base", "exponent"),
        (r"gamma_linear", "to_exponent"),
        (r"color_base", "matrix"),
        (r"color_linear", "to_matrix"),
    ),
)
