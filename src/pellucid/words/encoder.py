"""The encoder that knows words about pictures: sentences and photographs as vectors of one space.

    encoder = sentence_encoder()                     our own, in the package; or a folder with CLIP ViT-B/32
    said = encoder.texts(["green field, blue sky"])  (n, width)
    seen = encoder(image)                            (B, width); image (B, 3, H, W) in [0, 1]

Ours is CLIP in small ("Learning Transferable Visual Models From Natural Language Supervision", Radford et al., ICML
2021, arXiv 2103.00020, sections 2.3 and 2.4), taught with sentences that are true because they were measured. Its
folder is one of transformers' `CLIPModel`, but is read in plain torch: nobody needs transformers to use it. All
vectors have unit root-mean-square.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pellucid.checkpoints import read_weights
from pellucid.errors import ModelError, one_line
from pellucid.priors.composite import composite_view
from pellucid.priors.contract import FrozenPrior, Normalise, unit_rms
from pellucid.priors.degradation_encoder import ImageTower, TowerLayer, TowerSettings
from pellucid.priors.pretrained import TOWER_FILES, image_settings, load_module, load_pretrained, require
from pellucid.words.vocabulary import LENGTH, Vocabulary, split_words

__all__ = ["EMBEDDED_SENTENCES", "ClipSentences", "SentenceEncoder", "Sentences", "TextTower", "sentence_encoder"]

EMBEDDED_SENTENCES = Path(str(files("pellucid") / "models" / "weights" / "sentence-encoder"))
"""The folder of the encoder that comes with the package."""
COMPOSITE = "composite"
"""What the preprocessor's settings say of the view of an encoder of ours."""
TEXT_FILES = ("tokenizer.json", "vocab.json")


class Sentences(Protocol):
    """An encoder of sentences and pictures: a frozen prior that reads."""

    name: str
    width: int

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Sentences to vectors (n, width), float32, of unit root-mean-square."""
        ...

    def unknown(self, text: str) -> list[str]:
        """The words of a text that it has never read."""
        ...

    def __call__(self, image: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        ...


@dataclass(frozen=True)
class TextSettings:
    """The shape of a tower of text, by the names of transformers' `CLIPTextConfig`."""

    vocab_size: int
    hidden_size: int = 96
    intermediate_size: int = 384
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    max_position_embeddings: int = LENGTH
    projection_dim: int = 64
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5


class TextTower(nn.Module):
    """CLIP's tower of text; its keys and its results are those of transformers' `CLIPTextModelWithProjection`.

    Args:
        settings: the shape.
    """

    def __init__(self, settings: TextSettings) -> None:
        super().__init__()
        self.settings = settings
        self.text_model = _Text(settings)
        self.text_projection = nn.Linear(settings.hidden_size, settings.projection_dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Numbers of words (n, length), each with one `<end>`, to embeddings (n, projection_dim)."""
        embedding: Tensor = self.text_projection(self.text_model(tokens))
        return embedding


class _Text(nn.Module):
    def __init__(self, settings: TextSettings) -> None:
        super().__init__()
        width = settings.hidden_size
        self.embeddings = _Embeddings(settings)
        shape: Any = TowerSettings(
            hidden_size=width,
            intermediate_size=settings.intermediate_size,
            num_attention_heads=settings.num_attention_heads,
            hidden_act=settings.hidden_act,  # type: ignore[arg-type]
            layer_norm_eps=settings.layer_norm_eps,
        )
        self.encoder = _Layers(shape, settings.num_hidden_layers)
        self.final_layer_norm = nn.LayerNorm(width, settings.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        # What comes after the end is not looked at by a causal tower: only as far as the longest must be computed.
        ends = (tokens == 3).int().argmax(1)
        tokens = tokens[:, : int(ends.max()) + 1]
        places = self.embeddings.position_embedding.weight[: tokens.shape[1]]
        seen = self.embeddings.token_embedding(tokens) + places
        for layer in self.encoder.layers:
            seen = layer(seen, causal=True)
        pooled: Tensor = self.final_layer_norm(seen[torch.arange(len(seen), device=seen.device), ends])
        return pooled


class _Embeddings(nn.Module):
    def __init__(self, settings: TextSettings) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(settings.vocab_size, settings.hidden_size)
        self.position_embedding = nn.Embedding(settings.max_position_embeddings, settings.hidden_size)
        if not self.token_embedding.weight.is_meta:
            nn.init.normal_(self.token_embedding.weight, std=0.05)
            nn.init.normal_(self.position_embedding.weight, std=0.02)


class _Layers(nn.Module):
    """Holds the layers under the name that their keys have."""

    def __init__(self, shape: TowerSettings, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TowerLayer(shape) for _ in range(count))


class SentenceEncoder(FrozenPrior):
    """Our own encoder of sentences and photographs; see the module.

    Args:
        image: shape of the tower of pictures, which sees a `composite_view`.
        text: shape of the tower of text.
        vocabulary: its words.
        name: what it is called in messages and model files.
    """

    def __init__(
        self, image: TowerSettings, text: TextSettings, vocabulary: Vocabulary, name: str = "sentences"
    ) -> None:
        super().__init__(name, image.projection_dim, (image.image_size, image.image_size))
        self.vocabulary = vocabulary
        self.tower = ImageTower(image)
        self.text = TextTower(text)
        self.normalise = Normalise([0.5] * 3, [0.25] * 3)
        self.freeze()

    def prepare(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) of any size, in [0, 1], to its composite view (B, 3, *size), in [0, 1]."""
        return composite_view(image, self.size[0])

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Composite views (B, 3, *size) to vectors (B, width), float32, of unit root-mean-square."""
        return self.embedding(view)

    def embedding(self, view: Tensor) -> Tensor:
        """What `encode` gives, with gradients: for losses that look through it."""
        return unit_rms(self.tower(self.normalise(view))[0])

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """See `Sentences`."""
        tokens = self.vocabulary.tokens(texts).to(self.text.text_projection.weight.device)
        return unit_rms(self.text(tokens))

    def unknown(self, text: str) -> list[str]:
        """See `Sentences`."""
        return [word for word in split_words(text) if not self.vocabulary.knows(word)]


class ClipSentences(FrozenPrior):
    """A CLIP of others, both towers, through transformers. The picture's view is the whole picture.

    Args:
        module: `CLIPModel` of transformers.
        tokenizer: of the same folder.
        name: the folder.
        mean, std: what is subtracted from, and divides, RGB in [0, 1].
    """

    def __init__(self, module: Any, tokenizer: Any, *, name: str, mean: Sequence[float], std: Sequence[float]) -> None:
        side = module.config.vision_config.image_size
        super().__init__(name, module.config.projection_dim, (side, side))
        self.module, self.tokenizer = module, tokenizer
        self.normalise = Normalise(mean, std)
        self.freeze()

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        return self.embedding(view)

    def embedding(self, view: Tensor) -> Tensor:
        """What `encode` gives, with gradients: for losses that look through it."""
        seen = self.module.vision_model(pixel_values=self.normalise(view)).pooler_output
        return unit_rms(self.module.visual_projection(seen))

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """See `Sentences`."""
        longest = self.module.config.text_config.max_position_embeddings
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        read = self.module.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return unit_rms(self.module.text_projection(read.pooler_output))

    def unknown(self, text: str) -> list[str]:
        """See `Sentences`: none, for it reads parts of words."""
        return []


def sentence_encoder(folder: str | Path = "") -> SentenceEncoder | ClipSentences:
    """The encoder of a folder; without one, our own that comes with the package.

    Args:
        folder: one that `pellucid train sentence-encoder` wrote, or any CLIP of transformers with its tokenizer, such
            as a local copy of openai/clip-vit-base-patch32.

    Raises:
        ModelError: files are missing, damaged, of another model, or the two towers end in different widths.
        MissingExtraError: a CLIP of others, without transformers.
    """
    place = Path(folder).expanduser() if folder else EMBEDDED_SENTENCES
    if not place.is_dir():
        raise ModelError(f"{place}: no such folder; an encoder of sentences is a folder with CLIP's files")
    if _settings(place, "preprocessor_config.json", missing={}).get("view") == COMPOSITE:
        return _own(place, f"sentences:{folder}" if folder else "sentences")
    require("transformers", "priors")
    files = {**TOWER_FILES, "tokenizer.json": TEXT_FILES}
    return load_pretrained("sentences", str(place), _clip, files=files, what="a CLIP model with both towers")


def _own(place: Path, name: str) -> SentenceEncoder:
    config = _settings(place, "config.json")
    try:
        vision, text = config["vision_config"], config["text_config"]
        shapes = [
            {key: part[key] for key in kind.__dataclass_fields__ if key in part}
            for kind, part in ((TowerSettings, vision), (TextSettings, text))
        ]
        image, written = TowerSettings(**shapes[0]), TextSettings(**shapes[1])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{place / 'config.json'}: not that of an encoder of sentences ({one_line(error)})") from error
    if image.projection_dim != written.projection_dim:
        raise ModelError(
            f"{place}: its text tower gives {written.projection_dim} numbers and its image tower {image.projection_dim}"
            "; they are not of one model"
        )
    vocabulary = Vocabulary.read(place)
    if len(vocabulary) != written.vocab_size:
        raise ModelError(f"{place}: its tokenizer has {len(vocabulary)} words, and its text tower {written.vocab_size}")
    encoder = SentenceEncoder(image, written, vocabulary, name)
    weights = read_weights(place / "model.safetensors")
    for tower in (encoder.tower, encoder.text):
        own = tower.state_dict()
        unfit = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
        if unfit:
            raise ModelError(f"{place}: its weights are not those of its towers: {unfit[0]} is missing or misshapen")
        tower.load_state_dict({key: weights[key].float() for key in own})
    return encoder


def _clip(name: str, local: bool) -> ClipSentences:
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    if config.model_type != "clip":
        raise ModelError(f"{name}: this is a model of type {config.model_type!r}, expected CLIP with both towers")
    settings = image_settings(name, local)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    module = load_module(transformers.CLIPModel, name, local, part="two towers")
    if len(tokenizer) > config.text_config.vocab_size:
        raise ModelError(
            f"{name}: its tokenizer has {len(tokenizer)} words, and its text tower {config.text_config.vocab_size}"
        )
    return ClipSentences(module, tokenizer, name=name, mean=settings["image_mean"], std=settings["image_std"])


def _settings(place: Path, file: str, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        found = json.loads((place / file).read_text(encoding="utf-8"))
    except OSError as error:
        if missing is not None:
            return missing
        raise ModelError(f"{place}: not the folder of an encoder of sentences ({file} cannot be read)") from error
    except ValueError as error:
        raise ModelError(f"{place / file}: damaged ({one_line(error)})") from error
    return dict(found) if isinstance(found, dict) else {}
