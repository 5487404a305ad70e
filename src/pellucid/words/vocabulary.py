"""The words that our encoder of sentences knows, and its tokenizer: a list of words, readable without any library."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ModelError, one_line

__all__ = ["END", "LENGTH", "PAD", "START", "UNKNOWN", "Vocabulary", "save_tokenizer", "split_words"]

PAD, UNKNOWN, START, END = "<pad>", "<unknown>", "<start>", "<end>"
LENGTH = 40
"""Tokens of a sentence at most, start and end included; what is beyond is not read."""


def split_words(text: str) -> list[str]:
    """The words of a text in lower case: letters of any script, without signs and digits."""
    return re.findall(r"[^\W\d_]+", text.lower())


class Vocabulary:
    """Words and their numbers.

    Args:
        numbers: of each word; `<pad>`, `<unknown>`, `<start>` and `<end>` are 0 to 3.
    """

    def __init__(self, numbers: Mapping[str, int]) -> None:
        if [numbers.get(word) for word in (PAD, UNKNOWN, START, END)] != [0, 1, 2, 3]:
            raise ModelError(
                "the tokenizer is not one of words: its first numbers are not <pad>, <unknown>, <start>, <end>"
            )
        self.numbers = dict(numbers)

    @classmethod
    def of(cls, words: Iterable[str]) -> "Vocabulary":
        """The vocabulary of these words, in the order of the alphabet."""
        every = [PAD, UNKNOWN, START, END, *sorted({word.lower() for word in words})]
        return cls({word: number for number, word in enumerate(every)})

    @classmethod
    def read(cls, folder: Path) -> "Vocabulary":
        """That of a folder's `tokenizer.json`. Raises ModelError where it is missing or of another kind."""
        file = folder / "tokenizer.json"
        try:
            numbers = json.loads(file.read_text(encoding="utf-8"))["model"]["vocab"]
        except OSError as error:
            raise ModelError(f"{folder}: tokenizer.json is missing or cannot be read; words cannot be told") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{file}: not a tokenizer of words ({one_line(error)})") from error
        if not isinstance(numbers, dict):
            raise ModelError(f"{file}: not a tokenizer of words, but of another kind")
        return cls(numbers)

    def __len__(self) -> int:
        """How many there are, signs included."""
        return len(self.numbers)

    def knows(self, word: str) -> bool:
        """Whether a word, in lower case, is among them."""
        return word in self.numbers

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """The numbers of the words of each text between start and end, padded; int64 (n, LENGTH)."""
        rows = []
        for text in texts:
            words = [self.numbers.get(word, 1) for word in split_words(text)[: LENGTH - 2]]
            rows.append([2, *words, 3] + [0] * (LENGTH - 2 - len(words)))
        return torch.tensor(rows)

    def save(self, folder: Path) -> None:
        """Writes transformers' files of the same tokenizer: `AutoTokenizer.from_pretrained(folder)` reads them."""
        from tokenizers import Regex, normalizers

        letters = [normalizers.Lowercase(), normalizers.Replace(Regex(r"[^\p{L}]+"), " ")]
        save_tokenizer(folder, self.numbers, normalizers.Sequence(letters))


def save_tokenizer(folder: Path, numbers: Mapping[str, int], normalizer: Any) -> None:
    """Writes transformers' files of a tokenizer of words that stand between spaces.

    Args:
        folder: to write to.
        numbers: of each word and of the four signs.
        normalizer: of `tokenizers`; what it makes of a text is split.
    """
    import tokenizers
    import transformers

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(dict(numbers), unk_token=UNKNOWN))
    words.normalizer = normalizer
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, numbers[START]), (END, numbers[END])]
    )
    fast: Any = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        pad_token=PAD,
        model_max_length=LENGTH,
    )
    fast.save_pretrained(folder)
