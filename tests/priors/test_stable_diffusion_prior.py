"""Stable Diffusion against diffusers' own pipeline with a hook on its UNet, on a tiny one with random weights."""

import json
import shutil
import sys

import pytest
import torch
from contract import assert_frozen_and_sees_any_size, assert_half_precision_gives_float32_near_the_same
from torch.nn import functional as F

from pellucid.errors import MissingExtraError, ModelError, SettingsError
from pellucid.models.priors import find_prior

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

SIDE = 16  # of the view: latents of 8 x 8, halved once by the autoencoder


@pytest.fixture(scope="module")
def models(tmp_path_factory, save):
    """A whole pipeline, and the folder `model` it was saved to."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "model"
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=24,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )
    words = {word: number for number, word in enumerate(["<|startoftext|>", "<|endoftext|>", "a", "a</w>"])}
    tokenizer = transformers.CLIPTokenizer(vocab=words, merges=[], model_max_length=7)
    text = transformers.CLIPTextConfig(
        vocab_size=4, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=7, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=transformers.CLIPTextModel(text).eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, skip_prk_steps=True
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    save(pipeline, folder)
    return folder, pipeline


@torch.no_grad()
def middle(pipeline, image, timestep):
    """The middle block's output when the whole UNet runs, by the pipeline's own parts."""
    prompt, _ = pipeline.encode_prompt("", "cpu", 1, do_classifier_free_guidance=False)
    latent = pipeline.vae.encode(image * 2 - 1).latent_dist.mode() * pipeline.vae.config.scaling_factor
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).expand(len(image), -1, -1, -1)
    noisy = pipeline.scheduler.add_noise(latent, noise, torch.tensor([timestep]))
    seen = []
    handle = pipeline.unet.mid_block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    pipeline.unet(noisy, timestep, encoder_hidden_states=prompt.expand(len(image), -1, -1))
    handle.remove()
    return seen[0]


@pytest.mark.parametrize(("suffix", "timestep"), [("", 100), ("@0", 0), ("@100", 100), ("@999", 999)])
def test_the_features_are_those_of_the_unets_middle_block(models, suffix, timestep):
    folder, pipeline = models
    prior = find_prior(f"stable-diffusion:{folder}{suffix}")
    name = f"stable-diffusion:{folder}@{timestep}"
    assert (prior.width, prior.size, prior.name) == (16, (SIDE, SIDE), name)
    image = torch.rand(2, 3, SIDE, SIDE)
    expected = middle(pipeline, image, timestep)
    assert expected.shape == (2, 16, 4, 4)
    torch.testing.assert_close(prior.maps(image), expected, rtol=1e-4, atol=1e-4)
    vectors = F.normalize(expected.mean((2, 3))) * 16**0.5
    torch.testing.assert_close(prior(image), vectors, rtol=1e-4, atol=1e-4)


def test_timesteps_differ_and_a_name_builds_the_prior_again(models):
    prior = find_prior(f"stable-diffusion:{models[0]}@300")
    image = torch.rand(1, 3, 20, 30)
    assert torch.equal(find_prior(prior.name)(image), prior(image))
    assert not torch.allclose(find_prior(f"stable-diffusion:{models[0]}@600")(image), prior(image), atol=1e-3)
    assert not torch.allclose(prior(torch.rand(1, 3, 20, 30)), prior(image), atol=1e-3)


def test_a_name_on_the_hub_is_found_in_the_cache(models, in_hub_cache):
    in_hub_cache(models[0], "someone/tiny-diffusion")
    prior = find_prior("stable-diffusion:someone/tiny-diffusion@50")
    assert prior.name == "stable-diffusion:someone/tiny-diffusion@50"
    image = torch.rand(1, 3, 20, 30)
    assert torch.equal(prior(image), find_prior(f"stable-diffusion:{models[0]}@50")(image))
    with pytest.raises(ModelError, match=r"hf download someone/huge-diffusion` .*stable-diffusion:FOLDER"):
        find_prior("stable-diffusion:someone/huge-diffusion")


def test_pixels_are_those_of_the_pipelines_own_image_processor(models, picture):
    pytest.importorskip("PIL")
    from PIL import Image

    prior = find_prior(f"stable-diffusion:{models[0]}")
    processor = diffusers.image_processor.VaeImageProcessor(vae_scale_factor=2, resample="bicubic")
    expected = processor.preprocess(Image.fromarray(picture), height=SIDE, width=SIDE)
    given = prior.prepare(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255) * 2 - 1
    torch.testing.assert_close(given, expected, atol=1.01 / 127.5, rtol=0)
    assert given.std() > 0.1


def test_it_is_frozen_and_sees_any_size(models):
    prior = find_prior(f"stable-diffusion:{models[0]}")
    assert_frozen_and_sees_any_size(prior, rtol=1e-3, atol=1e-4)


def test_half_precision_gives_float32_near_the_same(models):
    assert_half_precision_gives_float32_near_the_same(find_prior(f"stable-diffusion:{models[0]}"))


def test_only_what_is_needed_is_kept(models):
    folder, pipeline = models
    kept = sum(parameter.numel() for parameter in find_prior(f"stable-diffusion:{folder}").parameters())
    parts = (pipeline.vae.decoder, pipeline.unet.up_blocks, pipeline.text_encoder)
    whole = (pipeline.vae, pipeline.unet, pipeline.text_encoder)
    size = [sum(parameter.numel() for part in of for parameter in part.parameters()) for of in (whole, parts)]
    assert 0 < kept < size[0] - size[1]


def test_loading_says_nothing_and_leaves_the_verbosity_alone(models, capfd):
    logging = diffusers.utils.logging
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    find_prior(f"stable-diffusion:{models[0]}")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_wrong_timesteps_are_refused(models):
    with pytest.raises(SettingsError, match=r"timestep 1000 is not in 0 to 999"):
        find_prior(f"stable-diffusion:{models[0]}@1000")
    with pytest.raises(SettingsError, match=r"NAME@TIMESTEP, got 'late' after the @"):
        find_prior(f"stable-diffusion:{models[0]}@late")


def test_folders_that_lack_something_say_what(models, tmp_path):
    empty = tmp_path / "leer"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"leer: this folder lacks unet/config\.json and .*scheduler_config\.json;"):
        find_prior(f"stable-diffusion:{empty}")
    folder = tmp_path / "mängel"
    shutil.copytree(models[0], folder)
    (folder / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="mängel: its files cannot be used as a Stable Diffusion model"):
        find_prior(f"stable-diffusion:{folder}")
    shutil.copy(models[0] / "vae/diffusion_pytorch_model.safetensors", folder / "unet")
    with pytest.raises(ModelError, match=r"mängel: its weights are not those of its UNet: .* is missing or misshapen"):
        find_prior(f"stable-diffusion:{folder}")
    shutil.copytree(models[0], folder, dirs_exist_ok=True)
    shutil.copy(models[0] / "vae/diffusion_pytorch_model.safetensors", folder / "text_encoder/model.safetensors")
    with pytest.raises(ModelError, match=r"mängel: its weights are not those of its text encoder: .* is missing"):
        find_prior(f"stable-diffusion:{folder}")
    shutil.copytree(models[0], folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(ModelError, match=r"lacks tokenizer;"):
        find_prior(f"stable-diffusion:{folder}")


def test_a_unet_that_takes_more_is_refused(models, tmp_path, save):
    folder = tmp_path / "inpainting"
    shutil.copytree(models[0], folder)
    settings = {key: value for key, value in models[1].unet.config.items() if not key.startswith("_")}
    shutil.rmtree(folder / "unet")
    save(diffusers.UNet2DConditionModel(**settings | {"in_channels": 9}), folder / "unet")
    with pytest.raises(ModelError, match="expected Stable Diffusion 1 or 2"):
        find_prior(f"stable-diffusion:{folder}")
    assert json.loads((folder / "unet/config.json").read_text())["in_channels"] == 9


@pytest.mark.parametrize("missing", ["diffusers", "transformers"])
def test_without_its_packages_the_extra_is_named(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"{missing}, .*pellucid\[diffusion\]"):
        find_prior("stable-diffusion")
