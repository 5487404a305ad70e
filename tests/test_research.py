"""What a researcher needs: boost, fit, save, load, evaluate, and nothing internal."""

import json
from pathlib import Path

import boost_your_network
import pytest
import skimage.data
import torch
from safetensors.torch import load_file
from torch import nn

import pellucid
from pellucid import images
from pellucid.errors import DataError, ImageError, ModelError, SettingsError
from pellucid.metrics import NoiseStream, find_protocol, psnr
from pellucid.models.header import Policy
from pellucid.networks import External, UNet


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        picture = images.to_tensor(getattr(skimage.data, name)())[:, :, 100:196, 120:228]
        images.write(images.Photograph(picture), folder / f"{name}.png")
    return folder


def test_the_example_goes_the_whole_way(photographs, tmp_path, capsys):
    boost_your_network.main(photographs, tmp_path / "runs", steps=3)
    shown = capsys.readouterr().out
    assert "(1, 3, 120, 160)" in shown
    assert "| plain |" in shown
    assert "| boosted |" in shown
    assert {"boosted.safetensors", "boosted.network.safetensors", "report.html"} <= {
        path.name for path in (tmp_path / "runs").iterdir()
    }


def test_fitting_teaches(photographs):
    """Against noise drawn as the tables draw it; the same pictures, but that is what a few steps can show."""
    torch.manual_seed(0)
    network = UNet((8, 16), (1, 1))
    protocol = find_protocol("gaussian-colour")
    clean = images.read(photographs / "chelsea.png").pixels
    noisy = NoiseStream(protocol).degrade(clean, 25)
    seen = []
    fitted = pellucid.fit(
        network,
        photographs,
        degradations=["noise sigma=25"],
        steps=60,
        crop=48,
        learning_rate=3e-3,
        warmup_steps=5,
        precision="float32",
        show=seen.append,
    )
    assert fitted is network
    assert not network.training
    assert [step.number for step in seen] == list(range(1, 61))
    with torch.no_grad():
        assert psnr(network(noisy).clamp(0, 1), clean) > psnr(noisy.clamp(0, 1), clean) + 2


def test_a_frozen_network_keeps_its_weights_and_r_learns(photographs):
    boosted = pellucid.boost(UNet.tiny(), prior="statistics", freeze_network=True)
    before = {name: value.clone() for name, value in boosted.state_dict().items()}
    pellucid.fit(boosted, photographs, degradations=["noise sigma=25"], steps=3, crop=32)
    changed = {name for name, value in boosted.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("refinement.") for name in changed)


def test_a_fit_leaves_a_log_and_goes_on(photographs, tmp_path):
    options = {"degradations": ["noise sigma=25"], "crop": 32, "validation": 1, "out": tmp_path / "run", "seed": 3}
    pellucid.fit(UNet.tiny(), photographs, steps=4, **options)
    assert json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])["step"] == 4
    with pytest.raises(SettingsError, match=r"holds a run already; resume it \(resume=True\)"):
        pellucid.fit(UNet.tiny(), photographs, steps=6, **options)
    seen = []
    pellucid.fit(UNet.tiny(), photographs, steps=6, resume=True, show=seen.append, **options)
    assert [step.number for step in seen] == [5, 6]


def test_pairs_are_fitted(photographs, tmp_path):
    for path in photographs.iterdir():
        dark = images.Photograph(images.read(path).pixels * 0.5)
        (tmp_path / "dark").mkdir(exist_ok=True)
        images.write(dark, tmp_path / "dark" / path.name)
    pellucid.fit(UNet.tiny(), photographs, degraded=tmp_path / "dark", steps=2, crop=32, validation=1)


def test_what_cannot_be_fitted_is_explained(photographs, tmp_path):
    for given in ({}, {"degraded": tmp_path, "degradations": ["noise sigma=25"]}):
        with pytest.raises(SettingsError, match="give either degraded"):
            pellucid.fit(UNet.tiny(), photographs, **given)
    with pytest.raises(SettingsError, match="unknown setting 'stpes'; did you mean 'steps'"):
        pellucid.fit(UNet.tiny(), photographs, degradations=["noise sigma=25"], stpes=3)
    with pytest.raises(SettingsError, match=r"^crop: must be divisible by 2"):
        pellucid.fit(UNet.tiny(), photographs, degradations=["noise sigma=25"], crop=33, validation=1)
    with pytest.raises(SettingsError, match="unknown degradation 'nois'"):
        pellucid.fit(UNet.tiny(), photographs, degradations=["nois sigma=25"], steps=1)
    with pytest.raises(DataError, match="nowhere"):
        pellucid.fit(UNet.tiny(), tmp_path / "nowhere", degradations=["noise sigma=25"], steps=1)
    with pytest.raises(SettingsError, match="goes on from the checkpoint in out"):
        pellucid.fit(UNet.tiny(), photographs, degradations=["noise sigma=25"], resume=True)


def test_a_boost_of_a_foreign_network_is_saved_with_its_weights_beside_it(tmp_path):
    network = nn.Conv2d(3, 3, 3, padding=1)
    boosted = pellucid.boost(network, prior="statistics").eval()
    written = pellucid.save(boosted, tmp_path / "new/boosted.safetensors")
    assert [path.name for path in written] == ["boosted.safetensors", "boosted.network.safetensors"]
    assert torch.equal(load_file(written[1])["weight"], network.weight)
    other = nn.Conv2d(3, 3, 3, padding=1)
    image = torch.rand(1, 3, 24, 32)
    loaded = pellucid.load(written[0], network=other, precision="float32")
    assert torch.equal(other.weight, network.weight)
    ours = pellucid.Restorer(boosted, precision="float32")
    assert torch.equal(loaded.restore_image(image), ours.restore_image(image))
    with pytest.raises(ModelError, match="network of your own"):
        pellucid.load(written[0])


def test_a_network_of_ours_is_saved_alone(tmp_path):
    assert pellucid.save(UNet.tiny(), tmp_path / "unet.safetensors") == [tmp_path / "unet.safetensors"]
    with pytest.raises(ModelError, match="nothing of ours"):
        pellucid.save(nn.Linear(2, 2), tmp_path / "none" / "m.safetensors")


@pytest.mark.parametrize(
    ("module", "kind", "message"),
    [
        (torch.sigmoid, SettingsError, "expected a torch.nn.Module, whose weights learn, got builtin"),
        (pellucid.Restorer(nn.Identity()), SettingsError, "got Restorer; give its model"),
        (nn.Conv2d(3, 1, 1), ModelError, r"expected a picture of shape \(1, 3, 32, 32\), got \(1, 1, 32, 32\)"),
        (nn.Conv2d(3, 3, 3), ModelError, r"expected a picture of shape \(1, 3, 32, 32\), got \(1, 3, 30, 30\)"),
        (nn.Conv2d(1, 1, 1), ModelError, r"Conv2d fails on a picture of shape \(1, 3, 32, 32\)"),
    ],
)
def test_what_is_no_network_of_pictures_is_not_fitted(photographs, module, kind, message):
    with pytest.raises(kind, match=message):
        pellucid.fit(module, photographs, degradations=["noise sigma=25"], steps=1, crop=32)


def test_a_prior_can_be_withheld_from_what_has_one(photographs, tmp_path):
    options = {"degradations": ["noise sigma=25"], "steps": 2, "crop": 32, "prior_dropout": 0.5}
    pellucid.fit(pellucid.boost(UNet.tiny(), prior="statistics"), photographs, **options)
    run = options | {"out": tmp_path / "run", "validation": 1}
    pellucid.fit(pellucid.boost(UNet.tiny(), prior="statistics"), photographs, **run)
    pellucid.fit(pellucid.boost(UNet.tiny(), prior="statistics"), photographs, **run | {"steps": 3}, resume=True)
    with pytest.raises(SettingsError, match="another prior_dropout"):
        pellucid.fit(
            pellucid.boost(UNet.tiny(), prior="statistics"), photographs, **run | {"prior_dropout": 0.2}, resume=True
        )
    with pytest.raises(SettingsError, match="fit: prior_dropout withholds a prior's vector, and UNet has no prior"):
        pellucid.fit(UNet.tiny(), photographs, **options)
    with pytest.raises(SettingsError, match="prior_dropout must be at least 0 and below 1, got 1"):
        pellucid.fit(UNet.tiny(), photographs, **options | {"prior_dropout": 1})


def test_a_gate_that_was_taught_learns_nothing_else(photographs):
    model = pellucid.load("fast").model
    gate = {name: value.clone() for name, value in model.network.gate.state_dict().items()}
    pellucid.fit(model, photographs, degradations=["noise sigma=25"], steps=1, crop=64, batch=1)
    assert all(torch.equal(value, gate[name]) for name, value in model.network.gate.state_dict().items())
    assert all(value.requires_grad for value in model.network.gate.parameters())


def test_two_files_in_a_folder_keep_their_networks_apart(tmp_path):
    saved = {}
    for name in ("a", "b", "network"):
        network = nn.Conv2d(3, 3, 3, padding=1)
        pellucid.save(pellucid.boost(network, prior="statistics"), tmp_path / f"{name}.safetensors")
        saved[name] = network.weight.detach().clone()
    for name, weight in saved.items():
        fresh = nn.Conv2d(3, 3, 3, padding=1)
        pellucid.load(tmp_path / f"{name}.safetensors", network=fresh)
        assert torch.equal(fresh.weight, weight)
    # As older versions named it.
    (tmp_path / "old").mkdir()
    (tmp_path / "a.safetensors").rename(tmp_path / "old/a.safetensors")
    (tmp_path / "a.network.safetensors").rename(tmp_path / "old/network.safetensors")
    fresh = nn.Conv2d(3, 3, 3, padding=1)
    pellucid.load(tmp_path / "old/a.safetensors", network=fresh)
    assert torch.equal(fresh.weight, saved["a"])


@pytest.mark.parametrize(
    ("module", "name", "options", "kind", "message"),
    [
        (nn.Conv2d(3, 3, 3), "m.safetensors", {}, ModelError, r"save pellucid\.networks\.External"),
        (
            torch.compile(UNet.tiny(), backend="eager"),
            "m.safetensors",
            {},
            ModelError,
            "save what torch.compile was given",
        ),
        (UNet.tiny(), "m.pt", {}, SettingsError, r"save to m\.safetensors"),
        (External(nn.Identity()), "m.pt", {}, SettingsError, r"save to m\.safetensors"),
        (UNet.tiny(), "m.safetensors", {"card": {"a": Path()}}, SettingsError, "what JSON can"),
        (
            External(nn.Upsample(scale_factor=2), scale=2),
            "m.safetensors",
            {"policy": Policy(leave_alone=True)},
            SettingsError,
            "enlarges, here by 2",
        ),
    ],
)
def test_what_cannot_be_saved_leaves_no_file(tmp_path, module, name, options, kind, message):
    with pytest.raises(kind, match=message):
        pellucid.save(module, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_files_as_they_were(tmp_path):
    boosted = pellucid.boost(nn.Conv2d(3, 3, 1), prior="statistics")
    files = pellucid.save(boosted, tmp_path / "m.safetensors")
    before = [file.read_bytes() for file in files]
    with torch.no_grad():
        boosted.network.weight.add_(1)
        next(boosted.refinement.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        pellucid.save(boosted, tmp_path / "m.safetensors")
    assert [file.read_bytes() for file in files] == before


def test_the_range_of_a_foreign_network_is_saved(tmp_path):
    own = nn.Sequential(nn.Conv2d(3, 3, 8, stride=8), nn.ConvTranspose2d(3, 3, 8, stride=8), nn.Tanh())
    image = torch.rand(1, 3, 24, 32)
    for number, module in enumerate(
        (
            External(own, low=-1, high=1, multiple=8),
            pellucid.boost(External(own, low=-1, high=1, multiple=8), prior="statistics"),
        )
    ):
        path = tmp_path / f"{number}.safetensors"
        expected = pellucid.Restorer(module, precision="float32").restore_image(image)
        pellucid.save(module, path)
        loaded = pellucid.load(path, network=own, precision="float32")
        assert torch.equal(loaded.restore_image(image), expected)
        network = loaded.network
        assert (network.low, network.high, network.contract.multiple) == (-1, 1, 8)


def test_scores_are_those_of_the_protocol(photographs):
    network = nn.Identity()
    outcome = pellucid.evaluate(network, photographs, sigmas=[25])
    protocol = find_protocol("gaussian-colour")
    stream = NoiseStream(protocol, 0)
    expected = []
    for path in sorted(photographs.iterdir()):
        clean = images.read(path).pixels
        expected.append(float(protocol.score(stream.degrade(clean, 25).clamp(0, 1), clean).psnr))
    assert outcome.psnr("Identity") == pytest.approx(sum(expected) / len(expected), abs=0.02)
    assert outcome.psnr("Identity") == pytest.approx(outcome.psnr("degraded"), abs=1e-6)
    with pytest.raises(KeyError):
        outcome.psnr("nobody")


def test_modules_functions_restorers_and_names_are_scored_together(photographs):
    network = UNet.tiny().train()
    models = {
        "module": network,
        "function": lambda image: image,
        "restorer": pellucid.Restorer(nn.Identity()),
        "name": "fast",
    }
    outcome = pellucid.evaluate(models, photographs, degradations=["noise sigma=25"])
    assert {row.model for row in outcome.rows} == {"degraded", *models}
    assert network.training
    assert outcome.psnr("name") > outcome.psnr("degraded")
    with pytest.raises(SettingsError, match="give a model"):
        pellucid.evaluate({}, photographs, sigmas=[25])
    with pytest.raises(SettingsError, match="expected a model's name"):
        pellucid.evaluate({"a": 3}, photographs, sigmas=[25])


def test_scoring_leaves_what_is_frozen_frozen(photographs):
    network = nn.Sequential(nn.Identity(), nn.BatchNorm2d(3)).train()
    network[1].eval()
    pellucid.evaluate(network, photographs, sigmas=[25])
    assert [module.training for module in network.modules()] == [True, True, False]


def test_what_cannot_be_scored_is_explained(photographs):
    with pytest.raises(SettingsError, match="give modules and functions by name"):
        pellucid.evaluate([UNet.tiny(), UNet.tiny()], photographs, sigmas=[25])
    with pytest.raises(ModelError, match=r"nothing: expected a function that returns .* got NoneType"):
        pellucid.evaluate({"nothing": lambda image: None}, photographs, sigmas=[25])


@pytest.mark.parametrize(
    ("picture", "remedy"),
    [
        (torch.full((1, 3, 8, 8), 200.0), "divide values of 8 bits by 255"),
        (torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8), r"for 8 bits use x\.float\(\) / 255"),
        (torch.rand(3, 8, 8), r"add a batch axis with x\[None\]"),
        (torch.rand(3, 8, 8).numpy(), r"channels come last: use x\.transpose\(1, 2, 0\)"),
        ((torch.rand(8, 8, 3) * 255).numpy(), "divide values of 8 bits by 255"),
    ],
)
def test_values_and_shapes_that_are_none_are_refused_with_the_remedy(picture, remedy):
    with pytest.raises(ImageError, match=remedy):
        pellucid.Restorer(nn.Identity())(picture)


def test_a_loaded_model_is_saved_with_the_policy_of_its_restorer(tmp_path):
    restorer = pellucid.load("fast")
    with pytest.raises(SettingsError, match=r"got Restorer; .* give its model, and policy=restorer\.policy"):
        pellucid.save(restorer, tmp_path / "model.safetensors")
    pellucid.save(restorer.model, tmp_path / "model.safetensors", policy=restorer.policy)
    assert pellucid.load(tmp_path / "model.safetensors").policy == restorer.policy
    assert restorer.policy.passes > 1
