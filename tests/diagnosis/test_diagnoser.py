"""Diagnosers: round trips of their folders, pictures of any size and kind, bad folders, and the score."""

import json
import math

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pellucid import images
from pellucid.degradations import KINDS, Chain, Clean, parse, severities
from pellucid.diagnosis import (
    NOTHING,
    Diagnosis,
    DiagnosisTrial,
    Finding,
    Score,
    diagnose,
    load_diagnoser,
    score_singles,
)
from pellucid.diagnosis.diagnoser import _embedded
from pellucid.diagnosis.scoring import single_degradations
from pellucid.diagnosis.traces import TRACES, traces
from pellucid.errors import ImageError, ModelError
from pellucid.networks import UNet
from pellucid.restoration.restorer import Restorer


def test_a_folder_gives_the_same_diagnoses(diagnoser, folder, photograph):
    again = load_diagnoser(folder)
    assert again(photograph) == diagnoser(photograph) == diagnose(photograph, model=folder)
    assert again.card == {"name": "tiny"}


def test_a_diagnosis_is_what_the_heads_say(diagnoser, photograph):
    found = diagnoser(photograph)
    probabilities, rows = diagnoser.heads.predict(
        torch.cat(
            [diagnoser.encoder.features(diagnoser.encoder.prepare(photograph[None])), traces(photograph[None])], 1
        )
    )
    for place, kind in enumerate(KINDS):
        finding = found[kind]
        assert finding.probability == pytest.approx(float(probabilities[0, place]))
        assert [finding.low, finding.severity, finding.high] == pytest.approx(rows[0, place].tolist())
        assert finding.present == (finding.probability > 0.5)


@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_any_size_and_grey_is_three_equal_channels(diagnoser, size):
    grey = torch.rand(1, *size)
    assert diagnoser(grey) == diagnoser(grey[None]) == diagnoser(grey.expand(3, -1, -1)[None])


@pytest.mark.parametrize("shape", [(2, 3, 9, 9), (1, 2, 9, 9), (9, 9), (4, 9, 9)])
def test_what_is_not_one_image_is_refused(diagnoser, shape):
    with pytest.raises(ValueError, match="expected one image"):
        diagnoser(torch.rand(shape))


def test_bad_folders_say_what_is_wrong(folder, tmp_path):
    with pytest.raises(ModelError, match="nowhere: not the folder of a degradation encoder"):
        load_diagnoser(tmp_path / "nowhere")
    heads, card = folder / "heads.safetensors", folder / "card.json"
    whole, tensors, width = heads.read_bytes(), load_file(heads), 48 + TRACES
    heads.write_bytes(whole[:-20])
    with pytest.raises(ModelError, match=r"encoder: lacks a readable heads\.safetensors"):
        load_diagnoser(folder)
    for header, message in (
        ({"kinds": ["noise"], "settings": {"width": width, "hidden": 8}}, "knows the kinds noise; this version"),
        (
            {"kinds": list(KINDS), "settings": {"width": 30, "hidden": 8}},
            f"reads 30 features, and there are {width}",
        ),
        ({"kinds": list(KINDS), "settings": {"width": width, "hidden": 9}}, "does not fit Heads"),
        ({"kinds": list(KINDS), "settings": {"wide": 32}}, "lacks a readable"),
    ):
        save_file(tensors, heads, metadata={"pellucid": json.dumps(header)})
        with pytest.raises(ModelError, match=message):
            load_diagnoser(folder)
    save_file(tensors, heads)
    with pytest.raises(ModelError, match="lacks a readable"):
        load_diagnoser(folder)
    heads.write_bytes(whole)
    card.write_text("{")
    with pytest.raises(ModelError, match="lacks a readable"):
        load_diagnoser(folder)


def told(**probabilities):
    """A diagnosis with these probabilities, every severity 50 in 40..60."""
    named = {key.replace("_", "-"): value for key, value in probabilities.items()}
    rows = [(kind, named.get(kind, 0.1)) for kind in KINDS]
    return Diagnosis(tuple(Finding(kind, p, p > 0.5, 50.0, 40.0, 60.0) for kind, p in rows), 0.8)


def test_the_score_counts_what_was_told():
    noise, jpeg = parse("noise sigma=25 bits=8"), parse("jpeg quality=40")
    strength = {one: next(iter(severities(one).values())) for one in (noise, jpeg)}
    score = Score(
        (
            DiagnosisTrial(Clean(), told()),
            DiagnosisTrial(Clean(), told(blur=0.6)),
            DiagnosisTrial(noise, told(noise=0.9, jpeg=0.8)),
            DiagnosisTrial(noise, told(noise=0.3)),
            DiagnosisTrial(jpeg, told(noise=0.9, jpeg=0.8)),
        )
    )
    assert score.accuracy == pytest.approx(2 / 5)
    assert score.likeliest_accuracy == pytest.approx(3 / 5)
    assert (
        score.confusion["noise"]["noise"] == score.confusion["noise"][NOTHING] == score.confusion["jpeg"]["noise"] == 1
    )
    assert score.confusion[NOTHING][NOTHING] == score.confusion[NOTHING]["blur"] == 1
    assert sum(count for row in score.confusion.values() for count in row.values()) == 5
    errors = [abs(50 - strength[one]) for one in (noise, noise, jpeg)]
    assert score.severity_error == pytest.approx(sum(errors) / 3)
    assert score.coverage == pytest.approx(sum(error <= 10 for error in errors) / 3)
    assert score.interval == pytest.approx(20)
    document = score.as_dict()
    json.dumps(document, allow_nan=False)
    assert document["kinds"]["snow"]["severity_error"] is None
    rows = document["kinds"]["noise"]["reliability"]
    assert rows == [
        {"predicted": pytest.approx(0.1), "observed": 0.0, "count": 2},
        {"predicted": pytest.approx(0.3), "observed": 1.0, "count": 1},
        {"predicted": pytest.approx(0.9), "observed": 0.5, "count": 2},
    ]
    assert document["kinds"]["noise"]["calibration_error"] == pytest.approx((2 * 0.1 + 0.7 + 2 * 0.4) / 5)


def test_an_empty_score_is_not_a_number():
    assert math.isnan(Score(()).accuracy)
    assert Score(()).as_dict()["accuracy"] is None


def test_singles_are_one_of_every_kind_and_depend_on_seed_and_number_alone(diagnoser, photograph):
    drawn = single_degradations(3, 5)
    assert [one.kind for one in drawn] == list(KINDS)
    assert not any(isinstance(one, Chain) for one in drawn)
    assert drawn == single_degradations(3, 5)
    assert drawn != single_degradations(3, 6)
    assert drawn != single_degradations(4, 5)
    both = list(score_singles(diagnoser, [photograph, photograph], seed=3))
    assert [trial.applied for trial in both[:10]] == [NOTHING, *KINDS]
    assert both[:10] == list(score_singles(diagnoser, [photograph], seed=3))


def test_a_restorer_diagnoses_every_kind_of_picture_with_the_embedded_model(diagnoser, folder, tmp_path, monkeypatch):
    for module in ("diagnosis.diagnoser", "priors.degradation_encoder"):
        monkeypatch.setattr(f"pellucid.{module}.EMBEDDED_ENCODER", folder)
    _embedded.cache_clear()
    pixels = torch.randint(256, (20, 30, 3), dtype=torch.uint8).numpy()
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    images.write(images.Photograph(image), tmp_path / "a.png")
    restorer = Restorer(UNet.tiny())
    expected = diagnoser(image)
    for picture in (tmp_path / "a.png", str(tmp_path / "a.png"), pixels, Image.fromarray(pixels), image):
        assert restorer.diagnose(picture) == expected
    with pytest.raises(ImageError, match="one picture is diagnosed at a time, got a batch of 2"):
        restorer.diagnose(torch.rand(2, 3, 9, 9))
    with pytest.raises(ImageError, match=r"gone\.png"):
        restorer.diagnose(tmp_path / "gone.png")
    _embedded.cache_clear()
