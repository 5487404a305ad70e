"""Watching a folder, look by look, with a clock of our own."""

import pytest

from pellucid.batch.change import FileResult
from pellucid.batch.manifest import MANIFEST, Manifest
from pellucid.batch.pace import Pace
from pellucid.batch.plan import Job, Layout
from pellucid.batch.restore import restore_files
from pellucid.batch.watch import Watch, watch_files
from pellucid.errors import DataError


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def taken(watch):
    jobs, refused = watch.look()
    assert not refused
    return [job.source.name for job in jobs]


def test_a_file_is_taken_once_it_keeps_its_size(tmp_path, picture, clock):
    watch = Watch(tmp_path, Layout(tmp_path / "out"), settle=2, clock=clock)
    whole = picture(tmp_path / "a.png", side=40).read_bytes()
    for part in (100, 200, 300):
        (tmp_path / "a.png").write_bytes(whole[:part])
        clock.now += 1.9
        assert taken(watch) == []
    clock.now += 1.9
    assert taken(watch) == []
    clock.now += 0.2
    assert taken(watch) == ["a.png"]  # it decodes no better than before, which its reader finds out
    clock.now += 10
    assert taken(watch) == []
    (tmp_path / "a.png").write_bytes(whole)
    assert taken(watch) == []
    clock.now += 2
    assert taken(watch) == ["a.png"]


def test_outputs_are_never_taken(tmp_path, picture, clock):
    for name in ("a.png", "a-restored.png", "b.jpg", "out/c.png", "deep/d.png", ".hidden.png"):
        picture(tmp_path / name)
    inside = Watch(tmp_path, Layout(tmp_path / "out"), recursive=True, settle=0, clock=clock)
    assert sorted(taken(inside)) == ["a-restored.png", "a.png", "b.jpg", "d.png"]
    beside = Watch(tmp_path, Layout(tmp_path, template="{stem}-restored{suffix}"), settle=0, clock=clock)
    assert taken(beside) == ["a.png", "b.jpg"]
    picture(tmp_path / "b-restored.jpg")
    picture(tmp_path / "e.png")
    assert taken(beside) == ["e.png"]
    (tmp_path / "a.png").unlink()  # its output stays one
    assert taken(beside) == []


def test_outputs_of_earlier_runs_are_never_taken(tmp_path, picture, clock, restorer):
    picture(tmp_path / "a.png")
    layout = Layout(tmp_path, template="{stem}-restored{suffix}")
    with Manifest(tmp_path / MANIFEST, {}) as manifest:
        first = Watch(tmp_path, layout, settle=0, made=manifest.made, clock=clock)
        list(restore_files(restorer, first.look()[0], overwrite=False, manifest=manifest))
    (tmp_path / "a.png").unlink()
    known = Manifest(tmp_path / MANIFEST, {})
    assert (tmp_path / "a-restored.png").is_file()
    assert taken(Watch(tmp_path, layout, settle=0, made=known.made, clock=clock)) == []


def test_two_that_would_become_one_are_refused_and_the_others_go_on(tmp_path, picture, clock):
    watch = Watch(tmp_path, Layout(tmp_path / "out", suffix="png"), settle=0, clock=clock)
    picture(tmp_path / "a.jpg")
    assert taken(watch) == ["a.jpg"]
    picture(tmp_path / "a.tif")
    picture(tmp_path / "b.jpg")
    jobs, refused = watch.look()
    assert [job.source.name for job in jobs] == ["b.jpg"]
    assert "a.png: would be written twice, from" in refused[0].error


def test_a_folder_is_watched_until_it_is_stopped(tmp_path, picture, restorer, clock):
    out = tmp_path / "out"
    (tmp_path / "in").mkdir()
    whole = picture(tmp_path / "whole.png").read_bytes()
    coming = iter(["a.png", "b.png", None, "c.png"])

    def sleep(_):
        name = next(coming, "stop")
        if name == "stop":
            raise KeyboardInterrupt
        if name:
            (tmp_path / "in" / name).write_bytes(whole if name != "b.png" else whole[:50])
        clock.now += 1

    watch = Watch(tmp_path / "in", Layout(out), settle=0.5, clock=clock)
    found = []

    def run():
        for result in watch_files(watch, lambda jobs: restore_files(restorer, jobs, overwrite=False), sleep=sleep):
            found.append((result.source.name, result.status))

    with pytest.raises(KeyboardInterrupt):
        run()
    assert found == [("a.png", "restored"), ("b.png", "failed")]
    assert [path.name for path in out.iterdir()] == ["a.png"]


def test_there_must_be_a_folder(tmp_path):
    with pytest.raises(DataError, match="no such folder to watch"):
        Watch(tmp_path / "none", Layout(tmp_path / "out"))


def test_the_pace_counts_what_was_done_and_not_what_was_skipped(tmp_path, clock):
    jobs = [Job(tmp_path / f"{n}.png", tmp_path / f"out/{n}.png") for n in range(5)]
    for job, size in zip(jobs, (100, 100, 200, 300, 300), strict=True):
        job.source.write_bytes(bytes(size))
    pace = Pace(jobs, clock)
    clock.now += 50
    pace.add(FileResult(jobs[0].source, jobs[0].target, "skipped"))
    assert str(pace) == ""
    clock.now += 4
    pace.add(FileResult(jobs[1].source, jobs[1].target, "restored", megapixels=2.0))
    # 2 megapixels of 100 bytes in 4 s; 800 bytes are left: 16 megapixels in 32 s.
    assert str(pace) == "0.25 pictures/s, 0.5 MP/s, 3 pictures and about 16 MP left, 32 s"
    clock.now += 6
    pace.add(FileResult(jobs[2].source, jobs[2].target, "restored", megapixels=1.0))
    # 3 megapixels of 300 bytes in 10 s; 600 bytes are left: 6 megapixels in 20 s.
    assert str(pace) == "0.2 pictures/s, 0.3 MP/s, 2 pictures and about 6 MP left, 20 s"
    for job in jobs[3:]:
        clock.now += 5
        pace.add(FileResult(job.source, job.target, "restored", megapixels=1.0))
    assert str(pace) == "0.2 pictures/s, 0.25 MP/s"
