"""`pellucid data` as people use it: what it writes, what it says, and how it ends."""

import functools
import hashlib
import json
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from pellucid import images
from pellucid.data.benchmarks import registry
from pellucid.data.benchmarks.download import Patience

FILES = {"1.png": b"one", "2.png": b"two"}
REGISTRY = """
tiny: {title: Tiny, task: denoising, split: all, count: 2, layouts: [{clean: "{name}"}], paper: nobody, licence: CC0,
  repository: owner/tiny, commit: c0ffee, origin: {"{name}": "{name}"}, overlaps: [hand]}
hand: {title: Hand, task: deblurring, split: test, count: 1,
  layouts: [{degraded: "input/{name}", clean: "target/{name}"}], paper: nobody, get: the authors of Hand}
"""


@pytest.fixture
def run(run):
    """Runs `pellucid data` with these arguments."""
    return lambda *arguments: run("data", *arguments)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A registry of two small sets, and the folder for them."""
    (tmp_path / "registry/files").mkdir(parents=True)
    (tmp_path / "registry/registry.yaml").write_text(REGISTRY)
    lines = [f"{path}\t{len(data)}\t{hashlib.sha256(data).hexdigest()}\t\n" for path, data in FILES.items()]
    (tmp_path / "registry/files/tiny.tsv").write_text("".join(lines))
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry/registry.yaml")
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def mirror(tmp_path):
    """The address of a server with the files of `tiny`."""
    (tmp_path / "site/owner/tiny/c0ffee").mkdir(parents=True)
    for path, content in FILES.items():
        (tmp_path / "site/owner/tiny/c0ffee" / path).write_bytes(content)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "site")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(images.Photograph(torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(seed))), path)
    return path


def test_the_real_list_names_every_set_and_loads_nothing_heavy(run):
    status, out, err = run("list", "--json")
    assert (status, err) == (0, "")
    sets = {record["name"]: record for record in json.loads(out)["sets"]}
    assert sets["set12"]["bytes"] == 1195905
    assert sets["gopro"]["get"]
    assert sets["gopro"]["licence"] == "CC BY 4.0"
    status, out, _ = run("list", "--task", "deraining")
    assert status == 0
    assert "rain100h_30" in out
    assert "gopro" not in out
    assert run("list", "--task", "baking")[0] == 2


def test_one_record_in_full(run, root):
    status, out, _ = run("list", "tiny", "hand")
    assert status == 0
    assert "source: owner/tiny at c0ffee on GitHub" in out
    assert "licence: CC0" in out
    assert "get it from the authors of Hand" in out
    record = json.loads(run("list", "tiny", "--json")[1])["sets"][0]
    assert record["addresses"][0] == {
        "path": "1.png",
        "address": "owner/tiny/c0ffee/1.png",
        "bytes": 3,
        "sha256": hashlib.sha256(b"one").hexdigest(),
    }


def test_where_names_the_folder_there_or_not(run, root):
    assert run("where") == (0, f"{root}\n", "")
    status, out, err = run("where", "tiny")
    assert (status, out) == (0, f"{root}/tiny\n")
    assert "`pellucid data fetch tiny`" in err
    assert json.loads(run("where", "tiny", "--json")[1]) == {"name": "tiny", "folder": f"{root}/tiny", "there": False}


def test_fetch_then_verify(run, root, mirror):
    status, out, err = run("fetch", "tiny", "--mirror", mirror)
    assert status == 0
    assert out == f"tiny: 2 files new (0.0 MB), 0 were there; in {root}/tiny; licence: CC0\n"
    assert "shares pictures with hand" in err  # not a test set, so it may be trained on
    status, out, err = run("fetch", "tiny", "--mirror", mirror, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["sets"][0]["present"] == 2
    assert run("verify", "tiny") == (0, "tiny: 2 of 2 files right\n", "")
    assert "yes" in run("list")[1]
    status, out, _ = run("verify", "--all", "--json")
    assert status == 0
    assert [(check["name"], check["right"]) for check in json.loads(out)["sets"]] == [("tiny", True)]


def test_verify_names_every_file(run, root):
    (root / "tiny").mkdir(parents=True)
    (root / "tiny/1.png").write_bytes(b"One")
    (root / "tiny/3.png").write_bytes(b"three")
    status, out, err = run("verify", "tiny")
    assert status == 1
    assert out == "tiny: 0 of 2 files right, 1 missing, 1 wrong, 1 extra\n"
    lines = err.splitlines()
    assert lines[:3] == ["pellucid: tiny: missing 2.png", "pellucid: tiny: wrong 1.png", "pellucid: tiny: extra 3.png"]
    status, out, err = run("verify", "tiny", "--json")
    assert (status, err) == (1, "")
    assert json.loads(out)["sets"][0]["wrong"] == ["1.png"]


def test_a_wrong_file_and_a_set_without_address_end_1_and_the_rest_arrives(run, root, mirror, tmp_path):
    (tmp_path / "site/owner/tiny/c0ffee/2.png").write_bytes(b"TWO")
    status, out, err = run("fetch", "hand", "tiny", "--mirror", mirror)
    assert status == 1
    assert "hand: it has no stable address to download from; get it from the authors of Hand" in err
    assert "tiny: 2.png: wrong content" in err
    assert "1 files new" in out
    assert [path.name for path in (root / "tiny").iterdir()] == ["1.png"]
    status, out, _ = run("fetch", "hand", "tiny", "--mirror", mirror, "--json")
    documents = json.loads(out)["sets"]
    assert "no stable address" in documents[0]["error"]
    assert documents[1]["failed"][0]["file"] == "2.png"


def test_no_connection_is_one_line(run, root, monkeypatch):
    monkeypatch.setattr("pellucid.data.benchmarks.fetching.Patience", functools.partial(Patience, retries=0))
    status, _, err = run("fetch", "tiny", "--mirror", "http://127.0.0.1:9")  # the discard port, closed
    assert status == 1
    assert err.count("\n") == 1
    assert "no connection to 127.0.0.1:9" in err
    assert "2 files are still to be fetched" in err


def test_a_copy_is_adopted(run, root, tmp_path):
    (tmp_path / "copy").mkdir()
    for path, content in FILES.items():
        (tmp_path / "copy" / f"picture-{path}").write_bytes(content)
    assert run("fetch", "tiny", "--from", tmp_path / "copy", "--link")[0] == 0
    assert (root / "tiny/1.png").samefile(tmp_path / "copy/picture-1.png")
    assert run("verify", "tiny")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["fetch", "tinny"], 2, "unknown data set 'tinny'; did you mean 'tiny'"),
        (["fetch", "tiny", "--link"], 2, "--link goes with --from"),
        (["fetch", "tiny", "--from", "nowhere"], 1, "nowhere: no such folder"),
        (["fetch", "tiny", "--mirror", "ftp://a/b"], 2, "a mirror is an address"),
        (["verify"], 2, "name the sets to check, or give --all"),
        (["verify", "tiny", "--all"], 2, "name the sets to check, or give --all"),
        (["verify", "--all"], 1, "no set is here"),
        (["verify", "hand"], 1, "get it from the authors of Hand"),
        (["where", "nothing"], 2, "unknown data set"),
        (["overlap", "nowhere"], 1, "nowhere: no such folder"),
    ],
)
def test_wrong_usage_and_absent_sets_are_one_line(run, root, arguments, status, message):
    ended, out, err = run(*arguments)
    assert ended == status
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert not root.exists()


def test_overlap_ends_1_where_a_test_picture_is_found(run, tmp_path, shared):
    picture(tmp_path / "train/own.png")
    status, out, _ = run("overlap", tmp_path / "train", "--set", "kodak24")
    assert status == 0
    assert out == "0 of 1 photographs are in a test set; compared with kodak24 (24)\n"
    source = images.read(shared / "data/eval/kodak24/kodim05.png")
    images.write(images.Photograph(source.pixels[..., ::2, ::2]), tmp_path / "train/found.jpg", quality=40)
    (tmp_path / "train/broken.png").write_bytes(b"")
    status, out, err = run("overlap", tmp_path / "train", "--set", "kodak24", "--set", "mcmaster")
    assert status == 1
    assert f"{tmp_path}/train/found.jpg: is kodim05.png of kodak24" in out
    assert "not compared with mcmaster" in out
    assert "broken.png: the file is empty" in err
    status, out, _ = run("overlap", tmp_path / "train", "--json")
    document = json.loads(out)
    assert [one["image"] for one in document["overlaps"]] == ["kodim05.png"]
    assert document["compared_with"]["kodak24"] == {"known": 24, "of": 24}


def test_published_tables(run):
    status, out, _ = run("tables")
    assert status == 0
    assert re.search(r"^ptgrm-8 .*\(6 of 9 columns", out, re.M)
    status, out, _ = run("tables", "ptgrm-8")
    assert (status, "33.25" in out, "arXiv 2403.06793" in out) == (0, True, True)
    (table,) = json.loads(run("tables", "ptgrm-8", "--json")[1])
    assert table["quoted"][0]["psnr"] == 33.25
    status, _, err = run("tables", "ptgrm")
    assert (status, "did you mean" in err) == (2, True)
