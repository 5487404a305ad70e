"""Training networks that sample: pairs and prompts from one chain, recipes, adapters, and what a run leaves."""

import json

import pytest
import torch

from pellucid import recipes
from pellucid.data.folders import Photographs, list_photographs
from pellucid.data.sources import Synthetic
from pellucid.degradations import Chain, parse, parse_drawn
from pellucid.diffusion.network import Generative
from pellucid.diffusion.prompts import prompt_of, read_prompt
from pellucid.errors import DataError, PellucidError, SettingsError
from pellucid.models.load import load_model
from pellucid.training.diffusion.batches import Asked, DiffusionBatches, asked_of, degraded_and_target
from pellucid.training.diffusion.objective import DiffusionObjective
from pellucid.training.diffusion.settings import DiffusionSettings
from pellucid.training.settings import read_recipe
from pellucid.training.train import train

KINDS = ["noise sigma=10..40", "blur sigma=0.5..2", "jpeg quality=10..80", "defocus radius=1..3"]
SMALL = {"widths": [8, 8], "blocks": [1, 1], "embedding": 16}


def tree(photographs, network=None, diffusion=None, **train_settings):
    return {
        "name": "test",
        "network": {"name": "generative", "settings": {"unet": SMALL, **(network or {})}},
        "data": {"folder": str(photographs), "degradations": KINDS, "crop": 16, "validation": 2, "window": 64},
        "diffusion": {"pages": 0.2, **(diffusion or {})},
        "train": {
            "steps": 6,
            "batch": 4,
            "warmup_steps": 2,
            "validate_steps": 3,
            "precision": "float32",
            **train_settings,
        },
    }


def batches(photographs, **settings):
    source = Synthetic(Photographs(list_photographs(photographs)), [parse_drawn(text) for text in KINDS], window=64)
    return DiffusionBatches(source, 32, 6, 0, DiffusionSettings(**settings))


ONLY_FULL = {"part": 0, "some": 0, "absent": 0, "without_number": 0, "unsaid": 0, "all": 0, "bad": 0, "unseen": 0}


def steps(text):
    made = parse(text)
    return list(made.steps) if isinstance(made, Chain) else [made]


def test_what_is_asked_for_in_full_is_the_prompt_of_the_chain_and_leaves_a_clean_target():
    chain = steps("blur sigma=2, noise sigma=25, jpeg quality=40")
    asked = asked_of(chain, DiffusionSettings(**ONLY_FULL), torch.Generator())
    assert asked.prompt == prompt_of(Chain(tuple(chain)))
    clean = torch.rand(3, 40, 40)
    degraded, target = degraded_and_target(clean, asked, torch.Generator())
    assert torch.equal(target, clean)
    assert (degraded - clean).abs().mean() > 0.05


def test_what_is_not_asked_for_stays_in_the_target_with_the_same_draws():
    chain, clean = tuple(steps("noise sigma=30, blur sigma=1")), torch.full((3, 64, 64), 0.5)
    none = Asked(chain, (0.0, 0.0), read_prompt("bad"))
    degraded, target = degraded_and_target(clean, none, torch.Generator().manual_seed(1))
    assert torch.equal(degraded, target)
    noise = tuple(steps("noise sigma=30"))
    half = Asked(noise, (0.5,), read_prompt("denoise 30"))
    degraded, target = degraded_and_target(clean, half, torch.Generator().manual_seed(1))
    torch.testing.assert_close(2 * (target - clean), degraded - clean, atol=3 / 255, rtol=0)


def test_amounts_are_what_is_taken_away():
    settings = DiffusionSettings(**{**ONLY_FULL, "part": 1.0})
    generator, seen = torch.Generator().manual_seed(0), []
    for _ in range(40):
        asked = asked_of(steps("noise sigma=40"), settings, generator)
        amount = asked.prompt.clauses[0].amount
        assert amount == pytest.approx(80 * asked.parts[0], abs=0.01)
        seen.append(amount)
    assert min(seen) < 15
    assert max(seen) == 80


def test_batches_are_functions_of_their_number_and_words_are_read(photographs):
    made = batches(photographs)
    one, again, other = made.at(3), batches(photographs).at(3), made.at(4)
    assert torch.equal(one.degraded, again.degraded)
    assert one.words == again.words
    assert torch.equal(one.times, again.times)
    assert not torch.equal(one.degraded, other.degraded)
    assert sorted((one.times * 6).int().tolist()) == list(range(6))
    for number in range(12):
        for words in made.at(number).words:
            assert str(read_prompt(words)) == words


def test_what_is_held_back_is_neither_done_nor_named(photographs):
    orders = (("dejpeg", "denoise"), ("denoise", "deblur"))
    made = batches(photographs, held_back=(35, 50), orders_held_back=orders, single=0.1, pages=0)
    source, generator, seen = made.source.parts()[0], torch.Generator().manual_seed(0), set()
    for _ in range(200):
        asked = made._asked(source, generator)
        named = [clause.amount for clause in asked.prompt.clauses if clause.amount is not None]
        assert not any(35 <= amount <= 50 for amount in [step.severity for step in asked.steps] + named)
        kinds = [type(step).__name__ for step in asked.steps]
        seen.update((one, other) for place, one in enumerate(kinds) for other in kinds[place + 1 :])
    assert ("GaussianNoise", "Jpeg") in seen
    assert ("GaussianBlur", "GaussianNoise") in seen
    assert not {("Jpeg", "GaussianNoise"), ("GaussianNoise", "GaussianBlur")} & seen


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"held_back": (0, 100)}, "leave nothing"),
        ({"held_back": (50, 35)}, "smaller to the larger"),
        ({"orders_held_back": (("denose", "deblur"),)}, "denoise"),
    ],
)
def test_what_cannot_be_held_back_is_said(photographs, settings, said):
    with pytest.raises((DataError, ValueError), match=said):
        batches(photographs, clean=0, **settings).at(0)


def test_a_prior_sees_and_is_told_nothing(photographs):
    batch = batches(photographs, prior=True).at(0)
    assert torch.equal(batch.degraded, batch.target)
    assert set(batch.words) == {""}
    assert batch.unseen.all()


def test_regression_learns_the_target_from_noise_that_says_nothing_of_it(photographs):
    batch = batches(photographs, regression=1).at(0)
    network = Generative(unet=SMALL)
    state, _, times, wanted = DiffusionObjective(network)._said(network, batch)
    noise = torch.randn(state.shape, generator=torch.Generator().manual_seed(batch.seed))
    assert torch.equal(state, noise)
    torch.testing.assert_close(network.codec.decode(-wanted), batch.target, atol=1e-5, rtol=0)
    assert set(times.tolist()) == {999}  # where a sampler of one step begins
    drawn = [batches(photographs, regression=0.5).at(number).times for number in range(12)]
    assert 0.25 < (torch.cat(drawn) > 0.9999).float().mean() < 0.75


def test_a_prior_is_trained_adapted_and_restores(photographs, tmp_path):
    prior = tree(photographs, {"entry": "none"}, {"prior": True})
    list(train(read_recipe(prior, "prior"), tmp_path / "prior"))
    file = str(tmp_path / "prior" / "model.safetensors")
    assert "loss_held_out" in json.loads((tmp_path / "prior" / "log.jsonl").read_text().splitlines()[-1])
    for name, adapter in (("lora", {"kind": "lora", "rank": 2, "targets": ["first"]}), ("full", None)):
        recipe = tree(photographs, {"entry": "concat"}, {"adapter": adapter} if adapter else {})
        recipe["network"]["weights"] = file
        losses = [step.loss for step in train(read_recipe(recipe, name), tmp_path / name)]
        assert all(loss == loss for loss in losses)
        model = load_model(tmp_path / name / "model.safetensors")
        before, after = load_model(tmp_path / "prior" / "model.safetensors").module, model.module
        middle = "denoiser.unet.encoders.1.0.second.weight"
        frozen = torch.equal(before.get_parameter(middle), after.get_parameter(middle))
        assert frozen == (name == "lora")
        assert not torch.equal(
            before.get_parameter("denoiser.unet.encoders.1.0.first.weight"),
            after.get_parameter("denoiser.unet.encoders.1.0.first.weight"),
        )
        last = json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1])
        assert {"psnr", "psnr_input"} <= set(last)


@pytest.mark.parametrize("context", ["halo", "thumb", "coords"])
@pytest.mark.parametrize("entry", ["concat", "sft"])
def test_contexts_and_entries_learn(photographs, tmp_path, context, entry):
    recipe = tree(photographs, {"context": context, "entry": entry}, steps=3)
    assert len(list(train(read_recipe(recipe, "test"), tmp_path / "run"))) == 3
    assert load_model(tmp_path / "run" / "model.safetensors").module.settings["context"] == context


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"diffusion": {"adapter": {"rank": 2}}}, "kind is missing"),
        ({"diffusion": {"adapter": {"kind": "lora", "targets": ["to_q"]}}}, "no layer has such a name"),
        ({"network": {"name": "unet"}}, "networks that sample"),
        (
            {"network": {"name": "generative", "settings": {"unet": SMALL, "prediction": "epsilon"}}},
            "says v or the picture, not epsilon",
        ),
        ({"diffusion": {"all": 0.9, "bad": 0.2}}, "1 at most"),
        (
            {
                "network": {
                    "name": "generative",
                    "settings": {"unet": SMALL, "schedule": {"rescale_betas_zero_snr": False}},
                },
                "diffusion": {"regression": 0.5},
            },
            "nothing but noise",
        ),
    ],
)
def test_recipes_that_cannot_be_are_refused(photographs, tmp_path, change, message):
    with pytest.raises((SettingsError, PellucidError), match=message):
        list(train(read_recipe(tree(photographs) | change, "test"), tmp_path / "run"))


@pytest.mark.parametrize("name", ["generate-prior", "generate"])
def test_the_recipes_fit_together(name):
    recipe = read_recipe(recipes.load_tree(name), name)
    assert recipe.diffusion is not None
    assert recipe.diffusion.prior == (name == "generate-prior")
    assert recipe.network.settings["unet"] == recipes.load_tree("generate")["network"]["settings"]["unet"]
