"""Guidance: what is known of whole pictures, handed on in part, withheld, moved, and added to."""

from dataclasses import FrozenInstanceError, fields

import pytest
import torch

from pellucid.guidance import NOTHING, Guidance


def full(pictures=3):
    """A guidance of which everything is known, and of networks within networks, too."""
    rows = torch.arange(1.0, pictures + 1)
    inner = Guidance(own={"kernels": rows.view(-1, 1, 1).expand(-1, 2, 2)})
    return Guidance(
        vector=rows[:, None].repeat(1, 4),
        maps=rows.view(-1, 1, 1, 1).repeat(1, 2, 3, 3),
        view=rows.view(-1, 1, 1, 1).repeat(1, 3, 5, 5),
        grid=torch.tensor([[0.0, 0.25, 0.5, 0.75]]),
        seed=7,
        own={"exponent": rows[:, None]},
        parts={"0": inner, "1": Guidance(parts={"deep": inner}, vector=rows[:, None])},
    )


def test_nothing_is_known_at_the_start():
    assert {name: getattr(NOTHING, name) for name in ("vector", "maps", "view", "words", "grid", "seed")} == (
        dict.fromkeys(("vector", "maps", "view", "words", "grid", "seed"))
    )
    assert (dict(NOTHING.own), dict(NOTHING.parts)) == ({}, {})
    assert Guidance().own is not Guidance().own  # what one network finds out is not another's


def test_it_cannot_be_changed_and_knowing_gives_another():
    told, vector = full(), torch.rand(3, 4)
    with pytest.raises(FrozenInstanceError):
        told.vector = vector
    more = told.knowing(vector=vector, seed=8)
    assert more.vector is vector
    assert more.seed == 8
    for name in {field.name for field in fields(Guidance)} - {"vector", "seed"}:
        assert getattr(more, name) is getattr(told, name)
    assert told.seed == 7
    assert told.vector is not vector
    with pytest.raises(TypeError, match="vectors"):
        told.knowing(vectors=vector)


def test_a_part_is_told_of_its_pictures_alone():
    told = full()
    part = told.part("0", torch.tensor([2, 0]))
    assert part.own["kernels"][:, 0, 0].tolist() == [3, 1]
    assert part.vector is None
    deep = told.part("1", torch.tensor([1]))
    assert deep.vector.tolist() == [[2]]
    assert deep.part("deep", torch.tensor([0])).own["kernels"].tolist() == [[[2, 2], [2, 2]]]
    assert told.part("0", torch.tensor([], dtype=torch.int64)).own["kernels"].shape == (0, 2, 2)
    assert told.parts["0"].own["kernels"].shape == (3, 2, 2)
    assert (part.seed, part.grid.tolist()) == (7, told.grid.tolist())  # what was asked for holds for every part
    assert told.knowing(words=("a", "b", "c")).part("none such", torch.tensor([2, 1])).words == ("c", "b")


def test_what_is_known_of_one_picture_holds_for_all():
    part = full(1).part("0", torch.tensor([0, 1, 2]))
    assert part.own["kernels"].tolist() == [[[1, 1], [1, 1]]]


def test_a_part_has_the_words_of_its_pictures():
    told = Guidance(parts={"0": Guidance(words=("brighter", "sharper", "leave the grain"))})
    assert told.part("0", torch.tensor([2, 0])).words == ("leave the grain", "brighter")


def test_of_a_part_that_was_not_looked_for_nothing_is_known():
    told = full()
    unknown = told.part("2", torch.tensor([0]))
    assert unknown == Guidance(seed=told.seed, grid=unknown.grid)
    assert unknown.grid.tolist() == told.grid.tolist()
    assert NOTHING.part("0", torch.tensor([0])) == NOTHING
    # Least of all what its holder knows: a vector is the gate's, and not the expert's.
    assert full().part("0", torch.tensor([0])).vector is None


def test_withheld_is_what_the_prior_says_of_some_pictures():
    told = full()
    kept = told.vector.clone()
    without = told.withheld(torch.tensor([False, True, False]))
    assert without.vector.tolist() == [[1] * 4, [0] * 4, [3] * 4]
    assert without.maps[:, 1, 2, 0].tolist() == [1, 0, 3]
    for name in ("view", "words", "grid", "seed", "own", "parts"):
        assert getattr(without, name) is getattr(told, name)
    assert torch.equal(told.vector, kept)
    assert Guidance(maps=told.maps).withheld(torch.tensor([True] * 3)).vector is None


def test_everything_goes_to_the_device():
    told = full().to(torch.device("meta"))
    tensors = [told.vector, told.maps, told.view, told.grid, told.own["exponent"], told.parts["0"].own["kernels"]]
    tensors += [told.parts["1"].vector, told.parts["1"].parts["deep"].own["kernels"]]
    assert {value.device.type for value in tensors} == {"meta"}
    assert told.seed == 7
    assert NOTHING.to(torch.device("meta")) == NOTHING
