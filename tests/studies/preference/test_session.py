"""Where people stand: one trial after the other, each answered once, whatever they click."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import pyvips

from pellucid.errors import DataError
from pellucid.studies.preference.session import TrialError, is_participant, new_participant
from pellucid.studies.preference.votes import read_votes
from support.small_study import NAMES, picture


def answer_all(study, participant, choose=lambda _: "left"):
    """Answers every trial; the ids in their order."""
    seen = []
    while (trial := study.standing(participant).trial) is not None:
        seen.append(trial.id)
        study.vote(participant, trial.id, choose(len(seen)))
    return seen


def test_everyone_goes_through_all_trials_once(make_study, study_folders):
    study = make_study(repeat=2)
    seen = answer_all(study, "anna")
    assert len(seen) == len(set(seen)) == 2 * len(NAMES)
    assert study.standing("anna") == type(study.standing("anna"))(8, 8, None, None)
    assert study.standing("bert").done == 0
    assert {(vote.photograph, vote.repetition) for vote in read_votes(study_folders / "out")} == {
        (name, turn) for name in NAMES for turn in (0, 1)
    }
    assert [vote.number for vote in read_votes(study_folders / "out")] == list(range(1, 9))


def test_the_choice_that_is_stored_is_the_system_that_was_seen(make_study, study_folders):
    """The pixels at the chosen place are those of the system in the file of votes."""
    study = make_study(ties=True)
    folder_of = {"a": "alpha_net", "b": "beta_net"}
    choices = ["left", "right", "tie", "right"]
    for choice in choices:
        trial = study.standing("anna").trial
        chosen = study.picture("anna", trial.id, "left" if choice == "tie" else choice)
        study.vote("anna", trial.id, choice)
        vote = read_votes(study_folders / "out")[-1]
        assert (vote.choice == "tie") == (choice == "tie")
        system = vote.left if choice == "tie" else vote.choice
        original = study_folders / folder_of[system] / f"{vote.photograph}.png"
        seen, truth = (pyvips.Image.new_from_file(str(path)).numpy() for path in (chosen, original))
        np.testing.assert_array_equal(seen, truth)


def test_the_trial_stays_until_it_is_answered_and_comes_back_after_a_restart(make_study):
    study = make_study()
    first = study.standing("anna")
    assert study.standing("anna") == first
    second = study.vote("anna", first.trial.id, "right")
    assert second.trial == first.following
    study.ledger.close()
    assert make_study().standing("anna") == second


def test_a_second_answer_changes_nothing(make_study, study_folders):
    study = make_study()
    first = study.standing("anna").trial
    after = study.vote("anna", first.id, "left")
    assert study.vote("anna", first.id, "right") == after
    assert len(read_votes(study_folders / "out")) == 1


def test_a_trial_has_its_turn(make_study):
    study = make_study()
    standing = study.standing("anna")
    with pytest.raises(TrialError, match="turn"):
        study.vote("anna", standing.following.id, "left")
    with pytest.raises(TrialError, match="no such trial"):
        study.vote("bert", standing.trial.id, "left")
    for wrong in ("", "up", "tie", "a"):
        with pytest.raises(ValueError, match="no such choice"):
            study.vote("anna", standing.trial.id, wrong)
    assert len(study.ledger) == 0


def test_pictures_are_to_be_had_one_trial_ahead_and_by_their_participant_only(make_study):
    study = make_study()
    order = answer_all(study, "anna")
    for trial in order:
        assert study.picture("anna", trial, "input").is_file()
        with pytest.raises(TrialError):
            study.picture("bert", trial, "input")
    for place in ("clean", "a", "b", "", "../study.json"):
        with pytest.raises(TrialError):
            study.picture("anna", order[0], place)
    bert = study.standing("bert")
    assert study.picture("bert", bert.following.id, "left").is_file()
    study.vote("bert", bert.trial.id, "left")
    ids = [study._id("bert", trial) for trial in study._schedule("bert")]
    assert ids[1] == study.standing("bert").trial.id
    assert study.picture("bert", ids[0], "right").is_file()
    with pytest.raises(TrialError, match="no such picture"):
        study.picture("bert", ids[3], "left")
    with pytest.raises(TrialError, match="no such trial"):
        make_study("elsewhere").picture("bert", ids[1], "left")


def test_what_a_browser_may_know_tells_nothing(make_study):
    study, other = make_study(), make_study("other")
    ids = [one.standing(person).trial.id for one in (study, other) for person in ("anna", "bert")]
    assert len(set(ids)) == 4
    assert all(len(name) == 20 and set(name) <= set("0123456789abcdef") for name in ids)


def test_many_people_at_once_lose_nothing(make_study, study_folders):
    """Twelve people, each in two windows that click at random at the same time."""
    study = make_study(repeat=3)
    people = [f"person{number}" for number in range(12)]

    def person(number):
        clicks = random.Random(number)
        answer_all(study, people[number % 12], lambda _: clicks.choice(["left", "right"]))

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(person, range(24)))
    votes = read_votes(study_folders / "out")
    assert len((study_folders / "out/votes.jsonl").read_text().splitlines()) == len(votes) == 12 * 12
    for name in people:
        assert [vote.number for vote in votes if vote.participant == name] == list(range(1, 13))


def test_a_study_in_use_is_not_opened_twice(make_study):
    make_study()
    with pytest.raises(DataError, match="another process"):
        make_study()


def test_participants():
    assert len({new_participant() for _ in range(100)}) == 100
    assert is_participant(new_participant())
    assert is_participant("Anna-Maria_2")
    assert not any(map(is_participant, ("", "a" * 65, "a b", "../x", "anna\n", "é")))


def test_a_study_that_never_came_about_does_not_keep_the_folder(make_study, study_folders):
    first = sorted((study_folders / "beta_net").iterdir())[0]
    kept = first.read_bytes()
    picture(first, height=8, width=9)
    with pytest.raises(DataError, match="pixels"):
        make_study()
    first.write_bytes(kept)
    assert make_study().standing("anna").done == 0
