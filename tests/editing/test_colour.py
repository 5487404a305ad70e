"""Colouring keeps lightness and files whole, does what the words say of the network, and refuses what says nothing."""

import pytest
import torch

from pellucid import images
from pellucid.editing import colour
from pellucid.editing.colour import Colouring, ColourOptions
from pellucid.editing.palette import chroma_statistics, with_palette
from pellucid.errors import ImageError, ModelError, SettingsError
from pellucid.images.lab import lab_of
from pellucid.models.save import save_model
from pellucid.networks import Colorizer, Identity
from pellucid.networks.colorizer import joined_chroma


def grey(height, width):
    rows = torch.linspace(0.05, 0.95, height).view(-1, 1)
    return (rows + 0.1 * torch.rand(height, width)).clamp(0, 1).expand(1, 3, -1, -1).contiguous()


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (97, 41), (260, 30)])
def test_lightness_stays_at_any_size(colorizer, size):
    image = grey(*size)
    coloured = Colouring(colorizer).colour(image)
    assert coloured.shape == image.shape
    torch.testing.assert_close(lab_of(coloured)[:, 0], lab_of(image)[:, 0], atol=0.1, rtol=0)
    if min(size) > 20:
        assert lab_of(coloured)[:, 1:].norm(dim=1).mean() > 3


def test_parts_are_coloured_as_the_whole(colorizer, monkeypatch):
    image, colouring = grey(150, 60), Colouring(colorizer)
    whole = colouring.colour(image)
    monkeypatch.setattr(colour, "ROWS", 37)
    torch.testing.assert_close(colouring.colour(image), whole, atol=2e-4, rtol=0)


def test_colours_of_the_input_are_not_looked_at(colorizer):
    image = grey(40, 40)
    tinted = image * torch.tensor([1.05, 0.98, 1.0]).view(1, 3, 1, 1)
    tinted = tinted.clamp(0, 1)
    light = lab_of(tinted)[:, :1]
    same = Colouring(colorizer).colour(tinted)
    torch.testing.assert_close(lab_of(same)[:, :1], light, atol=0.5, rtol=0)


def test_saturation_multiplies_and_zero_is_grey(colorizer):
    image = grey(48, 48) * 0.4 + 0.3
    chroma = [lab_of(Colouring(colorizer, ColourOptions(saturation=part)).colour(image))[:, 1:] for part in (0, 0.5, 1)]
    assert chroma[0].abs().max() < 0.05
    inside = chroma[2].norm(dim=1) < 25  # what was not made paler for lack of such a colour
    torch.testing.assert_close(chroma[1].norm(dim=1)[inside], chroma[2].norm(dim=1)[inside] / 2, atol=0.3, rtol=0.02)


def test_words_reach_the_network(colorizer):
    image = grey(40, 50)
    said = [
        Colouring(colorizer, ColourOptions(text=text)).colour(image) for text in ("blue sky", "azure sky", "red sky")
    ]
    plain = Colouring(colorizer).colour(image)
    assert (said[0] - plain).abs().max() > 0.01
    assert (said[0] - said[2]).abs().mean() > 2 * (said[0] - said[1]).abs().mean()  # paraphrases are near


def test_chroma_is_joined_where_lightness_is_alike():
    light = torch.cat([torch.full((1, 1, 40, 20), 20.0), torch.full((1, 1, 40, 20), 80.0)], 3)
    small = torch.zeros(1, 3, 8, 8)
    small[:, 0, :, :4], small[:, 0, :, 4:] = 20, 80
    small[:, 1, :, :4], small[:, 1, :, 4:] = 30, -30
    joined = joined_chroma(light, small)
    # A small picture made larger as such would be smeared over five pixels at the edge.
    assert float(joined[0, 0, 20, 19]) > 29
    assert float(joined[0, 0, 20, 20]) < -29
    assert joined.abs().max() < 30.001


def test_a_palette_gives_mean_and_spread():
    generator = torch.Generator().manual_seed(0)
    other = torch.rand(1, 3, 30, 30, generator=generator) * torch.tensor([1.0, 0.7, 0.3]).view(1, 3, 1, 1)
    mean, spread = chroma_statistics(other)
    moved = with_palette(torch.randn(1, 2, 20, 20, generator=generator) * 12, (mean, spread))[0].flatten(1).double()
    torch.testing.assert_close(moved.mean(1), mean, atol=1e-3, rtol=0)
    found = torch.cov(moved, correction=0)
    torch.testing.assert_close(found, spread, atol=0.2 * float(spread.diagonal().max()), rtol=0)


def test_a_palette_is_taken_from_a_file(colorizer, tmp_path):
    images.write(
        images.Photograph(torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1).expand(1, 3, 40, 40)), tmp_path / "o.png"
    )
    colouring = Colouring(colorizer, ColourOptions(palette=tmp_path / "o.png"))
    chroma = lab_of(colouring.colour(grey(50, 50) * 0.5 + 0.25))[:, 1:].mean((0, 2, 3))
    assert float(chroma[0]) > 10
    assert float(chroma[1]) > 20
    assert "orange" in colouring.understood
    with pytest.raises(ImageError):
        Colouring(colorizer, ColourOptions(palette=tmp_path / "nowhere.png"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("make the sky not blue", "what is not to be .blue."),
        ("remove the noise", "says nothing of colours"),
        ("xyzzy", "not known: xyzzy"),
        ("grüne Wiese, blauer Himmel", "looks like German; only English"),
        ("синее небо", "no language with Latin letters"),
    ],
)
def test_text_without_meaning_is_refused(colorizer, text, message):
    with pytest.raises(SettingsError, match=message):
        Colouring(colorizer, ColourOptions(text=text))


def test_what_is_doubtful_is_said(colorizer):
    colouring = Colouring(colorizer, ColourOptions(text="blue sky, red sky, a zebra"))
    assert colouring.understood == "blue above, red above"
    assert list(colouring.notes) == [
        "not understood: zebra",
        "two colours for one place, both are tried: blue and red above",
    ]


def test_a_model_of_another_kind_or_encoder_is_refused(tmp_path):
    save_model(Identity(), tmp_path / "identity.safetensors")
    with pytest.raises(ModelError, match="does not colour"):
        Colouring(tmp_path / "identity.safetensors")
    save_model(Colorizer.tiny(), tmp_path / "narrow.safetensors")
    Colouring(tmp_path / "narrow.safetensors").colour(grey(20, 20))  # without words it needs no encoder
    with pytest.raises(ModelError, match=r"gives 4 numbers.*gives 64"):
        Colouring(tmp_path / "narrow.safetensors", ColourOptions(text="blue sky"))
    with pytest.raises(SettingsError, match=r"0\.\.3"):
        ColourOptions(saturation=4)
