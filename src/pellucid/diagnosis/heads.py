"""Heads: from the encoder's features to which degradations are there and how strong, with quantiles.

Severities are learnt as three quantiles by the pinball loss (Koenker and Bassett, "Regression Quantiles", Econometrica
1978).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.degradations import KINDS
from pellucid.diagnosis.calibration import conformal_margin, fit_temperature
from pellucid.diagnosis.findings import Diagnosis, Finding

__all__ = ["QUANTILES", "Heads", "pinball"]

QUANTILES = (0.1, 0.5, 0.9)
"""The quantiles of a severity that are learnt: an interval that should hold it four times in five, and the middle."""


class Heads(nn.Module):
    """One small perceptron for all kinds: presence, and quantiles of the severity that never cross and stay in 0..100.

    Args:
        width: of the features.
        hidden: units of its one hidden layer.
        dropout: part of the features that is left out in training.
    """

    temperature: Tensor
    margin: Tensor

    def __init__(self, width: int, hidden: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"width": width, "hidden": hidden, "dropout": dropout}
        # What tells kinds apart may be small beside what photographs differ in anyway.
        self.trunk = nn.Sequential(nn.BatchNorm1d(width, affine=False), nn.Linear(width, hidden), nn.GELU())
        self.dropout = dropout
        self.presence = nn.Linear(hidden, len(KINDS))
        self.severity = nn.Linear(hidden, len(KINDS) * len(QUANTILES))
        self.register_buffer("temperature", torch.ones(len(KINDS)))
        self.register_buffer("margin", torch.zeros(len(KINDS)))

    @property
    def coverage(self) -> float:
        """How often an interval is meant to hold the severity."""
        return round(QUANTILES[-1] - QUANTILES[0], 6)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, width) to logits of presence (B, kinds) and quantiles of severity (B, kinds, 3), low to high."""
        hidden = self.trunk[1:](F.dropout(self.trunk[0](features), self.dropout, self.training))
        middle, below, above = self.severity(hidden).unflatten(1, (-1, len(QUANTILES))).unbind(2)
        quantiles = torch.stack([middle - F.softplus(below), middle, middle + F.softplus(above)], 2)
        return self.presence(hidden), 100 * quantiles.sigmoid()

    @torch.no_grad()
    def calibrate(self, features: Tensor, present: Tensor, severity: Tensor) -> None:
        """Sets temperatures and margins by examples that were not trained on.

        Args:
            features: (n, width).
            present: (n, kinds), bool.
            severity: (n, kinds) in 0..100, of the kinds that are present.
        """
        logits, quantiles = self(features)
        for kind in range(len(KINDS)):
            there = present[:, kind]
            self.temperature[kind] = fit_temperature(logits[:, kind], there)
            low, _, high = quantiles[there, kind].unbind(1)
            margin = conformal_margin(low, high, severity[there, kind], self.coverage)
            self.margin[kind] = margin if math.isfinite(margin) else 100.0

    @torch.no_grad()
    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, width) to calibrated probabilities (B, kinds) and severities (B, kinds, 3), low to high."""
        logits, quantiles = self(features)
        low, middle, high = quantiles.unbind(2)
        # A margin below zero narrows; it must not turn an interval over, nor leave the middle outside.
        low = torch.minimum(low - self.margin, middle).clamp(0, 100)
        high = torch.maximum(high + self.margin, middle).clamp(0, 100)
        return (logits / self.temperature).sigmoid(), torch.stack([low, middle, high], 2)

    def diagnose(self, features: Tensor) -> list[Diagnosis]:
        """One diagnosis for each row of features (B, width)."""
        probabilities, severities = self.predict(features)
        return [
            Diagnosis(
                tuple(
                    Finding(kind, probability, probability > 0.5, middle, low, high)
                    for kind, probability, (low, middle, high) in zip(KINDS, *rows, strict=True)
                ),
                self.coverage,
            )
            for rows in zip(probabilities.tolist(), severities.tolist(), strict=True)
        ]


def pinball(quantiles: Tensor, truth: Tensor) -> Tensor:
    """The pinball loss of quantiles (..., 3) against truths (...), averaged over the quantiles: (...)."""
    errors = truth[..., None] - quantiles
    levels = torch.tensor(QUANTILES, device=errors.device)
    return torch.maximum(levels * errors, (levels - 1) * errors).mean(-1)


def rows_of(severities: Mapping[str, float]) -> tuple[list[bool], list[float]]:
    """Severities by kind, as `pellucid.degradations.severities` gives them, as rows in the order of KINDS."""
    return [kind in severities for kind in KINDS], [severities.get(kind, 0.0) for kind in KINDS]
