"""Captions of degradations, for the text tower of the degradation encoder: few words, many ways to say the same.

A caption names the kinds that are there and grades their severity: "strong noise and light blur", "a photograph with
jpeg artefacts 40, slight haze", "nothing wrong". Its vocabulary is closed, so the tokenizer is a list of words.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pellucid.degradations import KINDS
from pellucid.diagnosis.findings import GRADES, grade
from pellucid.words import vocabulary
from pellucid.words.vocabulary import END, LENGTH, PAD, START, UNKNOWN

__all__ = ["END", "LENGTH", "PAD", "START", "VOCABULARY", "caption", "meaning", "save_tokenizer", "tokens"]

PHRASES: Mapping[str, Sequence[str]] = {
    "noise": ("noise", "grain", "sensor noise"),
    "blur": ("blur", "lens blur", "unsharpness"),
    "rain": ("rain", "rain streaks", "rainfall"),
    "snow": ("snow", "snow flakes", "snowfall"),
    "haze": ("haze", "fog", "mist"),
    "low-light": ("low light", "darkness", "underexposure"),
    "jpeg": ("jpeg", "jpeg artefacts", "jpeg blocking", "compression"),
    "low-resolution": ("low resolution", "loss of resolution", "upsampling"),
    "ringing": ("ringing", "halos", "oversharpening"),
}
"""How each kind may be called."""
NOTHING = ("nothing wrong", "a clean photograph", "a good photograph", "no degradation")
OPENINGS = ("", "", "a photograph with", "degraded by", "photograph :")
"""What may come before the kinds."""
JOINTS = (" , ", " and ", " + ")
STEP = 10
"""Severities that are said as a number are rounded to tens."""

SPECIAL = (PAD, UNKNOWN, START, END)
VOCABULARY: tuple[str, ...] = (
    *SPECIAL,
    *sorted(
        {
            word
            for text in (*NOTHING, *OPENINGS, *JOINTS, *(phrase for phrases in PHRASES.values() for phrase in phrases))
            for word in text.split()
        }
        | {word for _, word in GRADES}
        | {str(number) for number in range(0, 101, STEP)}
    ),
)
"""Every word of every caption, by its number."""
NUMBERS = {word: number for number, word in enumerate(VOCABULARY)}


def caption(severities: Mapping[str, float], generator: torch.Generator) -> str:
    """A way to say what is wrong, drawn from many: kinds in any order, graded by a word or by a number.

    Args:
        severities: 0 to 100 by kind, as `pellucid.degradations.severities` gives them; empty for a clean photograph.
        generator: what is drawn from.
    """
    if not severities:
        return _one_of(NOTHING, generator)
    kinds = list(severities)
    order = torch.randperm(len(kinds), generator=generator).tolist()
    parts = []
    for kind in (kinds[place] for place in order):
        name = _one_of(PHRASES[kind], generator)
        graded = f"{grade(severities[kind])} {name}"
        numbered = f"{name} {round(min(severities[kind], 100) / STEP) * STEP}"
        parts.append(_one_of((graded, graded, graded, numbered), generator))
    return f"{_one_of(OPENINGS, generator)} {_one_of(JOINTS, generator).join(parts)}".strip()


def meaning(severities: Mapping[str, float]) -> int:
    """One number for all captions that say the same, which kinds and which grades; below 2²⁴: float32 holds it."""
    words = [word for _, word in GRADES]
    digits = (words.index(grade(severities[kind])) + 1 if kind in severities else 0 for kind in KINDS)
    return sum(digit * (len(GRADES) + 1) ** place for place, digit in enumerate(digits))


def tokens(text: str) -> Tensor:
    """The numbers of a caption's words between start and end, padded; int64 (LENGTH,).

    No caption of seven kinds has as many."""
    words = [START, *text.lower().split()[: LENGTH - 2], END]
    numbers = [NUMBERS.get(word, NUMBERS[UNKNOWN]) for word in words]
    return torch.tensor(numbers + [NUMBERS[PAD]] * (LENGTH - len(numbers)))


def save_tokenizer(folder: Path) -> None:
    """Writes transformers' files of the same tokenizer: `AutoTokenizer.from_pretrained(folder)` reads them."""
    from tokenizers import normalizers

    vocabulary.save_tokenizer(folder, NUMBERS, normalizers.Lowercase())


def _one_of(choices: Sequence[str], generator: torch.Generator) -> str:
    return choices[int(torch.randint(len(choices), (), generator=generator))]
