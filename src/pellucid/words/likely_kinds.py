"""Which kind of degradation a sentence most likely speaks of, by words that no rule knows.

A table has a row for each of some eighteen thousand common English words: how much it speaks for each kind, for
everything at once, and for nothing of the sort. The sum over a sentence's words gives probabilities. The rows are a
sentence encoder's vectors of single words (all-MiniLM-L6-v2: "MiniLM", Wang et al., NeurIPS 2020, arXiv 2002.10957;
"Sentence-BERT", Reimers and Gurevych, EMNLP 2019, arXiv 1908.10084), rarer words heavier ("A Simple but
Tough-to-Beat Baseline for Sentence Embeddings", Arora et al., ICLR 2017), under one linear layer that has learnt the
terms of `words.wish_terms`. `tools/teach_likely_kinds.py` makes it; the encoder itself is not needed afterwards.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

__all__ = ["EVERYTHING", "NOTHING", "likely_kind", "probabilities"]

TABLE = Path(str(files("pellucid") / "models" / "weights" / "likely-kinds" / "model.safetensors"))
NOTHING, EVERYTHING = "nothing", "everything"
SURE = 0.8
"""Probability from which a kind is believed; at this 15 guesses were right for each wrong one (experiment 57)."""


@cache
def _table() -> tuple[dict[str, int], tuple[str, ...], Tensor, Tensor]:
    """Rows by word, the names of the columns, the rows (words, columns) and what is added, (columns,)."""
    with safe_open(TABLE, "pt") as file:
        told = file.metadata()
        rows = file.get_tensor("rows").float() * file.get_tensor("scale")
        return (
            {word: row for row, word in enumerate(told["words"].split())},
            tuple(told["columns"].split()),
            rows,
            file.get_tensor("offset"),
        )


def probabilities(words: Sequence[str]) -> dict[str, float]:
    """How likely a sentence speaks of each kind, of `NOTHING` or of `EVERYTHING`; the sum is 1.

    Args:
        words: of the sentence, in lower case; those that the table lacks do not count.
    """
    numbers, columns, rows, offset = _table()
    known = [numbers[word] for word in words if word in numbers]
    total = rows[known].sum(0) / max(len(known), 1) ** 0.5 + offset
    return dict(zip(columns, total.softmax(0).tolist(), strict=True))


def likely_kind(words: Sequence[str]) -> str | None:
    """The kind, or `EVERYTHING`, that a sentence surely speaks of; None where that is open, or nothing of the sort."""
    likely = probabilities(words)
    best = max(likely, key=lambda name: likely[name])
    return best if best != NOTHING and likely[best] >= SURE else None
