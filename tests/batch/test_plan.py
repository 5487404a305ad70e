"""What goes where, and that nothing is ever written over what it should not be."""

import pytest
import torch
from PIL import Image
from torch import nn

from pellucid import images
from pellucid.batch.change import before_and_after
from pellucid.batch.plan import Job, plan
from pellucid.batch.restore import restore_files
from pellucid.diagnosis import Diagnosis
from pellucid.errors import DataError, ImageError, SettingsError
from pellucid.restoration.restorer import Restorer


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(images.Photograph(torch.rand(1, 3, 8, 8)), path)
    return path


def test_a_comparison_never_replaces_an_input(tmp_path):
    source = picture(tmp_path / "night-compared.png")
    with pytest.raises(ImageError, match="is the input itself"):
        plan([source], tmp_path / "night.png", compare=True)


def test_two_comparisons_never_meet(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        picture(tmp_path / "in" / name)
    assert len(plan([tmp_path / "in"], tmp_path / "out")) == 3
    jobs = plan([tmp_path / "in"], tmp_path / "out", compare=True)
    assert [job.compared.name for job in jobs] == ["a.jpg-compared.png", "a.png-compared.png", "b-compared.png"]
    picture(tmp_path / "in/a-compared.png")
    picture(tmp_path / "in/a.jpg-compared.png")
    with pytest.raises(DataError, match="would be written twice"):
        plan([tmp_path / "in"], tmp_path / "out", compare=True)


def several_pages(path):
    frames = [Image.new("RGB", (8, 8), (80 * index, 0, 0)) for index in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def test_what_is_lost_of_several_pages_is_said(tmp_path):
    source = several_pages(tmp_path / "a.tif")
    (result,) = restore_files(Restorer(nn.Conv2d(3, 3, 1)), plan([source], tmp_path / "b.tif"), overwrite=False)
    assert (result.status, result.pages) == ("restored", 3)
    assert "does not keep the other 2 of its 3 pages" in result.loss
    assert images.read(tmp_path / "b.tif").pages == 1
    restorer = Restorer(nn.Identity(), diagnoser=NothingWrong())
    (result,) = restore_files(restorer, plan([source], tmp_path / "c.tif"), overwrite=False)
    assert (result.status, result.loss) == ("unchanged", None)
    assert images.read(tmp_path / "c.tif").pages == 3


def test_a_gif_in_a_folder_is_restored_to_another_format_or_named(tmp_path):
    (tmp_path / "in").mkdir()
    several_pages(tmp_path / "in/a.gif")
    restorer = Restorer(nn.Identity())
    (result,) = restore_files(restorer, plan([tmp_path / "in"], tmp_path / "out"), overwrite=False)
    assert (result.status, result.target.name) == ("restored", "a.gif.png")
    (result,) = restore_files(restorer, [Job(tmp_path / "in/a.gif", tmp_path / "b.gif")], overwrite=False)
    assert result.status == "failed"
    assert "a.gif: cannot be written as .gif" in result.error
    (result,) = restore_files(restorer, plan([tmp_path / "in"], tmp_path / "out", suffix="png"), overwrite=False)
    assert (result.status, result.target.name) == ("restored", "a.png")


def test_a_link_to_the_input_is_the_input(tmp_path):
    source = picture(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(source)
    with pytest.raises(ImageError, match="is the input itself"):
        plan([source], tmp_path / "link.png")


@pytest.mark.parametrize(("out", "suffix"), [("a.jgp", None), ("a.gif", None), ("a.jpg", "png")])
def test_an_output_that_cannot_be_meant_is_refused(tmp_path, out, suffix):
    with pytest.raises(SettingsError, match="suffix"):
        plan([picture(tmp_path / "in.png")], tmp_path / out, suffix=suffix)


def test_folders_keep_their_tree(tmp_path):
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/deep/b.png")
    jobs = plan([tmp_path / "in"], tmp_path / "out", recursive=True, suffix="jpeg")
    assert [str(job.target.relative_to(tmp_path)) for job in jobs] == ["out/a.jpg", "out/deep/b.jpg"]
    assert len(plan([tmp_path / "in"], tmp_path / "out")) == 1


class Hungry(nn.Module):
    """Fails for the first picture as torch does when memory is short."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, image):
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] not enough memory\nand more lines")
        return image


def test_a_picture_that_is_too_large_does_not_stop_the_others(tmp_path):
    jobs = [Job(picture(tmp_path / f"{name}.png"), tmp_path / f"out/{name}.png") for name in "ab"]
    results = list(restore_files(Restorer(Hungry(), tile=0), jobs, overwrite=False))
    assert [result.status for result in results] == ["failed", "restored"]
    assert "a.png" in results[0].error
    assert "\n" not in results[0].error


def test_before_and_after_shows_both():
    degraded, restored = torch.zeros(1, 3, 4, 6), torch.ones(1, 3, 4, 6) / 2
    sheet = before_and_after(degraded, restored, gap=2)
    assert torch.equal(sheet[..., :6], degraded)
    assert torch.equal(sheet[..., 8:], restored)
    assert before_and_after(torch.zeros(1, 3, 2, 6), torch.zeros(1, 3, 2, 6), gap=2).shape == (1, 3, 6, 6)


class NothingWrong:
    def __call__(self, image):
        return Diagnosis((), 0.8)


def test_a_photograph_that_nothing_is_wrong_with_is_copied_byte_for_byte(tmp_path):
    """Written anew, a JPEG would lose a little; in another format the pixels are the same."""
    source = picture(tmp_path / "a.jpg")
    restorer = Restorer(nn.Identity(), diagnoser=NothingWrong())
    (same,) = restore_files(restorer, plan([source], tmp_path / "out"), overwrite=False)
    assert same.status == "unchanged"
    assert same.target.read_bytes() == source.read_bytes()
    (other,) = restore_files(restorer, plan([source], tmp_path / "out", suffix="png"), overwrite=False)
    assert other.status == "unchanged"
    assert torch.equal(images.read(other.target).pixels, images.read(source).pixels)
    (again,) = restore_files(restorer, plan([source], tmp_path / "out"), overwrite=False)
    assert again.status == "skipped"


def test_a_file_without_a_suffix_is_no_place_for_a_photograph(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "out").touch()
    with pytest.raises(SettingsError, match="needs the suffix of a format"):
        plan([tmp_path / "a.png"], tmp_path / "out")
    picture(tmp_path / "b.png")
    with pytest.raises(SettingsError, match="need a folder"):
        plan([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
