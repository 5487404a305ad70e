"""Orders and sides: fair, of everyone's own, and for ever the same."""

from collections import Counter
from itertools import pairwise
from math import sqrt

from pellucid.studies.preference.trials import Trial, schedule

NAMES = [f"photograph {number}" for number in range(9)]
PEOPLE = [f"person{number}" for number in range(400)]


def test_everyone_sees_every_photograph_as_often_as_asked():
    for participant in PEOPLE[:20]:
        trials = schedule(NAMES, 3, 0, participant)
        assert Counter(trial.key for trial in trials) == Counter((name, turn) for name in NAMES for turn in range(3))


def test_a_photograph_comes_again_only_after_all_others_and_never_twice_in_a_row():
    for participant in PEOPLE:
        for names in (NAMES, NAMES[:2]):
            trials = schedule(names, 4, 0, participant)
            assert [trial.repetition for trial in trials] == sorted(trial.repetition for trial in trials)
            assert all(one.photograph != after.photograph for one, after in pairwise(trials))


def test_each_system_is_on_the_left_half_of_the_time():
    for participant in PEOPLE[:50]:
        assert abs(Counter(trial.left for trial in schedule(NAMES, 1, 0, participant))["a"] - 4.5) == 0.5
        assert Counter(trial.left for trial in schedule(NAMES, 2, 0, participant)) == {"a": 9, "b": 9}


def test_sides_change_when_a_photograph_comes_again():
    sides = {}
    for trial in schedule(NAMES, 3, 0, "anna"):
        sides.setdefault(trial.photograph, []).append(trial.left)
    assert {tuple(turns) for turns in sides.values()} == {("a", "b", "a"), ("b", "a", "b")}


def test_orders_and_sides_are_uniform_and_independent():
    """Over 400 people each photograph is first 400/9 times, and on the left 200 times, within four deviations."""
    schedules = [schedule(NAMES, 1, 7, participant) for participant in PEOPLE]
    first = Counter(trials[0].photograph for trials in schedules)
    last = Counter(trials[-1].photograph for trials in schedules)
    deviation = sqrt(400 / 9 * 8 / 9)
    assert all(abs(counts[name] - 400 / 9) < 4 * deviation for counts in (first, last) for name in NAMES)
    left = Counter(trial.photograph for trials in schedules for trial in trials if trial.left == "a")
    assert all(abs(left[name] - 200) < 4 * 10 for name in NAMES)
    assert abs(sum(trials[0].left == "a" for trials in schedules) - 200) < 4 * 10


def test_seed_and_participant_make_the_order():
    orders = {(seed, person): tuple(schedule(NAMES, 1, seed, person)) for seed in range(5) for person in PEOPLE[:5]}
    assert len(set(orders.values())) == len(orders)
    assert schedule(NAMES, 2, 3, "anna") == schedule(NAMES[::-1], 2, 3, "anna")


def test_the_order_stays_as_it_was_when_studies_were_begun():
    """A study under way must go on the same with every later version: by hand, from `printf ... | sha256sum`."""
    assert schedule(["mill", "lake", "dusk"], 1, 0, "anna") == [
        Trial("mill", 0, "b"),
        Trial("lake", 0, "a"),
        Trial("dusk", 0, "a"),
    ]


def test_one_photograph_is_enough():
    assert len(schedule(["mill"], 3, 0, "anna")) == 3
