"""Another model that restores first: what is kept to, where sampling starts, what is seen; and the fidelity decoder."""

import json
from pathlib import Path

import pytest
import torch

import pellucid
from pellucid.diffusion.network import Generative
from pellucid.diffusion.prompts import read_prompt
from pellucid.errors import ModelError, SettingsError
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.restoration.restorer import Restorer
from pellucid.training.diffusion.train import prepare_diffusion
from pellucid.training.settings import read_recipe
from pellucid.training.train import train

SMALL = {"widths": (16, 16), "blocks": (1, 1), "embedding": 16}
LATENT = {
    "name": "autoencoder-kl", "block_out_channels": [8, 8], "norm_num_groups": 4, "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
}  # fmt: skip


def awake(network, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.08 * torch.randn_like(value))
    return network.eval()


@pytest.fixture
def first(tmp_path):
    """The file of a network that restores somehow."""
    save_model(awake(build_network("unet", {"widths": [8, 8], "blocks": [1, 1]})), tmp_path / "first.safetensors")
    return str(tmp_path / "first.safetensors")


@pytest.fixture(scope="module")
def image():
    """Smooth, for what is drawn to another picture is what is flat."""
    grain = torch.rand(1, 3, 70, 90, generator=torch.Generator().manual_seed(0))
    return torch.linspace(0.3, 0.6, 90).expand(1, 3, 70, 90) + 0.04 * grain


def restored(network, image, tile=0, **options):
    control = {"steps": 2, **options.pop("control", {})}
    told = {"prompt": "remove all degradation", "control": {"samples": 1, **control}}
    return Restorer(network, precision="float32", tile=tile, **told, **options).restore_image(image)


def test_what_restored_first_is_kept_to(image, first):
    network, known = awake(Generative(unet=SMALL)), Restorer(load_model(Path(first)).module).restore_image(image)
    bound = restored(network, image, first=first, control={"bound": 2.0})
    assert (bound - known).abs().max() <= 2 / 255 + 1e-6
    alone = restored(network, image, control={"bound": 2.0})
    assert (alone - known).abs().max() > 5 / 255
    tones = restored(network, image, first=first, control={"colour": "adain"})
    off = restored(network, image, first=first)
    far, near = ((one.mean((2, 3)) - known.mean((2, 3))).abs().sum() for one in (off, tones))
    assert near < far / 2
    pulled, free = (
        restored(network, image, first=first, control={"restoration_guidance": pull}) for pull in (1.0, 0.0)
    )
    assert (pulled - known).abs().mean() < 0.8 * (free - known).abs().mean()


@pytest.mark.parametrize("tile", [0, 64])
def test_it_is_a_start_or_is_seen(image, first, tile):
    network = awake(Generative(unet=SMALL))
    reference = restored(network, image, tile, first=first, control={"start": 0.5})
    for name in ("start", "seen"):
        other = restored(network, image, tile, first=first, control={"start": 0.5, "first_as": name})
        assert (other - reference).abs().mean() > 1e-3, name
    without = restored(network, image, tile, control={"start": 0.5})
    torch.testing.assert_close(reference, without)  # nothing that is kept to was asked for
    up = restored(network, image, tile, first=first, control={"up": 1.5, "first_as": "seen"})
    assert up.shape == image.shape


def test_what_cannot_be_first(first, image, tmp_path):
    network = Generative(unet=SMALL)
    with pytest.raises(SettingsError, match="start below 1"):
        Restorer(network, first=first, control={"first_as": "start"})
    with pytest.raises(SettingsError, match="it enlarges"):
        Restorer(network, first="upscale")
    with pytest.raises(ModelError, match="none"):
        Restorer(network, first=str(tmp_path / "none.safetensors"))
    with pytest.raises(SettingsError, match="--first steers models that sample"):
        pellucid.load("denoise", first=first)


def test_a_network_that_learns_beside_another_sees_both(photographs, tmp_path, first, image):
    prior = awake(Generative(unet=SMALL))
    save_model(prior, tmp_path / "prior.safetensors")
    tree = {
        "name": "beside",
        "network": {
            "name": "generative",
            "settings": {"unet": SMALL, "first": first},
            "weights": str(tmp_path / "prior.safetensors"),
        },
        "data": {"folder": str(photographs), "degradations": ["noise sigma=25"], "crop": 16, "validation": 2},
        "diffusion": {},
        "train": {"steps": 2, "batch": 2, "precision": "float32"},
    }
    run, _ = prepare_diffusion(read_recipe(tree, "beside"), tmp_path / "run")
    network, batch = run.module, run.batches.at(0)
    seen = run.objective.seen(network, batch)
    assert seen.shape[1] == 96
    known = load_model(Path(first)).module(batch.degraded).clamp(0, 1)
    torch.testing.assert_close(network.codec.decode(seen[:, 48:]), known, atol=1e-5, rtol=0)
    # It begins as what it goes on from, which did not see the second one.
    state, times = torch.randn(2, 48, 4, 4), torch.tensor([3, 700])
    told = network.denoiser.told([read_prompt("denoise 3")] * 2)
    torch.testing.assert_close(
        network.denoiser(state, seen, times, told), prior.denoiser(state, seen[:, :48], times, told)
    )
    list(train(read_recipe(tree, "beside"), tmp_path / "run"))
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert "psnr" in last
    model = awake(load_model(tmp_path / "run" / "model.safetensors").module)
    by_itself = restored(model, image, 64)
    torch.testing.assert_close(by_itself, restored(model, image, 64, first=first))
    assert (restored(model, image, 64, first="denoise") - by_itself).abs().mean() > 1e-4


def test_a_fidelity_decoder_is_trained_and_acts(photographs, tmp_path):
    tree = {
        "name": "fidelity",
        "network": {"name": "generative", "settings": {"unet": SMALL, "codec": {**LATENT, "fidelity": True}}},
        "data": {"folder": str(photographs), "degradations": ["noise sigma=25"], "crop": 16, "validation": 2},
        "diffusion": {"fidelity": True},
        "train": {"steps": 18, "batch": 4, "precision": "float32", "learning_rate": 3e-3, "warmup_steps": 2,
                  "average": 0.5, "validate_steps": 6},
    }  # fmt: skip
    run, _ = prepare_diffusion(read_recipe(tree, "fidelity"), tmp_path / "none")
    learnt = {name for name, value in run.module.named_parameters() if value.requires_grad}
    assert learnt
    assert all(name.startswith("codec.fusion.") for name in learnt)
    list(train(read_recipe(tree, "fidelity"), tmp_path / "run"))
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss_held_out"] for line in log if "loss_held_out" in line]  # of always the same batches
    assert losses[-1] < losses[0]
    network = load_model(tmp_path / "run" / "model.safetensors").module
    image = torch.rand(1, 3, 40, 56)
    changes = [restored(network, image, control={"fidelity": weight}) for weight in (0.0, 0.5, 1.0)]
    steps = [(changes[0] - one).abs().mean() for one in changes]
    assert 0 == steps[0] < steps[1] < steps[2]


def test_fidelity_is_for_models_that_have_it():
    with pytest.raises(SettingsError, match="this model has no fidelity decoder"):
        Restorer(Generative(unet=SMALL), control={"fidelity": 0.5})
    tiny = {"name": "autoencoder-tiny", "fidelity": True}
    with pytest.raises(SettingsError, match="for AutoencoderKL, not AutoencoderTiny"):
        Generative(codec=tiny, unet=SMALL)
    with pytest.raises(SettingsError, match="a setting of its codec"):
        Generative(unet=SMALL, fidelity=True)
