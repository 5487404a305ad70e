"""Teaching a gate: who is asked for what, what it has learnt of photographs it has not seen, and what cannot be."""

from copy import deepcopy

import pytest
import torch
from safetensors.torch import save_file

from pellucid import images
from pellucid.data.folders import Photographs, list_photographs
from pellucid.data.sources import Mixture, Pairs, Sample, Synthetic
from pellucid.degradations import KINDS, parse, parse_drawn
from pellucid.diagnosis import diagnosis_prior
from pellucid.errors import SettingsError
from pellucid.models.tables import build_network
from pellucid.networks import Experts
from pellucid.priors import RandomVectors, Statistics, Zeros
from pellucid.training.encoder.batches import Labels
from pellucid.training.encoder.captions import LENGTH
from pellucid.training.encoder.heads import HeadsSettings
from pellucid.training.gate import (
    CostSettings,
    GateSettings,
    blend_costs,
    blend_decibels,
    expert_of,
    gather_pieces,
    split_output,
    teach_gate,
    teach_judges,
)
from pellucid.training.settings import read_recipe
from pellucid.training.train import build_module, train

SHAPE = {"name": "unet", "settings": {"widths": [4], "blocks": [1]}}

EXAMPLES = 600
FEWER = GateSettings(examples=EXAMPLES, plain=EXAMPLES // 10, graphics=EXAMPLES // 10)


def experts(*kinds, width=8):
    return build_network(
        "experts",
        {"experts": [SHAPE if one is None else SHAPE | {"kinds": one} for one in kinds], "prior_width": width},
    )


def labels(*present):
    there = torch.tensor([[kind in one for kind in KINDS] for one in present])
    nothing = torch.zeros(len(present), len(KINDS))
    return Labels(
        torch.ones_like(there),
        there,
        nothing > 0,
        nothing,
        torch.zeros(len(present)),
        torch.zeros(len(present), LENGTH),
    )


def test_the_first_expert_for_a_kind_is_asked():
    known = labels(["haze"], ["noise"], ["low-light", "noise"], [], ["haze", "low-light"])
    assert expert_of(experts(None, ["haze", "low-light"]), known).tolist() == [1, 0, 1, 0, 1]
    assert expert_of(experts(["haze"], None, ["low-light"]), known).tolist() == [0, 1, 2, 1, 0]
    assert expert_of(experts(None, ["haze"], ["clean"]), known).tolist() == [1, 0, 0, 2, 1]
    assert expert_of(experts(None, ["haze", "clean"], ["clean"]), known).tolist() == [1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("kinds", "message"),
    [([["haze"], ["noise"]], "without kinds"), ([None, None, ["haze"]], "got 2"), ([None, ["hase"]], "'haze'")],
)
def test_experts_that_do_not_share_all_kinds_are_refused(kinds, message):
    with pytest.raises(SettingsError, match=message):
        expert_of(experts(*kinds), labels([]))


@pytest.mark.parametrize("kinds", [[["haze"]], [1, 2], [None], [], 5])
def test_kinds_are_names(kinds):
    with pytest.raises(SettingsError, match="kinds are a list of one name or more"):
        experts(None, kinds)


def test_settings_build_the_same_experts_again():
    made = experts(None, ["haze"])
    assert build_network("experts", made.settings).kinds == made.kinds == [None, ("haze",)]


def ramp(generator):
    """Black to a colour, from left to right, (3, 40, 40)."""
    return torch.linspace(0.2, 1, 40).expand(3, 40, 40) * torch.rand(3, 1, 1, generator=generator).add(1).div(2)


def test_a_taught_gate_knows_the_dark(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in range(4):
        images.write(images.Photograph(ramp(generator)[None]), tmp_path / f"{name}.png")
    drawn = [parse_drawn("noise sigma=10"), parse_drawn("low-light exposure=0.05")]
    source = Synthetic(Photographs(list_photographs(tmp_path)), drawn)
    prior, gate = Statistics(), experts(None, ["low-light"], width=Statistics().width)
    assert isinstance(gate, Experts)
    shown = []
    teach_gate(gate, prior, source, FEWER, seed=1, show=lambda part, doing: shown.append((part, doing)))
    assert shown[0] == (1 / 720, "teaching the gate, photograph 1")
    assert shown[-1][0] == 1
    assert not any(value.requires_grad for value in gate.gate.parameters())
    assert all(value.requires_grad for value in gate.experts.parameters())
    new = ramp(generator)
    bright, dark = (parse(text)(new, generator)[None] for text in ("noise sigma=10", "low-light exposure=0.05"))
    weights = gate.eval().weights(torch.cat([prior(bright), prior(dark)]))
    assert weights.tolist() == [[1, 0], [0, 1]]


def test_heads_and_gate_learn_from_the_same_pictures(tmp_path):
    """Of ramps that are as they are, noisy, or so little noisy that nobody sees it."""
    generator = torch.Generator().manual_seed(0)
    for name in range(6):
        images.write(images.Photograph(ramp(generator)[None]), tmp_path / f"{name}.png")
    drawn = [parse_drawn("clean"), parse_drawn("noise sigma=20..30 bits=8"), parse_drawn("noise sigma=1 bits=8")]
    source, held_out = (
        Synthetic(Photographs(list_photographs(tmp_path)[part]), drawn) for part in (slice(4), slice(4, 6))
    )
    prior, gate = diagnosis_prior(), experts(None, ["clean"], width=82)
    encoder, heads = deepcopy(prior.encoder.state_dict()), deepcopy(prior.heads.state_dict())
    settings = GateSettings(examples=160, plain=0, graphics=0, steps=200, cost=CostSettings(every=40, side=8, steps=1))
    taught = HeadsSettings(epochs=60, batch=32, learning_rate=1e-2, dropout=0)
    teach_judges(gate, prior, source, held_out, settings, taught, calibration=40, seed=1)
    assert all(torch.equal(value, encoder[key]) for key, value in prior.encoder.state_dict().items())
    assert not torch.equal(prior.heads.presence.weight, heads["presence.weight"])
    assert not any(value.requires_grad for value in prior.parameters())
    new = ramp(generator)
    noisy = parse("noise sigma=25 bits=8")(new, generator)
    said = [prior.conclusions(prior.prepare(image[None]))["noise"] for image in (new, noisy)]
    assert said[0][0] < 0.2
    assert said[1][0] > 0.6
    assert said[1][1] == pytest.approx(50, abs=12)
    weights = gate.eval().trust(torch.cat([prior(new[None]), prior(noisy[None])]))
    assert weights[0, 1] > 0.8
    assert weights[1, 0] > 0.8


def test_pieces_drawn_in_turn_teach_what_one_go_teaches(tmp_path):
    """Three pieces: of one process the first and third, of another the second; and they are not drawn again."""
    generator = torch.Generator().manual_seed(0)
    (tmp_path / "clean").mkdir()
    for name in range(3):
        images.write(images.Photograph(ramp(generator)[None]), tmp_path / "clean" / f"{name}.png")
    drawn = [parse_drawn("clean"), parse_drawn("noise sigma=5..30 bits=8")]
    source = Synthetic(Photographs(list_photographs(tmp_path / "clean")), drawn)
    settings = GateSettings(examples=200, plain=2, graphics=1, steps=2, cost=CostSettings(every=100, side=8, steps=2))
    taught = HeadsSettings(epochs=2)

    def learnt(pieces, show=None):
        torch.manual_seed(0)
        prior, gate = diagnosis_prior(), experts(None, ["clean"], width=82)
        for part in ((0, 2), (1, 2)) if pieces else ():
            gather_pieces(gate, prior, source, settings, pieces, seed=1, part=part)
        teach_judges(
            gate, prior, source, source, settings, taught, calibration=20, seed=1, pieces=pieces, show=show
        )  # fmt: skip
        return {**gate.gate.state_dict(), **prior.heads.state_dict()}

    shown = []
    whole, in_turn = learnt(None), learnt(tmp_path / "pieces", lambda *told: shown.append(told))
    assert all(torch.equal(value, in_turn[name]) for name, value in whole.items())
    assert sorted(file.name for file in (tmp_path / "pieces").iterdir()) == [
        *(f"{number:04d}.pt" for number in range(3)),
        "calibration.pt",
    ]
    assert not shown


def test_a_taught_gate_does_not_take_a_blank_page_for_haze(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in range(4):
        images.write(images.Photograph(ramp(generator)[None]), tmp_path / f"{name}.png")
    drawn = [parse_drawn("noise sigma=10"), parse_drawn("haze amount=50..90")]
    source, prior = Synthetic(Photographs(list_photographs(tmp_path)), drawn), Statistics()
    blank = torch.cat([prior(torch.full((1, 3, 60, 90), value)) for value in (0.5, 0.75, 1)])

    def given_to_haze(settings=FEWER):
        gate = experts(None, ["haze"], ["clean"], width=prior.width)
        teach_gate(gate, prior, source, settings, seed=1)
        return gate.eval().weights(blank)[:, 1]

    assert given_to_haze().mean() < 0.5
    assert given_to_haze(FEWER.model_copy(update={"plain": 0})).mean() > 0.9


def test_a_taught_gate_does_not_take_a_dark_screen_for_the_night(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in range(4):
        images.write(images.Photograph(ramp(generator)[None]), tmp_path / f"{name}.png")
    drawn = [parse_drawn("clean"), parse_drawn("low-light exposure=0.05..0.15")]
    source, prior = Synthetic(Photographs(list_photographs(tmp_path)), drawn), Statistics()
    screen = torch.full((3, 120, 160), 0.12)
    screen[:, 20:100:10, 10:120] = 0.8  # lines of something bright

    def given_to_the_night(settings=FEWER):
        gate = experts(None, ["low-light"], ["clean"], width=prior.width)
        teach_gate(gate, prior, source, settings, seed=1)
        return float(gate.eval().weights(prior(screen[None]))[0, 1])

    assert given_to_the_night() < 0.3
    assert given_to_the_night(FEWER.model_copy(update={"graphics": 0})) > 0.7


def test_a_prior_of_another_width_is_refused_before_anything_is_drawn(tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 40, 40)), tmp_path / "a.png")
    recipe = read_recipe(
        {
            "name": "test",
            "network": {"name": "experts", "settings": experts(None, ["haze"]).settings},
            "prior": {"name": "random:4"},
            "refinement": {"settings": {"width": 4, "blocks": 1}},
            "data": {"folder": str(tmp_path), "degradations": ["noise sigma=5"], "validation": 0},
            "train": {"steps": 1},
        },
        "test",
    )
    with pytest.raises(SettingsError, match="prior_width=4"):
        build_module(recipe)


def test_pairs_of_which_nothing_is_known_are_refused(tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 40, 40)), tmp_path / "a.png")
    files = list_photographs(tmp_path)
    photographs = Synthetic(Photographs(files), [parse_drawn("noise sigma=10")])
    noisy = Pairs(files, files, degradations=[parse_drawn("noise sigma=10")])
    gate = experts(None, ["haze"], width=Statistics().width)
    for source in (Pairs(files, files), noisy, Mixture([photographs, Pairs(files, files)], [1e9, 1])):
        with pytest.raises(SettingsError, match="give their kind"):
            teach_gate(gate, Statistics(), source, FEWER)


def test_a_recipe_whose_gate_cannot_be_taught_leaves_no_run_folder(tmp_path):
    (tmp_path / "pairs").mkdir()
    for name in ("a", "b"):
        images.write(images.Photograph(torch.rand(1, 3, 40, 40)), tmp_path / f"pairs/{name}.png")
    recipe = read_recipe(
        {
            "name": "test",
            "network": {"name": "experts", "settings": experts(None, ["haze"], width=Statistics().width).settings},
            "prior": {"name": "statistics"},
            "refinement": {"settings": {"width": 4, "blocks": 1}},
            "data": {
                "pairs": {"degraded": str(tmp_path / "pairs"), "clean": str(tmp_path / "pairs")},
                "validation": 1,
                "crop": 16,
            },
            "train": {"steps": 1},
        },
        "test",
    )
    with pytest.raises(SettingsError, match="give their kind"):
        next(train(recipe, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_gate_is_taught_whole_photographs_whatever_the_window(tmp_path):
    """A window of the dark half alone would tell the gate nothing of the bright one."""
    sizes = []

    class Watching(Statistics):
        def prepare(self, image):
            sizes.append(tuple(image.shape[-2:]))
            return super().prepare(image)

    images.write(
        images.Photograph(torch.rand(1, 3, 37, 53, generator=torch.Generator().manual_seed(0))), tmp_path / "a.png"
    )
    source = Synthetic(Photographs(list_photographs(tmp_path)), [parse_drawn("noise sigma=10")], window=16)
    teach_gate(experts(None, ["haze"], width=Statistics().width), Watching(), Mixture([source], [1]), FEWER, seed=1)
    assert {tuple(sorted(size)) for size in sizes[:EXAMPLES]} == {(37, 53)}


class Off(torch.nn.Module):
    """Restores to so much away from what it is given."""

    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, degraded):
        return degraded + self.amount


def test_where_one_cannot_know_the_gate_believes_what_costs_less(tmp_path):
    """Half of the photographs are hazy, and the prior sees nothing of it: then only the costs can tell the experts
    apart."""
    settings = GateSettings(examples=EXAMPLES, plain=0, graphics=0, cost={"steps": 1500, "learning_rate": 5e-3})
    for name in range(4):
        images.write(images.Photograph(torch.full((1, 3, 40, 40), 0.4)), tmp_path / f"{name}.png")
    drawn = [parse_drawn("clean"), parse_drawn("haze amount=50")]
    source = Synthetic(Photographs(list_photographs(tmp_path)), drawn)

    def believed(*, by_cost):
        gate = experts(None, ["haze"])
        gate.experts = torch.nn.ModuleList([Off(0.02), Off(-0.2)])
        teach_gate(gate, Zeros(8), source, settings, seed=1, by_cost=by_cost)
        assert not any(value.requires_grad for value in gate.gate.parameters())
        return float(gate.gate(torch.zeros(8)).softmax(0)[0])

    assert 0.4 < believed(by_cost=False) < 0.6

    # Everything is known here: what a haze adds to a flat picture, and so what any blend costs; the best is looked for.
    hazy = float(parse("haze amount=50")(torch.full((3, 128, 128), 0.4), torch.Generator()).mean()) - 0.4
    first = torch.linspace(0, 1, 1001)
    blend = 0.02 * first - 0.2 * (1 - first)
    costs = torch.stack([blend.square(), (blend + hazy).square()]).add(settings.cost.floor).log10().mean(0)
    assert believed(by_cost=True) == pytest.approx(float(first[costs.argmin()]), abs=0.05)


def test_the_costs_are_those_of_the_blends():
    generator = torch.Generator().manual_seed(0)
    opened, degraded = torch.randn(2, 3, generator=generator), torch.rand(2, 3, 64, 80, generator=generator)
    clean = torch.rand(2, 3, 64, 80, generator=generator)
    made = build_network("experts", {"experts": [SHAPE, SHAPE, {"name": "identity"}], "prior_width": 4}).eval()
    for value in made.parameters():
        torch.nn.init.normal_(value, std=0.2, generator=generator)
    seen = (degraded * 255).round() / 255
    costs = [
        blend_costs(made, one[None], Sample(one, other, torch.zeros(4), one), 32)
        for one, other in zip(seen, clean, strict=True)
    ]
    with torch.no_grad():
        answers = torch.stack([expert(seen[:, :, :32, :32]) for expert in made.experts], 1)
    blends = (opened.softmax(1)[:, :, None, None, None] * answers).sum(1)
    expected = [10 * (error.square().mean() + 1e-4).log10() for error in blends - clean[:, :, :32, :32]]
    assert float(blend_decibels(opened, torch.stack(costs), 1e-4)) == pytest.approx(float(sum(expected)) / 2, abs=1e-4)


@pytest.mark.parametrize("given", [["experts.0", "experts.1"], ["experts.1"]])
def test_experts_that_still_have_to_learn_are_not_judged_by_cost(tmp_path, monkeypatch, given):
    asked, told = [], []

    def taught(made, prior, source, settings, *, by_cost, **named):
        asked.append(by_cost)
        told.append(settings)

    monkeypatch.setattr("pellucid.training.train.teach_gate", taught)
    for name in ("a", "b"):
        images.write(images.Photograph(torch.rand(1, 3, 40, 40)), tmp_path / f"{name}.png")
    save_file(build_network(SHAPE["name"], SHAPE["settings"]).state_dict(), tmp_path / "expert.safetensors")
    recipe = read_recipe(
        {
            "name": "test",
            "network": {
                "name": "experts",
                "settings": experts(None, ["haze"], width=Statistics().width).settings,
                "weights": dict.fromkeys(given, str(tmp_path / "expert.safetensors")),
            },
            "prior": {"name": "statistics"},
            "refinement": {"settings": {"width": 4, "blocks": 1}},
            "data": {"folder": str(tmp_path), "degradations": ["noise sigma=5"], "validation": 1, "crop": 16},
            "train": {"steps": 1, "batch": 1},
            "gate": {"examples": 7, "cost": {"every": 2}},
        },
        "test",
    )
    list(train(recipe, tmp_path / "run"))
    assert asked == [len(given) == 2]
    assert told == [GateSettings(examples=7, cost={"every": 2})]


@pytest.fixture
def pictures(tmp_path):
    """A source of three noisy pictures."""
    for name in ("a", "b", "c"):
        images.write(images.Photograph(torch.rand(1, 3, 40, 40)), tmp_path / f"{name}.png")
    return Synthetic(Photographs(list_photographs(tmp_path)), [parse_drawn("noise sigma=10"), parse_drawn("clean")])


def taught(source, *, by_cost=False, **settings):
    """The weights of a gate that has been taught with a few examples."""
    torch.manual_seed(0)
    gate = experts(None, ["haze"], ["clean"])
    few = {"examples": 12, "plain": 2, "graphics": 2, "steps": 20} | settings
    teach_gate(gate, RandomVectors(8), source, GateSettings(**few), seed=1, by_cost=by_cost)
    return torch.cat([value.flatten() for value in gate.gate.parameters()])


@pytest.mark.parametrize(
    "changed",
    [{"steps": 10}, {"learning_rate": 1e-3}, {"weight_decay": 2.0}, {"dropout": 0.0}, {"examples": 9}, {"plain": 0}],
    ids=lambda changed: next(iter(changed)),
)
def test_every_setting_shapes_the_gate(pictures, changed):
    usual = taught(pictures)
    assert torch.equal(usual, taught(pictures))
    assert not torch.allclose(usual, taught(pictures, **changed), atol=1e-4)


def test_a_gate_without_dropout_or_decay_is_plain_adam(pictures, monkeypatch):
    """Two steps on vectors that stay as they are, by torch's own Adam."""
    vectors = []

    class Watched(RandomVectors):
        def __call__(self, image):
            vectors.append(super().__call__(image))
            return vectors[-1]

    settings = GateSettings(examples=4, plain=0, graphics=0, steps=2, learning_rate=0.01, weight_decay=0, dropout=0)
    gate = experts(None, ["haze"], ["noise"])
    expected = deepcopy(gate.gate)
    asked = []
    monkeypatch.setattr("pellucid.training.gate.expert_of", lambda *given: asked.append(expert_of(*given)) or asked[-1])
    teach_gate(gate, Watched(8), pictures, settings, seed=1)
    optimizer = torch.optim.Adam(expected.parameters(), 0.01)
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(expected(torch.cat(vectors)), asked[0]).backward()
        optimizer.step()
    for value, by_hand in zip(gate.gate.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(value, by_hand.detach())


def test_costs_are_found_on_every_so_many_photographs_on_crops_of_a_side(pictures, monkeypatch):
    sides = []

    def costs(made, image, sample, side):
        sides.append(side)
        return torch.eye(3)

    monkeypatch.setattr("pellucid.training.gate.blend_costs", costs)
    by_cost = taught(pictures, by_cost=True, examples=10, cost={"every": 4, "side": 20, "steps": 3})
    assert sides == [20] * 4  # numbers 0, 4 and 8, and 12 of the graphics; 20 is a multiple that the experts take
    assert not torch.allclose(by_cost, taught(pictures, examples=10))
    shorter = taught(pictures, by_cost=True, examples=10, cost={"every": 4, "side": 20, "steps": 2})
    assert not torch.allclose(by_cost, shorter, atol=1e-6)


def test_a_split_output_shares_what_it_had_by_the_more_probable_kind():
    """The gate of before is the truth: together the two have what the one had, and the others what they had."""
    gate = experts(None, ["haze", "low-light"], ["clean"], width=6).gate
    weights = {name: value.detach() for name, value in gate.state_dict().items()}
    wider = torch.nn.Sequential(torch.nn.Linear(6, 36), torch.nn.ReLU(), torch.nn.Linear(36, 4))
    wider.load_state_dict(split_output(weights, 1, 2, 3))
    vectors = 2 * torch.rand(500, 6) - 1
    before, after = gate(vectors).softmax(1), wider(vectors).softmax(1)
    more = vectors[:, 3] - vectors[:, 2]
    sure = more.abs() > 0.4
    both = after[:, 1] + after[:, 3]
    torch.testing.assert_close(both[sure], before[sure, 1], atol=1e-3, rtol=0)
    assert (both - before[:, 1]).abs().max() < 0.06
    torch.testing.assert_close(after[sure][:, [0, 2]], before[sure][:, [0, 2]], atol=1e-3, rtol=0)
    assert (after[more > 0.4, 1] < 1e-3).all()
    assert (after[more < -0.4, 3] < 1e-3).all()
    vectors[:, 3] = vectors[:, 2]
    alike = wider(vectors).softmax(1)
    torch.testing.assert_close(alike[:, 1], alike[:, 3])
    torch.testing.assert_close(2 * alike[:, 1], gate(vectors).softmax(1)[:, 1], atol=1e-3, rtol=0)
