"""The ablations of table 3: what each is made of, computes, and keeps of what R promises."""

import json

import pytest
import torch
from naive import naive, randomised, snr_mask

import pellucid
from pellucid.checkpoints import read_weights
from pellucid.errors import SettingsError
from pellucid.models.file import describe_model
from pellucid.models.hub import find_model
from pellucid.models.refinements import build_refinement, refinement_for, refinement_name
from pellucid.priors import Statistics, Zeros
from pellucid.priors.snr import snr_map
from pellucid.refinement import ABLATIONS, PTGRM
from pellucid.refinement.guidance import Standardise, centres, coordinates, spread
from pellucid.refinement.latent import LatentSettings
from pellucid.refinement.snr import snr_mask as our_snr_mask
from pellucid.refinement.windows import Windows

# Beside the eight, some that combine them.
OTHERS = {
    "default": {},
    "unguided-without-position": {"guidance": "concatenated-vector", "position": False},
    "maps-and-sum": {"guidance": "concatenated-maps", "range_map": "sum", "spatial_attention": False},
    "snr-alone": {"range_map": "snr", "channel_attention": False, "spatial_attention": False, "kernel": 5, "blocks": 1},
}
FORMS = {**ABLATIONS, **OTHERS}


def made(name, prior_width=12, form="paper"):
    settings = dict(FORMS[name])
    if name == "large":
        settings |= {"width": 24}  # what it is made of, at a size that a test can afford
    return PTGRM(prior_width, form=form, **settings)


def feature_for(module, batch=2):
    return torch.randn(batch, module.prior_width, *((3, 5) if module.takes_maps else ()))


def by_hand(prior=512, c=16, hidden=256, k=3, blocks=4, out=6, **settings):
    """Parameters, by the layers that the paper lists."""
    settings = {
        "range_map": "learned",
        "channel_attention": True,
        "spatial_attention": True,
        "position": True,
        "guidance": "attention",
    } | settings
    c = settings.pop("width", c)
    guided, placed = settings["guidance"] == "attention", settings["position"]
    channel, spatial = settings["channel_attention"], settings["spatial_attention"]
    t, s = prior * hidden + hidden * 4 * c, 2 * c * 9 + c * c
    beside = c * (1 + 4 * guided + placed)
    total = 6 * c * 9 + 2 * c * c * 9 + 2 * 2 * c  # R_e
    total += 0 if guided else t + 5 * c * c
    if settings["range_map"] == "learned":
        total += beside * c * 9 + c * 9 + t * guided + s * placed  # R_m, T_m, S_m
    total += 2 * (c * c * 9 + c)  # R_s
    gate = int(2.66 * c)
    attention = c * 3 * c + 3 * c * 9 + c * c + 1
    total += blocks * (2 * 2 * c + attention + c * 2 * gate + 2 * gate * 9 + gate * c)  # R_l
    total += t * guided * (channel or spatial)  # T_c
    total += channel * (c * (1 + 4 * guided) * c + c * c)  # R_c
    total += spatial * (s * placed + beside * c * k * k * 9 + (c * k * k) ** 2 * 9 + c * 9)  # S_c, R_p, R_o
    total += (channel + spatial) * c * c  # R_f
    return total + 2 * c * 4 * c * 9 + c * c * 9 + c + c * out * 9 + out  # R_d


PARAMETERS = {
    "default": 672_170,
    "without-range-map": 510_202,
    "without-channel-attention": 670_378,
    "without-spatial-attention": 360_186,
    "large": 702_874,
    "without-position": 648_042,
    "snr-mask": 510_202,
    "concatenated-vector": 432_810,
    "concatenated-maps": 432_810,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    module = PTGRM(512, **FORMS[name])
    assert sum(value.numel() for value in module.parameters()) == by_hand(**FORMS[name]) == PARAMETERS[name]
    assert PARAMETERS[name] < 1_000_000


M = {"range_map", "range_prior", "range_position"}
M_C, M_S = {"channel_attention"}, {"spatial_attention", "attention_position"}
# Of the paper's table 3, row by row: what R no longer has, T and S by whom they serve.
TAKEN_AWAY = {
    "without-range-map": M,
    "without-channel-attention": M_C,
    "without-spatial-attention": M_S,
    "large": M | M_C | M_S | {"attention_prior", "fusion"},
    "without-position": {"range_position", "attention_position"},
    "snr-mask": M,
    "concatenated-vector": {"range_prior", "attention_prior"},
    "concatenated-maps": {"range_prior", "attention_prior"},
}


@pytest.mark.parametrize("name", sorted(ABLATIONS.keys() | TAKEN_AWAY.keys()))
def test_a_row_of_the_table_takes_away_what_it_says_and_nothing_else(name):
    whole, without = (
        {key.partition(".")[0] for key in PTGRM(512, **settings).state_dict()} for settings in ({}, ABLATIONS[name])
    )
    assert whole - without == TAKEN_AWAY[name]
    assert without - whole == ({"concatenation"} if name.startswith("concatenated") else set())


@pytest.mark.parametrize("form", ["paper", "reference"])
@pytest.mark.parametrize("name", FORMS)
def test_it_agrees_with_a_naive_derivation(name, form):
    module = randomised(made(name, form=form))
    # In 256 levels: the ratio of signal to noise magnifies the last bits, in which float32 differs from float64.
    restored, degraded = (torch.rand(2, 2, 3, 12, 20) * 1.4 - 0.2).mul(255).round().div(255)
    feature = feature_for(module)
    with torch.no_grad():
        refined = module(restored, degraded, feature)
    torch.testing.assert_close(refined.double(), naive(module, restored, degraded, feature), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [1, 5])
@pytest.mark.parametrize("form", ["paper", "reference"])
@pytest.mark.parametrize("name", FORMS)
def test_windows_do_not_change_the_result(name, form, side, monkeypatch):
    module = randomised(made(name, form=form))
    restored, degraded = torch.rand(2, 1, 3, 44, 28)
    feature = feature_for(module, 1)
    grid = torch.tensor([[0.1, 0.2, 0.6, 0.9]])
    with torch.no_grad():
        whole = module(restored, degraded, feature, grid=grid)
        monkeypatch.setattr(module, "_window", lambda _: side)
        assert not Windows(11, 7, side).whole
        divided = module(restored, degraded, feature, grid=grid, memory=1)
    torch.testing.assert_close(divided, whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", FORMS)
def test_untrained_it_returns_the_restored_image(name):
    module = made(name)
    restored, degraded = torch.rand(2, 2, 3, 8, 12)
    torch.testing.assert_close(module(restored, degraded, feature_for(module)), restored, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", FORMS)
def test_every_parameter_matters_and_the_prior_but_where_it_is_left_out(name):
    module = randomised(made(name))
    restored, degraded = torch.rand(2, 1, 3, 16, 16)
    refined = module(restored, degraded, feature_for(module, 1))
    other = module(restored, degraded, feature_for(module, 1))
    seen = name not in ("large", "snr-alone")
    assert bool((refined - other).abs().max() > 1e-6) == seen
    refined.sum().backward()
    assert [key for key, value in module.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("name", FORMS)
def test_its_settings_build_it_again(name):
    module = randomised(made(name))
    again = build_refinement(refinement_name(module), json.loads(json.dumps(module.settings)))
    again.load_state_dict(module.state_dict())
    restored, degraded = torch.rand(2, 1, 3, 8, 8)
    feature = feature_for(module, 1)
    assert torch.equal(again(restored, degraded, feature), module(restored, degraded, feature))


def test_a_shipped_r_is_one_of_before_these_settings_and_gives_the_equations_result():
    path = find_model("fast")
    settings = dict(describe_model(path).refinement["settings"])
    for later in ("range_map", "guidance", "position", "channel_attention", "spatial_attention"):
        settings.pop(later, None)
    module = build_refinement("ptgrm", settings).eval()
    assert module.settings | describe_model(path).refinement["settings"] == module.settings
    stored = {
        key.removeprefix("refinement."): value
        for key, value in read_weights(path).items()
        if key.startswith("refinement.")
    }
    assert stored.keys() == module.state_dict().keys()
    assert torch.equal(pellucid.load("fast").model.refinement.decoder.out.weight, stored["decoder.out.weight"].float())
    module.load_state_dict({key: value.float() for key, value in stored.items()})
    restored, degraded = torch.rand(2, 1, 3, 12, 20)
    feature = torch.randn(1, settings["prior_width"])
    with torch.no_grad():
        refined = module(restored, degraded, feature)
    torch.testing.assert_close(refined.double(), naive(module, restored, degraded, feature), atol=1e-5, rtol=1e-5)


# --- the signal-to-noise ratio


def test_the_ratio_is_high_where_the_picture_is_bright_and_clean():
    picture = torch.full((1, 3, 16, 32), 0.8)
    picture[..., 16:] = 0.1
    picture += torch.randn(1, 1, 16, 32) * 0.02
    ratio = snr_map(picture)
    assert ratio[..., 2:13].median() > 4 * ratio[..., 19:30].median()
    assert snr_map(torch.full((1, 3, 4, 4), 0.5)).allclose(torch.tensor(5000.0))


@pytest.mark.parametrize(
    "picture", [torch.zeros(1, 3, 4, 8), torch.full((1, 3, 8, 4), -0.3), torch.ones(1, 3, 4, 4) * 2]
)
def test_the_mask_of_flat_pictures_is_finite(picture):
    mask = our_snr_mask(picture, Windows(picture.shape[2] // 4, picture.shape[3] // 4))
    torch.testing.assert_close(mask.double(), snr_mask(picture.double()))
    assert 0 <= mask.min() <= mask.max() <= 1


# --- maps of a prior


def test_a_crop_takes_its_part_of_the_maps():
    maps = torch.rand(1, 4, 3, 5)
    device = torch.device("cpu")
    whole = spread(maps, centres(torch.Size([1, 1, 12, 20]), None, device))
    torch.testing.assert_close(
        whole, torch.nn.functional.interpolate(maps, (12, 20), mode="bilinear", align_corners=False)
    )
    grid = torch.tensor([[3 / 12, 5 / 20, 9 / 12, 15 / 20]])
    crop = spread(maps, centres(torch.Size([1, 1, 6, 10]), grid, device))
    torch.testing.assert_close(crop, whole[:, :, 3:9, 5:15], atol=1e-6, rtol=1e-6)
    assert not torch.equal(
        centres(torch.Size([1, 1, 6, 10]), grid, device), coordinates(whole.shape, None, device)[:, :, 3:9, 5:15]
    )


def test_maps_and_vectors_are_not_mistaken_for_each_other():
    image = torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"takes the prior's maps \(B, 5, h, w\), got \(1, 5\)"):
        PTGRM(5, guidance="concatenated-maps")(image, image, torch.rand(1, 5))
    with pytest.raises(ValueError, match=r"takes the prior's vector \(B, 5\), got \(1, 5, 2, 2\)"):
        PTGRM(5)(image, image, torch.rand(1, 5, 2, 2))
    with pytest.raises(ValueError, match=r"takes the prior's vector \(B, 5\), got \(1, 6\)"):
        PTGRM(5)(image, image, torch.rand(1, 6))


def test_a_prior_without_maps_is_named():
    with pytest.raises(
        SettingsError, match=r"needs a prior with maps, which 'statistics' has not \(it gives vectors only\)"
    ):
        refinement_for(torch.nn.Identity(), Statistics(), "ptgrm", {"guidance": "concatenated-maps"})
    prior = Zeros(8)
    prior.maps, prior.view_channels = (lambda image: image), 1
    with pytest.raises(SettingsError, match=r"'zeros:8' has not \(its view is not an image, of which to make maps\)"):
        refinement_for(torch.nn.Identity(), prior, "ptgrm-features", {"guidance": "concatenated-maps"})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("ptgrm", {"prior_width": 8}, "refinement 'ptgrm': prior_width follows from the prior; leave it out"),
        ("ptgrm-features", {"prior_width": 7}, "refinement 'ptgrm-features': prior_width follows from the prior"),
        (
            "ptgrm-features",
            {"channels": 999},
            "refinement 'ptgrm-features': channels follows from the layer; leave it out",
        ),
        ("ptgrm-features", {"layer": 3}, "layer must be the dotted name of a module of Sequential, got 3"),
        (3, {}, "unknown refinement '3'"),
    ],
)
def test_what_is_not_to_be_chosen_is_refused(name, settings, message):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.ConvTranspose2d(4, 3, 2, 2))
    with pytest.raises(SettingsError, match=message):
        refinement_for(network, Zeros(8), name, settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"range_map": "learnt"}, "unknown range_map 'learnt'; did you mean 'learned'"),
        ({"guidance": "concatenated"}, "unknown guidance 'concatenated'; did you mean"),
        ({"position": "off"}, "position must be true or false, got 'off'"),
        ({"kernel": 4}, "kernel must be odd"),
        ({"prior_norm": "photograph"}, "unknown prior_norm 'photograph'; did you mean 'photographs'"),
        ({"prior_norm": "photographs", "guidance": "concatenated-maps"}, "is for a prior's vector"),
        ({"widht": 4}, "unknown setting 'widht'; did you mean 'width'"),
        ({"prior_hidden": 0}, "prior_hidden must be a whole number, 1 or more; got 0"),
        ({"kernel": -1}, "kernel must be a whole number"),
        ({"blocks": -3}, "blocks must be a whole number, 0 or more"),
        ({"width": True}, "width must be a whole number"),
        ({"form": "papr"}, "form must be"),
    ],
)
def test_wrong_settings_are_said(settings, message):
    with pytest.raises(SettingsError, match=message):
        build_refinement("ptgrm", settings)


def test_the_defaults_are_the_papers():
    assert LatentSettings() == LatentSettings(512, 16, None, 3, 4, "learned", True, True, True, "attention")


@pytest.mark.parametrize("guidance", ["attention", "concatenated-vector"])
def test_a_normalised_prior_is_seen_up_to_shift_and_scale(guidance):
    torch.manual_seed(0)
    plain, normalised = (
        randomised(PTGRM(12, guidance=guidance, prior_norm=norm)).eval() for norm in ("none", "components")
    )
    images, feature = torch.rand(2, 1, 3, 16, 20), torch.randn(1, 12)
    for module in (plain, normalised):
        again = build_refinement(refinement_name(module), module.settings)
        again.load_state_dict(module.state_dict())
        same, moved = (again(*images, one) for one in (feature, 3 * feature + 1))
        assert torch.equal(same, module(*images, feature))
        assert torch.allclose(same, moved, atol=1e-4) == (module is normalised)
    extra = sum(value.numel() for value in normalised.parameters()) - sum(value.numel() for value in plain.parameters())
    assert extra == (2 if guidance == "attention" else 1) * 2 * 12


@pytest.mark.parametrize("guidance", ["attention", "concatenated-vector"])
def test_a_prior_standardised_over_photographs_is_seen_in_their_units(guidance):
    torch.manual_seed(0)
    module = randomised(PTGRM(12, guidance=guidance, prior_norm="photographs")).eval()
    plain = PTGRM(12, guidance=guidance).eval()
    names = [name for name in module.state_dict() if name.endswith((".mean", ".deviation"))]
    # In front of T the numbers of its layers move up by one.
    learnt = (value for name, value in module.state_dict().items() if name not in names)
    plain.load_state_dict(dict(zip(plain.state_dict(), learnt, strict=True)))
    images, vectors = torch.rand(2, 1, 3, 16, 20), 5 + 3 * torch.randn(40, 12)
    mean, deviation = vectors.mean(0), vectors.std(0)
    vectors[:, 3] = 7  # the same in all of them

    def standard(vectors):
        normal = (vectors - mean) / deviation
        normal[:, 3] = 0
        return normal

    assert module.standardises
    assert not plain.standardises
    assert torch.equal(module(*images, standard(vectors[:1])), plain(*images, standard(vectors[:1])))

    module.learn_prior(vectors)
    assert torch.allclose(module(*images, vectors[:1]), plain(*images, standard(vectors[:1])), atol=1e-5)
    again = build_refinement(refinement_name(module), module.settings)
    again.load_state_dict(module.state_dict())
    assert torch.equal(again.eval()(*images, vectors[:1]), module(*images, vectors[:1]))


def test_a_photograph_unlike_those_of_the_training_cannot_blow_a_standardised_prior_up():
    torch.manual_seed(0)
    vectors = torch.randn(50, 8)
    vectors[:, 2] *= 1e-4  # hardly differs among them
    standardise = Standardise(8)
    standardise.learn(vectors)
    assert standardise(vectors).abs().max() <= 5
    assert standardise(vectors)[:, 2].abs().max() < 0.01
    assert standardise(100 * torch.randn(1, 8)).abs().max() <= 5
