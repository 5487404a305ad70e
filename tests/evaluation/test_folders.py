"""Folders of pictures that other tools have restored."""

import shutil

import pytest

from pellucid import images
from pellucid.errors import DataError, SettingsError
from pellucid.evaluation.candidates import DEGRADED, INPUT, Candidate
from pellucid.evaluation.folders import folder_candidates
from pellucid.evaluation.job import EvaluationJob
from pellucid.evaluation.sets import find_set

HALF = Candidate("half", lambda degraded: degraded * 0.5, "half")


def finished(job, **options):
    list(job.run())
    return job.finish({}, **options)


def test_folders_of_pictures_score_as_the_model_that_made_them_did(clean, tmp_path):
    job = EvaluationJob(tmp_path / "out", save_images=True)
    job.add(find_set(str(clean)), [INPUT, HALF], sigmas=[25], protocol="gaussian-colour-8bit")
    made = finished(job)
    (folder,) = (tmp_path / "out/images").rglob("half")
    again = EvaluationJob()
    for candidate, pictures in folder_candidates([folder], clean, inputs=folder.with_name("degraded")):
        again.add(pictures, [candidate], protocol="gaussian-colour-8bit")
    scores = {summary["model"]: summary["psnr"] for summary in finished(again).document["summaries"]}
    assert scores == {summary["model"]: summary["psnr"] for summary in made.document["summaries"]}


def test_the_same_folder_twice_is_refused(clean):
    with pytest.raises(SettingsError, match="given twice"):
        folder_candidates([clean, clean.parent / "clean"], clean)


def test_pictures_without_a_partner_are_named(clean, tmp_path):
    (tmp_path / "A").mkdir()
    images.write(images.read(clean / "1.png"), tmp_path / "A/1.png")
    images.write(images.read(clean / "1.png"), tmp_path / "A/è.png")
    with pytest.raises(DataError, match=r"3 files without a partner .*è\.png.*0\.png.*2\.png"):
        folder_candidates([tmp_path / "A"], clean)


def test_a_folder_called_degraded_is_not_taken_for_the_input(clean, tmp_path):
    folder = tmp_path / "a/degraded"
    shutil.copytree(clean, folder)
    named = [candidate.name for candidate, _ in folder_candidates([folder], clean, inputs=clean)]
    assert named == [DEGRADED, "a/degraded"]


def test_names_that_only_begin_alike_are_no_pair(clean, tmp_path):
    shutil.copytree(clean, tmp_path / "theirs")
    shutil.copy(clean / "0.png", tmp_path / "theirs/0_input.png")
    with pytest.raises(DataError, match=r"1 files without a partner .*0_input\.png"):
        folder_candidates([tmp_path / "theirs"], clean)
