"""Distilling: the student learns its teacher, and the file needs no other."""

import pytest
import torch
from small_runs import boosted_pairs_tree, boosted_tree, run

from pellucid.errors import DataError, ModelError
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.priors import FrozenPrior, Student, unit_rms
from pellucid.training.distill import StudentLoss, Views, distill
from pellucid.training.settings import read_recipe
from pellucid.training.train import build_module


class MeanColour(FrozenPrior):
    """A prior that a student can learn in a few steps: signs and squares of the mean colour."""

    def __init__(self):
        super().__init__("mean colour", 8, (4, 4))

    def encode(self, view):
        mean = view.mean((2, 3)) - 0.4
        return unit_rms(torch.cat([mean, -mean, mean[:, :2] ** 2], 1))


@pytest.mark.parametrize("prior", ["random:8", "degradations"])
def test_distilling_makes_a_file_that_needs_no_other(prior, photographs, tmp_path):
    recipe_tree = boosted_tree(photographs) | {"prior": {"name": prior}}
    run(recipe_tree, tmp_path / "boosted")
    model = load_model(tmp_path / "boosted/model.safetensors")
    steps = list(distill(model, read_recipe(recipe_tree, "test"), tmp_path / "distilled"))
    assert [step.number for step in steps] == [1, 2, 3]
    header = describe_model(tmp_path / "distilled/model.safetensors")
    assert header.prior["student"]["teacher"] == header.card["distilled"]["teacher"] == prior
    distilled = load_model(tmp_path / "distilled/model.safetensors").module
    image = torch.rand(1, 3, 20, 24)
    assert distilled(image).shape == image.shape
    with pytest.raises(ModelError, match="student already"):
        list(
            distill(load_model(tmp_path / "distilled/model.safetensors"), read_recipe(recipe_tree, "t"), tmp_path / "x")
        )


def test_distilling_refuses_to_hold_everything_out(photographs, tmp_path):
    run(boosted_tree(photographs), tmp_path / "boosted")
    recipe_tree = boosted_tree(photographs)
    recipe_tree["data"]["validation"] = 50
    model = load_model(tmp_path / "boosted/model.safetensors")
    with pytest.raises(DataError, match=r"6 photographs, of which data\.validation holds out 50"):
        next(distill(model, read_recipe(recipe_tree, "test"), tmp_path / "distilled"))


def test_a_student_learns_its_teacher(photographs, tmp_path):
    """A prior that depends on the picture's mean colour alone can be learnt: the vectors come close."""
    recipe_tree = boosted_tree(photographs)
    recipe_tree["distill"] |= {"steps": 60, "batch": 8, "learning_rate": 1e-2}
    run(recipe_tree, tmp_path / "boosted")
    model = load_model(tmp_path / "boosted/model.safetensors")
    model.module.prior = MeanColour()
    losses = [step.loss for step in distill(model, read_recipe(recipe_tree, "test"), tmp_path / "distilled")]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_distilling_a_model_that_was_trained_on_pairs(folders, tmp_path):
    recipe = boosted_pairs_tree(folders)
    recipe["distill"] = {"steps": 3, "batch": 2, "settings": {"size": 32, "channels": [4], "texture": [4]}}
    run(recipe, tmp_path / "run")
    model = load_model(tmp_path / "run/model.safetensors")
    assert len(list(distill(model, read_recipe(recipe, "test"), tmp_path / "distilled"))) == 3
    assert load_model(tmp_path / "distilled/model.safetensors").module.prior.settings["teacher"] == "random:8"


def test_a_student_is_judged_by_its_vector_and_by_what_r_makes_of_it(photographs):
    """1 - cos(v, g), and for T_m and for T_c how far T(v) is from T(g), relative to T(g): written out."""
    model = build_module(read_recipe(boosted_tree(photographs), "test"))
    student = Student(8, size=32, channels=[4], texture=[4])
    views = Views(torch.rand(3, 3, 4, 4), torch.rand(3, 6, 32, 32))
    loss = StudentLoss(student, model.prior, model.refinement)(views)
    with torch.no_grad():
        told, learnt = model.prior.encode(views.teacher), student.encode(views.student)
        cosine = (told * learnt).sum(1) / (told.norm(dim=1) * learnt.norm(dim=1))
        expected = (1 - cosine).mean()
        for projection in (model.refinement.range_prior, model.refinement.attention_prior):
            difference = projection(learnt) - projection(told)
            expected += difference.square().mean() / projection(told).square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in student.parameters())
    assert all(value.grad is None for value in model.refinement.parameters())
