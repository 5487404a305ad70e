"""One file over HTTP: resumed where an earlier attempt stopped, tried again while that may help, and checked."""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from pellucid.data.benchmarks.checking import readable_sha256
from pellucid.errors import DataError
from pellucid.version import __version__

__all__ = ["DownloadError", "Patience", "UnreachableError", "Wanted", "download"]

CHUNK = 1 << 16
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP answers that may be another one in a moment."""


class DownloadError(Exception):
    """This file cannot be had; others may."""


class UnreachableError(DownloadError):
    """The server does not answer at all, so asking it for other files is of no use."""


@dataclass(frozen=True)
class Wanted:
    """A file to download: its whole address, its bytes and its sha256."""

    address: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        retries: attempts after the first one that bring no byte; those that do are not counted.
        pause: seconds before the first of them; each further pause is twice as long.
        longest: no pause is longer, whatever the server asks for; in seconds.
        timeout: seconds without a byte until a connection is given up.
    """

    retries: int = 4
    pause: float = 0.5
    longest: float = 30.0
    timeout: float = 30.0


def download(
    wanted: Wanted, part: Path, *, patience: Patience, stopped: Event, received: Callable[[int], None]
) -> None:
    """Downloads into the file `part`, which may hold the beginning already, and returns when it is whole and right.

    Args:
        wanted: what.
        part: where to; it stays when the connection breaks, and is removed when its content is wrong.
        patience: how long to try.
        stopped: set from another thread to stop.
        received: called with the change of the bytes at hand.

    Raises:
        DownloadError: the server has not got it, or what it has is something else.
        UnreachableError: no answer.
        DataError: `part` cannot be written.
    """
    for begun in (_size(part) > 0, False):
        received(_size(part))
        _complete(wanted, part, patience, stopped, received)
        if readable_sha256(part) == wanted.sha256:
            return
        received(-_size(part))
        part.unlink(missing_ok=True)
        if not begun:  # what an earlier run had left may have been wrong; this was all of it anew
            break
    raise DownloadError(
        f"wrong content: the sha256 of {wanted.address} is not the published one; nothing of it was kept"
    )


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:
        return 0


def _complete(wanted: Wanted, part: Path, patience: Patience, stopped: Event, received: Callable[[int], None]) -> None:
    """Goes on until `part` has all its bytes."""
    fruitless = 0
    while _size(part) != wanted.bytes or not part.exists():
        before = _size(part)
        if before > wanted.bytes:
            _discard(part, received)
            continue
        error: DownloadError
        asked = 0.0
        try:
            _transfer(wanted, part, patience.timeout, stopped, received)
            error = DownloadError(f"the connection to {wanted.address} closed too early")
        except HTTPError as answer:
            answer.close()
            if answer.code == 416:  # there is less of it than we have
                _discard(part, received)
            elif answer.code not in _PASSING:
                raise DownloadError(f"HTTP {answer.code} {answer.reason}: {wanted.address}") from answer
            error = DownloadError(f"HTTP {answer.code} {answer.reason}: {wanted.address}")
            asked = _seconds(answer.headers.get("Retry-After"))
        except (URLError, http.client.HTTPException, TimeoutError, ConnectionError) as reason:
            error = UnreachableError(f"no connection to {urlsplit(wanted.address).netloc} ({_said(reason)})")
        if _size(part) > before:
            fruitless = 0
            continue
        fruitless += 1
        if fruitless > patience.retries:
            raise error
        if stopped.wait(min(max(patience.pause * 2 ** (fruitless - 1), asked), patience.longest)):
            raise DownloadError("stopped")


def _transfer(wanted: Wanted, part: Path, timeout: float, stopped: Event, received: Callable[[int], None]) -> None:
    """One answer of the server, as far as it goes."""
    begun = _size(part)
    request = Request(wanted.address, headers={"User-Agent": f"pellucid/{__version__}"})
    if begun:
        request.add_header("Range", f"bytes={begun}-")
    with urlopen(request, timeout=timeout) as answer:
        if begun and not (answer.status == 206 and _starts_at(answer.headers.get("Content-Range")) == begun):
            _discard(part, received)  # it sends all of it, whatever was asked for
            begun = 0
        length = answer.headers.get("Content-Length")
        if length is not None and begun + int(length) != wanted.bytes:
            _discard(part, received)
            raise DownloadError(f"{begun + int(length)} bytes where {wanted.bytes} were published: {wanted.address}")
        try:
            stream = part.open("ab")
        except OSError as error:
            raise DataError(f"{part.parent}: cannot be written to ({error.strerror})") from error
        with stream:
            while chunk := answer.read1(CHUNK):
                if stopped.is_set():
                    raise DownloadError("stopped")
                begun += len(chunk)
                if begun > wanted.bytes:
                    break
                try:
                    stream.write(chunk)
                except OSError as error:
                    raise DataError(f"{part}: cannot be written ({error.strerror})") from error
                received(len(chunk))
    if begun > wanted.bytes:
        _discard(part, received)
        raise DownloadError(f"more than the {wanted.bytes} published bytes: {wanted.address}")


def _discard(part: Path, received: Callable[[int], None]) -> None:
    received(-_size(part))
    part.unlink(missing_ok=True)


def _starts_at(content_range: str | None) -> int | None:
    """The first byte of `bytes 100-199/200`."""
    first = (content_range or "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdigit() else 0.0


def _said(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return (getattr(reason, "strerror", None) or str(reason) or type(reason).__name__).splitlines()[0]
