"""The words of a wish as people type it, made plain: one spelling, slips of the keyboard mended, numbers read."""

import difflib
import re
from collections.abc import Callable, Sequence
from functools import cache

from pellucid.words.wish_terms import MENDED_VERBS, NEAR_WORDS, phrases, plain_words

__all__ = ["number_at", "plain", "words_of"]

NOISY = 800
"""ISO from which its number is said because of the noise."""

_CONTRACTED = {
    "cannot": "can not",
    "can't": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "%": " percent ",
    "½": " half ",
    "¼": " 0.25 ",
    "¾": " 0.75 ",
}
_SPELLED = {
    "color": "colour",
    "gray": "grey",
    "artifact": "artefact",
    "jpg": "jpeg",
    "center": "centre",
    "neutralize": "neutralise",
    "stabilize": "stabilise",
}


def plain(text: str) -> str:
    """Small letters, words apart, one spelling."""
    text = text.lower().replace("’", "'").replace("`", "'")
    text = re.sub(r"\b([1-9])/([2-9])\b", lambda at: f"{int(at[1]) / int(at[2]):.2f}", text)
    for one, other in _CONTRACTED.items():
        text = text.replace(one, other)
    text = re.sub(r"\b(it|that|there|here|he|she|what|this|everything)'s\b", r"\1 is", text)
    text = re.sub(r"(\w)n't\b", r"\1 not", text)
    text = re.sub(r"\b(\w+)nt\b", lambda at: f"{at[1]} not" if at[1] in ("do", "does", "is", "did") else at[0], text)
    text = re.sub(r"\bas much ((?:\w+ ){1,3})as (?:possible|you can)", r"all \1", text)
    text = re.sub(
        r"\bwith ((?:[^,;.]*)\b(?:detail|grain|texture)s?) (?:kept|preserved|retained|intact)", r", keep \1", text
    )
    text = re.sub(r"(?:^|(?<=[\s,;]))([+-])(?=[a-z])", lambda at: " more " if at[1] == "+" else " remove ", text)
    text = re.sub(r"\bleft(?= *(?:[,.;:!?]|$|in\b|over\b))", "remains", text)
    for one, other in _SPELLED.items():
        text = re.sub(rf"{one}", other, text)
    return re.sub(r"'s\b|'(?!\w)|(?<!\w)'", "", text).replace("-", " ").replace("/", " or ").replace(">", " ")


_TIMES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_NUMBER, _PERCENT = r"(\d+(?:\.\d+)?)", r"(\d+)  ?percent"
_LARGER = r"((?:enlarge|upscal|upsampl|magnif|blow|scale|increase the size|resize|bigger|larger)[a-z ]*?)"
_SLIDERS = "reduction|denoise|denoising|noise|sharpening|sharpness|dehaze|dehazing|deblur|clarity|strength|deblock|jpeg"
_LESS = r"\b((?:reduc|decreas|lower|lessen)[a-z ]*? to)"
_NUMBERS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (rf"\b({'|'.join(_TIMES)})(?= (?:times|fold)\b)", lambda at: f"{_TIMES[at[1]]}"),
    (rf"\b{_NUMBER} ?[x×](?![^\W\d])", lambda at: f" ×{at[1]} "),
    (rf"(?<![^\W\d])[x×] ?{_NUMBER}", lambda at: f" ×{at[1]} "),
    (rf"\b{_NUMBER} (?:times|fold) (?=as (?:large|big)|the |its |bigger|larger)", lambda at: f" ×{at[1]} "),
    (rf"{_LARGER} {_NUMBER} (?:times|fold)\b", lambda at: f"{at[1]} ×{at[2]} "),
    (rf"{_LARGER} by half\b", lambda at: f"{at[1]} ×1.5 "),
    (rf"{_LARGER} to {_PERCENT}", lambda at: f"{at[1]} ×{int(at[2]) / 100:g} "),
    (rf"{_LARGER} by {_PERCENT}", lambda at: f"{at[1]} ×{int(at[2]) / 100 + 1:g} "),
    (rf"{_LARGER} (?:to|by)(?: a)?(?: factor of)? {_NUMBER}(?![.\d])(?!  ?percent)", lambda at: f"{at[1]} ×{at[2]} "),
    (rf"{_LESS} {_PERCENT}", lambda at: f"{at[1]} {max(100 - int(at[2]), 0)} percent"),
    (
        rf"\b({_SLIDERS}) (?:at |to |of )?(\d{{1,2}}|100)(?= *(?:[,;]|\.(?!\d)|$|and\b))",
        lambda at: f"{at[1]} {at[2]} percent",
    ),
    (r"\bquality (?:of )?(\d+)\b", lambda at: "jpeg"),
    (r"\biso ?(\d+)\b", lambda at: "high iso" if int(at[1]) >= NOISY else ""),
)
"""Numbers that say more than a part: factors of the sides become ×3, what is left becomes what goes, ISO a word."""


def words_of(text: str) -> list[str]:
    """Words, numbers, signs between clauses, and factors of the sides such as ×3, in order."""
    text = plain(text)
    for pattern, written in _NUMBERS:
        text = re.sub(pattern, written, text)
    words = re.findall(r"×?\d+(?:[.,]\d+)?|[^\W\d_']+|[,;:.!?]", text)
    return [_mended(word) for word in words]


def number_at(words: Sequence[str], at: int) -> tuple[float, int] | None:
    """A part that is said in figures, and how many words it takes: 30 percent, 0.3."""
    if not re.fullmatch(r"\d+(?:[.,]\d+)?", words[at]):
        return None
    value = float(words[at].replace(",", "."))
    if at + 1 < len(words) and words[at + 1] == "percent":
        return min(value / 100, 1.0), 2
    return (value, 1) if value <= 1 and not words[at].isdigit() else None


def _mended(word: str) -> str:
    """A word as it is spelled, where it is a letter away from one that matters here, two where it is long."""
    if len(word) < 5 or not word.isalpha() or word in plain_words() or word in NEAR_WORDS:
        return word
    near = [
        (ratio, one)
        for one in _mendable()
        if one[0] == word[0]
        and abs(len(one) - len(word)) < 3
        and ((ratio := difflib.SequenceMatcher(None, word, one).ratio()) >= (0.86 if len(word) > 7 else 1))
        | _is_one_slip(word, one)
    ]
    return max(near)[1] if near else word


def _is_one_slip(one: str, other: str) -> bool:
    """Whether a letter too many, missing, wrong or in the place of its neighbour is all the difference."""
    if sorted(one) == sorted(other):
        return True
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[at + 1 :] in (other[at:], other[at + 1 :]) or one[at:] == other[at + 1 :]


@cache
def _mendable() -> tuple[str, ...]:
    """Long words of what is wrong and of what is wished; the small words between them are not guessed."""
    named = {
        word
        for phrase, roles in phrases().items()
        for word in phrase
        if {"fault", "bad", "wish"} & {role for role, _ in roles}
    }
    return tuple(sorted(word for word in named | set(MENDED_VERBS) if len(word) >= 5))
