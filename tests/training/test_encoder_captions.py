"""Captions of degradations, and their tokenizer."""

import pytest
import torch

from pellucid.degradations import KINDS, parse, severities
from pellucid.training.encoder.captions import LENGTH, NUMBERS, VOCABULARY, caption, meaning, save_tokenizer, tokens

transformers = pytest.importorskip("transformers")


def test_captions_have_their_words_in_the_vocabulary_and_differ(tmp_path):
    generator = torch.Generator().manual_seed(0)
    found = severities(parse("blur sigma=2, noise sigma=25 bits=8, jpeg quality=20"))
    said = {caption(found, generator) for _ in range(300)}
    everything = {kind: 10.0 * place + 5 for place, kind in enumerate(KINDS)}
    said_all = [caption(everything, generator) for _ in range(300)]
    clean = {caption({}, generator) for _ in range(50)}
    assert len(said) > 100
    assert clean == {"nothing wrong", "a clean photograph", "a good photograph", "no degradation"}
    for text in [*said, *said_all, *clean]:
        assert set(text.split()) <= set(VOCABULARY)
        assert len(text.split()) + 2 <= 2 * LENGTH
    assert all(any(word in text for word in ("noise", "grain")) for text in said)
    save_tokenizer(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*list(said)[:50], "Strong NOISE", "unheard of"]:
        ours = tokens(text)
        assert tokenizer(text).input_ids == ours[ours != NUMBERS["<pad>"]].tolist()


def test_captions_mean_the_same_where_kinds_and_grades_are_the_same():
    assert meaning({}) == 0
    assert meaning({"noise": 31, "jpeg": 71}) == meaning({"jpeg": 99, "noise": 44.9})
    assert meaning({"noise": 31}) != meaning({"noise": 45})
    assert meaning({"noise": 31}) != meaning({"blur": 31})
    largest = meaning(dict.fromkeys(KINDS, 100.0))
    assert largest == sum(5 * 6**place for place in range(len(KINDS)))
    assert largest == int(torch.tensor(float(largest), dtype=torch.float32))
