"""What a researcher needs: boost, fit, save, load, evaluate, and nothing internal."""

import json

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
from pellucid.networks import UNet


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
    assert {"boosted.safetensors", "network.safetensors", "report.html"} <= {
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
    with pytest.raises(SettingsError, match="holds a run already"):
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
    with pytest.raises(SettingsError, match=r"data\.crop: must be divisible by 2"):
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
    assert [path.name for path in written] == ["boosted.safetensors", "network.safetensors"]
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
