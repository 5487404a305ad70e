"""A prior of our own, which knows what is wrong with a photograph: CLIP in small, taught degradations by their names.

CLIP's image tower ("Learning Transferable Visual Models From Natural Language Supervision", Radford et al., ICML 2021,
arXiv 2103.00020, section 2.4) sees a `composite_view`; a text tower has read captions such as "strong noise and light
blur"; both were trained to agree. `pellucid train degradation-encoder` makes it. Its folder is one of transformers'
`CLIPModel`, but only the image tower is read here, in plain torch: nobody needs transformers to restore.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.checkpoints import read_weights
from pellucid.errors import ModelError, one_line
from pellucid.priors.composite import composite_view
from pellucid.priors.contract import FrozenPrior, Normalise, unit_rms

__all__ = [
    "EMBEDDED_ENCODER",
    "DegradationEncoder",
    "ImageTower",
    "TowerLayer",
    "TowerSettings",
    "degradation_encoder",
]

EMBEDDED_ENCODER = Path(str(files("pellucid") / "models" / "weights" / "degradation-encoder"))
"""The folder of the encoder that comes with the package."""
MEAN, DEVIATION = 0.5, 0.25
"""What is subtracted from, and divides, RGB in [0, 1]; the same for all colours, or the dark would have one."""


@dataclass(frozen=True)
class TowerSettings:
    """The shape of an image tower, by the names of transformers' `CLIPVisionConfig`.

    Raises ValueError for a shape that no tower can have.
    """

    image_size: int = 128
    patch_size: int = 16
    hidden_size: int = 96
    intermediate_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    projection_dim: int = 64
    hidden_act: Literal["gelu", "quick_gelu"] = "gelu"
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        sizes = [value for value in asdict(self).values() if isinstance(value, int)]
        if min(sizes) < 1 or self.hidden_size % self.num_attention_heads or self.image_size % (4 * self.patch_size):
            raise ValueError(
                "a tower needs sizes of 1 or more, a hidden_size that its heads divide, and an image_size that is a "
                f"multiple of 4 patches, got {self}"
            )
        if self.hidden_act not in ("gelu", "quick_gelu"):
            raise ValueError(f"a tower's hidden_act is gelu or quick_gelu, got {self.hidden_act!r}")


class ImageTower(nn.Module):
    """CLIP's image tower; its keys and its results are those of transformers' `CLIPVisionModelWithProjection`.

    Args:
        settings: the shape.
    """

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        self.vision_model = _Transformer(settings)
        self.visual_projection = nn.Linear(settings.hidden_size, settings.projection_dim, bias=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised pixels (B, 3, s, s) to the embedding (B, p), class token (B, d) and patch tokens (B, n, d).

        The class token is layer-normalised at the end, the patch tokens are as the last layer leaves them.
        """
        tokens: Tensor = self.vision_model(pixels)
        whole: Tensor = self.vision_model.post_layernorm(tokens[:, 0])
        return self.visual_projection(whole), whole, tokens[:, 1:]


class _Transformer(nn.Module):
    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.embeddings = _Embeddings(settings)
        # The name is CLIP's own misspelling, which published weights have.
        self.pre_layrnorm = nn.LayerNorm(settings.hidden_size, settings.layer_norm_eps)
        self.encoder = _Encoder(settings)
        self.post_layernorm = nn.LayerNorm(settings.hidden_size, settings.layer_norm_eps)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens: Tensor = self.pre_layrnorm(self.embeddings(pixels))
        for layer in self.encoder.layers:
            tokens = layer(tokens)
        return tokens


class _Encoder(nn.Module):
    """Holds the layers under the name that their keys have."""

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TowerLayer(settings) for _ in range(settings.num_hidden_layers))


class _Embeddings(nn.Module):
    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        width, patch = settings.hidden_size, settings.patch_size
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.patch_embedding = nn.Conv2d(3, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding((settings.image_size // patch) ** 2 + 1, width)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).mT
        tokens = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], 1)
        return tokens + self.position_embedding.weight


class TowerLayer(nn.Module):
    """One layer of a tower of CLIP's, by its keys. Tokens (B, n, d) to the same; with `causal` each sees those before
    it and itself, as in towers of text."""

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        width, eps = settings.hidden_size, settings.layer_norm_eps
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.self_attn = _Attention(width, settings.num_attention_heads)
        self.mlp = _Perceptron(settings)

    def forward(self, tokens: Tensor, *, causal: bool = False) -> Tensor:
        """See the class."""
        tokens = tokens + self.self_attn(self.layer_norm1(tokens), causal)
        mixed: Tensor = tokens + self.mlp(self.layer_norm2(tokens))
        return mixed


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor, causal: bool) -> Tensor:
        query, key, value = (
            project(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        mixed: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return mixed


class _Perceptron(nn.Module):
    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        self.quick = settings.hidden_act == "quick_gelu"
        self.fc1 = nn.Linear(settings.hidden_size, settings.intermediate_size)
        self.fc2 = nn.Linear(settings.intermediate_size, settings.hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        inner: Tensor = self.fc1(tokens)
        inner = inner * torch.sigmoid(1.702 * inner) if self.quick else F.gelu(inner)
        outer: Tensor = self.fc2(inner)
        return outer


class DegradationEncoder(FrozenPrior):
    """The image embedding of a `composite_view`; `maps` gives the patch tokens of the whole photograph in it.

    Args:
        settings: the tower's shape, as a `TowerSettings` or its fields by name; all of them have defaults.
        name: recorded in model files.

    Raises ValueError for a shape that no tower can have.
    """

    def __init__(
        self, settings: TowerSettings | Mapping[str, Any] | None = None, *, name: str = "degradations"
    ) -> None:
        shape = settings if isinstance(settings, TowerSettings) else TowerSettings(**(settings or {}))
        super().__init__(name, shape.projection_dim, (shape.image_size, shape.image_size))
        self.settings: dict[str, Any] = asdict(shape)
        """What rebuilds it: `DegradationEncoder(settings)`, JSON-able."""
        self.features_width = 3 * shape.hidden_size
        self.tower = ImageTower(shape)
        self.normalise = Normalise([MEAN] * 3, [DEVIATION] * 3)
        self.freeze()

    def prepare(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) of any size, in [0, 1], to its composite view (B, 3, *size), in [0, 1]."""
        return composite_view(image, self.size[0])

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Composite views (B, 3, *size) to vectors (B, width), float32, of unit root-mean-square."""
        return self.look(view)[0]

    @torch.no_grad()
    def features(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) to what the heads of the diagnosis see, (B, features_width), float32: `join_features`."""
        return self.look(view)[1]

    @torch.no_grad()
    def look(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """What `encode` and what `features` give for composite views (B, 3, *size), at one glance."""
        embedding, whole, patches = self.tower(self.normalise(view))
        return unit_rms(embedding), join_features(whole, patches)

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The last layer's tokens of the whole photograph where they lie: (B, 3, H, W) in [0, 1] to (B, C, h, w)."""
        patches: Tensor = self.tower(self.normalise(self.prepare(image)))[2]
        across = self.size[1] // int(self.settings["patch_size"])
        tokens = patches.mT.reshape(len(patches), -1, across, across).float()
        return tokens[:, :, : across // 2, : across // 2]


def join_features(whole: Tensor, patches: Tensor) -> Tensor:
    """The class token (B, d), and the mean tokens of the whole photograph and of the patches at its own resolution,
    which are among the patch tokens (B, n, d), as one vector (B, 3d), float32.
    """
    across = math.isqrt(patches.shape[1])
    grid = patches.float().reshape(len(patches), across, across, -1)
    resized = grid[:, : across // 2, : across // 2]
    native = (grid.sum((1, 2)) - resized.sum((1, 2))) / (0.75 * across**2)
    return torch.cat([whole.float(), resized.mean((1, 2)), native], 1)


def degradation_encoder(folder: str | Path = "") -> DegradationEncoder:
    """The encoder of a folder that `pellucid train degradation-encoder` wrote; without one, the embedded encoder.

    Raises:
        ModelError: files are missing, damaged, or of another model.
    """
    place = Path(folder).expanduser() if folder else EMBEDDED_ENCODER
    try:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        vision = config["vision_config"]
        settings = TowerSettings(
            **{key: vision[key] for key in TowerSettings.__dataclass_fields__ if key in vision},
            **({} if "projection_dim" in vision else {"projection_dim": config["projection_dim"]}),
        )
    except OSError as error:
        raise ModelError(f"{place}: not the folder of a degradation encoder (config.json cannot be read)") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{place / 'config.json'}: not that of a degradation encoder ({one_line(error)})") from error
    encoder = DegradationEncoder(settings, name=f"degradations:{folder}" if folder else "degradations")
    weights, own = read_weights(place / "model.safetensors"), encoder.tower.state_dict()
    unfit = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    if unfit:
        raise ModelError(f"{place}: its weights are not those of its image tower: {unfit[0]} is missing or misshapen")
    encoder.tower.load_state_dict({key: weights[key].float() for key in own})
    return encoder
