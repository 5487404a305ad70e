"""A generative network: what enters it, what it is told, and what each control does to a sample."""

import json

import pytest
import torch
from torch.nn import functional as F

import pellucid
from pellucid.diagnosis.findings import Diagnosis, Finding
from pellucid.diffusion.controls import SAMPLERS, TILINGS, Controls
from pellucid.diffusion.network import Generative
from pellucid.diffusion.noising import PREDICTIONS, Noising
from pellucid.diffusion.prompts import read_prompt
from pellucid.diffusion.regions import Regions, branches_of
from pellucid.diffusion.small import SmallDenoiser
from pellucid.errors import ModelError, SettingsError
from pellucid.guidance import Guidance
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.save import save_model
from pellucid.restoration.asking import prompt_for
from pellucid.restoration.restorer import Restorer
from pellucid.restoration.sampling import gaussian, sample_in_tiles, sampled_states
from pellucid.restoration.tiles import Tiles

SMALL = {"widths": (16, 16), "blocks": (1, 1), "embedding": 16}


def awake(seed=0, **settings):
    """A tiny network whose zeros are none: everything that enters it acts."""
    torch.manual_seed(seed)
    network = Generative(unet=SMALL, **settings).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.08 * torch.randn_like(value))
    return network


@pytest.fixture(scope="module")
def network():
    return awake()


@pytest.fixture(scope="module")
def image():
    return F.avg_pool2d(torch.rand(1, 3, 154, 202, generator=torch.Generator().manual_seed(0)), 3, 1)[..., :150, :200]


def sampled(network, image, words="denoise 20", seed=3, tile=0, regions=None, **controls):
    known = Guidance(
        words=(words,), seed=seed, controls=Controls(**{"steps": 3, "samples": 1, **controls}), regions=regions
    )
    return Restorer(network, precision="float32", tile=tile).restore_image(image, known=known)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_a_prediction_says_of_the_picture_is_undone(prediction):
    noising = Noising(prediction)
    clean, noise, times = torch.rand(4, 3, 5, 5), torch.randn(4, 3, 5, 5), torch.tensor([10, 300, 700, 950])
    state = noising.noised(clean, noise, times)
    said = noising.wanted(clean, noise, times)
    torch.testing.assert_close(noising.clean(state, said, times), clean, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(noising.said_of(state, clean, times), said, atol=1e-4, rtol=1e-3)


def test_schedules_are_those_of_diffusers():
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    ours = Noising("epsilon", {**schedule, "rescale_betas_zero_snr": False})
    torch.testing.assert_close(ours.kept, scheduler.alphas_cumprod)
    clean, noise, times = torch.rand(3, 3, 4, 4), torch.randn(3, 3, 4, 4), torch.tensor([0, 400, 999])
    torch.testing.assert_close(ours.noised(clean, noise, times), scheduler.add_noise(clean, noise, times))
    velocity = Noising("v_prediction", {**schedule, "rescale_betas_zero_snr": False}).wanted(clean, noise, times)
    torch.testing.assert_close(velocity, scheduler.get_velocity(clean, noise, times))


def test_a_network_that_says_epsilon_needs_a_schedule_that_keeps_something():
    with pytest.raises(SettingsError, match="epsilon"):
        sampled(Generative(unet=SMALL, prediction="epsilon"), torch.rand(1, 3, 16, 16))
    kept = Generative(unet=SMALL, prediction="epsilon", schedule={"rescale_betas_zero_snr": False})
    assert sampled(kept, torch.rand(1, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_a_prior_enters_a_network_that_sees_the_picture_through_zeros(tmp_path):
    prior = awake(entry="none")
    save_model(prior, tmp_path / "prior.safetensors")
    adapted = Generative(unet=SMALL)
    load_network_weights(adapted, tmp_path / "prior.safetensors")
    state, times = torch.randn(2, 48, 8, 8), torch.tensor([500, 20])
    told = prior.denoiser.told([read_prompt(""), read_prompt("denoise 3")])
    for picture in (torch.zeros(2, 48, 8, 8), torch.randn(2, 48, 8, 8)):
        torch.testing.assert_close(
            adapted.denoiser(state, picture, times, told), prior.denoiser(state, picture, times, told)
        )


def test_weights_that_say_velocity_are_not_taken_for_noise(tmp_path):
    save_model(Generative(unet=SMALL), tmp_path / "velocity.safetensors")
    kept = Generative(unet=SMALL, prediction="epsilon", schedule={"rescale_betas_zero_snr": False})
    with pytest.raises(ModelError, match=r"its network predicts 'v_prediction', not 'epsilon'"):
        load_network_weights(kept, tmp_path / "velocity.safetensors")
    load_network_weights(Generative(unet=SMALL), tmp_path / "velocity.safetensors")


def test_no_words_add_nothing_and_numbers_matter(network):
    words = network.denoiser.words
    rows = words.numbered([read_prompt(text) for text in ("", "denoise 20", "denoise 21", "denoise", "deblur 20")])
    told = words(rows)
    assert not told[0].any()
    for one in range(1, 5):
        for other in range(one + 1, 5):
            assert (told[one] - told[other]).abs().max() > 1e-4
    both = words(words.numbered([read_prompt("denoise 20, sr 5"), read_prompt("sr 5; remove noise 20")]))
    torch.testing.assert_close(both[0], both[1])  # neither order nor alias


@pytest.mark.parametrize(
    ("text", "message"), [("derain 3", "has not learnt 'derain'"), ("a fox. sr 3", "no sentences")]
)
def test_what_it_has_not_learnt_is_refused(network, text, message):
    with pytest.raises(SettingsError, match=message):
        Restorer(network, prompt=text)


def test_the_same_seed_gives_the_same_picture_and_another_another(network, image):
    first = sampled(network, image)
    assert torch.equal(first, sampled(network, image))
    assert (first - sampled(network, image, seed=4)).abs().mean() > 0.005
    assert (first - sampled(network, image, words="denoise 80")).abs().max() > 1e-3


CHANGES = [
    {"steps": 5},
    {"sampler": "ddpm"},
    {"sampler": "dpm"},
    {"eta": 1.0},
    {"noise_scale": 1.03},
    {"start": 0.5},
    {"text_guidance": 4.0},
    {"text_guidance": 4.0, "rescale": 0.7},
    {"image_guidance": 2.0},
    {"coarse_guidance": 3.0},
    {"fine_guidance": 3.0},
    {"restoration_guidance": 0.8},
    {"bound": 4.0},
    {"samples": 3},
    {"colour": "adain"},
    {"colour": "wavelet"},
    {"up": 1.5},
    {"text_guidance": 2.0, "negative": "bad"},
]


@pytest.mark.parametrize("controls", CHANGES, ids=str)
def test_every_control_acts(network, image, controls):
    part = image[..., :64, :64]
    assert (sampled(network, part, **controls) - sampled(network, part)).abs().mean() > 1e-4


def test_a_bounded_sample_stays_near_what_is_expected(network, image):
    part = image[..., :64, :64]
    result = sampled(network, part, bound=4.0)
    expected = network.codec.decode(network.course.expected).clamp(0, 1)
    assert (result - expected).abs().max() <= 4 / 255 + 1e-6
    assert (sampled(network, part) - expected).abs().max() > 8 / 255


def test_the_first_step_expects_the_mean_of_what_is_sampled():
    """From nothing but noise, what is expected does not depend on that noise where the network does not see it."""
    network = awake()
    with torch.no_grad():
        network.denoiser.unet.conv_in.weight[:, :48] = 0
        network.denoiser.unet.gains.weight[:48], network.denoiser.unet.gains.bias[:48] = 0, 0
    part = torch.rand(1, 3, 32, 32)
    sampled(network, part)
    first = network.course.expected
    sampled(network, part, seed=9)
    torch.testing.assert_close(network.course.expected, first)


def test_several_samples_are_their_mean(network, image):
    part = image[..., :32, :48]
    known = Guidance(words=("denoise 20",), seed=5, controls=Controls(steps=2, samples=3))
    told = network.look(part, known)
    mean = sample_in_tiles(network, part, told, Tiles(64, 16, 8))
    one_by_one = [
        sample_in_tiles(
            network, part, told.knowing(seed=5 + number, controls=Controls(steps=2, samples=1)), Tiles(64, 16, 8)
        )
        for number in range(3)
    ]
    torch.testing.assert_close(mean, torch.stack(one_by_one).mean(0))


@pytest.mark.parametrize("tiles", TILINGS)
@pytest.mark.parametrize("size", [(1, 1), (75, 131)])
def test_any_size_in_any_tiling(network, tiles, size):
    picture = torch.rand(1, 3, *size)
    result = sampled(network, picture, tile=64, steps=2, tiles=tiles)
    assert result.shape == picture.shape
    assert result.isfinite().all()


@pytest.mark.parametrize("tiles", ["meet", "gaussian", "uniform"])
def test_tiles_that_meet_are_the_whole_picture_but_for_their_context(image, tiles):
    """A network that looks at its own place alone gives the very same in tiles."""
    network = awake()
    with torch.no_grad():
        for module in network.denoiser.unet.modules():
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
                middle = module.weight[:, :, 1, 1].clone()
                module.weight.zero_()
                module.weight[:, :, 1, 1] = middle
    whole = sampled(network, image, tiles="full")
    torch.testing.assert_close(sampled(network, image, tile=64, tiles=tiles), whole, atol=2e-5, rtol=0)


def test_gaussian_weights_are_symmetric_and_never_zero():
    weights = gaussian(64)
    torch.testing.assert_close(weights, weights.flip(0))
    assert weights.dtype == torch.float32
    assert (weights[0] * weights[0]) > 0  # a tile's corner


def test_shifted_grids_cover_every_place_once(network, image):
    seen = []
    predict = network.predict
    try:
        network.predict = lambda state, *more: (seen.append(state.shape[2:].numel()), predict(state, *more))[1]
        told = network.look(image, Guidance(controls=Controls(steps=2, tiles="shift")))
        padded = torch.nn.functional.pad(image, (0, 0, 0, 2))
        states = list(sampled_states(network, padded, told, Tiles(64, 16, 8)))
    finally:
        del network.predict
    assert len(states) == 2
    assert sum(seen) == 2 * states[0].shape[2:].numel()


def test_outside_of_a_region_nothing_changes(network, image):
    regions = Regions({"face": (40, 30, 120, 100)})
    for tile in (0, 64):
        change = (sampled(network, image, "denoise 20 @face", tile=tile, regions=regions) - image).abs()
        inside = change[..., 45:95, 50:110].clone()
        change[..., 30:100, 40:120] = 0
        assert change.max() <= 1 / 255
        assert inside.mean() > 0.01


def test_two_regions_and_a_rest_share_the_picture(image):
    masks = {"a": torch.zeros(150, 200), "b": torch.zeros(150, 200)}
    masks["a"][:100], masks["b"][60:] = 1, 0.5
    branches = branches_of(read_prompt("denoise 5 @a, deblur 3 @b, sr 7"), Regions(masks), 150, 200)
    assert [str(branch.prompt) for branch in branches] == ["denoise 5, sr 7", "deblur 3, sr 7", "sr 7"]
    torch.testing.assert_close(sum(branch.weight for branch in branches), torch.ones(1, 1, 150, 200))


def test_a_map_of_strengths_is_made_of_amounts(network, image):
    ramp = torch.linspace(0, 1, 200).expand(150, 200)
    branches = branches_of(read_prompt("denoise 40"), Regions({}, ramp), 150, 200)
    assert [branch.prompt and str(branch.prompt) for branch in branches] == [
        None,
        "denoise 10",
        "denoise 20",
        "denoise 30",
        "denoise 40",
    ]
    torch.testing.assert_close(sum(branch.weight for branch in branches), torch.ones(1, 1, 150, 200))
    none = sampled(network, image, "denoise 40", regions=Regions({}, torch.zeros(150, 200)))
    assert (none - image).abs().max() <= 1 / 255
    all_ = sampled(network, image, "denoise 40", regions=Regions({}, torch.ones(150, 200)))
    torch.testing.assert_close(all_, sampled(network, image, "denoise 40"), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("prompt", "regions", "message"),
    [
        ("denoise 3 @sky", Regions({"face": (0, 0, 9, 9)}), "unknown region 'sky'"),
        ("denoise 3 @face", None, "where is face"),
        ("denoise 3 @face", Regions({"face": torch.ones(3, 4)}), "is of 4 x 3 pixels, the picture of 200 x 150"),
        ("denoise 3 @face", Regions({"face": (0, 0, 900, 9)}), "does not lie in a picture"),
        ("denoise", Regions({}, torch.ones(150, 200)), "say how much"),
    ],
)
def test_bad_regions_are_refused(network, image, prompt, regions, message):
    with pytest.raises(SettingsError, match=message):
        sampled(network, image, prompt, regions=regions)


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"steps": 0}, "steps must be a whole number in 1..1000, got 0"),
        ({"steps": "many"}, "must be a number"),
        ({"start": 0}, "start"),
        ({"sampler": "euler"}, "unknown value 'euler'"),
        ({"step": 3}, "did you mean 'steps'"),
        ({"up": 100}, "up must be"),
        ({"noise_scale": 2}, "noise_scale must be"),
        ({"tiles": "independent", "colour": "adain"}, "independent"),
        ({"negative": "bad"}, "text_guidance is more than 1"),
    ],
)
def test_bad_controls_are_refused(network, controls, message):
    with pytest.raises(SettingsError, match=message):
        Restorer(network, control=controls)


def test_prompts_and_controls_are_for_models_that_sample():
    with pytest.raises(SettingsError, match="steers models that sample"):
        pellucid.load("denoise", prompt="denoise 20")


def test_a_stored_model_does_it_again_from_its_own_record(tmp_path, image):
    save_model(awake(), tmp_path / "tiny.safetensors", dtype=torch.float16)
    restorer = pellucid.load(
        tmp_path / "tiny.safetensors",
        prompt="sr60-up2-cfg3",
        seed=7,
        control={"steps": "2", "samples": "1", "tiles": "gaussian"},
        tile=64,
    )
    picture = image[0].permute(1, 2, 0).numpy()[:40, :56]
    result, decision = restorer.restore_and_explain(picture)
    record = json.loads(json.dumps(decision.as_dict()))["sampling"]
    assert (record["prompt"], record["seed"], record["steps"]) == ("sr 60", 7, 2)
    assert record["controls"]["up"] == 2
    assert record["evaluations"] == 2 * 2 * record["tiles"]
    assert record["seconds_per_megapixel"] > 0
    again = pellucid.load(
        tmp_path / "tiny.safetensors", prompt=record["prompt"], seed=record["seed"], control=record["controls"], tile=64
    )
    assert (again(picture) == result).all()
    assert "2 steps over" in decision.words()


def test_where_nothing_is_said_the_diagnosis_is_asked_for():
    """Noise is found and named; of a picture without anything wrong nothing is changed."""
    ramp = torch.linspace(0.2, 0.8, 128).expand(1, 3, 128, 128)
    noisy = (ramp + 0.15 * torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    restorer = Restorer(awake(), precision="float32", control={"steps": 1, "samples": 1})
    record = restorer.restore_and_explain(noisy)[1].sampling
    asked = read_prompt(record["prompt"]).clauses[0]
    assert asked.verb == "denoise"
    assert asked.amount > 30
    again = Restorer(awake(), precision="float32", control={"steps": 1, "samples": 1}, prompt=record["prompt"])
    assert torch.equal(again.restore_image(noisy), restorer.restore_image(noisy))
    blind = Restorer(awake(operations=["dejpeg"]), precision="float32", control={"steps": 1})
    _, decision = blind.restore_and_explain(noisy)
    assert decision.unchanged
    assert "--prompt" in decision.words()


@pytest.mark.parametrize(
    ("blur", "low", "prompt"),
    [
        (0.43, 0.37, "deblur 27"),
        (0.36, 0.46, "deblur 27"),  # whichever is likelier, what is milder
        (0.3, 0.2, ""),
        (0.9, 0.3, "deblur 27"),
        (0.2, 0.8, "sr 67"),
    ],
)
def test_blur_is_asked_for_where_one_of_two_that_look_alike_is_likely(blur, low, prompt):
    found = (("blur", blur, 27.0), ("low-resolution", low, 67.0), ("ringing", 0.7, 60.0), ("jpeg", 0.1, 5.0))
    diagnosis = Diagnosis(tuple(Finding(kind, p, p > 0.5, s, s, s) for kind, p, s in found), 0.8)
    network = awake(operations=["denoise", "deblur", "sr"])
    assert prompt_for(diagnosis, network) == prompt
    assert prompt_for(diagnosis, awake(operations=["denoise"])) == ""


def test_octaves_that_are_not_heard_say_nothing_and_are_remembered(tmp_path):
    slow = awake(octaves=1)
    rows = slow.denoiser.told([read_prompt("denoise 25"), read_prompt("denoise 60")])
    said = slow.denoiser.words(rows)
    with torch.no_grad():
        slow.denoiser.words.numbers.weight[:, [4, 5, 6, 8, 9, 10]] += 1
    assert torch.equal(slow.denoiser.words(rows), said)
    assert not torch.equal(said[0], said[1])
    save_model(slow, tmp_path / "slow.safetensors")
    assert load_model(tmp_path / "slow.safetensors").module.denoiser.words.octaves == 1
    with pytest.raises(SettingsError, match="octaves"):
        Generative(unet=SMALL, octaves=5)


@pytest.mark.parametrize("tiles", ["meet", "independent"])
def test_all_tiles_and_evaluations_are_counted(image, tiles):
    restorer = Restorer(
        awake(), tile=64, precision="float32", control={"steps": 2, "samples": 1, "tiles": tiles}, prompt="denoise 3"
    )
    picture = image[0].permute(1, 2, 0).numpy()
    record = restorer.restore_and_explain(picture)[1].sampling
    assert record["tiles"] > 1
    assert record["evaluations"] == 2 * record["tiles"]


def test_every_sampler_ends_at_the_picture_that_a_perfect_network_says(image):
    """Whatever the sampler, a network that always says the same picture ends there."""
    network, part = Generative(unet=SMALL), image[..., :32, :32]
    clean = network.codec.encode(part)
    network.denoiser.forward = lambda state, degraded, times, told, *more: network.noising.said_of(state, clean, times)
    for sampler in SAMPLERS:
        result = sampled(network, part.flip(3), words="denoise 3", sampler=sampler, steps=6)
        torch.testing.assert_close(result, part, atol=0.01, rtol=0)


def test_noise_is_scaled_after_each_step_but_the_last(image):
    """A network that always says the same picture leaves the first noise as it was: k times it, and k times that."""
    network, part = Generative(unet=SMALL), image[..., :32, :32]
    clean = network.codec.encode(part)
    network.denoiser.forward = lambda state, degraded, times, told, *more: network.noising.said_of(state, clean, times)
    known = network.look(part, Guidance(words=("sr 3",), seed=1, controls=Controls(steps=4, noise_scale=1.1)))
    states = list(sampled_states(network, part, known, Tiles(64, 0, 8)))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    for number, (state, time) in enumerate(zip(states, network.times()[1:], strict=False), start=1):
        much, little = network.noising.amounts(torch.tensor([time]))
        torch.testing.assert_close(state, much * clean + 1.1**number * little * noise, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(states[-1], clean, atol=1e-3, rtol=0)


def test_entries_that_there_are_not_are_refused():
    with pytest.raises(SettingsError, match="unknown entry 'concate'; did you mean 'concat'"):
        Generative(entry="concate")
    assert isinstance(Generative.tiny().denoiser, SmallDenoiser)
