"""Photographs coloured: by words, by the colours of another picture, or as the network chooses."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from pellucid import images
from pellucid.editing.palette import chroma_statistics, with_palette
from pellucid.editing.wishes import understood
from pellucid.errors import ModelError, SettingsError
from pellucid.guidance import Guidance
from pellucid.images.colour import rgb_from_grey
from pellucid.models.hub import find_model
from pellucid.models.load import load_model
from pellucid.networks import Colorizer
from pellucid.scratch import reduced, zeros_beside
from pellucid.words.encoder import Sentences, sentence_encoder
from pellucid.words.facts import measured
from pellucid.words.sentences import described

__all__ = ["ColourOptions", "Colouring"]

ROWS = 512
"""Rows that chroma is laid on at once: what is computed on the way takes forty times the memory of the picture."""
SMALL = 256
"""Sides of the small copy of a picture whose palette is taken."""


@dataclass(frozen=True)
class ColourOptions:
    """How photographs are coloured.

    Attributes:
        text: what to paint where, in English; None for what the network chooses.
        saturation: the chroma times this, 0 to 3.
        palette: a picture, or its file, whose colours are taken.
        encoder: the folder of the encoder of sentences that the model has learnt with; None for the embedded one.

    Raises SettingsError for a saturation out of its range.
    """

    text: str | None = None
    saturation: float = 1.0
    palette: str | Path | None = None
    encoder: str | Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.saturation <= 3:
            raise SettingsError(f"saturation must lie in 0..3, got {self.saturation:g}")


@dataclass
class Colouring:
    """A model that colours, and what it was asked for.

    Args:
        model: a name, or a model file with a colorizer.
        options: what is wanted.

    Attributes:
        understood: what was understood of the text, in words; empty without one.
        notes: what people should know about it: words that are not known, contradictions.

    Raises:
        SettingsError: the text is empty, not English, or says nothing of colours.
        ModelError: the model colours nothing, or has learnt with another encoder.
        ImageError: the picture of the palette cannot be read.
    """

    model: str | Path = "colorize"
    options: ColourOptions = field(default_factory=ColourOptions)
    understood: str = ""
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        module = load_model(find_model(str(self.model))).module
        if not isinstance(module, Colorizer):
            raise ModelError(f"{self.model}: this model does not colour pictures")
        self.network: Colorizer = module.eval()
        options, said = self.options, []
        self.palette: tuple[Tensor, Tensor] | None = None
        self.vector: Tensor | None = None
        encoder = None if options.text is None and options.palette is None else sentence_encoder(options.encoder or "")
        if options.text is not None:
            assert encoder is not None
            colours, notes = understood(options.text, encoder)
            self.understood, self.notes = colours.words(), notes
            said.append(options.text)
        if options.palette is not None:
            assert encoder is not None
            other = _small(images.read(Path(options.palette)).pixels)
            self.palette = chroma_statistics(other)
            seen = described(measured(other))
            self.understood += ("; " if self.understood else "") + f"the palette: {seen}"
            said += [seen] if options.text is None else []
        if said:
            assert encoder is not None
            self.vector = self._vector(", ".join(said), encoder)

    def _vector(self, text: str, encoder: Sentences) -> Tensor:
        if encoder.width != self.network.told:
            raise ModelError(
                f"{self.model}: has learnt with an encoder that gives {self.network.told} numbers, and "
                f"{encoder.name} gives {encoder.width}; train it with that encoder (recipe colorize, colouring.encoder)"
            )
        return encoder.texts([text])

    @torch.no_grad()
    def colour(self, image: Tensor) -> Tensor:
        """A picture (1, 3, H, W) in [0, 1] in colour: same lightness (L of CIELAB) and size."""
        guidance = self.network.look(image, Guidance(vector=self.vector, told={"saturation": self.options.saturation}))
        if self.palette is not None:
            small = guidance.own["chroma"]
            found = with_palette(small[:, 1:], self.palette)
            guidance = guidance.knowing(own={**guidance.own, "chroma": torch.cat([small[:, :1], found], 1)})
        result, height = zeros_beside(image, *image.shape), image.shape[2]
        for top in range(0, height, ROWS):
            rows = slice(top, min(height, top + ROWS))
            grid = torch.tensor([[top / height, 0.0, rows.stop / height, 1.0]])
            result[..., rows, :] = self.network.restore(image[..., rows, :], guidance.knowing(grid=grid))
        return result

    def change(self, photograph: images.Photograph) -> tuple[images.Photograph, None]:
        """The photograph in colour, all pages of it; what a grey file says of grey is made to mean colour."""
        others = tuple(self.change(other)[0] for other in photograph.others)
        changed = replace(photograph.with_pixels(self.colour(photograph.pixels)), others=others)
        if not photograph.grey:
            return changed, None
        icc = rgb_from_grey(photograph.metadata.icc) if photograph.metadata.icc else b""
        lost = ("the ICC profile for grey",) if photograph.metadata.icc and not icc else ()
        return (
            replace(
                changed,
                grey=False,
                metadata=replace(photograph.metadata, icc=icc),
                # The tables of a grey JPEG are those of its one channel.
                coding=replace(photograph.coding, tables=(), sampling=""),
                beyond=None,
                lost=(*changed.lost, *lost),
            ),
            None,
        )


def _small(image: Tensor) -> Tensor:
    small = reduced(image)
    step = max(1, max(small.shape[2:]) // SMALL)
    return torch.nn.functional.avg_pool2d(small.float(), step).clamp(0, 1)
