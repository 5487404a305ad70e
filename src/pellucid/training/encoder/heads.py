"""Training the heads of a diagnosis on the features of photographs whose degradations are known."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.diagnosis.heads import Heads, pinball
from pellucid.training.encoder.batches import Labels

__all__ = ["fit_heads", "heads_losses"]

EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 40, 64, 2e-3, 0.05


def heads_losses(heads: Heads, features: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Two scalars for features (B, width): cross-entropy of which kinds are there, and pinball loss, in units of 100, of
    how strong they are; what is not known does not count.
    """
    logits, quantiles = heads(features)
    told = F.binary_cross_entropy_with_logits(logits, labels.present.float(), reduction="none")
    presence = (told * labels.known).sum() / labels.known.sum().clamp_min(1)
    off = pinball(quantiles / 100, labels.severity / 100)
    return presence, (off * labels.measured).sum() / labels.measured.sum().clamp_min(1)


def fit_heads(
    heads: Heads, features: Tensor, labels: Labels, *, presence: float = 1.0, severity: float = 1.0, seed: int = 0
) -> None:
    """Fits fresh heads to features (n, width), n >= 2, by AdamW with one cycle of the learning rate.

    Args:
        heads: what learns; left in evaluation mode.
        features: of n photographs.
        labels: what is known of them.
        presence, severity: weights of the two losses.
        seed: of the order.
    """
    generator = torch.Generator().manual_seed(seed)
    # A batch of one has no deviation, which batch normalisation needs.
    batches = max(len(features) // BATCH, 1)
    optimizer = torch.optim.AdamW(heads.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, EPOCHS * batches)
    heads.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(features), generator=generator).chunk(batches):
            there, strong = heads_losses(heads, features[rows], labels.rows(rows))
            optimizer.zero_grad()
            loss: Tensor = presence * there + severity * strong
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    heads.eval()
