"""Words for the family `small`: the parsed prompt, as numbers, becomes one vector.

A text encoder splits 20 and 70 into digits; what a number means it would have to learn from pairs that differ in them.
Here each operation says whether it is asked for, whether by a number, and the number itself in sines and cosines.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pellucid.diffusion.operations import LARGEST
from pellucid.diffusion.prompts import Prompt
from pellucid.errors import SettingsError

__all__ = ["WordEncoder"]

OCTAVES = 4
"""Sines and cosines of a number, each of twice the frequency of the one before."""
FEATURES = 3 + 2 * OCTAVES


class WordEncoder(nn.Module):
    """Prompts to vectors (B, embedding); no prompt becomes zeros.

    Args:
        operations: verbs that it knows, each with an embedding of its own.
        embedding: numbers of the vector.
        octaves: how many of the sines and cosines of a number are heard, the slowest first, 1 to OCTAVES. With one, an
            amount between those of the training does what lies between; with four it may do anything.
        hidden: units between.

    Raises:
        SettingsError: another number of octaves.
    """

    def __init__(self, operations: Sequence[str], embedding: int, octaves: int = OCTAVES, hidden: int = 128) -> None:
        super().__init__()
        if octaves not in range(1, OCTAVES + 1):
            raise SettingsError(f"octaves: a whole number in 1..{OCTAVES}, got {octaves!r}")
        self.octaves = octaves
        self.operations = list(operations)
        self.kinds = nn.Parameter(torch.randn(len(operations), hidden) * 0.5)
        self.numbers = nn.Linear(FEATURES, hidden)
        self.clause = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden))
        self.whole = nn.Parameter(torch.randn(2, hidden) * 0.5)  # everything; as bad as it is
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, embedding))
        nn.init.zeros_(self.out[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.out[-1].bias)  # type: ignore[arg-type]

    def numbered(self, prompts: Sequence[Prompt]) -> Tensor:
        """Prompts as numbers: (B, operations + 1, 3). Of each operation: asked for, by a number, the number from 0 to
        1; in the last row: anything is said, everything is asked for, as bad as it is.

        Raises:
            SettingsError: an operation that this encoder does not know, or a sentence, which it cannot read.
        """
        rows = torch.zeros(len(prompts), len(self.operations) + 1, 3)
        for row, prompt in zip(rows, prompts, strict=True):
            if prompt.sentence:
                raise SettingsError(
                    f"prompt {str(prompt)!r}: this model reads no sentences, only what is to be done; it knows "
                    f"{', '.join(self.operations)}"
                )
            for clause in prompt.clauses:
                if clause.verb not in self.operations:
                    known = ", ".join(self.operations)
                    raise SettingsError(
                        f"prompt {str(prompt)!r}: this model has not learnt {clause.verb!r}; it knows {known}"
                    )
                number = 0.0 if clause.amount is None else clause.amount / LARGEST
                row[self.operations.index(clause.verb)] = torch.tensor([1.0, float(clause.amount is not None), number])
            row[-1] = torch.tensor([float(bool(prompt.clauses) or prompt.all or prompt.bad), prompt.all, prompt.bad])
        return rows

    def forward(self, rows: Tensor) -> Tensor:
        """What `numbered` gives, to vectors (B, embedding)."""
        clauses, whole = rows[:, :-1], rows[:, -1]
        angles = math.pi * clauses[:, :, 2:] * 2.0 ** torch.arange(OCTAVES, device=rows.device)
        # What is not heard is zero rather than absent: weights that were learnt with more octaves can be gone on from.
        heard = torch.arange(OCTAVES, device=rows.device) < self.octaves
        shown = torch.cat([clauses, angles.sin() * heard, (angles.cos() - 1) * heard], 2)
        each = self.clause(self.numbers(shown) + self.kinds) * clauses[:, :, :1]
        summed = each.sum(1) + whole[:, 1:] @ self.whole
        told: Tensor = self.out(summed) * whole[:, :1]
        return told
