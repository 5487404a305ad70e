"""Downloading a set from a server that misbehaves, and adopting copies. No test leaves this machine."""

import hashlib
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from pellucid.data.benchmarks import adopt, fetch, registry, verify
from pellucid.data.benchmarks.download import Patience
from pellucid.data.benchmarks.fetching import PARTIAL
from pellucid.errors import DataError, SettingsError

QUICK = Patience(retries=2, pause=0.001, longest=0.002, timeout=5)
BIG = bytes(range(256)) * 800
FILES = {
    "rain/1.png": b"rain one",
    "rain/ä 2.png": b"rain two" * 999,
    "rain/3.png": BIG,
    "clean/1.png": b"the same",
    "clean/ä 2.png": b"the same",
    "clean/3.png": b"",
}
REGISTRY = """
duo:
  title: Duo
  task: deraining
  split: test
  count: 3
  layouts: [{degraded: "rain/{name}", clean: "clean/{name}"}]
  paper: nobody
  repository: owner/duo
  commit: c0ffee
  origin: {"rain/{name}.png": "in put/{name}_rain.png", "clean/{name}.png": "out/{name}.png"}
hand:
  title: Hand
  task: deblurring
  split: test
  count: 2
  layouts: [{degraded: "input/{name}", clean: "target/{name}"}]
  paper: nobody
  get: the authors of Hand
"""


class Site:
    """A server of the files of `duo`, with Range; what it does wrong is set per path."""

    def __init__(self):
        self.files = {}
        self.asked = defaultdict(list)  # path: the Range of each request
        self.cut = {}  # path: bytes after which the connection closes, each time
        self.status = defaultdict(list)  # path: answers to give first
        self.ranges = True
        self.chunked = False
        self.lock = threading.Lock()

    def serve(self, request):
        path = unquote(request.path).removeprefix("/raw/owner/duo/c0ffee/")
        with self.lock:
            self.asked[path].append(request.headers.get("Range"))
            status = self.status[path].pop(0) if self.status[path] else None
        if path not in self.files:
            status = 404
        if status:
            request.send_response(status)
            request.send_header("Retry-After", "0")
            request.send_header("Content-Length", "5")
            request.end_headers()
            request.wfile.write(b"sorry")
            return
        data, start = self.files[path], 0
        told = request.headers.get("Range")
        if told and self.ranges:
            start = int(told.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                request.send_error(416)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        if not self.chunked:
            request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start : start + self.cut.get(path, len(data))])
        request.close_connection = True


@pytest.fixture
def site():
    here = Site()
    for path, data in FILES.items():
        side, name = path.split("/")
        here.files[f"in put/{name[:-4]}_rain.png" if side == "rain" else f"out/{name}"] = data

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            here.serve(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.address = f"http://127.0.0.1:{server.server_address[1]}/raw/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    (tmp_path / "registry/files").mkdir(parents=True)
    (tmp_path / "registry/registry.yaml").write_text(REGISTRY)
    lines = [f"{path}\t{len(data)}\t{hashlib.sha256(data).hexdigest()}\t" for path, data in FILES.items()]
    (tmp_path / "registry/files/duo.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry/registry.yaml")
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "data"))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "data"


def get(site, **options):
    return fetch("duo", mirror=site.address, **{"patience": QUICK} | options)


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_arrives_whole_and_only_once(site, root):
    told = []
    outcome = get(site, report=lambda done, name: told.append((done, name)))
    assert (outcome.present, outcome.added, outcome.failed) == (0, 6, ())
    assert everything(root / "duo") == FILES
    assert not (root / "duo" / PARTIAL).exists()
    assert verify("duo").right
    distinct = sum(len(data) for data in set(FILES.values()))
    assert outcome.bytes == distinct
    assert max(done for done, _ in told) == distinct
    # one content, one download, although two files have it
    assert sum(map(len, site.asked.values())) == 5
    again = get(site)
    assert (again.present, again.added, again.bytes) == (6, 0, 0)
    assert sum(map(len, site.asked.values())) == 5


def test_only_what_is_missing_or_wrong_is_fetched(site, root):
    get(site)
    site.asked.clear()
    (root / "duo/rain/1.png").write_bytes(b"Rain one")
    (root / "duo/clean/1.png").unlink()
    outcome = get(site)
    assert (outcome.present, outcome.added) == (4, 2)
    assert set(site.asked) == {"in put/1_rain.png", "out/1.png"}
    assert everything(root / "duo") == FILES


def test_a_broken_connection_is_resumed(site, root):
    path = "in put/3_rain.png"
    site.cut[path] = 70_000
    assert get(site).failed == ()
    assert site.asked[path] == [None, "bytes=70000-", "bytes=140000-"]
    assert everything(root / "duo") == FILES


def test_an_interrupted_run_is_resumed_by_the_next(site, root):
    path = "in put/3_rain.png"
    site.cut[path] = 50_000
    site.status[path] = [None, 500, 500, 500]
    outcome = get(site)
    assert [failure.path for failure in outcome.failed] == ["rain/3.png"]
    assert "HTTP 500" in outcome.failed[0].reason
    part = root / "duo" / PARTIAL / hashlib.sha256(BIG).hexdigest()
    assert part.read_bytes() == BIG[:50_000]
    assert verify("duo").missing == ("rain/3.png",)
    assert verify("duo").extra == ()
    site.cut.clear()
    site.asked.clear()
    assert get(site).failed == ()
    assert site.asked == {path: ["bytes=50000-"]}
    assert everything(root / "duo") == FILES


@pytest.mark.parametrize("left", [b"x" * 50, b"y" * len(BIG), b"z" * (len(BIG) + 9)])
def test_a_wrong_beginning_is_thrown_away(site, root, left):
    part = root / "duo" / PARTIAL / hashlib.sha256(BIG).hexdigest()
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    assert get(site).failed == ()
    assert everything(root / "duo") == FILES


def test_a_server_without_ranges_sends_all_again(site, root):
    site.ranges = False
    part = root / "duo" / PARTIAL / hashlib.sha256(BIG).hexdigest()
    part.parent.mkdir(parents=True)
    part.write_bytes(BIG[:1000])
    assert get(site).failed == ()
    assert site.asked["in put/3_rain.png"] == ["bytes=1000-"]
    assert everything(root / "duo") == FILES


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_tried_again(site, root, status):
    site.status["out/1.png"] = [status, status]
    assert get(site).failed == ()
    assert len(site.asked["out/1.png"]) == 3
    assert everything(root / "duo") == FILES


@pytest.mark.parametrize("status", [403, 404, 410])
def test_lasting_faults_are_not_and_the_rest_arrives(site, root, status):
    site.status["in put/1_rain.png"] = [status]
    outcome = get(site)
    assert [failure.path for failure in outcome.failed] == ["rain/1.png"]
    assert outcome.failed[0].reason.startswith(f"HTTP {status}")
    assert len(site.asked["in put/1_rain.png"]) == 1
    assert outcome.added == 5
    assert verify("duo").missing == ("rain/1.png",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Rain one", "wrong content"),
        (b"rain", "4 bytes where 8 were published"),
        (b"<html>moved</html>", "18 bytes where 8"),
    ],
)
def test_wrong_content_is_named_and_nothing_of_it_kept(site, root, content, reason):
    site.files["in put/1_rain.png"] = content
    outcome = get(site)
    assert [failure.path for failure in outcome.failed] == ["rain/1.png"]
    assert reason in outcome.failed[0].reason
    assert everything(root / "duo") == {path: data for path, data in FILES.items() if path != "rain/1.png"}


def test_a_server_that_does_not_say_the_length(site, root):
    site.chunked = True
    site.files["in put/1_rain.png"] = b"far longer than was published"
    outcome = get(site)
    assert [failure.path for failure in outcome.failed] == ["rain/1.png"]
    assert "more than the 8 published bytes" in outcome.failed[0].reason
    assert everything(root / "duo") == {path: data for path, data in FILES.items() if path != "rain/1.png"}


def test_no_server_at_all_is_said_once_and_leaves_nothing(site, root):
    outcome = fetch("duo", mirror="http://127.0.0.1:9", patience=QUICK, jobs=2)  # the discard port, closed
    assert outcome.unreachable
    assert outcome.unreachable.startswith("no connection to 127.0.0.1:9 (")
    assert {failure.reason for failure in outcome.failed} == {outcome.unreachable}
    assert len(outcome.failed) == 6
    assert not (root / "duo").exists()


def test_a_set_in_use_a_full_disk_and_an_unwritable_folder(site, root, monkeypatch, tmp_path):
    from pellucid.data.benchmarks.fetching import held

    with held(root / "duo"), pytest.raises(DataError, match="another pellucid is fetching"):
        get(site)
    with monkeypatch.context() as patch:
        usage = type("Usage", (), {"free": 10})
        patch.setattr("shutil.disk_usage", lambda _: usage)
        with pytest.raises(DataError, match=r"0 MB are needed and 0 MB are free; .*PELLUCID_DATA"):
            get(site)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"file/duo: cannot be written to \(Not a directory\)"):
        get(site)
    assert not site.asked


def test_a_target_that_cannot_be_written_ends_the_run(site, root):
    (root / "duo/rain/1.png").mkdir(parents=True)
    with pytest.raises(DataError, match=r"rain/1\.png: cannot be written \(Is a directory\)"):
        get(site)


def test_sets_without_an_address_and_wrong_mirrors(root):
    with pytest.raises(DataError, match="get it from the authors of Hand"):
        fetch("hand")
    for mirror in ("file:///etc", "mirror.example"):
        with pytest.raises(SettingsError, match="a mirror is an address"):
            fetch("duo", mirror=mirror)
    assert not root.exists()


# Adopting a copy


@pytest.fixture
def copy(tmp_path):
    """A copy with other folders and names, and with strangers."""
    folder = tmp_path / "copy"
    for index, data in enumerate(dict.fromkeys(FILES.values())):
        path = folder / f"deep/{index}/picture {index}.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    (folder / "stranger.png").write_bytes(b"8 bytes!")
    return folder


@pytest.mark.parametrize("link", [False, True])
def test_a_copy_is_adopted_whatever_its_names(copy, root, link):
    outcome = adopt("duo", copy, link=link)
    assert (outcome.added, outcome.present, outcome.failed) == (6, 0, ())
    assert everything(root / "duo") == FILES
    assert (root / "duo/rain/3.png").samefile(copy / "deep/2/picture 2.bin") == link
    assert adopt("duo", copy, link=link).present == 6


def test_a_copy_that_is_not_whole_gives_what_it_has(copy, root):
    (copy / "deep/2/picture 2.bin").unlink()
    (copy / "rain").mkdir()
    (copy / "rain/1.png").write_bytes(b"Rain one")
    (copy / "deep/0/picture 0.bin").unlink()
    outcome = adopt("duo", copy)
    assert outcome.added == 4
    assert {failure.path: failure.reason.split(":")[0] for failure in outcome.failed} == {
        "rain/1.png": "wrong content",
        "rain/3.png": "missing",
    }
    assert verify("duo").missing == ("rain/1.png", "rain/3.png")


def test_copies_of_nothing(root, tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        adopt("duo", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no file of duo"):
        adopt("duo", tmp_path / "empty")
    (tmp_path / "other/out").mkdir(parents=True)
    (tmp_path / "other/out/1.png").write_bytes(b"not the published one")
    with pytest.raises(DataError, match="1 have the right names and another content"):
        adopt("duo", tmp_path / "other")
    assert not (root / "duo").exists()
    (root / "duo").mkdir(parents=True)
    with pytest.raises(DataError, match="is the folder of duo itself"):
        adopt("duo", root / "duo")


def test_a_set_without_hashes_is_adopted_by_its_layout(root, tmp_path):
    for side in ("input", "target"):
        (tmp_path / "mine" / side).mkdir(parents=True)
        for number in (1, 2):
            (tmp_path / f"mine/{side}/{number}.png").write_bytes(b"x" * number)
    (tmp_path / "mine/readme.txt").write_text("not of the set")
    outcome = adopt("hand", tmp_path / "mine")
    assert (outcome.added, outcome.failed) == (4, ())
    assert sorted(everything(root / "hand")) == ["input/1.png", "input/2.png", "target/1.png", "target/2.png"]
    assert verify("hand").right
    (tmp_path / "less/input").mkdir(parents=True)
    with pytest.raises(DataError, match=r"less: holds no pairs of hand, which lie as input/\{name\} -> target"):
        adopt("hand", tmp_path / "less")
