"""Fitting the heads of a diagnosis: how long, in which batches, and how fast stands in the settings."""

import torch

from pellucid.degradations import KINDS
from pellucid.diagnosis import Heads
from pellucid.training.encoder.batches import Labels
from pellucid.training.encoder.captions import LENGTH
from pellucid.training.encoder.heads import HeadsSettings, fit_heads

COUNT = 24


def examples():
    """Features of which each of the first few says whether one kind is there, and labels that agree."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(COUNT, 12, generator=generator)
    present = features[:, : len(KINDS)] > 0
    known = torch.ones_like(present)
    severity = present * 50.0
    nothing = torch.zeros(COUNT, dtype=torch.int64)
    return features, Labels(known, present, present, severity, nothing, nothing[:, None].expand(COUNT, LENGTH))


def fitted(**settings):
    """The heads' weights, and the steps that they took."""
    torch.manual_seed(0)
    heads = Heads(12, 8, 0.0)
    steps = []
    features, labels = examples()
    heads.register_forward_hook(lambda _, inputs, output: steps.append(len(inputs[0])))
    fit_heads(heads, features, labels, HeadsSettings(**settings), seed=1)
    return torch.cat([value.detach().flatten() for value in heads.parameters()]), steps, heads


def test_epochs_and_batches():
    _, steps, _ = fitted(epochs=3, batch=8)
    assert steps == [8] * 9
    _, steps, _ = fitted(epochs=2, batch=64)
    assert steps == [COUNT] * 2


def test_what_is_fitted_learns():
    features, labels = examples()
    _, _, heads = fitted(epochs=100, batch=24, learning_rate=2e-2)
    with torch.no_grad():
        logits, _ = heads(features)
    assert float(((logits > 0) == labels.present).float().mean()) > 0.95


def test_rate_and_decay_count():
    usual = fitted(epochs=4)[0]
    assert torch.equal(usual, fitted(epochs=4)[0])
    assert float((usual - fitted(epochs=4, learning_rate=1e-3)[0]).abs().max()) > 1e-4
    assert fitted(epochs=40, weight_decay=5.0)[0].norm() < 0.95 * fitted(epochs=40, weight_decay=0.0)[0].norm()


def test_what_is_too_faint_to_be_seen_counts_neither_as_there_nor_as_absent():
    _, labels = examples()
    severity = labels.severity.clone()
    severity[0] = 4
    faint = Labels(labels.known, labels.present, labels.present, severity, labels.meaning, labels.tokens).certain
    assert torch.equal(faint.present[1:], labels.present[1:])
    assert faint.known[1:].all()
    assert not faint.present[0].any()
    assert torch.equal(faint.known[0], ~labels.present[0])
