"""Where in a text of degradations the mistake is."""

import re

from pellucid.degradations.texts import parse_family
from pellucid.errors import SettingsError

__all__ = ["pointer"]


def pointer(text: str, message: str) -> str:
    """The text, indented, and carets under the word that a message of `parse_drawn` is about; empty for no text.

    Args:
        text: what does not parse.
        message: of the error.
    """
    place = _place(text, message)
    if place is None:
        return ""
    start, end = place
    shown = re.sub(r"\s", " ", text)
    return f"  {shown}\n  {' ' * start}{'^' * (end - start)}"


def _place(text: str, message: str) -> tuple[int, int] | None:
    if not text.strip():
        return None
    if gap := re.search(r"^\s*(,)|(,)\s*(?=,|$)", text):
        return gap.start(gap.lastindex or 0), gap.end(gap.lastindex or 0)
    for step in re.finditer(r"[^,]+", text) if "," in text else ():
        try:
            parse_family(step[0])
        except SettingsError as error:
            start, end = _word(step[0], str(error))
            return step.start() + start, step.start() + end
    return _word(text, message)


def _word(step: str, message: str) -> tuple[int, int]:
    """The word of a step that a message quotes; else the last whose parameter it names; else the degradation's name."""
    about = message.replace(repr(step), "").partition("did you mean")[0]
    words = list(re.finditer(r"[^\s,]+", step))
    for said in re.findall(r"'([^']+)'", about):
        for word in words:
            if said in (word[0], *word[0].split("=")):
                return word.span()
    named = [word for word in words if "=" in word[0] and re.search(rf"\b{re.escape(word[0].split('=')[0])}\b", about)]
    return (named[-1] if named else words[0]).span()
