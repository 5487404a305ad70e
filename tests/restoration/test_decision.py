"""Who restores a picture, and who does not: by what a stand-in for a diagnosis and a gate say of it."""

import json
from dataclasses import replace

import pytest
import skimage.data
import torch
from torch import nn

from pellucid import images
from pellucid.degradations import KINDS, parse
from pellucid.errors import ImageError, SettingsError
from pellucid.models.header import Policy
from pellucid.models.tables import build_network
from pellucid.networks import Network
from pellucid.networks.contract import Contract
from pellucid.priors.contract import FrozenPrior
from pellucid.refinement import Boosted
from pellucid.restoration.options import RestoreOptions
from pellucid.restoration.restorer import Restorer

LIGHT, BLUR, REST, CLEAN = range(4)
SPECIALISTS = [{"kinds": ["low-light", "haze"]}, {"kinds": ["blur"]}, {}, {"kinds": ["clean"]}]


class Said(FrozenPrior):
    """Says of every picture the same of each kind; its vector is what the gate is to believe."""

    def __init__(self, trust, probabilities):
        super().__init__("said", len(trust), (1, 1))
        self.trust, self.probabilities, self.shown = torch.tensor([trust]), probabilities, []
        self.freeze()

    def prepare(self, image):
        self.shown.append(tuple(image.shape[2:]))
        return image.mean((2, 3), keepdim=True)

    def encode(self, view):
        return self.trust

    def conclusions(self, view):
        return {kind: (self.probabilities.get(kind, 0.0), 50.0) for kind in KINDS}


class Change(Network):
    """Does with an image what it is told to, and counts how often."""

    def __init__(self, change):
        super().__init__()
        self.contract, self.settings, self.change, self.calls = Contract(), {}, change, 0

    def restore(self, tile, guidance):
        self.calls += 1
        return self.change(tile)


def brighter(image):
    return image**0.5


def darker_left(image):
    """No mean is changed: the left half loses what the right one gains."""
    half = image.shape[3] // 2
    return torch.cat([image[..., :half] - 0.05, image[..., half:] + 0.05], 3)


def model(trust, probabilities):
    """Experts of which a gate and a diagnosis say these: for light, for blur, for the rest, and for the clean."""
    assert sum(trust) == pytest.approx(1)
    experts = build_network(
        "experts", {"experts": [{"name": "identity", **one} for one in SPECIALISTS], "prior_width": 4}
    )
    changes = (brighter, darker_left, lambda image: image.flip(3), lambda image: image)
    for number, change in enumerate(changes):
        experts.experts[number] = Change(change)
    experts.gate = nn.Identity()
    experts.gate.register_parameter("scale", nn.Parameter(torch.ones(1)))
    logarithms = [max(share, 1e-6) for share in trust]
    return Boosted(experts, Said(torch.tensor(logarithms).log().tolist(), probabilities), None)


def picture(side=32):
    """Shades from black to white and back, so that every expert leaves its mark."""
    return torch.cat([torch.linspace(0.1, 0.8, side // 2), torch.linspace(0.7, 0.2, side // 2)]).expand(
        1, 3, side, side
    )


def restorer(trust, probabilities, *, policy=Policy(), **options):  # noqa: B008
    return Restorer(model(trust, probabilities), name="stand-in", policy=policy, precision="float32", tile=0, **options)


def asked(made):
    """How often each expert was asked."""
    return [expert.calls for expert in made.network.experts]


@pytest.mark.parametrize(
    ("trust", "probability", "acts"),
    [
        (0.9, 0.99, True),
        (0.99, 0.99, True),
        (0.9, 0.9, False),  # the diagnosis doubts
        (0.6, 0.99, False),  # the gate doubts
        (0.3, 0.3, False),
    ],
)
def test_tones_change_in_one_piece_where_both_are_sure_or_not_at_all(trust, probability, acts):
    made = restorer([trust, 0, 0, 1 - trust], {"low-light": probability})
    result, decision = made.restore_and_explain(picture())
    torch.testing.assert_close(result, brighter(picture()) if acts else picture())
    assert decision.unchanged is not acts
    assert made.explain(picture()) == decision
    if acts:
        (action,) = decision.done
        assert (action.experts, action.kinds, action.shares, action.strength) == (
            (LIGHT,),
            (("low-light",),),
            (1.0,),
            1,
        )
    elif probability > 0.5:
        assert [left.kind for left in decision.left] == ["low-light"]
        assert "--only low-light" in decision.words()


def test_which_kinds_change_tones_stands_in_the_policy():
    trust = [0.3, 0, 0, 0.7]
    assert restorer(trust, {"haze": 0.99}).explain(picture()).unchanged
    free = Policy(tones={"blur": (0.9, 0.8)}, tone_shift=255)
    made = restorer(trust, {"haze": 0.99}, policy=replace(free, second_share=1))
    torch.testing.assert_close(made(picture()), picture().lerp(brighter(picture()), 0.3))
    assert not restorer([0, 0.85, 0, 0.15], {"blur": 0.95}, policy=free).explain(picture()).unchanged
    assert restorer([0, 0.75, 0, 0.25], {"blur": 0.95}, policy=free).explain(picture()).unchanged


def test_what_the_guard_takes_from_one_expert_it_gives_to_no_other():
    """The gate trusts an expert by a tenth: by a tenth it is asked, although those beside it are not."""
    made = restorer([0.6, 0.1, 0, 0.3], {"low-light": 0.6, "blur": 0.7}, policy=Policy(second_share=1))
    result, decision = made.restore_and_explain(picture())
    torch.testing.assert_close(result, picture().lerp(darker_left(picture()), 0.1))
    assert decision.done[0].strength == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(
    ("share", "probability", "acts"), [(0.25, 0.95, True), (0.1, 0.95, False), (0.25, 0.85, False), (0.6, 0.6, True)]
)
def test_the_diagnosis_has_a_second_opinion(share, probability, acts):
    made = restorer([0, share, 0, 1 - share], {"blur": probability})
    result, decision = made.restore_and_explain(picture())
    whole = 1.0 if share < 0.5 and acts else share
    torch.testing.assert_close(result, picture().lerp(darker_left(picture()), whole), atol=1e-5, rtol=0)
    if share < 0.5 and not acts:
        assert decision.done[0].strength == pytest.approx(share, abs=1e-3)


def test_no_expert_acts_for_what_was_not_found_unless_always():
    trust = [0, 0, 1, 0]
    result, decision = restorer(trust, {"blur": 0.6}).restore_and_explain(picture())
    assert torch.equal(result, picture())
    assert [left.kind for left in decision.left] == ["blur"]
    torch.testing.assert_close(restorer(trust, {"blur": 0.6}, always=True)(picture()), picture().flip(3))


def test_a_picture_that_is_left_alone_is_the_very_same():
    for probabilities in ({}, {"low-light": 0.9}):
        for leave in (False, True):
            photograph = images.Photograph(picture())
            made = restorer([0, 0, 0, 1], probabilities, policy=Policy(leave_alone=leave))
            assert made(photograph) is photograph
            assert asked(made) == [0, 0, 0, 0]
    assert "nothing is wrong" in restorer([1, 0, 0, 0], {}, policy=Policy(leave_alone=True)).explain(picture()).words()


def test_a_mean_that_moves_without_reason_moves_by_two_levels_at_most():
    made = restorer([0, 0, 1, 0], {"noise": 0.9})
    made.network.experts[REST].change = lambda image: image + 0.1
    result, decision = made.restore_and_explain(picture())
    assert 255 * (result - picture()).mean().item() == pytest.approx(2, abs=0.01)
    assert decision.done[0].strength == pytest.approx(2 / 25.5, abs=1e-3)
    assert "tones" in decision.done[0].why
    darkened = restorer([0, 0, 1, 0], {"noise": 0.9}, policy=Policy(tone_shift=0))
    darkened.network.experts[REST].change = lambda image: image - 0.05
    torch.testing.assert_close(darkened(picture()), picture())


def test_rain_is_light_that_may_go_whoever_takes_it_away():
    """Here nobody is named for it, so the expert for the rest is."""
    for probability, moved in ((0.97, -12.75), (0.85, -2.0)):
        made = restorer([0, 0, 1, 0], {"rain": probability})
        made.network.experts[REST].change = lambda image: image - 0.05
        result = made(picture())
        assert 255 * (result - picture()).mean().item() == pytest.approx(moved, abs=0.01)


def test_a_halo_is_taken_back():
    made = restorer([1, 0, 0, 0], {"low-light": 1.0})
    step = torch.cat([torch.linspace(0.1, 0.2, 32), torch.linspace(0.6, 0.7, 32)]).expand(1, 3, 64, 64)

    def with_halo(image):
        far = nn.functional.avg_pool2d(nn.functional.pad(image, (8, 8, 8, 8), "replicate"), 17, 1)
        return (image + 1.5 * (image - far)).clamp(0, 1)

    made.network.experts[LIGHT].change = with_halo
    result, decision = made.restore_and_explain(step)
    assert decision.done[0].strength < 1
    assert "halo" in decision.words()
    assert (result - step).abs().max() < (with_halo(step) - step).abs().max()


def test_only_names_who_acts_whatever_is_found():
    trust = [0.01, 0.01, 0.48, 0.5]
    made = restorer(trust, {"noise": 0.9}, only="low-light")
    result, decision = made.restore_and_explain(picture())
    torch.testing.assert_close(result, brighter(picture()))
    assert decision.done[0].kinds == (("low-light",),)
    assert [left.kind for left in decision.left] == ["noise"]
    both = restorer(trust, {}, only=["blur", "noise"])
    torch.testing.assert_close(both(picture()), darker_left(picture().flip(3)))
    assert asked(both) == [0, 1, 1, 0]
    assert not restorer([0, 0, 0, 1], {}, only="haze", policy=Policy(leave_alone=True)).explain(picture()).unchanged


def test_skip_names_who_does_not():
    trust, probabilities = [0.7, 0.3, 0, 0], {"low-light": 1.0, "blur": 0.9}
    _, decision = restorer(trust, probabilities, skip="low-light").restore_and_explain(picture())
    assert [action.kinds for action in decision.done] == [(("blur",),)]
    assert [(left.kind, "skipped" in left.why) for left in decision.left] == [("low-light", True)]
    trust = [0.95, 0.05, 0, 0]  # haze is another matter, though the same expert is for it
    hazy = restorer(trust, {"haze": 1.0}, skip="low-light").explain(picture())
    assert hazy.done[0].kinds == (("haze",),)
    assert restorer([0, 0, 1, 0], {"noise": 0.9}, skip="noise").explain(picture()).unchanged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "nois"}, "only: unknown kind 'nois'; did you mean 'noise'"),
        ({"skip": "fog"}, "skip: unknown kind 'fog'"),
        ({"only": "noise,jpeg", "skip": ["jpeg"]}, "only and skip both name jpeg"),
        ({"only": 3}, "only must be kinds"),
    ],
)
def test_wishes_that_cannot_be_are_one_line(options, message):
    with pytest.raises(SettingsError, match=message) as raised:
        restorer([0, 0, 0, 1], {}, **options)
    assert "\n" not in str(raised.value)


def test_wishes_are_for_those_who_can_choose():
    with pytest.raises(SettingsError, match="models of experts"):
        Restorer(Change(brighter), only="noise")
    assert RestoreOptions(only=" noise, jpeg ,noise").only == ("noise", "jpeg")


@pytest.mark.parametrize("size", [(7, 5), (15, 300), (1, 1)])
def test_of_tiny_pictures_nothing_can_be_told(size):
    image = torch.rand(1, 3, *size)
    made = restorer([1, 0, 0, 0], {"low-light": 1.0})
    result, decision = made.restore_and_explain(image)
    assert result is image
    assert f"{size[1]} x {size[0]} pixels" in decision.words()
    assert restorer([1, 0, 0, 0], {}, only="low-light")(image) is not image
    assert not Restorer(Change(brighter)).explain(image).unchanged  # a model that does not diagnose does what it is for


def test_transparent_pixels_have_no_say():
    hidden = torch.ones(1, 1, 64, 64)
    hidden[..., 24:, :] = 0
    pixels = picture(64).clone()
    pixels[..., 24:, :] = 0
    made = restorer([0, 0, 1, 0], {"noise": 0.9})
    made.network.experts[REST].change = lambda image: image + 0.1
    for photograph in (
        images.Photograph(pixels, hidden),
        torch.cat([pixels, hidden], 1)[0].permute(1, 2, 0).numpy(),
    ):
        made.model.prior.shown.clear()
        result, decision = made.restore_and_explain(photograph)
        assert made.model.prior.shown == [(24, 64)]
        moved = (images.to_tensor(result) - pixels)[..., :24, :].mean().item()
        assert 255 * moved == pytest.approx(2, abs=0.05)  # of what is seen, not of the whole
        assert decision.done


def test_what_the_guidance_says_is_what_experts_do():
    experts = model([1, 0, 0, 0], {}).network
    known = experts.look(picture(), told(experts, [0.0, 0.25, 0.0, 0.75]))
    torch.testing.assert_close(experts.restore(picture(), known), picture().lerp(darker_left(picture()), 0.25))


def told(experts, weights):
    from pellucid.guidance import Guidance

    return Guidance(vector=torch.zeros(1, 4), own={"weights": torch.tensor([weights])})


def test_a_model_without_experts_says_its_name():
    decision = Restorer(Change(brighter), name="brighter").explain(picture())
    assert (decision.words(), decision.unchanged, decision.found) == ("restored by brighter", False, ())


def test_records_are_data():
    decision = restorer([0.5, 0, 0.5, 0], {"low-light": 0.9, "noise": 0.8}).explain(picture())
    assert json.loads(json.dumps(decision.as_dict()))["found"][0]["kind"] in ("low-light", "noise")
    with pytest.raises(AttributeError):
        decision.model = "other"
    with pytest.raises(ImageError, match="one picture"):
        restorer([1, 0, 0, 0], {}).explain(torch.rand(2, 3, 32, 32))


def test_a_path_is_explained_too(tmp_path):
    images.write(images.Photograph(picture()), tmp_path / "a.png")
    assert restorer([1, 0, 0, 0], {"haze": 0.99}).explain(tmp_path / "a.png").done[0].kinds == (("haze",),)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def salted():
    """A picture of slow shades, and of 200 in 16,384 pixels black or white."""
    shades = torch.linspace(0.3, 0.6, 128).expand(1, 3, 128, 128).clone()
    draw = torch.rand(128, 128, generator=torch.Generator().manual_seed(0))
    salted = shades.clone()
    salted[..., draw < 0.006] = 1.0
    salted[..., draw > 0.994] = 0.0
    return shades, salted


def test_lost_pixels_are_filled_in_before_any_network_sees_them():
    shades, picture_with_dots = salted()
    made = restorer([0, 0, 0, 1], {})
    result, decision = made.restore_and_explain(picture_with_dots)
    torch.testing.assert_close(result, shades, atol=0.01, rtol=0)
    (found,), (action,) = decision.found, decision.done
    assert (found.kind, found.probability, action.kinds, action.experts) == ("impulses", 1.0, (("impulses",),), ())
    assert found.severity == pytest.approx(2.4, rel=0.4)
    assert "found impulse noise (1" in decision.words()
    assert "restored impulse noise" in decision.words()
    assert not decision.unchanged
    assert made.explain(picture_with_dots).found == decision.found
    both, decision = restorer([0, 1, 0, 0], {"blur": 0.95}).restore_and_explain(picture_with_dots)
    torch.testing.assert_close(both, darker_left(shades), atol=0.01, rtol=0)
    assert [action.kinds for action in decision.done] == [(("impulses",),), (("blur",),)]


def test_lost_pixels_can_be_left_or_repaired_alone():
    shades, picture_with_dots = salted()
    left, decision = restorer([0, 1, 0, 0], {"blur": 0.95}, skip=("impulses", "blur")).restore_and_explain(
        picture_with_dots
    )
    assert torch.equal(left, picture_with_dots)
    assert "impulse noise: it is to be skipped" in decision.words()
    made = restorer([0, 1, 0, 0], {"blur": 0.95}, only=("impulses",))
    alone, decision = made.restore_and_explain(picture_with_dots)
    torch.testing.assert_close(alone, shades, atol=0.01, rtol=0)
    assert asked(made) == [0, 0, 0, 0]
    nothing, decision = made.restore_and_explain(shades)
    assert torch.equal(nothing, shades)
    assert "impulse noise: there is none" in decision.words()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("colour-cast", "colour-cast warmth=90"),
        ("fading", "fading amount=70"),
        ("aberration", "aberration red=5 blue=-4"),
        ("banding", "banding levels=24"),
    ],
)
def test_what_may_be_meant_is_undone_where_it_is_asked_for(kind, text):
    clean = images.to_tensor(skimage.data.astronaut()[:320, 100:420])
    changed = (parse(text)(clean, torch.Generator().manual_seed(0)) * 255).round() / 255
    left, decision = restorer([0, 0, 0, 1], {}).restore_and_explain(changed)
    assert torch.equal(left, changed)
    assert kind in [found.kind for found in decision.found]
    assert f"--only {kind} restores it" in decision.words()
    undone, decision = restorer([0, 1, 0, 0], {}, only=(kind,)).restore_and_explain(changed)
    assert [action.kinds for action in decision.done] == [((kind,),)]
    errors = [float((one - clean).square().mean()) for one in (undone, changed)]
    assert errors[0] < (0.98 if kind == "banding" else 0.7) * errors[1]


def test_an_expert_that_doubts_is_not_asked():
    """It is asked how sure it is only where diagnosis and gate are not both quite sure."""

    class Doubting(Change):
        certain, looked = 0.5, 0

        def certainty(self, image):
            self.looked += 1
            return self.certain

    def with_doubts(trust, probability, **options):
        made = restorer([0, trust, 0, 1 - trust], {"blur": probability}, **options)
        made.network.experts[BLUR] = Doubting(darker_left)
        return made, made.network.experts[BLUR]

    made, expert = with_doubts(0.9, 0.9)
    result, decision = made.restore_and_explain(picture())
    assert torch.equal(result, picture())
    assert decision.unchanged
    assert "do not agree on it" in decision.words()
    assert (expert.looked, expert.calls) == (1, 0)
    expert.certain = 0.9
    assert not made.restore_and_explain(picture())[1].unchanged
    quite_sure = ({"only": ("blur",)}, 0.9, 0.9), ({"always": True}, 0.9, 0.9), ({}, 0.96, 0.98)
    for options, trust, probability in quite_sure:
        made, expert = with_doubts(trust, probability, **options)
        assert not made.restore_and_explain(picture())[1].unchanged
        assert expert.looked == 0


class Sure(Change):
    """An expert for blur that says how sure it is."""

    certain = 0.95

    def certainty(self, image):
        return self.certain


def beneath(trust, probabilities, certain):
    """With an expert for JPEG where that for the rest was, and one for the rest where the clean go."""
    made = model(trust, probabilities)
    made.network.kinds[REST], made.network.kinds[CLEAN] = ("jpeg",), None
    made.network.experts[BLUR] = Sure(darker_left)
    made.network.experts[BLUR].certain = certain
    return Restorer(made, name="stand-in", precision="float32", tile=0, policy=Policy(tone_shift=255))


def test_an_expert_that_is_sure_of_itself_acts_first_where_blocks_hide_its_kind_from_the_gate():
    gate, found = [0, 0.05, 0.9, 0.05], {"jpeg": 0.99, "blur": 0.55}
    made = beneath(gate, found, 0.95)
    result, decision = made.restore_and_explain(picture())
    torch.testing.assert_close(result, darker_left(picture()))
    assert [action.kinds for action in decision.done] == [(("blur",),)]
    for trust, probabilities, certain in (
        (gate, found, 0.79),
        (gate, {"jpeg": 0.99, "blur": 0.45}, 0.95),
        ([0, 0.05, 0.05, 0.9], found, 0.95),
    ):
        made = beneath(trust, probabilities, certain)
        made.explain(picture())
        assert "blur" not in str(made.explain(picture()).done)


@pytest.mark.parametrize(
    ("jpeg", "blur", "certain", "whole"),
    [(0.7, 0.9, 0.95, True), (0.7, 0.9, 0.79, False), (0.4, 0.9, 0.95, False), (0.7, 0.4, 0.95, False)],
)
def test_where_blocks_are_found_an_expert_that_is_sure_of_itself_acts_whole(jpeg, blur, certain, whole):
    """The gate, which would have it as three parts of five, knows less there than it does."""
    made = beneath([0, 0.6, 0.05, 0.35], {"jpeg": jpeg, "blur": blur, "noise": 0.6}, certain)
    first = made.explain(picture()).done[0]
    assert ((first.kinds, first.shares, first.strength) == ((("blur",),), (1,), 1)) is whole


def grainy(sigma):
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * sigma / 255
    return (picture(64) + noise).clamp(0, 1)


@pytest.mark.parametrize(
    ("sigma", "trust", "threshold", "acts"),
    [
        (12, 0.95, {"any": (5, 0.9)}, True),
        (3, 0.95, {"any": (5, 0.9)}, False),
        (12, 0.85, {"any": (5, 0.9)}, False),
        (12, 0.85, {"any": (5, 0.9), "low-light": (3, 0.8)}, True),
        (12, 0.95, {"haze": (5, 0.9)}, False),
        (12, 0.95, {}, False),
    ],
)
def test_noise_that_is_measured_is_found_where_the_gate_believes_it(sigma, trust, threshold, acts):
    """As where the diagnosis takes the grain of a picture that is not bright for darkness."""
    made = restorer([0, 0, trust, 1 - trust], {"low-light": 0.7}, policy=Policy(measured_noise=threshold))
    made.network.experts[REST].change = lambda image: image * 0.99
    shown = grainy(sigma)
    decision = made.explain(shown)
    assert decision.unchanged is not acts
    assert ("low-light" in [left.kind for left in decision.left]) is True
    if acts:
        found = next(one for one in decision.found if one.kind == "noise")
        assert found.severity == pytest.approx(2 * sigma, rel=0.15)
        assert f"noise (measured, of sigma {found.severity / 2:.0f})" in decision.words()
        torch.testing.assert_close(
            made(shown), shown.lerp(shown * 0.99, trust if trust < 0.9 else 1), atol=0.01, rtol=0
        )


@pytest.mark.parametrize(
    ("sigma", "stored", "drawn", "acts"),
    [
        (0, 0.1, (0.7, 0.2), False),
        (3, 0.1, (0.7, 0.2), True),  # a sensor was there
        (0, 0.4, (0.7, 0.2), True),  # a JPEG may have taken its noise
        (0, 0.1, (0, 0), True),  # nobody asks
    ],
)
def test_a_dark_picture_without_any_noise_was_drawn_and_is_not_brightened(sigma, stored, drawn, acts):
    options = {"policy": Policy(drawn=drawn)}
    made = restorer([0.99, 0, 0, 0.01], {"low-light": 0.99, "jpeg": stored}, **options)
    shown = grainy(sigma)
    _, decision = made.restore_and_explain(shown)
    assert decision.unchanged is not acts
    assert ("it seems to be drawn; --only low-light restores it" in decision.words()) is not acts
    wanted = restorer([0.99, 0, 0, 0.01], {"low-light": 0.99, "jpeg": stored}, only=("low-light",), **options)
    assert not wanted.restore_and_explain(shown)[1].unchanged


@pytest.mark.parametrize(
    ("probabilities", "share", "sure", "acts"),
    [
        ({"ringing": 0.8}, 0.9, 0.95, True),
        ({"ringing": 0.8}, 0.9, 0.5, False),  # its halves do not agree
        ({"ringing": 0.8}, 0.4, 0.95, False),  # the gate asks for another
        ({"ringing": 0.2, "noise": 0.45}, 0.9, 0.95, False),  # nothing that blur is taken for
        ({"blur": 0.4}, 0.9, 0.95, True),
    ],
)
def test_blur_that_is_taken_for_something_else_is_found_where_its_expert_is_sure(probabilities, share, sure, acts):
    trust = [0, share, 0, 1 - share]
    for mistaken in (("ringing",), ()):
        made = restorer(trust, probabilities, policy=Policy(mistaken=mistaken, second_share=1))
        made.network.experts[BLUR] = Sure(darker_left)
        made.network.experts[BLUR].certain = sure
        decision = made.explain(picture())
        assert decision.unchanged is not (acts and bool(mistaken))
        if acts and mistaken:
            assert "blur (its parts agree on it)" in decision.words()
            torch.testing.assert_close(made(picture()), picture().lerp(darker_left(picture()), share))


class HalfGrey(nn.Module):
    """Stands in for R: whatever it goes over gets the middle of its own shade and grey."""

    takes_maps, layer, multiple = False, None, 1

    def forward(self, restored, degraded, feature, *, grid=None, memory=None):
        return (restored + 0.5) / 2


def test_r_goes_over_the_results_of_those_kinds_for_which_it_pays():
    for refined, pays in ((None, True), (("noise",), True), (("haze", "blur"), False), ((), False)):
        made = model([0, 0, 1, 0], {"noise": 0.95})
        made.refinement = HalfGrey()
        whole = Restorer(made, policy=Policy(refined=refined, tones={}, tone_shift=255), precision="float32", tile=0)
        expected = picture().flip(3)
        torch.testing.assert_close(whole(picture()), (expected + 0.5) / 2 if pays else expected)


@pytest.mark.parametrize(("first", "then", "acts"), [(0.7, 0.97, True), (0.7, 0.9, False), (0.4, 0.97, False)])
def test_haze_that_noise_lay_over_may_be_sure_once_it_is_gone(first, then, acts):
    made = restorer([0.55, 0, 0.45, 0], {"noise": 0.99}, policy=Policy(passes=2, tone_shift=255))
    views = iter((first, then))
    made.model.prior.conclusions = lambda view: (
        dict.fromkeys(KINDS, (0.0, 50.0))
        | {
            "noise": (0.99, 50.0),
            "haze": (next(views), 50.0),
        }
    )
    result, decision = made.restore_and_explain(picture())
    flipped = picture().flip(3)
    torch.testing.assert_close(result, brighter(flipped) if acts else flipped)
    assert [action.kinds for action in decision.done] == [(("noise",),), (("haze",),)][: 1 + acts]


def test_only_a_part_of_a_kind_goes():
    shades, picture_with_dots = salted()
    whole, _ = restorer([0, 1, 0, 0], {"blur": 0.95}).restore_and_explain(shades)
    half, decision = restorer([0, 1, 0, 0], {"blur": 0.95}, amount={"blur": 0.5}).restore_and_explain(shades)
    torch.testing.assert_close(half, (shades + whole) / 2)
    assert "at strength 0.50: as much as is asked for" in decision.words()
    other, _ = restorer([0, 1, 0, 0], {"blur": 0.95}, amount={"haze": 0.1}).restore_and_explain(shades)
    assert torch.equal(other, whole)
    made = restorer([0, 0, 0, 1], {}, only=("impulses",), amount="impulses=0.25")
    some, _ = made.restore_and_explain(picture_with_dots)
    torch.testing.assert_close(some, picture_with_dots * 0.75 + shades * 0.25, atol=0.01, rtol=0)
    with pytest.raises(SettingsError, match=r"amount: .*blurr"):
        restorer([0, 1, 0, 0], {}, amount={"blurr": 0.5})


def test_a_text_says_what_is_wanted_of_one_picture():
    shades, _ = salted()
    made = restorer([0, 1, 0, 0], {"blur": 0.95})
    whole = made(shades)
    torch.testing.assert_close(made(shades, text="sharpen half"), (shades + whole) / 2)
    assert torch.equal(made(shades, text="restore it, but not the blur"), shades)
    assert torch.equal(made(shades), whole)
    with pytest.raises(SettingsError, match="a text that enlarges"):
        made(shades, text="make it twice as large")
