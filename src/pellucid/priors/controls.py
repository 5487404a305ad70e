"""The controls: priors that know nothing. A boost that does not beat them is not due to its prior.

Zeros           no prior: the same layers, fed nothing
RandomVectors   a vector of its own for every image, that says nothing about it
Shuffled        another image's vector: the right distribution, the wrong content

Each has maps, too, of as many channels as its vector has numbers: the controls of a refinement that takes a prior's
    maps.
"""

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ModelError
from pellucid.priors.contract import FrozenPrior, Prior, feature_maps, unit_rms

__all__ = ["RandomVectors", "Shuffled", "Zeros"]


class Zeros(FrozenPrior):
    """No prior: zeros (B, width) for every image, the one exception to unit root-mean-square."""

    def __init__(self, width: int) -> None:
        _check_width(width)
        super().__init__(f"zeros:{width}", width, (1, 1))
        self.freeze()

    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, 1, 1) to zeros (B, width)."""
        return torch.zeros(len(view), self.width, device=view.device)

    def maps(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to zeros (B, width, 1, 1)."""
        return torch.zeros(len(image), self.width, 1, 1, device=image.device)


class RandomVectors(FrozenPrior):
    """A fixed pseudo-random vector per image, drawn from a normal distribution by the image's content and `seed`.

    The content is a coarse thumbnail, so that the same image gives the same vector on any machine; other noise on the
    same image may give another.
    """

    def __init__(self, width: int, seed: int = 0) -> None:
        _check_width(width)
        super().__init__(f"random:{width}:{seed}" if seed else f"random:{width}", width, (8, 8))
        self.seed = seed
        self.freeze()

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, 8, 8) to vectors (B, width) of unit root-mean-square."""
        return unit_rms(self._drawn(view, self.width))

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """As the vectors, a map for each number: (B, 3, H, W) in [0, 1] to (B, width, 8, 8) of unit
        root-mean-square."""
        drawn = self._drawn(self.prepare(image), self.width, *self.size)
        return unit_rms(drawn.flatten(1)).reshape(drawn.shape)

    def _drawn(self, view: Tensor, *shape: int) -> Tensor:
        """Normal numbers (B, *shape), drawn for each view."""
        generators = [torch.Generator().manual_seed(number) for number in _fingerprints(view, self.seed)]
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(view.device)


class Shuffled(FrozenPrior):
    """Another image's vector: one of a bank, chosen by the image's content, and never the one most like its own.

    The one most like its own is left out because it is the image's own when the image is in the bank, whatever noise
    lies on it. A bank of maps makes a prior that has maps, other images' in the same way, and no vectors.

    Args:
        prior: the prior under test.
        bank: its vectors (N, width) for other images, or for all images of a set; or its maps (N, C, h, w); N is at
            least 2.

    Raises ValueError when the bank has another shape.
    """

    _rows: Tensor

    def __init__(self, prior: Prior, bank: Tensor) -> None:
        fits = bank.ndim == 4 or (bank.ndim == 2 and bank.shape[1] == prior.width)
        if not fits or len(bank) < 2:
            raise ValueError(
                f"expected a bank of at least 2 vectors, (N, {prior.width}), or maps, (N, C, h, w), got "
                f"{tuple(bank.shape)}"
            )
        super().__init__(f"shuffled {prior.name}", prior.width, prior.size)
        self.view_channels = prior.view_channels
        self.prior = prior
        self._shape = tuple(bank.shape)
        # Flat, for maps would be laid out anew with the module's convolutions.
        self.register_buffer("_rows", unit_rms(bank.detach().flatten(1)), persistent=False)
        self.freeze()

    @property
    def bank(self) -> Tensor:
        """What it was given, each of unit root-mean-square: (N, width), or (N, C, h, w)."""
        return self._rows.reshape(self._shape)

    def prepare(self, image: Tensor) -> Tensor:
        """The view of the prior under test."""
        return self.prior.prepare(image)

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views of the prior under test to vectors (B, width) of other images. Raises ModelError for a bank of maps."""
        if len(self._shape) != 2:
            raise ModelError(f"{self.name}: its bank holds maps, not vectors")
        return self._others(view, self.prior.encode(view), self._rows)

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to maps (B, C, h, w) of other images. Raises ModelError for a bank of vectors."""
        if len(self._shape) != 4:
            raise ModelError(f"{self.name}: its bank holds vectors, not maps")
        # The means tell images apart, and are there whatever size the prior's maps have.
        own = unit_rms(feature_maps(self.prior, image).mean((2, 3)))
        return self._others(self.prepare(image), own, unit_rms(self.bank.mean((2, 3))))

    def _others(self, view: Tensor, own: Tensor, known: Tensor) -> Tensor:
        """Of the bank, what belongs to images other than those of `view`; they are told apart by rows of `own` and
        `known`."""
        likest = (own @ known.T).argmax(1).tolist()
        steps = [1 + number % (len(self.bank) - 1) for number in _fingerprints(view)]
        return self.bank[[(place + step) % len(self.bank) for place, step in zip(likest, steps, strict=True)]]


def _check_width(width: int) -> None:
    if width < 1:
        raise ValueError(f"a prior's vector has at least one number, got width={width}")


def _fingerprints(view: Tensor, seed: int = 0) -> list[int]:
    """One number per view, in [0, 2**63), from its coarse content.

    4 x 4 thumbnails in 16 levels: so few and so wide that the last bits, which differ between machines, hardly ever
    matter.
    """
    if view.shape[2:] == (1, 1):  # not a picture, but numbers or pictures end to end
        coarse = F.adaptive_avg_pool1d(view.flatten(1)[:, None].float(), 48)
    else:
        coarse = F.adaptive_avg_pool2d(view[:, :3].float(), 4)
    thumbnails = coarse.clamp(0, 1).mul(15).round().byte().cpu()
    digests = [hashlib.sha256(f"{seed} {thumbnail.flatten().tolist()}".encode()).digest() for thumbnail in thumbnails]
    return [int.from_bytes(digest[:8], "big") >> 1 for digest in digests]
