"""How the degraded picture and the whole picture enter, of both families; each begins as if it did not."""

import json

import pytest
import torch

from pellucid import images
from pellucid.diffusion.controls import Controls
from pellucid.diffusion.network import Generative
from pellucid.diffusion.prompts import read_prompt
from pellucid.diffusion.small import CONTEXTS
from pellucid.diffusion.stable_diffusion import StableDiffusionDenoiser, load_pipeline, widen
from pellucid.errors import ModelError, SettingsError
from pellucid.guidance import Guidance
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.save import save_model
from pellucid.restoration.restorer import Restorer
from support.pipelines import save_pipeline

SMALL = {"widths": (16, 16), "blocks": (1, 1), "embedding": 16}


def awake(network, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.08 * torch.randn_like(value))
    return network.eval()


@pytest.mark.parametrize("entry", ["controlnet", "sft"])
def test_an_entry_on_a_prior_begins_as_the_prior_and_then_acts(entry, tmp_path):
    prior = awake(Generative(unet=SMALL, entry="none"))
    save_model(prior, tmp_path / "prior.safetensors")
    network = Generative(unet=SMALL, entry=entry)
    load_network_weights(network, tmp_path / "prior.safetensors")
    state, picture, times = torch.randn(2, 48, 8, 8), torch.randn(2, 48, 8, 8), torch.tensor([500, 20])
    told = prior.denoiser.told([read_prompt(""), read_prompt("denoise 3")])
    before = prior.denoiser(state, picture, times, told)
    torch.testing.assert_close(network.denoiser(state, picture, times, told), before)
    if entry == "controlnet":  # a copy of the prior's way down
        copied = network.denoiser.control.copy.encoders[0][0].first.weight
        assert torch.equal(copied, prior.denoiser.unet.encoders[0][0].first.weight)
    awake(network.denoiser.control if entry == "controlnet" else network.denoiser.modulation)
    changes = [
        (network.denoiser(state, picture, times, told, scale) - before).abs().mean() for scale in (0.0, 0.5, 1.0)
    ]
    assert changes[0] < 1e-6 < changes[1] < changes[2]


@pytest.mark.parametrize("entry", ["controlnet", "sft"])
def test_the_scale_of_an_entry_reaches_the_picture(entry):
    network, image = awake(Generative(unet=SMALL, entry=entry)), torch.rand(1, 3, 40, 56)
    results = [
        Restorer(network, control={"steps": 2, "control_scale": scale}, precision="float32").restore_image(image)
        for scale in (0, 1)
    ]
    assert (results[0] - results[1]).abs().mean() > 1e-4


@pytest.mark.parametrize("entry", ["controlnet", "sft"])
@pytest.mark.parametrize("tile", [0, 64])
def test_a_map_says_where_an_entry_adds(entry, tile, tmp_path):
    network, image = awake(Generative(unet=SMALL, entry=entry)), torch.rand(1, 3, 64, 256)
    drawn = torch.zeros(1, 3, 64, 256)
    drawn[..., 128:] = 1
    images.write(images.Photograph(drawn), tmp_path / "map.png")

    def restored(**options):
        control = {"steps": 1, **options.pop("control", {})}
        return Restorer(network, tile=tile, precision="float32", control=control, **options).restore_image(image)

    mapped, all_, none = (
        restored(control_map=str(tmp_path / "map.png")),
        restored(),
        restored(control={"control_scale": 0}),
    )
    left, right = (..., slice(0, 32)), (..., slice(224, 256))
    torch.testing.assert_close(mapped[left], none[left], atol=1e-5, rtol=0)
    torch.testing.assert_close(mapped[right], all_[right], atol=1e-5, rtol=0)
    assert (none - all_)[left].abs().mean() > 1e-3


def test_what_adds_nothing_has_no_scale(tmp_path):
    images.write(images.Photograph(torch.ones(1, 3, 16, 16)), tmp_path / "map.png")
    network = Generative(unet=SMALL)
    with pytest.raises(SettingsError, match="this model has neither"):
        Restorer(network, control={"control_scale": 0.5})
    with pytest.raises(SettingsError, match="this model has neither"):
        Restorer(network, control_map=str(tmp_path / "map.png"), prompt="denoise 9").restore_image(
            torch.rand(1, 3, 16, 16)
        )
    other = Generative(unet=SMALL, entry="sft")
    with pytest.raises(SettingsError, match="the map of control is of 16 x 16 pixels, the picture of 24 x 16"):
        Restorer(other, control_map=str(tmp_path / "map.png"), prompt="denoise 9").restore_image(
            torch.rand(1, 3, 16, 24)
        )


@pytest.mark.parametrize("context", CONTEXTS)
def test_context_is_nothing_at_first_and_then_what_it_says(context):
    torch.manual_seed(0)
    network = Generative(unet=SMALL, context=context).eval()
    image, known = torch.rand(1, 3, 96, 96), Guidance(controls=Controls(steps=1))
    told = network.look(image, known)
    place = torch.tensor([[0.0, 0.0, 1 / 3, 1 / 3]]), torch.tensor([[1 / 3, 1 / 3, 2 / 3, 2 / 3]])
    awake(network)
    network.start(image, told)
    state, part = torch.randn(1, 48, 8, 8), image[..., :32, :32]
    network.course.degraded = network.codec.encode(part.repeat(1, 1, 3, 3))  # the same to be seen in every place
    said = [network.predict(state, part, 500, told.knowing(grid=grid)) for grid in place]
    other = network.look(1 - image, known)
    elsewhere = network.predict(state, part, 500, other.knowing(grid=place[0]))
    assert (not torch.equal(said[0], said[1])) == (context == "coords")
    assert (not torch.equal(said[0], elsewhere)) == (context == "thumb")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    save_pipeline(folder, prediction="v_prediction")
    return folder


def test_a_pipeline_is_loaded_and_says_what_it_said(pipeline):
    from diffusers import UNet2DConditionModel

    network = Generative(family="sd", source=str(pipeline)).eval()
    assert network.contract.multiple == 16
    assert network.noising.prediction == "v_prediction"
    assert network.noising.kept[-1] == pytest.approx(0.0047, abs=1e-3)  # as the folder's schedule ends, not at zero
    plain = UNet2DConditionModel.from_pretrained(pipeline, subfolder="unet")
    state, times = torch.randn(1, 4, 8, 8), torch.tensor([400])
    told = network.denoiser.told([read_prompt("a red fox. sr 60")])
    with torch.no_grad():
        expected = plain(state, times, encoder_hidden_states=told).sample
        assert torch.equal(network.denoiser(state, torch.randn(1, 4, 8, 8), times, told), expected)
    assert network.denoiser.unet.config.in_channels == 8
    other = network.denoiser.told([read_prompt("a blue fox. sr 60")])
    assert (other - told).abs().max() > 1e-3


def test_a_pipeline_restores_in_tiles_with_words_and_guidance(pipeline):
    network = awake(Generative(family="sd", source=str(pipeline)))
    image = torch.rand(1, 3, 70, 150)
    results = [
        Restorer(network, tile=64, precision="float32", control={"steps": 2} | more, prompt=words).restore_image(image)
        for words, more in (("denoise 20", {}), ("a fox. denoise 20", {}), ("denoise 20", {"text_guidance": 5}))
    ]
    assert all(result.shape == image.shape for result in results)
    assert all((result - results[0]).abs().mean() > 1e-5 for result in results[1:])


def test_a_sentence_has_a_weight_of_its_own(pipeline):
    network, image = awake(Generative(family="sd", source=str(pipeline))), torch.rand(1, 3, 32, 48)

    def restored(prompt, **control):
        return Restorer(
            network, prompt=prompt, precision="float32", control={"steps": 1, "start": 0.5, **control}
        ).restore_image(image)

    weighed = [restored("a fox. denoise 20", semantic_guidance=weight) for weight in (0, 1, 4)]
    torch.testing.assert_close(weighed[0], restored("denoise 20"))
    torch.testing.assert_close(weighed[1], restored("a fox. denoise 20"))
    changes = [(one - weighed[0]).abs().mean() for one in weighed]
    assert changes[0] < changes[1] < changes[2]
    both = restored("a fox. denoise 20", semantic_guidance=1, text_guidance=3)
    assert (both - restored("a fox. denoise 20", text_guidance=3)).abs().mean() > 1e-5


def test_a_prompt_whose_end_would_not_be_read_is_refused(pipeline):
    network = Generative(family="sd", source=str(pipeline))
    with pytest.raises(SettingsError, match="tokens, and the text encoder reads"):
        network.check(f"{'a red fox and ' * 30}a dog. denoise 20", Controls())


def test_tiles_do_not_reach_the_autoencoder(pipeline):
    """It encodes and decodes the whole: what differs in tiles is what the denoiser says."""
    network, image = awake(Generative(family="sd", source=str(pipeline))), torch.rand(1, 3, 96, 160)
    network.denoiser.forward = lambda state, degraded, times, told, *more: network.noising.said_of(
        state, degraded, times
    )
    cut, whole = (
        Restorer(network, tile=tile, precision="float32", control={"steps": 2}).restore_image(image) for tile in (64, 0)
    )
    torch.testing.assert_close(cut, whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(whole, network.codec.decode(network.codec.encode(image)).clamp(0, 1), atol=2e-3, rtol=0)


def test_a_folder_that_is_no_pipeline_says_what_is_missing(pipeline, tmp_path):
    with pytest.raises(ModelError, match=r"model_index\.json, unet/config\.json, .* missing"):
        Generative(family="sd", source=str(tmp_path))
    with pytest.raises(ModelError, match="no such folder"):
        Generative(family="sd", source=str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="predicts 'v_prediction' by its scheduler, not 'epsilon'"):
        Generative(family="sd", source=str(pipeline), prediction="epsilon")
    with pytest.raises(SettingsError, match="needs a source"):
        Generative(family="sd")
    config = json.loads((pipeline / "scheduler" / "scheduler_config.json").read_text())
    assert config["prediction_type"] == "v_prediction"


def test_a_pipeline_of_another_kind_is_refused(pipeline):
    from transformers import CLIPTextConfig, CLIPTextModel

    parts = load_pipeline(str(pipeline))
    wide = CLIPTextModel(CLIPTextConfig(hidden_size=48, num_hidden_layers=1, intermediate_size=48, vocab_size=100))
    with pytest.raises(ModelError, match=r"words of \d+ numbers, and its text_encoder gives 48"):
        StableDiffusionDenoiser(parts["unet"], wide, parts["tokenizer"])
    widen(parts["unet"], 9)  # of inpainting: the state, what is seen, and the mask
    with pytest.raises(ModelError, match="takes 9 channels; the family sd gives it 4 or 8"):
        StableDiffusionDenoiser(parts["unet"], parts["text_encoder"], parts["tokenizer"])


@pytest.mark.parametrize(
    ("layout", "width", "parameters"),
    [
        ({"sample_size": 64, "attention_head_dim": 8}, 768, 859_520_964),  # 1.5
        ({"sample_size": 96, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}, 1024, 865_910_724),
    ],
    ids=["1.5", "2.1"],
)
def test_the_true_layouts_of_stable_diffusion_are_widened_on_meta_tensors(layout, width, parameters):
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=width, **layout)
        widen(unet, 8)
    assert sum(value.numel() for value in unet.parameters()) == parameters + 320 * 4 * 9  # published, and what is new
    assert tuple(unet.conv_in.weight.shape) == (320, 8, 3, 3)
    names = dict(unet.named_modules())
    for target in ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"):
        assert sum(name.endswith(target) for name in names) >= 16, target
    assert "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k" in names
    assert tuple(names["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"].weight.shape) == (320, width)
    assert StableDiffusionDenoiser.sees_whole is False


def test_a_small_family_over_an_autoencoder(tmp_path):
    codec = {"name": "autoencoder-tiny", "encoder_block_out_channels": [8, 8], "decoder_block_out_channels": [8, 8],
             "num_encoder_blocks": [1, 1], "num_decoder_blocks": [1, 1], "latent_channels": 4}  # fmt: skip
    network = awake(Generative(codec=codec, unet=SMALL))
    assert (network.stride, network.contract.multiple) == (2, 4)
    save_model(network, tmp_path / "latent.safetensors")
    again = load_model(tmp_path / "latent.safetensors").module
    image = torch.rand(1, 3, 21, 34)
    told = {"control": {"steps": 2}, "precision": "float32"}
    torch.testing.assert_close(
        Restorer(network, **told).restore_image(image), Restorer(again, **told).restore_image(image)
    )
    with pytest.raises(SettingsError, match="unknown codec"):
        Generative(codec={"name": "vqgan"}, unet=SMALL)
