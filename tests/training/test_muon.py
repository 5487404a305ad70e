"""Muon, against singular values, torch's AdamW, and a loss that must fall."""

import copy

import pytest
import torch
from small_runs import tree
from torch import nn

from pellucid.errors import SettingsError
from pellucid.training.muon import Muon, matrices_of, orthogonalised
from pellucid.training.settings import read_recipe
from pellucid.training.train import train


@pytest.mark.parametrize("shape", [(8, 72), (40, 10), (16, 16)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalised(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.3
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    within = left.mT @ result @ right.mT
    assert (within - torch.diag(within.diagonal())).abs().max() < 1e-3


def test_what_is_no_matrix_is_stepped_as_by_adamw():
    torch.manual_seed(0)
    ours = nn.Linear(5, 3)
    theirs = copy.deepcopy(ours)
    settings = {"betas": (0.9, 0.99), "weight_decay": 0.1}
    first = Muon([], list(ours.parameters()), learning_rate=0.01, matrix_learning_rate=1.0, **settings)
    second = torch.optim.AdamW(theirs.parameters(), lr=0.01, **settings)
    for _ in range(4):
        image = torch.randn(7, 5)
        for module, optimizer in ((ours, first), (theirs, second)):
            optimizer.zero_grad()
            module(image).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_a_matrix_moves_alike_in_every_direction():
    layer = nn.Conv2d(4, 4, 3)
    before = layer.weight.detach().clone()
    optimizer = Muon([layer.weight], [layer.bias], learning_rate=0.1, matrix_learning_rate=0.1, betas=(0.9, 0.99))
    layer(torch.randn(2, 4, 8, 8)).square().mean().backward()
    optimizer.step()
    values = torch.linalg.svdvals((layer.weight - before).detach().flatten(1))
    assert values.max() < 2.5 * values.min()


def test_matrices_are_found_once_and_frozen_ones_not():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    assert len(matrices_of([network, network[0]])) == 2
    network[1].requires_grad_(False)
    assert len(matrices_of([network])) == 1


def test_a_recipe_names_what_it_steps_and_resumes_exactly(photographs, tmp_path):
    recipe = read_recipe(tree(photographs, muon=["encoders"], steps=6, checkpoint_minutes=1e-4), "test")
    losses = [step.loss for step in train(recipe, tmp_path / "whole")]
    run = train(recipe, tmp_path / "parts")
    first = [next(run).loss for _ in range(3)]
    run.close()
    rest = [step.loss for step in train(recipe, tmp_path / "parts", resume=True)]
    assert first == losses[:3]
    assert rest == losses[len(losses) - len(rest) :]
    assert rest


def test_a_module_that_is_not_there_is_refused(photographs, tmp_path):
    with pytest.raises(SettingsError, match=r"train\.muon: unknown module"):
        next(train(read_recipe(tree(photographs, muon=["encoder"]), "test"), tmp_path))
