"""What a manifest makes of a run: what is done again, what is not, and that nothing of others is touched."""

import errno
import hashlib
import json
import os

import pytest
import torch
from torch import nn

from pellucid import images
from pellucid.batch.change import foresee
from pellucid.batch.manifest import MANIFEST, Manifest, manifest_for
from pellucid.batch.plan import plan
from pellucid.batch.restore import restore_files, settings_of
from pellucid.errors import DataError, ModelError, SettingsError
from pellucid.restoration.options import RestoreOptions
from pellucid.restoration.restorer import Restorer


@pytest.fixture
def album(tmp_path, picture):
    for number, name in enumerate("abc"):
        picture(tmp_path / f"in/{name}.png", seed=number)
    return tmp_path / "in"


@pytest.fixture
def restored(tmp_path, restorer):
    """Restores a folder with a manifest: the statuses, or with `told` the results."""

    def call(folder, settings=None, *, told=False, restorer=restorer, **options):
        jobs = plan([folder], tmp_path / "out")
        with Manifest(tmp_path / "out" / MANIFEST, settings or {}) as manifest:
            foreseen = list(foresee(jobs, overwrite=False, manifest=manifest)) if not options else None
            results = list(restore_files(restorer, jobs, manifest=manifest, **{"overwrite": False} | options))
        if foreseen is not None:  # a dry run says the same
            assert [one.status != "planned" for one in foreseen] == [
                one.status in ("skipped", "quarantined") for one in results
            ]
        return results if told else [result.status for result in results]

    return call


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out" / MANIFEST).read_text().splitlines()]


def test_a_run_goes_on_and_tells_what_it_did(album, restored, tmp_path):
    assert restored(album) == ["restored"] * 3
    assert restored(album) == ["skipped"] * 3
    assert restored(album, told=True)[0].reason == "done, as the manifest says"
    done = [line for line in lines(tmp_path) if line.get("status") == "restored"]
    assert [line["target"] for line in done] == ["a.png", "b.png", "c.png"]
    for line in done:
        source, target = album / line["target"], tmp_path / "out" / line["target"]
        assert line["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert (line["size"], line["mtime_ns"]) == (source.stat().st_size, source.stat().st_mtime_ns)
        assert line["written"] == target.stat().st_size


def test_other_bytes_of_the_same_size_and_date_are_done_again(album, restored, picture):
    restored(album)
    before = (album / "b.png").stat()
    data = bytearray((album / "b.png").read_bytes())
    images.write(images.Photograph(torch.zeros(1, 3, 8, 8)), album / "b.png")
    shorter = (album / "b.png").read_bytes()
    (album / "b.png").write_bytes(shorter + bytes(len(data) - len(shorter)))
    os.utime(album / "b.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (album / "b.png").stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    assert restored(album) == ["skipped", "restored", "skipped"]


def test_a_date_alone_counts_only_where_it_is_kept(album, restored):
    keeping = {"keep_dates": True}
    restored(album, keeping, keep_dates=True)
    os.utime(album / "b.png", (1, 1))
    assert restored(album, keeping, keep_dates=True) == ["skipped", "restored", "skipped"]
    assert (album.parent / "out/b.png").stat().st_mtime == 1
    restored(album)
    os.utime(album / "b.png", (2, 2))
    assert restored(album) == ["skipped"] * 3


def test_other_settings_or_a_missing_output_are_done_again(album, restored, tmp_path):
    restored(album, {"strength": 1})
    assert restored(album, {"strength": 0.5}) == ["restored"] * 3
    (tmp_path / "out/c.png").unlink()
    assert restored(album, {"strength": 0.5}) == ["skipped", "skipped", "restored"]
    (tmp_path / "out/a.png").write_bytes(b"")  # as after a loss of power
    assert restored(album, {"strength": 0.5}) == ["restored", "skipped", "skipped"]


def test_what_others_wrote_is_left_alone(album, restored, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_bytes(b"precious")
    first = restored(album, told=True)
    assert [one.status for one in first] == ["skipped", "restored", "restored"]
    assert "the manifest does not know it" in first[0].reason
    (tmp_path / "out/b.png").write_bytes(b"edited by hand")
    again = restored(album, {"strength": 0.5}, told=True)
    assert [one.status for one in again] == ["skipped", "skipped", "restored"]
    assert "was changed since it was written" in again[1].reason
    assert (tmp_path / "out/a.png").read_bytes() == b"precious"
    assert (tmp_path / "out/b.png").read_bytes() == b"edited by hand"
    assert restored(album, {"strength": 0.5}, overwrite=True) == ["restored", "restored", "skipped"]


def test_a_failed_photograph_is_not_tried_again_before_it_changes(album, restored, picture):
    whole = (album / "b.png").read_bytes()
    (album / "b.png").write_bytes(whole[:60])
    assert restored(album) == ["restored", "failed", "restored"]
    again = restored(album, told=True)
    assert [one.status for one in again] == ["skipped", "quarantined", "skipped"]
    assert "b.png" in again[1].reason
    assert "--retry-failed" in again[1].reason
    assert restored(album, retry_failed=True) == ["skipped", "failed", "skipped"]
    assert restored(album, {"strength": 0.5})[1] == "failed"
    (album / "b.png").write_bytes(whole)
    assert restored(album) == ["restored"] * 3  # the others for their settings


def test_a_folder_in_the_place_of_an_output_is_no_fault_of_the_photograph(album, restored, tmp_path):
    (tmp_path / "out/b.png").mkdir(parents=True)
    results = restored(album, told=True, overwrite=False)
    assert [result.status for result in results] == ["restored", "failed", "restored"]
    assert "b.png: is a folder or a device" in results[1].error
    (tmp_path / "out/b.png").rmdir()
    assert restored(album) == ["skipped", "restored", "skipped"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_ends_the_run_and_blames_no_photograph(album, restored, picture, monkeypatch, number):
    for index in range(20):
        picture(album / f"d{index:02}.png")
    replace = os.replace

    def full(source, target):
        if str(target).endswith("b.png"):
            raise OSError(number, os.strerror(number))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        results = restored(album, told=True, overwrite=False)
    assert [result.status for result in results[:2]] == ["restored", "failed"]
    assert os.strerror(number) in results[1].error
    last = results[-1]
    assert (last.status, last.reason) == ("skipped", f"not tried: {os.strerror(number)}")
    assert sum(result.status == "failed" for result in results) == 1
    again = restored(album)
    assert set(again) == {"skipped", "restored"}
    assert again[1] == "restored"


def test_an_output_that_appears_meanwhile_is_left_alone(album, restored, tmp_path):
    """Two runs at once, or two names that the disk takes for one."""

    class Other(nn.Module):
        def forward(self, image):
            (tmp_path / "out/b.png").write_bytes(b"of another run")
            return image

    results = restored(album, restorer=Restorer(Other(), tile=0), overwrite=False)
    assert results == ["restored", "skipped", "restored"]
    assert (tmp_path / "out/b.png").read_bytes() == b"of another run"


class Deadly(nn.Module):
    """Stops the run at the second picture, as Ctrl-C does."""

    calls = 0

    def forward(self, image):
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt
        return image


def test_a_run_that_is_stopped_has_written_whole_files_and_goes_on(album, restored, tmp_path):
    results = restore_files(Restorer(Deadly(), tile=0), plan([album], tmp_path / "elsewhere"), overwrite=False)
    assert next(results).status == "restored"  # what was written by then is told
    with pytest.raises(KeyboardInterrupt):
        next(results)
    with pytest.raises(KeyboardInterrupt):
        restored(album, restorer=Restorer(Deadly(), tile=0))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", MANIFEST]
    assert restored(album) == ["skipped", "restored", "restored"]


def test_every_cut_of_a_manifest_is_gone_on_with(album, restored, tmp_path):
    """Killed at any byte: what the rest does not say is done is done again, once, and the file is a manifest again."""
    restored(album)
    whole = (tmp_path / "out" / MANIFEST).read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    for cut in sorted({*range(ends[0], len(whole), 97), *ends, *(end - 1 for end in ends[1:])}):
        (tmp_path / "out" / MANIFEST).write_bytes(whole[:cut])
        # Without its line an output is not known; with the line that it was begun it is.
        known = whole[:cut].count(b'"status": "restored"') - (
            whole[:cut].rfind(b'"restored"') > whole[:cut].rfind(b"\n")
        )
        results = restored(album, told=True)
        assert [one.reason for one in results[:known]] == ["done, as the manifest says"] * known, cut
        assert all(images.read(tmp_path / f"out/{name}.png").pixels.shape == (1, 3, 8, 8) for name in "abc")
        assert restored(album) == ["skipped"] * 3
        bad = [line for line in (tmp_path / "out" / MANIFEST).read_bytes().splitlines() if not line.endswith(b"}")]
        assert len(bad) <= 1


def test_an_output_whose_writing_was_begun_is_written_again(album, restored, tmp_path):
    restored(album)
    text = (tmp_path / "out" / MANIFEST).read_text().splitlines(keepends=True)
    last = max(index for index, line in enumerate(text) if '"restored"' in line)
    (tmp_path / "out" / MANIFEST).write_text("".join(text[:last]))
    (tmp_path / "out/c.png").write_bytes(b"half of it, by a system without atomic moves")
    assert restored(album) == ["skipped", "skipped", "restored"]


def test_the_halves_of_killed_runs_go_where_no_other_run_is(tmp_path, album):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".pellucid-0123456789ab.tmp").touch()
    with Manifest(out / MANIFEST, {}) as first:
        first.sweep([out])
        assert not list(out.glob(".pellucid*"))
        (out / ".pellucid-0123456789ab.tmp").touch()  # now it belongs to the first
        with Manifest(out / MANIFEST, {}) as second:
            second.sweep([out])
            assert list(out.glob(".pellucid*"))


def test_a_manifest_moves_with_its_folder(album, restored, tmp_path):
    restored(album)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    jobs = plan([album], tmp_path / "elsewhere")
    manifest = Manifest(tmp_path / "elsewhere" / MANIFEST, {})
    assert [one.status for one in foresee(jobs, overwrite=False, manifest=manifest)] == ["skipped"] * 3
    outside = Manifest(tmp_path / "elsewhere" / MANIFEST, {}).made
    assert outside(tmp_path / "elsewhere/a.png")
    assert not outside(tmp_path / "out/a.png")


def test_names_with_line_breaks_and_of_no_encoding_are_known_again(tmp_path, restored, picture):
    strange = [
        tmp_path / "in" / name for name in ("two\nlines.png", "日本 \u2028 語.png", os.fsdecode(b"\xff\xfe.png"))
    ]
    data = picture(tmp_path / "in/a.png").read_bytes()
    for path in strange:
        path.write_bytes(data)
    assert restored(tmp_path / "in") == ["restored"] * 4
    assert restored(tmp_path / "in") == ["skipped"] * 4
    strange[0].write_bytes(b"broken")
    (result,) = [one for one in restored(tmp_path / "in", told=True) if one.error]
    assert result.error.isprintable()


def test_a_file_that_is_no_manifest_is_not_written_to(tmp_path, album, picture):
    (tmp_path / "notes.txt").write_text("mine\n")
    with pytest.raises(SettingsError, match="is no manifest"):
        Manifest(tmp_path / "notes.txt", {})
    with pytest.raises(DataError, match="cannot be read"):
        Manifest(tmp_path, {})
    with pytest.raises(DataError, match="cannot be written"), Manifest(tmp_path / "notes.txt/x.jsonl", {}):
        pass
    with pytest.raises(DataError, match="one of the photographs"):
        Manifest(tmp_path / "out/a.png", {}).refuse(plan([album], tmp_path / "out"))
    assert (tmp_path / "notes.txt").read_text() == "mine\n"


def test_where_a_manifest_is(tmp_path):
    out = tmp_path / "out"
    assert manifest_for(out) is None
    assert manifest_for(out, wanted=True) == out / MANIFEST == manifest_for(out, out)
    assert manifest_for(out / "a.png", wanted=True) == out / MANIFEST
    assert manifest_for(out, tmp_path) == tmp_path / MANIFEST
    assert manifest_for(out, tmp_path / "b.jsonl") == tmp_path / "b.jsonl"
    out.mkdir()
    (out / MANIFEST).touch()
    assert manifest_for(out) == out / MANIFEST


def test_settings_tell_the_bytes_of_the_model_and_no_machine(identity, tmp_path):
    told = settings_of(str(identity), RestoreOptions(memory="1GB", device="cpu"), quality=90)
    assert told["model"] == [hashlib.sha256(identity.read_bytes()).hexdigest()]
    assert told == settings_of(str(identity), RestoreOptions(), quality=90)
    assert told != settings_of(str(identity), RestoreOptions(strength=0.5), quality=90)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(identity.read_bytes())
    assert told == settings_of(str(copy), RestoreOptions(), quality=90)
    with pytest.raises(ModelError, match="no such model"):
        settings_of(str(tmp_path / "none.safetensors"), RestoreOptions())
