"""A run as one HTML file that needs nothing else: each photograph before and after, under a slider, and what was done.

Pictures are read again from their files, small, when they have been written: nothing large is held, and what is shown
is what lies on the disk.
"""

import base64
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np
import pyvips

from pellucid import images
from pellucid.batch.change import FileResult
from pellucid.errors import DataError, ImageError
from pellucid.files import written_whole
from pellucid.images.decode import format_of
from pellucid.images.messages import name_of, reason
from pellucid.version import __version__

__all__ = ["Report"]

SIDE = 900
"""Pixels of the longer side of a picture in a report."""
_BY_LIBVIPS = ("jpeg", "png", "tiff", "webp", "avif", "gif")

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 960px; padding: 0 1rem; color: #222; }}
figure {{ margin: 2.5rem 0; }}
figcaption b {{ display: block; overflow-wrap: anywhere; }}
.pair {{ position: relative; display: inline-block; max-width: 100%; --at: 50%; line-height: 0; }}
.pair img {{ display: block; max-width: 100%; height: auto; }}
.pair .after {{ position: absolute; inset: 0; width: 100%; height: 100%; clip-path: inset(0 0 0 var(--at)); }}
.pair::after {{ content: ""; position: absolute; inset: 0 auto 0 var(--at); width: 2px; margin-left: -1px;
  background: #fff; mix-blend-mode: difference; pointer-events: none; }}
.pair input {{ position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; }}
.pair input:focus-visible {{ opacity: .25; }}
.failed b {{ color: #a00; }}
</style></head><body>
<h1>{title}</h1>
<p>{settings}</p>
<p>Left of the line is the photograph as it was, right of it what was made of it. Arrow keys move the line, too.</p>
"""
_PAIR = """<div class="pair"><img alt="before" loading="lazy" src="{before}">
<img class="after" alt="after" loading="lazy" src="{after}">
<input type="range" min="0" max="100" value="50" aria-label="{label}"></div>
"""
_TAIL = """<p>{count}</p>
<script>
document.addEventListener("input", (event) => {
  event.target.closest(".pair")?.style.setProperty("--at", event.target.value + "%");
});
</script></body></html>
"""


class Report:
    """A report under way, as a context; the file appears at its end, whole.

    Args:
        path: the HTML file.
        model: its name.
        settings: what was asked for, in words.
        crop: left, top, width and height of the part of each photograph that is restored, where it is one.

    Raises:
        DataError: it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str,
        settings: Mapping[str, Any],
        crop: tuple[int, int, int, int] | None = None,
    ) -> None:
        self.path, self._crop, self._count = path, crop, 0
        words = ", ".join(f"{name} {value}" for name, value in settings.items())
        self._title = f"Restored by {model}"
        self._settings = f"pellucid {__version__}" + (f"; {words}" if words else "")
        self._open = ExitStack()
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._open.enter_context(written_whole(self.path))
            self._file = self._open.enter_context(partial.open("w", encoding="utf-8"))
            self._file.write(_HEAD.format(title=escape(self._title), settings=escape(self._settings)))
        except OSError as error:
            self._open.close()
            raise self._unwritable(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if self._file is not None and kind is None:
                pictures = "1 photograph" if self._count == 1 else f"{self._count} photographs"
                self._file.write(_TAIL.replace("{count}", pictures))
            self._open.__exit__(kind, error, at)
        except OSError as failure:
            raise self._unwritable(failure) from failure

    def through(self, results: Generator[FileResult, None, None]) -> Generator[FileResult, None, None]:
        """The results as they come, each noted in the report."""
        try:
            for result in results:
                self.add(result)
                yield result
        finally:
            results.close()

    def add(self, result: FileResult) -> None:
        """One photograph: a slider where something was written, else why it was not."""
        assert self._file is not None
        told: list[str] = [result.status]
        told += [result.decision.words()] if result.decision is not None else []
        told += [text for text in (result.loss, result.error, result.reason) if text]
        pair = ""
        if result.status in ("restored", "unchanged"):
            try:
                before, after = self._shown(result.source, self._crop), self._shown(result.target, None)
                label = f"before and after of {name_of(result.source.name)}"
                pair = _PAIR.format(before=before, after=after, label=escape(label))
            except (ImageError, pyvips.Error, OSError) as error:
                told.append(f"it cannot be shown: {reason(error)}")
        words = "".join(f"<div>{escape(text)}</div>" for text in told)
        style = ' class="failed"' if result.status in ("failed", "quarantined") else ""
        try:
            self._file.write(
                f"<figure{style}>{pair}<figcaption><b>{escape(name_of(result.source))}</b>{words}</figcaption></figure>\n"
            )
        except OSError as error:
            raise self._unwritable(error) from error
        self._count += 1

    @staticmethod
    def _shown(path: Path, crop: tuple[int, int, int, int] | None) -> str:
        """A picture in a file, or a part of it, small, as a data URI: upright and in sRGB."""
        with path.open("rb") as file:
            kind = format_of(file.read(4096), name_of(path), path.suffix)
        if kind in _BY_LIBVIPS and crop is None:
            small = pyvips.Image.thumbnail(str(path), SIDE, height=SIDE, size="down", export_profile="srgb")
        else:
            photograph = images.read(path)
            if crop is not None:
                left, top, width, height = crop
                photograph = photograph.part(slice(top, top + height), slice(left, left + width))
            array = (photograph.pixels[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
            whole = pyvips.Image.new_from_array(np.ascontiguousarray(array))
            small = whole.thumbnail_image(SIDE, height=SIDE, size="down")
        if small.hasalpha():
            small = small.flatten(background=255)
        coded = bytes(small.cast("uchar").jpegsave_buffer(Q=88, subsample_mode="off", keep="none"))
        return "data:image/jpeg;base64," + base64.b64encode(coded).decode()

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"{name_of(self.path)}: the report cannot be written ({reason(error)})")
