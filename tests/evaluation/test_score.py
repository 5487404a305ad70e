"""Scores against scikit-image, on noise that anyone can remake; what fails; what is not computed twice."""

import json
import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pellucid import images
from pellucid.data.folders import list_pairs
from pellucid.errors import ModelError, SettingsError
from pellucid.evaluation.candidates import DEGRADED, INPUT, Candidate
from pellucid.evaluation.cases import paired_cases
from pellucid.evaluation.rows import RowStore
from pellucid.evaluation.score import Evaluation, Failure
from pellucid.evaluation.summary import summarise
from pellucid.images.resizing import bicubic
from pellucid.metrics import find_protocol, ms_ssim
from support.scoring import GAUSSIAN, noisy, times

PAIRS = find_protocol("pairs-rgb")


class Counted:
    """A candidate that counts how often it restores, and can be made to stop."""

    def __init__(self, stop_at=None):
        self.calls, self.stop_at = 0, stop_at
        self.candidate = Candidate("counted", self.restore, identity="counted 1")

    def restore(self, degraded):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        return degraded * 0.9


def test_scores_are_those_of_scikit_image_on_noise_that_anyone_can_remake(clean):
    rows = list(Evaluation([INPUT, times(0.5)], GAUSSIAN).run(noisy(clean, 25, 50)))
    assert [(row.model, row.condition) for row in rows[:2]] == [
        (DEGRADED, "noise sigma=25"),
        ("times 0.5", "noise sigma=25"),
    ]
    assert len(rows) == 2 * 2 * 3
    for row in rows:
        truth = images.read(clean / row.photograph).pixels[0].permute(1, 2, 0).double().numpy()
        sigma = float(row.condition.rpartition("=")[2])
        degraded = (truth + np.random.RandomState(0).normal(0, sigma / 255, truth.shape)).astype(np.float32)
        restored = (degraded if row.model == DEGRADED else degraded * np.float32(0.5)).clip(0, 1)
        assert row.psnr == pytest.approx(peak_signal_noise_ratio(truth, restored, data_range=1), abs=1e-6)
        _, whole = structural_similarity(
            truth, restored.astype(float), data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        assert row.ssim == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-6)
        assert (row.seconds is None) == (row.model == DEGRADED)
        assert row.protocol == "gaussian-colour"


def test_pairs(clean, tmp_path):
    degraded = tmp_path / "degraded"
    degraded.mkdir()
    for path in clean.iterdir():
        images.write(images.Photograph(images.read(path).pixels * 0.5), degraded / path.name)
    rows = list(Evaluation([INPUT, times(2)], PAIRS).run(paired_cases("set", list_pairs(degraded, clean), PAIRS)))
    for restored, given in zip(rows[1::2], rows[::2], strict=True):
        assert restored.psnr > given.psnr + 20


def test_a_pair_that_does_not_fit_is_named_and_the_others_go_on(clean, tmp_path):
    degraded = tmp_path / "degraded"
    degraded.mkdir()
    images.write(images.Photograph(torch.rand(1, 3, 5, 5)), degraded / "0.png")
    images.write(images.Photograph(images.read(clean / "1.png").pixels, bits=16), degraded / "1.png")
    images.write(images.read(clean / "2.png"), degraded / "2.png")
    results = list(Evaluation([times(1)], PAIRS).run(paired_cases("set", list_pairs(degraded, clean), PAIRS)))
    assert [type(result).__name__ for result in results] == ["Failure", "Row", "Row"]
    assert "0.png: differs in size from" in results[0].reason
    assert "(5 x 5 and 24 x 20 pixels)" in results[0].reason
    # Of 16 bits beside 8: the protocol rounds both to 8, and then they are the same.
    assert PAIRS.quantisation != "none"
    assert results[1].psnr == math.inf
    (degraded / "2.png").write_bytes(b"")
    results = list(Evaluation([times(1)], PAIRS).run(paired_cases("set", list_pairs(degraded, clean), PAIRS)))
    assert "the file is empty" in results[2].reason


def test_a_photograph_too_small_for_the_protocol_is_a_failure(tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 4, 4)), tmp_path / "tiny.png")
    (failure,) = Evaluation([INPUT], GAUSSIAN).run(noisy(tmp_path, 10))
    assert isinstance(failure, Failure)
    assert failure.photograph == "tiny.png"
    (failure,) = Evaluation([INPUT], find_protocol("all-in-one")).run(
        noisy(tmp_path, 10, protocol=find_protocol("all-in-one"))
    )
    assert "multiples of 16" in failure.reason


def test_a_model_of_another_task_is_refused(clean):
    double = Candidate("double", lambda degraded: degraded.repeat_interleave(2, 2).repeat_interleave(2, 3))
    with pytest.raises(ModelError, match=r"double: made 48 x 40 pixels of 0\.png.* has 24 x 20"):
        list(Evaluation([double], GAUSSIAN).run(noisy(clean, 10)))


def test_a_network_that_enlarges_is_scored_on_smaller_inputs(clean, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    for path in clean.iterdir():
        pixels = images.read(path).pixels
        images.write(images.Photograph(pixels[:, :, ::2, : pixels.shape[3] // 2 * 2 : 2]), small / path.name)
        images.write(images.Photograph(pixels[..., : pixels.shape[3] // 2 * 2]), path)
    double = Candidate("double", lambda degraded: degraded.repeat_interleave(2, 2).repeat_interleave(2, 3))
    rows = list(Evaluation([INPUT, double], PAIRS).run(paired_cases("set", list_pairs(small, clean), PAIRS)))
    assert [row.model for row in rows] == ["degraded", "double"] * 3
    for row in rows[::2]:  # the input is scored as the bicubic kernel enlarges it
        degraded, truth = (images.read(folder / row.photograph).pixels for folder in (small, clean))
        assert row.psnr == float(PAIRS.score(bicubic(degraded, *truth.shape[2:]), truth).psnr)


def test_a_protocol_of_pairs_draws_no_noise(clean):
    with pytest.raises(SettingsError, match="draws no noise"):
        noisy(clean, 10, protocol=PAIRS)


@pytest.mark.parametrize("protocol", ["gaussian-colour", "all-in-one"])
def test_an_interrupted_evaluation_goes_on_to_the_same_bits(tmp_path, protocol):
    (tmp_path / "clean").mkdir()
    for index in range(4):
        pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(index))
        images.write(images.Photograph(pixels), tmp_path / f"clean/{index}.png")
    record = find_protocol(protocol)

    def run(counted, folder):
        evaluation = Evaluation([INPUT, counted.candidate], record, store=RowStore(tmp_path / folder))
        return list(evaluation.run(noisy(tmp_path / "clean", 15, 50, protocol=record)))

    whole = run(Counted(), "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Counted(stop_at=6), "parts")
    stored = (tmp_path / "parts/rows.jsonl").read_bytes()
    (tmp_path / "parts/rows.jsonl").write_bytes(stored[:-20])  # stopped in the middle of writing a line
    second = Counted()
    resumed = run(second, "parts")
    assert 0 < second.calls < 8
    assert [(row.psnr, row.ssim) for row in resumed] == [(row.psnr, row.ssim) for row in whole]
    third = Counted()
    assert run(third, "parts") == resumed  # times and memory, too: nothing was computed
    assert third.calls == 0


def test_rows_are_only_used_again_for_the_same_pixels_model_and_protocol(clean, tmp_path):
    def calls(candidate_identity="one", protocol="gaussian-colour", sigma=15, seed=0, metrics=None):
        count = 0

        def restore(degraded):
            nonlocal count
            count += 1
            return degraded

        record = find_protocol(protocol)
        candidate = Candidate("m", restore, candidate_identity)
        cases = noisy(clean, sigma, protocol=record, seed=seed)
        list(Evaluation([candidate], record, store=RowStore(tmp_path / "out"), metrics=metrics).run(cases))
        return count

    assert calls() == 3
    assert calls() == 0
    assert calls(candidate_identity="two") == 3
    assert calls(protocol="gaussian-colour-8bit") == 3
    assert calls(sigma=16) == 3
    assert calls(seed=1) == 3
    assert calls(metrics={"mean": lambda restored, clean: float(restored.mean())}) == 3
    assert calls(candidate_identity=None) == 3  # who does not say what it depends on is never taken as known
    assert calls(candidate_identity=None) == 3
    images.write(images.Photograph(torch.full((1, 3, 20, 24), 0.5)), clean / "0.png")
    assert calls() == 1


def test_shares_make_the_whole(clean, tmp_path):
    def run(share, part):
        store = RowStore(tmp_path / "out", part)
        counted = Counted()
        rows = list(Evaluation([counted.candidate], GAUSSIAN, store=store, share=share).run(noisy(clean, 15, 25)))
        return rows, counted.calls

    first, second = run((1, 2), "-1"), run((2, 2), "-2")
    assert first[1] + second[1] == 6
    whole, calls = run((1, 1), "")
    assert calls == 0
    assert sorted((row.condition, row.photograph, row.psnr) for row in whole) == sorted(
        (row.condition, row.photograph, row.psnr) for row in first[0] + second[0]
    )


def test_several_degraded_pictures_of_one_clean_one_are_told_apart(clean, tmp_path):
    (tmp_path / "hazy").mkdir()
    for path in clean.iterdir():
        for index, factor in enumerate((0.5, 0.9)):
            images.write(
                images.Photograph(images.read(path).pixels * factor), tmp_path / f"hazy/{path.stem}_{index}.png"
            )
    cases = paired_cases("set", list_pairs(tmp_path / "hazy", clean), PAIRS)
    rows = list(Evaluation([INPUT, times(1.1)], PAIRS).run(cases))
    assert len({(row.model, row.photograph) for row in rows}) == len(rows) == 12
    gain = summarise(rows)[1].psnr - summarise(rows)[0].psnr
    (paired,) = (summary for summary in summarise(rows, baseline=DEGRADED) if summary.model != DEGRADED)
    assert paired.gain == pytest.approx(gain)


def test_a_model_that_fails_on_one_photograph_is_named_and_the_rest_goes_on(clean):
    def restore(degraded):
        if degraded.shape[3] == 25:
            raise ModelError("its output is not finite")
        return degraded

    results = list(Evaluation([Candidate("fragile", restore)], GAUSSIAN).run(noisy(clean, 10)))
    assert [type(result).__name__ for result in results] == ["Row", "Failure", "Row"]
    assert results[1].reason == "fragile: its output is not finite"


@pytest.mark.parametrize("damage", [b'{"key": 1}', b"[" * 5000, b'"text"', b"\xff\xfe", b"{}"])
def test_damaged_rows_are_computed_again(clean, tmp_path, damage):
    def run():
        counted = Counted()
        list(Evaluation([counted.candidate], GAUSSIAN, store=RowStore(tmp_path / "out")).run(noisy(clean, 10)))
        return counted.calls

    assert run() == 3
    file = tmp_path / "out/rows.jsonl"
    lines = file.read_bytes().splitlines()
    wrong = lines[1].replace(b'"psnr": ', b'"psnr": "a", "old": ')
    nan = json.dumps({**json.loads(lines[2]), "ssim": float("nan")}).encode()
    file.write_bytes(b"\n".join([lines[0], damage, wrong, nan, b""]))
    assert run() == 2
    assert run() == 0


def test_a_metric_that_a_picture_is_too_small_for_is_left_out(clean):
    metrics = {"ms-ssim": lambda restored, truth: float(ms_ssim(restored, truth)), "mean": lambda r, _: float(r.max())}
    (row, *_) = Evaluation([INPUT], GAUSSIAN, metrics=metrics).run(noisy(clean, 50))
    assert row.extra == {"mean": 1.0}  # of the clipped picture, as it would be stored
    assert row.psnr > 0
