"""Restored pictures that are kept: scored again alike, and under names that never meet."""

from pathlib import Path

import pytest

from pellucid import images
from pellucid.evaluation.candidates import Candidate
from pellucid.evaluation.rows import RowStore
from pellucid.evaluation.saved_pictures import SavedPictures, safe_name
from pellucid.evaluation.score import Evaluation
from pellucid.metrics import find_protocol
from support.scoring import GAUSSIAN, noisy


@pytest.mark.parametrize("protocol", ["gaussian-colour", "gaussian-colour-8bit"])
def test_saved_pictures_can_be_scored_again(clean, tmp_path, protocol):
    record = find_protocol(protocol)
    keeper = SavedPictures(tmp_path / "images", record)
    restorer = Candidate("runs/a:b", lambda degraded: degraded.clamp(0.1, 0.8), "a")
    rows = list(Evaluation([restorer], record, keepers=[keeper]).run(noisy(clean, 20)))
    for row in rows:
        folder = tmp_path / "images/set/noise sigma=20" / protocol
        (own,) = folder.glob("runs-a-b-*")
        file = Path(row.photograph).with_suffix(".png" if protocol.endswith("8bit") else ".tif")
        restored, truth = (images.read(place / file) for place in (own, folder / "clean"))
        again = record.score(restored.pixels, truth.pixels)
        assert (float(again.psnr), float(again.ssim)) == (row.psnr, row.ssim)
    (own / file).unlink()
    store = RowStore(tmp_path / "out")
    list(Evaluation([restorer], record, store=store, keepers=[keeper]).run(noisy(clean, 20)))
    assert (own / file).is_file()


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a\\b", 'c:<d>"|?*', "..", "\x00", "日本"])
def test_a_safe_name_is_one_part_of_a_path(name, tmp_path):
    path = tmp_path / safe_name(name)
    path.mkdir()
    assert path.parent == tmp_path
    assert path.resolve().parent == tmp_path.resolve()


def test_different_names_never_share_a_file():
    assert safe_name("x/y") != safe_name("x-y")
    assert safe_name("x-y") == "x-y"


def test_kept_pictures_are_those_of_the_last_model_of_that_name(clean, tmp_path):
    def run(factor):
        keeper = SavedPictures(tmp_path / "images", GAUSSIAN)
        candidate = Candidate("m", lambda degraded: degraded * factor, identity=f"times {factor}")
        store = RowStore(tmp_path / "out")
        return list(Evaluation([candidate], GAUSSIAN, store=store, keepers=[keeper]).run(noisy(clean, 20)))

    first, second, again = run(0.5), run(0.9), run(0.5)
    assert [row.psnr for row in again] == [row.psnr for row in first] != [row.psnr for row in second]
    folder = tmp_path / "images/set/noise sigma=20/gaussian-colour"
    for row in again:
        file = Path(row.photograph).with_suffix(".tif")
        pictures = (images.read(folder / name / file).pixels for name in ("m", "clean"))
        assert float(GAUSSIAN.score(*pictures).psnr) == row.psnr
