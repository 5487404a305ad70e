"""Teaches the table of `pellucid.words.likely_kinds`: which words speak of which kind of degradation.

    python tools/teach_likely_kinds.py all-MiniLM-L6-v2/ src/pellucid/models/weights/likely-kinds/model.safetensors

Needs the folder of a sentence encoder as transformers reads it, whose vocabulary is sorted by how common words are.
Learns from the terms of `words.wish_terms` in small sentences, and from small sentences about anything else.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.degradations import KINDS, MEASURED
from pellucid.words.likely_kinds import EVERYTHING, NOTHING
from pellucid.words.sentences import SHADES
from pellucid.words.wish_terms import phrases

COLUMNS = (*KINDS, *MEASURED, NOTHING, EVERYTHING)
SENTENCES = {
    "fault": ("remove the {}", "there is {} in the picture", "too much {}", "{}", "can you fix the {}"),
    "bad": ("the picture is {}", "it looks {}", "{}"),
    "wish": ("{}", "please {} this picture"),
    "good": ("more {}", "there is no {}", "it lacks {}"),
    "restore": ("{} this picture", "please {}"),
}
ANYTHING = (
    "remove the {}", "add a {}", "make it look like a {}", "who is the {}", "what a lovely {}", "this is my {} {}",
    "{} {} {}", "please {} the {}", "how much is the {}", "my {} in the {}", "put a {} in the {}", "{}",
    "the {} is very {}", "can you {} this", "turn it into a {}", "a {colour} {}", "{colour} {} {}", "make it {colour}",
    "the {} is {colour}",
)  # fmt: skip
WIDTH, DECAY, COMMON, MANY, OFTEN = 128, 1e-5, 300, 9000, 6000


def main() -> None:
    """Reads the arguments, teaches and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    words, vectors = vectors_of_words(options.teacher)
    rows, offset = taught(words, vectors)
    scale = rows.abs().amax(0) / 127
    tensors = {"rows": (rows / scale).round().to(torch.int8), "scale": scale, "offset": offset}
    options.target.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, options.target, {"words": " ".join(words), "columns": " ".join(COLUMNS)})


@torch.no_grad()
def vectors_of_words(folder: Path) -> tuple[list[str], Tensor]:
    """Words, common ones first, and the teacher's vector of each alone: reduced to WIDTH, longer for rarer words."""
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoder: Any = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    words = [word for word in sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get) if plain(word)]
    words += sorted({word for phrase in phrases() for word in phrase if plain(word)} - set(words))
    found = []
    for start in range(0, len(words), 256):
        batch = tokenizer(words[start : start + 256], padding=True, return_tensors="pt")
        seen, mask = encoder(**batch).last_hidden_state, batch["attention_mask"][..., None]
        found.append(nn.functional.normalize((seen * mask).sum(1) / mask.sum(1), dim=1))
    vectors = torch.cat(found)
    vectors = vectors - vectors.mean(0)
    torch.manual_seed(0)
    vectors = nn.functional.normalize(vectors @ torch.pca_lowrank(vectors, WIDTH, niter=4)[2], dim=1)
    weight = (torch.arange(len(words)) + 2.0).log()
    return words, vectors * (weight / weight.max())[:, None]


def taught(words: Sequence[str], vectors: Tensor) -> tuple[Tensor, Tensor]:
    """For each word (words, columns), and what is added, (columns,): a linear layer learnt on sentences, folded in."""
    numbers = {word: number for number, word in enumerate(words)}
    pairs = list(_sentences(words))
    seen = torch.stack([_sum(sentence, numbers, vectors) for sentence, _ in pairs])
    meant = torch.tensor([column for _, column in pairs])
    often = torch.bincount(meant, minlength=len(COLUMNS)).float()
    weight = (1 + 5 * torch.tensor([name == NOTHING for name in COLUMNS]).float()) / often.clamp_min(1)
    matrix = torch.zeros(WIDTH, len(COLUMNS), requires_grad=True)
    offset = torch.zeros(len(COLUMNS), requires_grad=True)
    optimizer = torch.optim.LBFGS([matrix, offset], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(seen @ matrix + offset, meant, weight / weight[meant].mean())
        value = value + DECAY * (matrix**2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return (vectors @ matrix).detach(), offset.detach()


def _sentences(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Small sentences, each with the number of the column that it speaks for."""
    for phrase, roles in phrases().items():
        for role, kind in roles:
            column = EVERYTHING if role == "restore" else kind
            yield from ((form.format(" ".join(phrase)), COLUMNS.index(column)) for form in SENTENCES.get(role, ()))
    known = {word for phrase, roles in phrases().items() for role, _ in roles if role in SENTENCES for word in phrase}
    others = [word for word in words[COMMON:MANY] if word not in known]
    draw = random.Random(0)
    for _ in range(OFTEN):
        colour = draw.choice(list(SHADES))
        yield draw.choice(ANYTHING).format(*draw.choices(others, k=3), colour=colour), COLUMNS.index(NOTHING)


def _sum(sentence: str, numbers: dict[str, int], vectors: Tensor) -> Tensor:
    known = [numbers[word] for word in sentence.split() if word in numbers]
    return vectors[known].sum(0) / max(len(known), 1) ** 0.5


def plain(word: str) -> bool:
    """Whether a word is one of small Latin letters."""
    return word.isascii() and word.isalpha() and word.islower() and (len(word) > 1 or word in "ai")


if __name__ == "__main__":
    main()
