"""`pellucid restore` of many photographs: lists, names, dry runs, manifests, parts, watching, and runs that are
killed."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from pellucid import images
from pellucid.batch.manifest import MANIFEST
from support.pictures import write_noise as picture

# The threads of several processes on few cores wait for each other.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture
def restore(run, identity):
    """Runs `pellucid restore` with a model that changes nothing: (status, stdout, stderr)."""
    return lambda *arguments: run("restore", *arguments, "--model", identity)


def same_pixels(one, other):
    return torch.equal(images.read(one).pixels, images.read(other).pixels)


def give_stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_list_on_stdin_and_names_after_a_template(restore, tmp_path, monkeypatch):
    first, second = picture(tmp_path / "roll/a.png"), picture(tmp_path / "roll/two\nlines.jpg", seed=1)
    give_stdin(monkeypatch, os.fsencode(first) + b"\0" + os.fsencode(second) + b"\0")
    template = "{number:02}-{stem}-restored{suffix}"
    status, out, err = restore("-", "-0", "-o", tmp_path / "out", "--name", template)
    assert (status, err) == (0, "")
    assert "2 restored" in out
    assert files_in(tmp_path / "out") == ["01-a-restored.png", "02-two\nlines-restored.jpg"]
    assert same_pixels(first, tmp_path / "out/01-a-restored.png")


def test_a_pattern_that_the_shell_did_not_expand(restore, tmp_path):
    for name in ("a1.png", "a2.png", "b.png"):
        picture(tmp_path / "in" / name)
    assert restore(tmp_path / "in/a*.png", "-o", tmp_path / "out")[0] == 0
    assert files_in(tmp_path / "out") == ["a1.png", "a2.png"]


def test_dates_are_kept_on_request_alone(restore, tmp_path):
    source = picture(tmp_path / "a.png")
    os.utime(source, ns=(10**18, 10**18 + 123456789))
    restore(source, "-o", tmp_path / "b.png")
    restore(source, "-o", tmp_path / "c.png", "--keep-dates")
    assert (tmp_path / "b.png").stat().st_mtime > 1.5e9
    assert (tmp_path / "c.png").stat().st_mtime_ns == 10**18 + 123456789


def test_a_dry_run_says_all_and_does_nothing(restore, tmp_path):
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in/notes.txt").touch()
    picture(tmp_path / "out/b.png")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    arguments = (tmp_path / "in", tmp_path / "missing.png", "-o", tmp_path / "out", "--dry-run", "--resume")
    status, out, err = restore(*arguments)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{tmp_path / 'in/a.png'} -> {tmp_path / 'out/a.png'}",
        f"{tmp_path / 'in/b.png'}: skipped, the output exists, and the manifest does not know it; "
        "--overwrite replaces it",
        f"{tmp_path / 'missing.png'}: failed, {tmp_path / 'missing.png'}: cannot be read: no such file",
        "1 passed over, no photographs by their names: notes.txt",
        "1 would be restored, 1 skipped, 1 would fail",
    ]
    document = json.loads(restore(*arguments, "--json")[1])
    assert document["dry_run"] is True
    assert [one["status"] for one in document["photographs"]] == ["planned", "skipped", "failed"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_run_with_a_manifest_goes_on_and_quarantines(restore, tmp_path):
    for number, name in enumerate(("a.png", "b.png", "c.jpg")):
        picture(tmp_path / "in" / name, seed=number)
    (tmp_path / "in/b.png").write_bytes((tmp_path / "in/b.png").read_bytes()[:70])
    run_it = (tmp_path / "in", "-o", tmp_path / "out")
    status, out, err = restore(*run_it, "--resume")
    assert status == 1
    assert "2 restored" in out
    assert "1 failed" in out
    assert err.count("\n") == 1
    assert "b.png" in err
    status, out, err = restore(*run_it, "--json")  # the manifest that is there is gone on with
    document = json.loads(out)
    assert status == 1
    assert [one["status"] for one in document["photographs"]] == ["skipped", "quarantined", "skipped"]
    assert "--retry-failed" in err
    assert "failed in an earlier run" in document["photographs"][1]["reason"]
    picture(tmp_path / "in/b.png")
    status, out, err = restore(*run_it)
    assert (status, err) == (0, "")
    assert "\n1 restored" in out
    assert "2 skipped (done, as the manifest says)" in out
    status, out, _ = restore(*run_it, "--strength", "0.5", "--manifest", tmp_path / "out")
    assert "\n3 restored" in out
    assert files_in(tmp_path / "out") == ["a.png", "b.png", "c.jpg", MANIFEST]


def test_parts_make_the_whole(restore, tmp_path):
    for number in range(9):
        picture(tmp_path / f"in/{number}.png")
    for part in (1, 2, 3):
        assert restore(tmp_path / "in", "-o", tmp_path / "out", "--shard", f"{part}/3", "--resume")[0] == 0
        assert (tmp_path / "out" / MANIFEST).read_text().count('"restored"') == len(files_in(tmp_path / "out")) - 1
    assert files_in(tmp_path / "out") == [*(f"{number}.png" for number in range(9)), MANIFEST]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["{dir}/a.png", "-o", "{dir}/out/", "-0"], 2, "-0 says how the list"),
        (["{dir}/a.png", "-o", "{dir}/out/x", "--retry-failed"], 2, "--retry-failed needs the manifest"),
        (["{dir}/a.png", "-o", "{dir}/out/x", "--shard", "3/2"], 2, "expected i/n"),
        (["{dir}/a.png", "-o", "{dir}/out/x", "--settle", "3"], 2, "needs --watch"),
        (["{dir}/a.png", "-o", "{dir}/out/x", "--watch"], 2, "give one INPUT that is a folder"),
        (["{dir}", "-o", "{dir}/out/x", "--watch", "--dry-run"], 2, "--dry-run cannot say"),
        (["{dir}", "-o", "{dir}/out/x", "--watch", "--name", "{{number}}.png"], 2, "have no {number}"),
        (["{dir}", "-o", "{dir}", "--watch"], 2, "the outputs would be the inputs"),
        (["{dir}", "-o", "{dir}/a.png", "--watch"], 2, "is a file"),
        (["{dir}/a.png", "-o", "{dir}/b.png", "--name", "{{stem}}.png"], 2, "--name names files in a folder"),
        (["{dir}/a.png", "-o", "{dir}/out/x", "--name", "{{title}}.png"], 2, "known: name, number, parent"),
        (["{dir}/a.png", "-o", "{dir}/out/x", "--manifest", "{dir}/a.png"], 2, "is no manifest"),
        (["{dir}", "-o", "{dir}/out/x", "--format", "png", "-r"], 1, "would be written twice, from"),
        (["{dir}/q*.png", "-o", "{dir}/out/x"], 1, "no photograph has such a name"),
        (["{dir}/loop.png", "-o", "{dir}/out/x"], 1, "loop.png: cannot be read"),
        (["{dir}/a.png", "-o", "{dir}/loop.png"], 1, "loop.png: cannot be written"),
        (["{dir}/a.png", "-o", "{dir}/loop.png/x"], 1, "loop.png/x/a.png: cannot be written: Too many levels"),
        (["{dir}/a.png", "-o", "{dir}/a.jpg/x"], 1, "a.jpg/x: the folder cannot be made"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_writes_nothing(restore, tmp_path, arguments, status, message):
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.jpg")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "round").symlink_to(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ended, out, err = restore(*(argument.format(dir=tmp_path) for argument in arguments))
    assert ended == status
    assert message in err
    assert err.count("\n") == 1
    assert out in ("", "0 restored, 1 failed\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_to_its_own_folder_is_not_gone_around(restore, tmp_path):
    picture(tmp_path / "in/a.png")
    (tmp_path / "in/round").symlink_to(tmp_path / "in")
    (tmp_path / "in/loop.png").symlink_to("loop.png")
    status, _, err = restore(tmp_path / "in", "-r", "-o", tmp_path / "out")
    assert status == 0
    assert "1 passed over" in err
    assert files_in(tmp_path / "out") == ["a.png"]


@contextmanager
def small_disk(folder, options):
    """A file system in memory, where this may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system in memory cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line(restore, tmp_path):
    for number in range(30):
        picture(tmp_path / f"in/{number:02}.png", seed=number, side=100)
    with small_disk(tmp_path / "disk", "size=200k") as disk:
        status, out, err = restore(tmp_path / "in", "-o", disk, "--manifest", tmp_path / "m.jsonl")
        written = files_in(disk)
        assert written
        assert all(same_pixels(tmp_path / "in" / name, disk / name) for name in written)
    assert status == 1
    assert f"{len(written)} restored" in out
    assert "not tried: No space left on device" in out
    assert err.count("\n") == 1
    assert "cannot be written: No space left on device" in err
    status, out, err = restore(tmp_path / "in", "-o", tmp_path / "disk", "--manifest", tmp_path / "m.jsonl")
    assert (status, err) == (0, "")  # on a larger one every photograph is done
    assert len(files_in(tmp_path / "disk")) == 30


def test_a_disk_that_cannot_be_written_is_one_line(restore, tmp_path):
    for number in range(5):
        picture(tmp_path / f"in/{number:02}.png")
    with small_disk(tmp_path / "disk", "ro") as disk:
        status, _, err = restore(tmp_path / "in", "-o", disk)
        assert status == 1
        assert err.count("\n") == 1
        assert "Read-only file system" in err
        status, _, err = restore(tmp_path / "in", "-o", disk, "--resume")
        assert status == 1
        assert err.count("\n") == 1
        assert "the manifest cannot be written (Read-only file system)" in err


def test_no_room_for_what_does_not_fit_into_memory_is_one_line(restore, tmp_path, monkeypatch):
    picture(tmp_path / "large.png", side=700)
    large = ("--memory", "16MB", "--overwrite", "-o", tmp_path / "out")
    with small_disk(tmp_path / "disk", "size=1M") as disk:
        monkeypatch.setenv("TMPDIR", str(disk))
        status, _, err = restore(tmp_path / "large.png", *large)
        assert (status, err.count("\n")) == (1, 1)
        assert "disk: has no" in err
        assert files_in(disk) == []
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    status, _, err = restore(tmp_path / "large.png", *large)
    assert (status, err.count("\n")) == (1, 1)
    assert "nowhere: no file for intermediate results can be made there" in err
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert restore(tmp_path / "large.png", *large)[0] == 0
    assert same_pixels(tmp_path / "large.png", tmp_path / "out/large.png")


@pytest.fixture
def interruptible():
    """A process that is started ignores Ctrl-C where these tests do, as they do under nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def started(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "pellucid", "restore", *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited for too long"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.usefixtures("interruptible")
def test_a_folder_is_watched_until_ctrl_c(identity, tmp_path):
    (tmp_path / "in").mkdir()
    whole = picture(tmp_path / "whole.png", side=60).read_bytes()
    picture(tmp_path / "in/a.png")
    name = ("--name", "{stem}-restored{suffix}")
    watching = started("--watch", tmp_path / "in", "-o", tmp_path / "in", *name, "--settle", "0.6", "--model", identity)
    try:
        wait_for((tmp_path / "in/a-restored.png").is_file, watching)
        with (tmp_path / "in/b.png").open("wb") as file:
            for start in range(0, len(whole), 1000):
                file.write(whole[start : start + 1000])
                file.flush()
                time.sleep(0.1)
                assert not (tmp_path / "in/b-restored.png").exists()
        wait_for((tmp_path / "in/b-restored.png").is_file, watching)
        time.sleep(1.5)  # were outputs taken, they would be now
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=60)
    finally:
        watching.kill()
    assert (watching.returncode, err) == (0, "")
    assert out.splitlines()[-1].startswith("2 restored")
    assert files_in(tmp_path / "in") == ["a-restored.png", "a.png", "b-restored.png", "b.png"]
    assert same_pixels(tmp_path / "in/b.png", tmp_path / "in/b-restored.png")


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_whole_files_and_a_manifest_to_go_on_with(identity, restore, tmp_path):
    for number in range(150):
        picture(tmp_path / f"in/{number:03}.png", seed=number, side=64)
    running = started(tmp_path / "in", "-o", tmp_path / "out", "--resume", "--model", identity)
    try:
        wait_for((tmp_path / "out/004.png").is_file, running)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, err) == (130, "pellucid: stopped\n")
    written = [path for path in os.listdir(tmp_path / "out") if path != MANIFEST]
    assert 5 <= len(written) < 150
    assert all(same_pixels(tmp_path / "in" / name, tmp_path / "out" / name) for name in written)
    status, out, _ = restore(tmp_path / "in", "-o", tmp_path / "out")
    assert status == 0
    assert f"{len(written)} skipped (done, as the manifest says)" in out


@pytest.mark.slow
def test_ten_kills_at_random_moments_lose_nothing_and_do_nothing_twice(identity, tmp_path):
    draw = random.Random(0)
    count = 1500
    for number in range(count):
        picture(tmp_path / f"in/{number:04}.png", seed=number, side=24)
    arguments = (tmp_path / "in", "-o", tmp_path / "out", "--resume", "--model", identity)
    manifest = tmp_path / "out" / MANIFEST
    for kill in range(10):
        # Before anything is loaded, and at any moment of the work.
        size = manifest.stat().st_size if manifest.exists() else 0
        running = started(*arguments)
        if kill:
            wait_for(lambda: manifest.exists() and manifest.stat().st_size > size + 500, running)  # noqa: B023
        time.sleep(draw.uniform(0, 0.6))
        running.kill()
        running.communicate()
    running = started(*arguments)
    _, err = running.communicate(timeout=600)
    assert (running.returncode, err) == (0, "")
    assert sorted(os.listdir(tmp_path / "out")) == [*(f"{number:04}.png" for number in range(count)), MANIFEST]
    for number in range(count):
        with (
            Image.open(tmp_path / f"in/{number:04}.png") as one,
            Image.open(tmp_path / f"out/{number:04}.png") as other,
        ):
            assert one.tobytes() == other.tobytes()
    lines = [json.loads(line) for line in manifest.read_bytes().splitlines() if line.endswith(b"}")]
    done = [line["target"] for line in lines if line.get("status") == "restored"]
    assert sorted(done) == sorted(set(done)) == [f"{number:04}.png" for number in range(count)]
    assert sum("run" in line for line in lines) >= 10


MEMORY = """
import resource, sys
from pathlib import Path
import pellucid
from pellucid.batch.manifest import Manifest
from pellucid.batch.plan import plan
from pellucid.batch.restore import restore_files

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

model, source, out = sys.argv[1:]
restorer = pellucid.load(model)
with Manifest(Path(out) / "manifest.jsonl", {}) as manifest:
    for number, result in enumerate(restore_files(restorer, plan([Path(source)], Path(out)), overwrite=False,
                                                  manifest=manifest), start=1):
        assert result.status == "restored", result
        if number in (100, 500, 1000, 1500, 2000):
            print(number, resident())
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="tells memory by /proc")
def test_memory_stays_flat_over_two_thousand(identity, tmp_path):
    pixels = [torch.rand(1, 3, 200 + number, 260 - number) for number in range(20)]
    for number in range(2000):
        path = tmp_path / f"in/{number:04}.{('png', 'jpg', 'tif')[number % 3]}"
        path.parent.mkdir(exist_ok=True)
        images.write(images.Photograph(pixels[number % 20]), path)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, identity, tmp_path / "in", tmp_path / "out"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    resident = {int(number): int(size) for number, size in map(str.split, done.stdout.splitlines())}
    assert resident[2000] < 1.05 * resident[100], resident
