"""The file of votes: nothing is lost, nothing counts twice, whatever happens."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pellucid.errors import DataError
from pellucid.studies.preference.votes import Ledger, Vote, read_votes

needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="file locks are those of POSIX")


def vote(number, participant="anna", choice="a"):
    return Vote(
        participant=participant, photograph=f"söhne {number}", repetition=0, number=number, left="b", choice=choice
    )


@pytest.fixture
def ledger(tmp_path):
    with_three = Ledger(tmp_path)
    for number in range(3):
        assert with_three.record(vote(number))
    yield with_three
    with_three.close()


def lines(folder):
    return [json.loads(line) for line in (folder / "votes.jsonl").read_text().splitlines()]


def test_a_vote_is_one_line_that_says_everything(ledger, tmp_path):
    first = lines(tmp_path)[0]
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "participant": "anna", "photograph": "söhne 0", "repetition": 0, "number": 0, "left": "b", "choice": "a"
    }  # fmt: skip
    assert len(read_votes(tmp_path)) == 3


def test_the_first_answer_stands(ledger, tmp_path):
    assert not ledger.record(vote(1, choice="b"))
    assert ledger.record(vote(1, "bert", choice="b"))
    assert [line["choice"] for line in lines(tmp_path)] == ["a", "a", "a", "b"]
    ledger.close()
    again = Ledger(tmp_path)
    assert not again.record(vote(1, choice="b"))
    assert len(again) == 4
    again.close()


def test_a_question_that_stands_twice_in_the_file_counts_once(ledger, tmp_path):
    with (tmp_path / "votes.jsonl").open("a") as file:
        file.write(vote(1, choice="b").model_dump_json() + "\n")
    votes = read_votes(tmp_path)
    assert [(one.photograph, one.choice) for one in votes] == [(f"söhne {n}", "a") for n in range(3)]


def test_votes_of_many_threads_at_once_are_all_there_once(tmp_path):
    ledger = Ledger(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        # Everyone sends every vote twice, as impatient people do.
        sent = [vote(number, f"person{person}") for person in range(16) for number in range(8)]
        recorded = list(pool.map(ledger.record, sent + sent))
    ledger.close()
    assert sum(recorded) == len(sent)
    assert {(line["participant"], line["number"]) for line in lines(tmp_path)} == {
        (one.participant, one.number) for one in sent
    }
    assert len(lines(tmp_path)) == len(sent)


def test_whatever_part_of_the_last_line_was_written_is_mended(ledger, tmp_path):
    ledger.close()
    path = tmp_path / "votes.jsonl"
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for length in (*range(start, len(whole) - 2, 11), *range(len(whole) - 2, len(whole) + 1)):
        path.write_bytes(whole[:length])
        kept = 3 if length >= len(whole) - 1 else 2  # without its newline alone, the vote is there
        assert len(read_votes(tmp_path)) == kept
        again = Ledger(tmp_path)
        assert again.record(vote(2)) == (kept == 2)
        assert again.record(vote(3))
        again.close()
        assert [line["photograph"] for line in lines(tmp_path)] == [f"söhne {number}" for number in range(4)]


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(ledger, tmp_path):
    ledger.close()
    path = tmp_path / "votes.jsonl"
    path.write_text(path.read_text().replace('"söhne 1"', "").replace('"s\\u00f6hne 1"', ""))
    for opened in (Ledger, read_votes):
        with pytest.raises(DataError, match=r"votes.jsonl: line 2 is not a vote"):
            opened(tmp_path)


def test_a_full_disk_leaves_whole_lines_and_the_vote_can_be_sent_again(ledger, tmp_path, monkeypatch):
    before = (tmp_path / "votes.jsonl").read_bytes()
    real = ledger._file

    class HalfWritten:
        def write(self, data):
            return real.write(data[: len(data) // 2])

        def __getattr__(self, name):
            return getattr(real, name)

    monkeypatch.setattr(ledger, "_file", HalfWritten())
    with pytest.raises(DataError, match="the vote cannot be written"):
        ledger.record(vote(7))
    assert (tmp_path / "votes.jsonl").read_bytes() == before
    monkeypatch.setattr(ledger, "_file", real)
    assert ledger.record(vote(7))
    assert len(lines(tmp_path)) == 4


@needs_locks
def test_one_process_at_a_time(ledger, tmp_path):
    with pytest.raises(DataError, match="another process serves this study"):
        Ledger(tmp_path)
    assert len(read_votes(tmp_path)) == 3  # reading is free
    ledger.close()
    Ledger(tmp_path).close()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        Ledger(tmp_path / "file")


WRITER = """
import sys
from pathlib import Path
from pellucid.studies.preference.votes import Ledger, Vote
ledger = Ledger(Path(sys.argv[1]))
for number in range(len(ledger), 1_000_000):
    ledger.record(Vote(participant="anna", photograph=str(number), repetition=0, number=number, left="a", choice="a"))
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_killed_while_writing_has_kept_what_it_said_it_kept(tmp_path):
    for _ in range(3):
        before = len(read_votes(tmp_path))
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(before, before + 40):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        said = [int(line) for line in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        kept = [one.number for one in read_votes(tmp_path)]
        assert kept == list(range(len(kept)))
        assert len(kept) >= max(said, default=before + 39) + 1
