"""Steps of the loop: AdamW with every setting, accumulated batches, what is frozen."""

import math
import sys
import time
import types
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file
from small_runs import paired_tree, run, tree
from torch import nn

from pellucid.refinement.guidance import PriorMap
from pellucid.training.loop import optimise
from pellucid.training.run import Run, TrainSettings
from pellucid.training.settings import read_recipe
from pellucid.training.train import build_module


class Normalised(nn.Module):
    """Two layers of somebody else, the first with statistics of its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.last = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3))

    def forward(self, degraded):
        return self.last(self.first(degraded))


def test_what_is_frozen_keeps_its_statistics(photographs, tmp_path, monkeypatch):
    module = types.ModuleType("normalised")
    module.Normalised = Normalised
    monkeypatch.setitem(sys.modules, "normalised", module)
    recipe = tree(photographs, frozen=["network.first"])
    recipe["network"] = {"name": "external", "settings": {"target": "normalised:Normalised"}}
    read = read_recipe(recipe, "test")
    with pytest.warns(UserWarning, match=r"network\.first\.0\.weight of normalised:Normalised is frozen"):
        before = build_module(read).state_dict()
    with pytest.warns(UserWarning, match="no weights are given"):
        run(recipe, tmp_path / "run")
    after = load_file(tmp_path / "run/network.safetensors")
    assert float((after["last.1.running_mean"]).abs().max()) > 0
    assert torch.equal(after["first.1.running_mean"], before["network.first.1.running_mean"])
    assert after["first.1.num_batches_tracked"] == 0


def test_accumulated_batches_are_one_larger_batch(folders, tmp_path):
    """Two batches of one sample have the mean gradient of both; their samples are those of steps 1 and 2 without."""
    single = paired_tree(folders, batch=1, steps=2, warmup_steps=0, learning_rate=1e-12, loss="absolute")
    both = paired_tree(folders, batch=1, steps=1, warmup_steps=0, learning_rate=1e-12, loss="absolute", accumulate=2)
    first, second = run(single, tmp_path / "single").values()
    assert run(both, tmp_path / "both")[1] == pytest.approx((first + second) / 2, rel=1e-5)


class Row(nn.Module):
    """Two weights, and no photograph."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([1.0, -2.0]))

    def forward(self, factors):
        return (factors * self.weights).sum()


@dataclass(frozen=True)
class Factors:
    """The gradient of a step, as a batch."""

    factors: torch.Tensor

    def to(self, device):
        return self


class Gradients:
    """Batches that give each step the gradient it is to have, some longer than the clip and some shorter."""

    source = ()
    values = ((3.0, 4.0), (0.02, -0.01), (-0.3, 0.1), (0.01, 0.02), (5.0, -1.0), (0.0, 0.03))

    def at(self, number, *, rank=0):
        return Factors(torch.tensor(self.values[number % len(self.values)]))


def weights_by_hand(steps, *, rate, final, warmup, decay, beta2, clip):
    """AdamW (Loshchilov and Hutter, algorithm 2) with clipped gradients and the schedule, number by number."""
    weights, mean, square = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    rates = []
    for step in range(steps):
        gradient = Gradients.values[step % len(Gradients.values)]
        norm = math.hypot(*gradient)
        gradient = [value * min(1, clip / norm) for value in gradient]
        now = final + (rate - final) * (1 + math.cos(math.pi * step / steps)) / 2
        now *= min(1, (step + 1) / warmup) if warmup else 1
        rates.append(now)
        for place in range(2):
            mean[place] = 0.9 * mean[place] + 0.1 * gradient[place]
            square[place] = beta2 * square[place] + (1 - beta2) * gradient[place] ** 2
            ahead = mean[place] / (1 - 0.9 ** (step + 1))
            size = math.sqrt(square[place] / (1 - beta2 ** (step + 1))) + 1e-8
            weights[place] -= now * (ahead / size + decay * weights[place])
    return weights, rates


class Prior(nn.Module):
    """T behind the weights of a row: 320 numbers to 64 hidden ones to 16."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weights = nn.Parameter(torch.ones(2))
        self.map = PriorMap(320, 64, 4)

    def forward(self, factors):
        return (factors * self.weights).sum() + self.map(torch.ones(1, 320)).square().sum()


def test_t_moves_less_the_more_numbers_it_reads(tmp_path):
    # The first step of Adam moves every weight by the learning rate, whatever its gradient.
    moved = {}
    for prior_rate in ("same", "by-width"):
        module = Prior()
        before = [value.detach().clone() for value in module.parameters()]
        settings = TrainSettings(
            steps=1, learning_rate=1e-3, warmup_steps=0, prior_rate=prior_rate, precision="float32", gradient_clip=1e6
        )
        under_way = Run(
            module, lambda one, batch: one(batch.factors), Gradients(), settings, tmp_path / "checkpoint.pt"
        )
        list(optimise(under_way))
        pairs = zip(module.parameters(), before, strict=True)
        moved[prior_rate] = [float((value.detach() - old).abs().median()) for value, old in pairs]
    assert moved["same"] == pytest.approx([1e-3, 1e-3, 1e-3], rel=1e-2)
    assert moved["by-width"] == pytest.approx([1e-3, 1e-4, 5e-4], rel=1e-2)


def test_epsilon_damps_small_gradients(tmp_path):
    settings = TrainSettings(
        steps=1, learning_rate=0.1, warmup_steps=0, epsilon=5.0, precision="float32", gradient_clip=9
    )
    module = Row()
    list(
        optimise(Run(module, lambda row, batch: row(batch.factors), Gradients(), settings, tmp_path / "checkpoint.pt"))
    )
    # The gradient (3, 4) moves each by 0.1 g / (g + 5).
    assert module.weights.tolist() == pytest.approx([1 - 0.1 * 3 / 8, -2 - 0.1 * 4 / 9], rel=1e-5)


USUAL = {"rate": 0.05, "final": 1e-6, "warmup": 0, "decay": 0.0, "beta2": 0.99, "clip": 1e6}


@pytest.mark.parametrize(
    "changed",
    [{}, {"clip": 0.05}, {"decay": 0.5}, {"beta2": 0.6}, {"warmup": 4}, {"final": 0.03}, {"rate": 0.2}],
    ids=lambda changed: next(iter(changed), "usual"),
)
def test_steps_are_adamw_s_with_every_setting(tmp_path, changed):
    wanted = USUAL | changed
    settings = TrainSettings(
        steps=6,
        learning_rate=wanted["rate"],
        final_learning_rate=wanted["final"],
        warmup_steps=wanted["warmup"],
        weight_decay=wanted["decay"],
        beta2=wanted["beta2"],
        gradient_clip=wanted["clip"],
        precision="float32",
    )
    module = Row()
    run_of_rows = Run(module, lambda row, batch: row(batch.factors), Gradients(), settings, tmp_path / "checkpoint.pt")
    rates = [step.learning_rate for step in optimise(run_of_rows)]
    weights, expected = weights_by_hand(6, **wanted)
    assert rates == pytest.approx(expected, rel=1e-9)
    assert module.weights.tolist() == pytest.approx(weights, rel=1e-5)
    if changed:  # the setting counts
        usual, _ = weights_by_hand(6, **USUAL)
        assert module.weights.tolist() != pytest.approx(usual, rel=1e-3)


def test_defaults_are_those_that_weights_were_made_with():
    settings = TrainSettings(steps=1)
    assert (settings.beta2, settings.gradient_clip, settings.weight_decay) == (0.99, 1.0, 0.0)
    assert (settings.warmup_steps, settings.final_learning_rate, settings.average) == (200, 1e-6, 0.999)


class Slow:
    """Batches that take a twentieth of a second each to be drawn."""

    def at(self, number, *, rank=0):
        time.sleep(0.05)
        return Factors(torch.ones(1, 3, 8, 10))


def test_a_step_says_what_it_waited_for_and_what_it_computed(tmp_path):
    convolution = nn.Conv2d(3, 4, 3, padding=1)
    settings = TrainSettings(steps=4, precision="float32")
    run_of_one = Run(
        convolution,
        lambda module, batch: module(batch.factors).square().mean(),
        Slow(),
        settings,
        tmp_path / "checkpoint.pt",
    )
    steps = list(optimise(run_of_one))
    # Forwards once, backwards once more for the weights; nobody asks for the gradient of the image.
    assert {step.operations for step in steps} == {2 * 2 * 80 * 4 * 3 * 9}
    assert all(0.03 < step.waited < step.seconds + 0.01 for step in steps)
    assert steps[-1].waited < 0.5
