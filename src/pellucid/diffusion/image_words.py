"""Words of images: what a vision tower sees of a picture, as words that a text encoder reads; and such words, cleaned.

    words   = to_words(tokens)          a word is a vector like a token's embedding, not a token
    cleaned = clean(words)
    with spoken(text_encoder, cleaned, place): text_encoder(ids)

Source: "Improving Image Restoration through Removing Degradations in Textual Representations" (CVPR 2024, arXiv
2312.17334), sections 3.1 and 3.2; the mapping is that of "ELITE" (ICCV 2023, arXiv 2302.13848) with several words and
the last layer alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ModelError, SettingsError

__all__ = ["HIDDEN", "WordCleaner", "WordMapper", "distance_of_words", "spoken", "words_place"]

HIDDEN = 1280
"""Units between, of every layer."""
BEFORE = "a photo of a"
STANDS_FOR = "S"
"""In whose place the words stand in the prompt."""


class Perceptron(nn.Sequential):
    """Three times a linear layer, normalisation and a leaky ReLU, then a linear layer."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        layers: list[nn.Module] = []
        for width in (inputs, hidden, hidden):
            layers += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.LeakyReLU()]
        super().__init__(*layers, nn.Linear(hidden, outputs))

    @torch.no_grad()
    def leave(self, size: float) -> None:
        """Sets the layers so that what comes in goes out; see `WordCleaner.leave`.

        Every unit has a mirror, its negative, so that their mean, which normalisation subtracts, is zero, and that a
        leaky ReLU loses nothing: a number is what its unit keeps less what its mirror keeps. As many units as a word
        numbers carry these. One carries a large number, which nearly sets the spread by which normalisation divides, so
        that it can be multiplied back. The others are as they were drawn, and nothing listens to them yet.
        """
        linear = [layer for layer in self if isinstance(layer, nn.Linear)]
        width, hidden = linear[0].in_features, linear[0].out_features
        half = hidden // 2
        if linear[-1].out_features != width or half <= width:
            raise SettingsError(
                f"words of {width} numbers can be left as they are by {2 * width + 2} units, not by {hidden}"
            )
        large = size * (10 * width) ** 0.5
        slope = next(layer.negative_slope for layer in self if isinstance(layer, nn.LeakyReLU))
        own = torch.eye(width)
        for number, layer in enumerate(linear):
            layer.weight[:width] = 0
            if number:
                layer.weight[:width, :width] = own / (1 + slope)
                layer.weight[:width, half : half + width] = -own / (1 + slope)
            else:
                layer.weight[:width] = own
            layer.bias[:width] = 0
            if number < 3:
                layer.weight[width], layer.bias[width] = 0, large
                for values in (layer.weight, layer.bias):
                    values[half : 2 * half] = -values[:half]
                    values[2 * half :] = 0
        for normalisation in self:
            if isinstance(normalisation, nn.LayerNorm):
                normalisation.weight.fill_(((2 * large**2 + 2 * width * size**2) / hidden) ** 0.5)
                normalisation.weight[width] = normalisation.weight[half + width] = 0


class WordMapper(nn.Module):
    """M_i2t: each word has a network of its own for the class token, and another for the patches.

    Published: 6,238,464 parameters a network, 249.5 M for 20 words from 1280 to 1024 numbers.

    Args:
        tokens: width of the vision tower's tokens.
        width: of the text encoder's token embeddings.
        count: of words.
        hidden: units of the networks.
    """

    def __init__(self, tokens: int, width: int, count: int = 20, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.of_class = nn.ModuleList(Perceptron(tokens, width, hidden) for _ in range(count))
        self.of_patches = nn.ModuleList(Perceptron(tokens, width, hidden) for _ in range(count))

    def forward(self, tokens: Tensor) -> Tensor:
        """The last layer's tokens (B, 1 + patches, tokens), the class token first, to words (B, count, width)."""
        both = zip(self.of_class, self.of_patches, strict=True)
        return torch.stack([one(tokens[:, 0]) + other(tokens[:, 1:]).mean(1) for one, other in both], 1)


class WordCleaner(nn.Module):
    """M_clean: each word is cleaned by a network of its own, which sees this word alone.

    Published: 118.2 M parameters for 20 words of 1024 numbers.

    Args:
        width: of a word.
        count: of words.
        hidden: units of the networks.
    """

    def __init__(self, width: int, count: int = 20, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.of_words = nn.ModuleList(Perceptron(width, width, hidden) for _ in range(count))

    def leave(self, size: float) -> None:
        """Sets the networks so that they give words as they are, for a training that begins where nothing is cleaned
        yet.

        Args:
            size: root-mean-square of words; of words of other sizes the direction stays, and nearly the length.

        Raises:
            SettingsError: the networks have fewer units between than twice a word's numbers and two.
        """
        for network in self.of_words:
            assert isinstance(network, Perceptron)
            network.leave(size)

    def forward(self, words: Tensor) -> Tensor:
        """Words (B, count, width) in and out."""
        return torch.stack([one(word) for one, word in zip(self.of_words, words.unbind(1), strict=True)], 1)


def distance_of_words(one: Tensor, other: Tensor) -> Tensor:
    """How far words (B, count, width) are from others, (B,): one minus the cosine, the mean over the words."""
    return 1 - F.cosine_similarity(one, other, dim=2).mean(1)


def words_place(tokenizer: Any, length: int, count: int) -> tuple[Tensor, int]:
    """The tokens of the prompt, (1, length), and where in it the words stand.

    In the published tokenizer they stand at 5 and behind: what follows is shifted, and cut at the end.

    Raises:
        SettingsError: there is no room for so many words.
    """
    kwargs: dict[str, Any] = {"padding": "max_length", "max_length": length, "truncation": True, "return_tensors": "pt"}
    place = len(tokenizer(BEFORE).input_ids) - 1  # but for the end
    spans = len(tokenizer(f"{BEFORE} {STANDS_FOR}").input_ids) - 1 - place
    if place + count >= length:
        raise SettingsError(f"{count} words: the text encoder reads {length} tokens, and {place} stand before them")
    ids = tokenizer(f"{BEFORE} {STANDS_FOR}", **kwargs).input_ids
    # One token stands for the words, however many a tokenizer makes of the letter.
    kept = [ids[:, : place + 1], ids[:, place + spans :]]
    filled: Tensor = torch.cat([*kept, ids[:, -1:].expand(-1, spans - 1)], 1)
    return filled, place


@contextmanager
def spoken(text_encoder: nn.Module, words: Tensor, place: int) -> Iterator[None]:
    """Within the block, whatever the text encoder reads has these words at a place: as embeddings, before it adds
    positions and reads them.

    Args:
        text_encoder: a `CLIPTextModel`.
        words: (B, count, width).
        place: of the token that they stand for; what follows is shifted, and cut where the text ends.

    Raises:
        ModelError: it has no embedding of tokens, or one of another width.
    """
    embedding = next((one for name, one in text_encoder.named_modules() if name.endswith("token_embedding")), None)
    if not isinstance(embedding, nn.Embedding):
        raise ModelError(f"{type(text_encoder).__name__} has no embedding of tokens to put words beside")
    if embedding.embedding_dim != words.shape[2]:
        raise ModelError(
            f"the words have {words.shape[2]} numbers, and those of this text encoder {embedding.embedding_dim}: they "
            "were learnt for another one"
        )

    def put(_module: nn.Module, _given: Any, embedded: Tensor) -> Tensor:
        length = embedded.shape[1]
        before, after = embedded[:, :place], embedded[:, place + 1 :]
        rows = max(len(embedded), len(words))
        parts = [before.expand(rows, -1, -1), words.to(embedded).expand(rows, -1, -1), after.expand(rows, -1, -1)]
        return torch.cat(parts, 1)[:, :length]

    handle = embedding.register_forward_hook(put)
    try:
        yield
    finally:
        handle.remove()
