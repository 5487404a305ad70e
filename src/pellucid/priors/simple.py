"""The controls: priors that know nothing. A boost that does not beat them is not due to its prior.

Zeros           no prior: the same layers, fed nothing
RandomVectors   a vector of its own for every image, that says nothing about it
Shuffled        another image's vector: the right distribution, the wrong content
"""

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.priors.protocol import FrozenPrior, Prior, unit_rms

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
        vectors = [
            torch.randn(self.width, generator=torch.Generator().manual_seed(number))
            for number in _fingerprints(view, self.seed)
        ]
        return unit_rms(torch.stack(vectors)).to(view.device)


class Shuffled(FrozenPrior):
    """Another image's vector: one of a bank, chosen by the image's content, and never the one most like its own.

    The one most like its own is left out because it is the image's own when the image is in the bank, whatever noise
    lies on it.

    Args:
        prior: the prior under test.
        bank: its vectors (N, width) for other images, or for all images of a set; N is at least 2.

    Raises ValueError when the bank has another shape.
    """

    bank: Tensor

    def __init__(self, prior: Prior, bank: Tensor) -> None:
        if bank.ndim != 2 or len(bank) < 2 or bank.shape[1] != prior.width:
            raise ValueError(f"expected a bank of at least 2 vectors, (N, {prior.width}), got {tuple(bank.shape)}")
        super().__init__(f"shuffled {prior.name}", prior.width, prior.size)
        self.view_channels = prior.view_channels
        self.prior = prior
        self.register_buffer("bank", unit_rms(bank.detach()), persistent=False)
        self.freeze()

    def prepare(self, image: Tensor) -> Tensor:
        """The view of the prior under test."""
        return self.prior.prepare(image)

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views of the prior under test to vectors (B, width) of other images."""
        likest = (self.prior.encode(view) @ self.bank.T).argmax(1).tolist()
        steps = [1 + number % (len(self.bank) - 1) for number in _fingerprints(view)]
        chosen = [(own + step) % len(self.bank) for own, step in zip(likest, steps, strict=True)]
        return self.bank[chosen]


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
