"""The probe against what is known of made-up vectors, and against scikit-image's pictures of known degradation."""

import numpy as np
import pytest
import torch

from pellucid.evaluation.cases import Case
from pellucid.evaluation.score import Failure
from pellucid.priors import Oracle, Statistics, Zeros
from pellucid.studies.probing import ProbeResult, probe, readable


def made(photographs=60, width=200, noise=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(photographs, 3, generator=generator)
    spread = torch.randn(3, width, generator=generator)
    return numbers @ spread + noise * torch.randn(photographs, width, generator=generator), numbers


def test_what_lies_in_the_vectors_is_read_though_they_are_longer_than_there_are_photographs():
    assert readable(*made()) > 0.999


def test_what_does_not_lie_in_them_is_not():
    _, numbers = made()
    for seed in range(5):
        vectors = torch.randn(60, 200, generator=torch.Generator().manual_seed(100 + seed))
        assert -0.25 < readable(vectors, numbers) < 0.25


def test_it_is_the_correlation_squared_of_one_noisy_number():
    # y = x + e with as much e as x: half of the variance can be read.
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2000, 1, generator=generator)
    y = x + torch.randn(2000, 1, generator=generator)
    assert readable(x, y) == pytest.approx(float(np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2), abs=0.02)


def test_neither_the_scale_nor_a_constant_matters():
    vectors, numbers = made(noise=2.0)
    assert readable(1000 * vectors + 7, 3 * numbers - 5) == pytest.approx(readable(vectors, numbers), abs=1e-6)


def test_vectors_that_never_differ_say_nothing():
    assert readable(torch.ones(40, 5), torch.randn(40, 2)) <= 0


def test_a_scene_that_stands_there_several_times_is_not_recognised():
    """Vectors that say which scene it is, and nothing else: what was learnt of a scene must not help with it."""
    generator = torch.Generator().manual_seed(2)
    scenes, numbers = torch.randn(20, 100, generator=generator), torch.randn(20, 2, generator=generator)
    thrice = [tensor.repeat_interleave(3, 0) for tensor in (scenes, numbers)]
    assert readable(*thrice) < 0.1
    assert readable(thrice[0], thrice[0][:, :2]) > 0.05  # though what lies in the vectors is still read, in part


def cases(count, levels):
    def load(number):
        generator = torch.Generator().manual_seed(number)
        clean = torch.rand(1, 3, 48, 48, generator=generator) * 0.5 + 0.5 * torch.rand(1, 3, 1, 1, generator=generator)
        noise = torch.randn(clean.shape, generator=generator) * levels[number % len(levels)] / 255
        return (clean + noise).clamp(0, 1), clean

    return [Case("made", "noise", str(number), lambda number=number: load(number)) for number in range(count)]


def test_priors_are_told_apart_on_photographs():
    results = list(probe([Zeros(4), Statistics()], cases(30, [2, 40])))
    assert [type(one) for one in results] == [ProbeResult] * 2
    nothing, statistics = results
    assert nothing.readable["noise"] <= 0
    assert statistics.readable["noise"] > 0.8
    assert statistics.readable["exposure"] > 0.8
    assert set(nothing.readable) == {"exposure", "noise", "affine", "sharpness"}


def test_too_few_photographs_are_a_failure():
    (failure,) = probe([Statistics()], cases(5, [10]))
    assert isinstance(failure, Failure)
    assert "needs 20" in failure.reason


def test_an_oracle_reads_itself():
    oracle = Oracle("affine", 64)
    pairs = [case.load() for case in cases(30, [5, 30])]
    vectors = torch.cat([oracle.encode(oracle.prepare_told(*pair)) for pair in pairs])
    numbers = torch.cat([oracle.prepare_told(*pair).flatten(1)[:, :-1] for pair in pairs])
    assert readable(vectors, numbers) > 0.999
