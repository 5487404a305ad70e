"""Reading, computing and writing at the same time: a thread that reads ahead, and a thread that writes behind.

The order is kept, and so is a bound on what is held at once. Whoever computes does so in the thread that takes from the
one and gives to the other; where it stops, by an error or Ctrl-C, what was given is still written, and both threads
end.
"""

from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

__all__ = ["Ahead", "Behind", "Room"]


class Weighed(Protocol):
    """What goes from stage to stage."""

    @property
    def weight(self) -> int:
        """Of what it holds in memory, in the unit of the room."""
        ...


Item = TypeVar("Item")
Work = TypeVar("Work", bound=Weighed)
Result = TypeVar("Result")


class _StoppedError(Exception):
    """Nothing more is to be read."""


class Room:
    """How much may be between the beginning of its reading and the end of its writing.

    Args:
        count: so many things.
        weight: nothing more is begun while what is there weighs more.
    """

    def __init__(self, count: int, weight: int) -> None:
        self._free, self._most, self._weight, self._stopped = count, weight, 0, False
        self._changed = Condition()

    def enter(self) -> None:
        """Waits until there is room for one more. Raises _StoppedError where none is to come any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or (self._free > 0 and self._weight <= self._most))
            if self._stopped:
                raise _StoppedError
            self._free -= 1

    def add(self, weight: int) -> None:
        """What has entered weighs so much."""
        with self._changed:
            self._weight += weight

    def leave(self, weight: int) -> None:
        """One thing is gone."""
        with self._changed:
            self._free += 1
            self._weight -= weight
            self._changed.notify_all()

    def stop(self) -> None:
        """Nothing enters any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


class Ahead(Generic[Item, Work]):
    """Iterates over what `read` makes of items, in their order, in a thread that is ahead as far as the room allows.

    Args:
        items: what is read.
        read: runs in the thread. What it raises is raised where its result would have come.
        room: entered before each.
    """

    def __init__(self, items: Iterable[Item], read: Callable[[Item], Work], room: Room) -> None:
        self._items, self._read, self._room = items, read, room
        self._ready: SimpleQueue[Work | BaseException | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="pellucid reads", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._room.stop()
        self._thread.join()

    def take(self) -> Work | None:
        """The next, as soon as it is there; None after the last. Nothing of it is kept here."""
        found = self._ready.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def _run(self) -> None:
        try:
            for item in self._items:
                self._room.enter()
                work = self._read(item)
                self._room.add(work.weight)
                self._ready.put(work)
                del work
            self._ready.put(None)
        except _StoppedError:
            self._ready.put(None)
        except BaseException as error:
            self._ready.put(error)


class Behind(Generic[Work, Result]):
    """Writes in a thread, in order.

    Args:
        write: runs in the thread. What it raises is raised by the next call here, and nothing more is written.
        room: left after each.
    """

    def __init__(self, write: Callable[[Work], Result], room: Room) -> None:
        self._write, self._room = write, room
        self._given: SimpleQueue[Work | None] = SimpleQueue()
        self._done: SimpleQueue[Result | BaseException | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="pellucid writes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._given.put(None)
        self._thread.join()

    def give(self, work: Work) -> None:
        """To be written."""
        self._given.put(work)

    def finished(self) -> Iterator[Result]:
        """What is written by now, and was not given out yet."""
        while True:
            try:
                found = self._done.get_nowait()
            except Empty:
                return
            if isinstance(found, BaseException):
                raise found
            if found is not None:
                yield found

    def rest(self) -> Iterator[Result]:
        """What was not given out yet, to the last; nothing more can be given."""
        self._given.put(None)
        while (found := self._done.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found

    def _run(self) -> None:
        try:
            while (work := self._given.get()) is not None:
                result, weight = self._write(work), work.weight
                del work
                self._done.put(result)
                self._room.leave(weight)
            self._done.put(None)
        except BaseException as error:
            self._done.put(error)
            self._room.stop()
