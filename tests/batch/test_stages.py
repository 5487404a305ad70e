"""Reading ahead and writing behind: order, bounds, errors and stops, against what a plain loop does."""

import threading
import time
from dataclasses import dataclass

import pytest

from pellucid.batch.stages import Ahead, Behind, Room


@dataclass
class Thing:
    number: int
    weight: int = 0


def run(items, read, write, room):
    with Behind(write, room) as behind, Ahead(items, read, room) as ahead:
        while (thing := ahead.take()) is not None:
            behind.give(thing)
            yield from behind.finished()
        yield from behind.rest()


def threads():
    return [one.name for one in threading.enumerate() if one.name.startswith("pellucid")]


def test_the_order_is_kept_and_both_threads_end():
    written = []

    def write(thing):
        time.sleep(0.003 * (thing.number % 3))
        written.append(thing.number)
        return thing.number

    assert list(run(range(40), Thing, write, Room(3, 10))) == list(range(40)) == written
    assert threads() == []


@pytest.mark.parametrize(("count", "weight", "most", "expected"), [(3, 0, 10, 3), (5, 7, 10, 2), (3, 100, 10, 1)])
def test_no_more_is_held_than_there_is_room_for(count, weight, most, expected):
    held, highest, lock = 0, 0, threading.Lock()

    def read(number):
        nonlocal held, highest
        with lock:
            held += 1
            highest = max(held, highest)
        return Thing(number, weight)

    def write(thing):
        nonlocal held
        time.sleep(0.002)
        with lock:
            held -= 1
        return thing.number

    assert list(run(range(20), read, write, Room(count, most))) == list(range(20))
    assert highest == expected


def test_reading_computing_and_writing_overlap():
    active, highest, lock = 0, 0, threading.Lock()

    def slow(thing):
        nonlocal active, highest
        with lock:
            active += 1
            highest = max(active, highest)
        time.sleep(0.01)
        with lock:
            active -= 1
        return thing

    room = Room(3, 10)
    with Behind(slow, room) as behind, Ahead(map(Thing, range(20)), slow, room) as ahead:
        while (thing := ahead.take()) is not None:
            behind.give(slow(thing))
        assert len(list(behind.rest())) == 20
    assert highest == 3


@pytest.mark.parametrize("where", ["read", "write"])
def test_an_error_of_a_thread_is_raised_here(where):
    def broken(thing):
        if getattr(thing, "number", thing) == 5:
            raise ZeroDivisionError(where)
        return Thing(thing) if isinstance(thing, int) else thing.number

    read, write = (broken, lambda thing: thing.number) if where == "read" else (Thing, broken)
    found = []
    with pytest.raises(ZeroDivisionError, match=where):
        found.extend(run(range(1000), read, write, Room(3, 10)))
    assert threads() == []


def test_what_was_given_is_written_when_the_loop_is_left():
    written = []
    room = Room(3, 10)

    def write(thing):
        time.sleep(0.01)
        written.append(thing.number)

    def stopped():
        with Behind(write, room) as behind, Ahead(range(100), Thing, room) as ahead:
            for _ in range(4):
                behind.give(ahead.take())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert written == [0, 1, 2, 3]
    assert threads() == []
