"""The encoder that comes with the package: small, documented, and right on photographs that it has not seen."""

import json
from pathlib import Path

import pytest
import skimage.data
import torch

import pellucid
from pellucid import images
from pellucid.degradations import parse, severities
from pellucid.diagnosis import diagnose
from pellucid.models.priors import find_prior
from pellucid.priors.degradation_encoder import EMBEDDED_ENCODER

PHOTOGRAPHS = {"coffee": skimage.data.coffee, "chelsea": skimage.data.chelsea}
TEXTS = (
    "noise sigma=25",
    "jpeg quality=15",
    "low-light exposure=0.06",
    "haze amount=55",
    "rain amount=60",
    "snow amount=60",
)


def photograph(name):
    return images.to_tensor(PHOTOGRAPHS[name]())


def test_it_is_small_and_documented():
    files = {path.name: path.stat().st_size for path in EMBEDDED_ENCODER.iterdir()}
    assert sum(files.values()) < 2e6
    assert {"config.json", "model.safetensors", "heads.safetensors", "card.json"} <= set(files)
    documents = Path(__file__).parents[2] / "docs" / "models" / "degradation-encoder"
    assert all((documents / name).is_file() for name in ("recipe.yaml", "log.jsonl"))
    card = json.loads((EMBEDDED_ENCODER / "card.json").read_text())
    assert card["licence"]
    assert card["score"]["trials"] >= 200


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("text", TEXTS)
def test_it_tells_what_was_done_to_a_photograph(name, text):
    degradation = parse(text)
    found = diagnose(degradation(photograph(name), torch.Generator().manual_seed(0)).clamp(0, 1))
    ((kind, severity),) = severities(degradation).items()
    assert found.likeliest.kind == kind
    assert found[kind].present
    assert abs(found[kind].severity - severity) < 30  # 8 on average


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_it_finds_nothing_wrong_with_clean_photographs(name):
    assert diagnose(photograph(name)).nothing_wrong


def test_worse_jpegs_are_told_to_be_worse():
    found = [
        diagnose(parse(f"jpeg quality={quality}")(photograph("coffee"), torch.Generator()))["jpeg"].severity
        for quality in (70, 40, 10)
    ]
    assert found == sorted(found)


def test_restorers_diagnose_pictures_of_any_kind():
    dark = (skimage.data.chelsea() * 0.15).astype("uint8")
    words = {pellucid.Restorer.diagnose(picture).words() for picture in (dark, images.to_tensor(dark))}
    assert len(words) == 1
    assert "underexposure" in words.pop()


def test_as_a_prior_it_tells_degradations_apart_more_than_contents():
    """Vectors of one degradation on two photographs are nearer to each other than those of two degradations on one."""
    prior = find_prior("degradations")
    vectors = {
        (name, text): prior(parse(text)(photograph(name), torch.Generator().manual_seed(1)).clamp(0, 1))[0]
        for name in PHOTOGRAPHS
        for text in TEXTS[:4]
    }
    alike = [torch.cosine_similarity(vectors["coffee", text], vectors["chelsea", text], 0) for text in TEXTS[:4]]
    other = [
        torch.cosine_similarity(vectors[name, one], vectors[name, two], 0)
        for name in PHOTOGRAPHS
        for one in TEXTS[:4]
        for two in TEXTS[:4]
        if one < two
    ]
    assert min(alike) > sum(other) / len(other)


@pytest.mark.parametrize("value", [0.0, 0.02, 0.25, 0.5, 1.0])
def test_a_plain_picture_shows_nothing_wrong(value):
    for size in ((200, 300), (37, 53), (1, 1)):
        assert diagnose(torch.full((3, *size), value)).leave_alone


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_of_a_noisy_plain_picture_only_the_noise_is_told(sigma):
    plain = torch.full((3, 200, 300), 0.5)
    noisy = parse(f"noise sigma={sigma}")(plain, torch.Generator().manual_seed(0)).clamp(0, 1)
    assert [one.kind for one in diagnose(noisy).present] == ["noise"]


@pytest.mark.parametrize("text", ["haze amount=90", "low-light exposure=0.02"])
def test_a_photograph_of_little_contrast_is_no_plain_picture(text):
    clean = images.to_tensor(skimage.data.coffee())[0]
    found = diagnose(parse(text)(clean, torch.Generator().manual_seed(0)).clamp(0, 1))
    assert found[text.split()[0]].present
