"""The study over HTTP: who may see and do what, and that no name ever leaves the server."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from pellucid.errors import SettingsError
from pellucid.studies.preference.votes import read_votes
from support.small_study import NAMES

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'pellucid[web]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'pellucid[web]'")
pytest.importorskip("httpx2", reason="starlette's test client needs httpx2")

from starlette.testclient import TestClient

from pellucid.web.preference.server import addresses, listen, make_app


@pytest.fixture
def study(make_study):
    return make_study(ties=True)


@pytest.fixture
def app(study):
    return make_app(study)


@pytest.fixture
def person(app):
    """A browser that has opened the page."""
    client = TestClient(app)
    assert client.get("/").status_code == 200
    return client


def answer(person, choice="left", trial=None):
    return person.post("/votes", json={"trial": trial or person.get("/state").json()["trial"]["id"], "choice": choice})


def test_someone_goes_through_the_study(person, study_folders):
    seen = []
    for done in range(len(NAMES)):
        state = person.get("/state").json()
        assert (state["done"], state["total"], state["question"]) == (done, 4, "Which looks better?")
        assert person.get("/state").json() == state
        seen.append(state["trial"]["id"])
        after = answer(person, ("left", "right", "tie")[done % 3])
        assert after.status_code == 200
        assert after.json() == person.get("/state").json()
    assert person.get("/state").json() == state | {"done": 4, "trial": None, "following": None}
    assert len(set(seen)) == 4
    assert [vote.number for vote in read_votes(study_folders / "out")] == [1, 2, 3, 4]


def test_no_name_leaves_the_server(person, study_folders):
    """Everything a browser can get, searched for names of files, folders and systems, and for the secret."""
    answers = [person.get(path) for path in ("/", "/study.js", "/study.css", "/icon.svg", "/nothing", "/votes")]
    while (state := person.get("/state")).json()["trial"]:
        answers.append(state)
        for shown in (state.json()["trial"], state.json()["following"]):
            for place in shown["places"] if shown else ():
                answers.append(person.get(f"/pictures/{shown['id']}/{place}.png"))
        answers.append(answer(person))
    answers += [answer(person, trial="x"), person.get("/?participant=a b"), person.post("/votes", content=b"{")]
    assert len(answers) > 30
    secret = re.search(r'"secret": "(\w+)"', (study_folders / "out/study.json").read_text()).group(1)
    hidden = [*NAMES, "alpha_net", "beta_net", "degraded", str(study_folders), "study.json", secret]
    for one in answers:
        everything = one.content + repr(sorted(one.headers.items())).encode()
        for name in hidden:
            assert name.encode() not in everything, f"{name} in {one.url}"


def test_both_pictures_come_alike(person):
    """Headers of left and right differ in the length of the content alone; nothing is dated."""
    trial = person.get("/state").json()["trial"]["id"]
    left, right = (person.get(f"/pictures/{trial}/{place}.png") for place in ("left", "right"))
    assert left.content != right.content
    for one in (left, right):
        assert one.headers["content-type"] == "image/png"
        assert not {"last-modified", "etag", "content-disposition"} & set(one.headers)
        del one.headers["content-length"]
    assert left.headers == right.headers


def test_the_page_allows_nothing_from_elsewhere(person):
    for path in ("/", "/state", "/study.js", "/nothing", "/pictures/x/left.png"):
        headers = person.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    page = person.get("/").text
    assert not re.search(r"https?://|<style|style=|<script>|\son\w+=", page)
    assert not re.search(r"https?://", person.get("/study.js").text + person.get("/study.css").text)
    assert person.get("/").headers["cache-control"] == "no-store"


def test_pressing_twice_reloading_and_going_back_count_once(person, study_folders):
    first = person.get("/state").json()["trial"]["id"]
    after = answer(person, "left", first)
    for choice in ("left", "right"):
        again = answer(person, choice, first)
        assert (again.status_code, again.json()) == (200, after.json())
    person.get("/")
    assert person.get("/state").json() == after.json()
    assert len(read_votes(study_folders / "out")) == 1


def test_the_same_answer_many_times_at_once_counts_once(app, person, study_folders):
    trial, cookies = person.get("/state").json()["trial"]["id"], dict(person.cookies)

    def press(choice):
        return TestClient(app, cookies=cookies).post("/votes", json={"trial": trial, "choice": choice})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(press, ["left", "right"] * 8))
    assert {one.status_code for one in answers} == {200}
    assert {one.json()["done"] for one in answers} == {1}
    assert len((study_folders / "out/votes.jsonl").read_text().splitlines()) == 1


def test_people_have_orders_of_their_own_and_do_not_meet(app, study):
    people = [TestClient(app) for _ in range(12)]
    for person in people:
        person.get("/")
    trials = [person.get("/state").json()["trial"]["id"] for person in people]
    assert len(set(trials)) == 12
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda person: [answer(person) for _ in NAMES], people))
    assert len(study.ledger) == 12 * len(NAMES)
    stranger = people[0].get(f"/pictures/{trials[1]}/left.png")
    assert stranger.status_code == 404
    assert answer(people[0], trial=trials[1]).status_code == 409


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/../study.json",
        "/pictures/..%2f..%2fout%2fstudy.json",
        "/pictures/{trial}/..%2f..%2fstudy.json",
        "/pictures/{trial}/%2e%2e%2fvotes.jsonl.png",
        "/pictures/{trial}/a.png",
        "/pictures/{trial}/clean.png",
        "/pictures//left.png",
        "/study.json",
        "/votes.jsonl",
        "/page/index.html",
        "/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_no_path_leads_out(person, path):
    trial = person.get("/state").json()["trial"]["id"]
    assert person.get(path.format(trial=trial)).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"trial": 3, "choice": "left"}', 400),
        (b'{"trial": "x"}', 400),
        (b'{"trial": "x", "choice": "left"}', 409),
        (b'{"trial": "%s", "choice": "a"}', 400),
        (b'{"trial": "%s", "choice": "left"}' + b" " * 10_000, 400),
        (b"\xff\xfe", 400),
    ],
)
def test_wrong_answers_are_refused(person, study, body, status):
    trial = person.get("/state").json()["trial"]["id"].encode()
    assert person.post("/votes", content=body.replace(b"%s", trial)).status_code == status
    assert len(study.ledger) == 0


def test_no_difference_counts_only_where_it_is_an_answer(make_study):
    strict = TestClient(make_app(make_study("strict")))
    strict.get("/")
    assert not strict.get("/state").json()["ties"]
    assert answer(strict, "tie").status_code == 400


def test_without_a_cookie_nothing_is_shown_or_taken(app):
    nobody = TestClient(app)
    assert nobody.get("/state").status_code == 401
    assert nobody.post("/votes", json={"trial": "x", "choice": "left"}).status_code == 401
    assert nobody.get("/pictures/x/left.png").status_code == 404
    cookie = nobody.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_a_forged_cookie_is_replaced(app):
    forger = TestClient(app)
    name = forger.get("/").headers["set-cookie"].split("=")[0]
    forger.cookies.clear()
    forger.cookies.set(name, "../../etc")
    assert forger.get("/state").status_code == 401
    assert forger.get("/").headers["set-cookie"].startswith(name)


def test_a_link_makes_a_participant(app, study_folders):
    client = TestClient(app)
    assert client.get("/?participant=anna-7").url.query == b""
    answer(client)
    other = TestClient(app)
    other.get("/?participant=anna-7")
    assert other.get("/state").json()["done"] == 1
    assert read_votes(study_folders / "out")[0].participant == "anna-7"
    for wrong in ("", "a b", "../x", "x" * 65):
        assert other.get("/", params={"participant": wrong}).status_code == 400


def test_the_browser_is_handed_over_only_at_the_end(person):
    before = person.get("/state").json()
    assert person.post("/another").status_code == 409
    assert person.get("/state").json() == before
    for _ in NAMES:
        answer(person)
    new = person.post("/another").json()
    assert new["done"] == 0
    assert new["trial"] != before["trial"]
    assert person.get("/state").json() == new


def test_two_studies_on_one_machine_share_no_cookie(make_study):
    names = {
        TestClient(make_app(make_study(out))).get("/").headers["set-cookie"].split("=")[0] for out in ("one", "two")
    }
    assert len(names) == 2


def test_a_vote_that_cannot_be_saved_is_not_counted_and_can_be_sent_again(person, study, monkeypatch):
    trial = person.get("/state").json()["trial"]["id"]
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        refused = answer(person, trial=trial)
    assert refused.status_code == 503
    assert "out" not in refused.text.split()
    assert person.get("/state").json()["done"] == 0
    assert answer(person, trial=trial).json()["done"] == 1
    assert len(study.ledger) == 1


def test_a_port_in_use_is_an_error_of_one_line():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert addresses(taken) == [f"http://127.0.0.1:{port}/"]
        with pytest.raises(SettingsError, match=f"--port {port}: Address already in use; choose another, or --port 0"):
            listen("127.0.0.1", port)


def test_a_host_that_is_not_this_machine():
    with pytest.raises(SettingsError, match=r"--host 192\.0\.2\.7 "):
        listen("192.0.2.7", 0)


def test_all_interfaces_have_two_addresses():
    with listen("0.0.0.0", 0) as everywhere:
        here, outside = addresses(everywhere)
        assert here == f"http://127.0.0.1:{everywhere.getsockname()[1]}/"
        assert "0.0.0.0" not in outside
    if socket.has_ipv6:
        try:
            listening = listen("::1", 0)
        except SettingsError:
            return
        with listening:
            assert addresses(listening) == [f"http://[::1]:{listening.getsockname()[1]}/"]
