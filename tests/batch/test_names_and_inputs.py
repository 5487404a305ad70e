"""Names of outputs, lists and patterns of inputs, parts of a run."""

import io
import os
import shutil

import pytest

from pellucid.batch.inputs import expand
from pellucid.batch.names import PLACEHOLDERS, check_template, named
from pellucid.batch.plan import Job, plan
from pellucid.batch.shards import parse_shard, shard_of
from pellucid.errors import DataError, ImageError, SettingsError

NOTHING = io.BytesIO(b"")


def names(jobs, folder):
    return [job.target.relative_to(folder).as_posix() for job in jobs]


def test_every_placeholder(tmp_path):
    source, target = tmp_path / "roll 3/a.b.gif", tmp_path / "out/a.b.gif.png"
    filled = {name: named(f"x{{{name}}}", source, target, 7).name for name in PLACEHOLDERS}
    assert filled == {
        "stem": "xa.b.gif",
        "suffix": "x.png",
        "name": "xa.b.gif.png",
        "parent": "xroll 3",
        "number": "x7",
    }
    assert named("{parent}/{number:04}{suffix}", source, target, 7) == tmp_path / "out/roll 3/0007.png"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{stm}{suffix}", "did you mean 'stem'"),
        ("{stem}{0}{suffix}", "known: name, number, parent, stem, suffix"),
        ("{stem.__class__}{suffix}", "unknown placeholder"),
        ("{stem!r}{suffix}", "more than a name"),
        ("{stem{suffix}", "cannot be understood"),
        ("{number:x4q}{suffix}", "cannot be understood"),
        ("{stem}-restored", "must end in {suffix}"),
        ("../{stem}{suffix}", "below the folder of --out"),
        ("/{stem}{suffix}", "below the folder of --out"),
        ("{stem}/", "below the folder of --out"),
        ("", "below the folder of --out"),
    ],
)
def test_a_template_that_names_no_files_is_refused(template, message):
    with pytest.raises(SettingsError, match="--name") as caught:
        check_template(template)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_beside_their_sources_are_never_restored_again(tmp_path, picture):
    for name in ("a.png", "b.jpg", "a-restored.png"):
        picture(tmp_path / name)
    jobs = plan([tmp_path], tmp_path, template="{stem}-restored{suffix}")
    assert names(jobs, tmp_path) == ["a-restored.png", "b-restored.jpg"]
    with pytest.raises(ImageError, match="is the input itself"):
        plan([tmp_path], tmp_path)


def test_collisions_are_named_before_anything_is_read(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.jpg"):
        (tmp_path / "in" / name).write_bytes(b"not a picture")
    for settings in ({"suffix": "png"}, {"template": "all{suffix}", "suffix": "tiff"}):
        with pytest.raises(DataError, match=r"would be written twice, from .*a\.jpg and from .*a\.png"):
            plan([tmp_path / "in"], tmp_path / "out", **settings)
    assert len(plan([tmp_path / "in"], tmp_path / "out", template="{number}{suffix}", suffix="png")) == 2


def test_a_name_for_a_single_file_and_a_suffix_of_another_format_are_refused(tmp_path, picture):
    source = picture(tmp_path / "a.png")
    with pytest.raises(SettingsError, match="--name names files in a folder"):
        plan([source], tmp_path / "b.png", template="{name}")
    with pytest.raises(SettingsError, match="not that of the format 'png'"):
        plan([source], tmp_path / "out", template="{stem}.jpg", suffix="png")


def test_a_photograph_that_is_given_twice_is_one(tmp_path, picture):
    source = picture(tmp_path / "in/a.png")
    (tmp_path / "in/deep").mkdir()
    again = tmp_path / "in/deep/../a.png"
    assert len(plan([source, tmp_path / "in", again], tmp_path / "out")) == 1


def test_a_list_holds_any_name(tmp_path):
    paths = ["a.png", " b .png", "日本語/写真.jpg", os.fsdecode(b"\xff\xfe.png"), "*.png"]
    lines = b"".join(os.fsencode(path) + b"\n" for path in paths) + b"\r\n\n"
    assert [str(path) for path in expand(["-"], io.BytesIO(lines))] == paths
    paths.append("two\nlines.png")
    data = b"".join(os.fsencode(path) + b"\0" for path in paths)
    assert [str(path) for path in expand(["x.png", "-"], io.BytesIO(data), nul=True)] == ["x.png", *paths]


def test_lists_that_cannot_be_meant_are_refused():
    with pytest.raises(SettingsError, match="given twice"):
        expand(["-", "-"], NOTHING)
    with pytest.raises(SettingsError, match="-0 says"):
        expand(["a.png"], NOTHING, nul=True)
    with pytest.raises(DataError, match="is empty"):
        expand(["-"], NOTHING)
    with pytest.raises(DataError, match="-0 reads it"):
        expand(["-"], io.BytesIO(b"a.png\0b.png\0"))


def test_patterns_that_no_shell_expanded(tmp_path, picture):
    for name in ("a1.png", "a2.jpg", "b.png", "deep/er/a3.png"):
        picture(tmp_path / name)
    (tmp_path / "a4.txt").touch()
    (tmp_path / "empty").mkdir()

    def found(pattern):
        return [path.relative_to(tmp_path).as_posix() for path in expand([tmp_path / pattern], NOTHING)]

    assert found("a*") == ["a1.png", "a2.jpg"]
    assert found("a[13].png") == ["a1.png"]
    assert found("?.png") == ["b.png"]
    assert found("**/a?.png") == ["a1.png", "deep/er/a3.png"]
    assert found("**") == ["a1.png", "a2.jpg", "b.png", "deep/er/a3.png"]
    shutil.copy(tmp_path / "b.png", tmp_path / "a[1].png")
    assert found("a[1].png") == ["a[1].png"]  # there is such a file
    assert found("missing.png") == ["missing.png"]  # said when it is read
    with pytest.raises(DataError, match="no photograph has such a name"):
        found("c*.png")


def test_parts_are_disjoint_whole_and_do_not_move(tmp_path):
    jobs = [Job(tmp_path / f"{n}.png", tmp_path / f"out/{n}.png", name=f"roll/{n}") for n in range(300)]
    parts = [shard_of(jobs, (part, 3)) for part in (1, 2, 3)]
    assert sorted(job.name for part in parts for job in part) == sorted(job.name for job in jobs)
    assert all(70 < len(part) < 130 for part in parts)
    assert shard_of(jobs[::-2], (2, 3)) == [job for job in jobs[::-2] if job in parts[1]]
    composed, parted = (Job(tmp_path, tmp_path, name=name) for name in ("\u00e9t\u00e9", "e\u0301te\u0301"))
    assert all(len(shard_of([composed, parted], (part, 50))) in (0, 2) for part in range(1, 51))
    begins = int("3437dac207ad082c", 16)  # the SHA-256 of roll/0, as sha256sum tells it
    assert shard_of(jobs[:1], (begins % 3 + 1, 3)) == jobs[:1]
    assert parse_shard("2/5") == (2, 5)
    for wrong in ("0/3", "4/3", "1", "a/b", "1/0", "-1/3"):
        with pytest.raises(SettingsError, match="expected i/n"):
            parse_shard(wrong)
