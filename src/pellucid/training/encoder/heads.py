"""Training the heads of a diagnosis on the features of photographs whose degradations are known."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from pellucid.diagnosis.heads import Heads, pinball
from pellucid.training.encoder.batches import Labels
from pellucid.training.section import Section

__all__ = ["HeadsSettings", "fit_heads", "heads_losses"]


class HeadsSettings(Section):
    """The heads that diagnose: their size, and how they are fitted once the encoder is done."""

    hidden: Annotated[int, Field(ge=1)] = 128
    """Units of their hidden layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Part of their features that is left out while they are fitted."""
    examples: Annotated[int, Field(ge=2)] = 10_000
    """Photographs that they are fitted to."""
    epochs: Annotated[int, Field(ge=1)] = 40
    """How often they see each of these."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Photographs of a batch."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """The largest of one cycle: over three tenths of the steps it grows from a 25th of this, then falls to nothing."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """By which part of itself, times the learning rate, a weight shrinks with each step."""


def heads_losses(heads: Heads, features: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Two scalars for features (B, width): which kinds are there, and how strong they are.

    They are the cross-entropy, and the pinball loss in units of 100; what is not known does not count.
    """
    logits, quantiles = heads(features)
    told = F.binary_cross_entropy_with_logits(logits, labels.present.float(), reduction="none")
    presence = (told * labels.known).sum() / labels.known.sum().clamp_min(1)
    off = pinball(quantiles / 100, labels.severity / 100)
    return presence, (off * labels.measured).sum() / labels.measured.sum().clamp_min(1)


def fit_heads(
    heads: Heads,
    features: Tensor,
    labels: Labels,
    settings: HeadsSettings,
    *,
    presence: float = 1.0,
    severity: float = 1.0,
    seed: int = 0,
) -> None:
    """Fits fresh heads to features (n, width), n >= 2, by AdamW with one cycle of the learning rate.

    Args:
        heads: what learns; left in evaluation mode.
        features: of n photographs.
        labels: what is known of them.
        settings: how long, in which batches, ...
        presence, severity: weights of the two losses.
        seed: of the order.
    """
    generator = torch.Generator().manual_seed(seed)
    # A batch of one has no deviation, which batch normalisation needs.
    batches = max(len(features) // settings.batch, 1)
    optimizer = torch.optim.AdamW(heads.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.epochs * batches)
    heads.train()
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(features), generator=generator).chunk(batches):
            there, strong = heads_losses(heads, features[rows], labels.rows(rows))
            optimizer.zero_grad()
            loss: Tensor = presence * there + severity * strong
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    heads.eval()
