"""`pellucid study` as people use it, in a process of its own: killed, started again, and asked for results."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
import typer
from typer.testing import CliRunner

from pellucid.cli.study import study
from pellucid.errors import DataError, MissingExtraError, SettingsError
from pellucid.studies.preference.votes import Ledger, Vote, read_votes
from support.small_study import NAMES

RUN = "import typer; from pellucid.cli.study import study; typer.run(study)"


@pytest.fixture
def arguments(study_folders):
    """Of `pellucid study` for the small study."""
    a, b, inputs, out = (str(study_folders / name) for name in ("alpha_net", "beta_net", "degraded", "out"))
    return [a, b, "--inputs", inputs, "--out", out]


@pytest.fixture
def cli():
    """Runs the verb in this process: what it prints; what it raises is raised."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(study)

    def run(*given):
        done = CliRunner().invoke(app, list(map(str, given)))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.output

    return run


@pytest.fixture
def started():
    """Starts the server in a process of its own: the process, and the address; all are killed at the end."""
    pytest.importorskip("starlette", reason="starlette is not installed: pip install 'pellucid[web]'")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'pellucid[web]'")
    processes = []

    def start(*given):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *map(str, given), "--json"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        processes.append(process)
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, "the server ended"
            text += line
        return process, json.loads(text)

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


class Browser:
    """A cookie and two kinds of requests."""

    def __init__(self, url):
        self.url, self.cookie = url, ""
        with urllib.request.urlopen(url) as answer:
            self.cookie = answer.headers["set-cookie"].split(";")[0]

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Cookie": self.cookie})
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_server_killed_in_the_middle_goes_on_where_it_was(arguments, started, study_folders):
    process, said = started(*arguments, "--repeat", 2)
    assert said["trials"] == 8
    assert said["votes"] == 0
    url = said["urls"][0]
    browser = Browser(url)
    for _ in range(3):
        last = {"trial": browser.ask("state")["trial"]["id"], "choice": "right"}
        state = browser.ask("votes", last)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with (study_folders / "out/votes.jsonl").open("ab") as file:
        file.write(b'{"time": "2026')  # a vote that was half written when it happened
    port = re.search(r":(\d+)/", url).group(1)
    process, said = started(*arguments, "--repeat", 2, "--port", port)
    assert (said["votes"], said["urls"]) == (3, [url])
    assert browser.ask("votes", last) == state == browser.ask("state")
    while (trial := browser.ask("state")["trial"]) is not None:
        browser.ask("votes", {"trial": trial["id"], "choice": "left"})
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    lines = (study_folders / "out/votes.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(1, 9))


def test_results(cli, study_folders):
    (study_folders / "out").mkdir()
    plan = {"a": "runs/[one]", "b": "runs/two", "repeat": 1, "ties": True, "seed": 0, "secret": "s"}
    entries = [{"name": name, "a": "", "b": "", "input": "", "clean": None} for name in NAMES]
    (study_folders / "out/study.json").write_text(json.dumps(plan | {"photographs": entries}))
    assert "No votes yet" in cli("--results", study_folders / "out")
    ledger = Ledger(study_folders / "out")
    for person in range(10):
        for number, name in enumerate(NAMES):
            choice = "tie" if number == 3 else "a" if person < 9 else "b"
            ledger.record(
                Vote(participant=f"p{person}", photograph=name, repetition=0, number=1, left="b", choice=choice)
            )
    ledger.close()
    document = json.loads(cli("--results", study_folders / "out", "--json"))
    overall = document["overall"]
    # binom.test(27, 30) of R: p = 8.43e-06, interval 0.7347115 to 0.9788829
    assert (overall["a"], overall["b"], overall["ties"]) == (27, 3, 10)
    assert (overall["low"], overall["high"]) == pytest.approx((0.7347115, 0.9788829), abs=1e-6)
    assert overall["p"] == pytest.approx(8.43e-06, abs=5e-9)
    assert document["participants_as_votes"]["a"] == 9
    text = cli("--results", study_folders / "out")
    for expected in ("runs/[one]", "90.0%", "73.5% to 97.9%", "< 0.001", "première", "p9", "Clopper-Pearson"):
        assert expected in text


def test_wrong_usage(cli, arguments, study_folders):
    with pytest.raises(SettingsError, match="give two folders A and B, --inputs and --out"):
        cli(*arguments[:2])
    with pytest.raises(SettingsError, match="--results takes the folder"):
        cli(*arguments, "--results", study_folders / "out")
    with pytest.raises(DataError, match="no study in this folder"):
        cli("--results", study_folders / "alpha_net")


def test_without_the_extra_it_says_what_to_install(cli, arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "pellucid.web.preference.server", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'pellucid\[web\]'"):
        cli(*arguments)


def test_an_unwritable_folder_and_another_study(cli, arguments, study_folders):
    pytest.importorskip("starlette", reason="starlette is not installed: pip install 'pellucid[web]'")
    (study_folders / "file").touch()
    with pytest.raises(DataError, match=r"file.votes\.jsonl: cannot be written"):
        cli(*arguments[:-1], study_folders / "file")
    (study_folders / "out").mkdir()
    (study_folders / "out/votes.jsonl").write_text(
        Vote(participant="p", photograph="x", repetition=0, number=1, left="a", choice="a").model_dump_json() + "\n"
    )
    with pytest.raises(DataError, match=r"holds votes of a study, but not its study\.json"):
        cli(*arguments)
    assert len(read_votes(study_folders / "out")) == 1
