"""What people answered: one line of JSON per vote, in a file that only ever grows.

A vote counts once its line is on the disk: the line is written and synced before anyone is told. A process that dies
leaves at most half of one line, of a vote that nobody was told is safe; that half is taken off when the file is opened
again, and its question is asked anew.
"""

import errno
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pellucid.errors import DataError
from pellucid.studies.preference.trials import System

__all__ = ["Ledger", "Vote", "read_votes"]

NAME = "votes.jsonl"


class Vote(BaseModel):
    """One answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    participant: str
    photograph: str
    repetition: int
    number: int
    """Which of the participant's trials it was, from 1."""
    left: System
    """Whose restoration was on the left."""
    choice: Literal["a", "b", "tie"]

    @property
    def key(self) -> tuple[str, str, int]:
        """The question: there is one vote on it, the first."""
        return self.participant, self.photograph, self.repetition


def read_votes(folder: Path) -> list[Vote]:
    """The votes in a study's folder, also while a server writes there; each question once.

    Raises:
        DataError: the file cannot be read, or a line that is not the last is not a vote.
    """
    path = folder / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    votes: dict[tuple[str, str, int], Vote] = {}
    for vote in _parsed(data, path):
        votes.setdefault(vote.key, vote)
    return list(votes.values())


def _parsed(data: bytes, path: Path) -> Iterator[Vote]:
    lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield Vote.model_validate_json(line)
        except ValidationError:
            if number < len(lines):
                raise DataError(f"{path}: line {number} is not a vote; mend or remove it") from None


class Ledger:
    """The file of votes, open for one process and any number of its threads.

    Raises:
        DataError: the file cannot be written, is damaged, or another process writes to it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror})") from error
        try:
            _claim(self._file.fileno(), folder)
            self._votes = {vote.key: vote for vote in read_votes(folder)}
            self._size = self._mended()
            _sync_folder(folder)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Gives the file free for another process."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._votes)

    def answered(self, participant: str, photograph: str, repetition: int) -> bool:
        """Whether there is a vote on this question."""
        return (participant, photograph, repetition) in self._votes

    def record(self, vote: Vote) -> bool:
        """Puts a vote on the disk; False where there is one on the same question already, which stands.

        Raises:
            DataError: it cannot be written; then nothing of it is.
        """
        with self._lock:
            if vote.key in self._votes:
                return False
            self._append((json.dumps(vote.model_dump()) + "\n").encode())
            self._votes[vote.key] = vote
            return True

    def _append(self, line: bytes) -> None:
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._size)
            raise DataError(f"{self.path}: the vote cannot be written ({error.strerror})") from error
        self._size += len(line)

    def _mended(self) -> int:
        """Makes the file end with a whole line; its size then."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        tail = data[whole:]
        if not tail:
            return len(data)
        try:
            Vote.model_validate_json(tail)
        except ValidationError:
            self._file.truncate(whole)
            return whole
        self._file.write(b"\n")
        return len(data) + 1


def _claim(descriptor: int, folder: Path) -> None:
    """Keeps other processes from writing the file, until this one ends in whatever way."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{folder}: another process serves this study already") from None
        except OSError:  # a file system without locks
            return


def _sync_folder(folder: Path) -> None:
    """Puts the names in the folder on the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
