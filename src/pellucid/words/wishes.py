"""What people want of a restoration, from a sentence: which kinds of degradations go, how much of them, what stays.

    wishes_in("remove the noise but keep the grain of the film at half strength")
    Wishes(only={"noise": 1.0}, detail=0.5)

A sentence is cut into clauses. In each a verb, or what is carried on from the clause before, says what becomes of what
is named in it: it goes, it stays, it is only described. Which words mean what is data (`words.wish_terms`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pellucid.degradations import KINDS, MEASURED
from pellucid.errors import SettingsError
from pellucid.words.reading import language_of
from pellucid.words.wish_terms import JOINTS, phrases, plain_words
from pellucid.words.wish_words import number_at, plain, words_of

__all__ = ["Wishes", "wishes_in"]

TONAL = ("low-light", "haze", "fading")
"""Kinds whose end changes the tones of the whole picture."""
TEXTURE = 0.5
"""How much of the finest band comes back where people want to keep texture and do not say how much."""
LIGHTLY = 0.35
"""What a light touch takes away."""
VISIBLY = 0.67
"""What is taken away of something that is to be less."""
AMID = {"rain": "rain", "snow": "snow", "fog": "haze", "mist": "haze", "haze": "haze"}
"""What it does where people were in it."""
LACKING = ("hardly", "barely")
"""Words before what is missing: "hardly any light"."""
POOR = ("low", "bad", "poor", "weak", "off", "terrible", "awful", "wrong", "short")
"""What is said of what is missing."""
LARGER = 2.0
"""By how much the sides grow where people do not say how much."""
LONGEST = 2000
"""Letters of a text."""

Fate = Literal["goes", "stays", "described", "opposite"]


@dataclass(frozen=True)
class Wishes:
    """What was understood.

    Attributes:
        only: kinds that are to go, and how much of each, 0 to 1; empty for whatever is found.
        skip: kinds that are to stay.
        part: how much of what is found goes, by kinds, where `only` is empty.
        strength: how much of all that is done counts, 0 to 1.
        detail: how much of the finest band comes back, 0 to 1.
        chroma: how much of what is done to colours counts.
        scale: by how much the sides grow; None for nothing.
        restore: whether anything is to be restored, and not only enlarged.
        notes: what was asked for and is not done, in words.
    """

    only: Mapping[str, float] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    part: Mapping[str, float] = field(default_factory=dict)
    strength: float = 1.0
    detail: float = 0.0
    chroma: float = 1.0
    scale: float | None = None
    restore: bool = True
    notes: tuple[str, ...] = ()

    def options(self) -> dict[str, Any]:
        """The same as options of a restorer, by name, without those that stay as they are."""
        parts = {kind: part for kind, part in (self.only or self.part).items() if part < 1}
        told = {"only": tuple(self.only), "skip": self.skip, "amount": parts, "scale": self.scale}
        told |= {"strength": self.strength, "detail": self.detail, "chroma": self.chroma}
        usual = {"strength": 1.0, "detail": 0.0, "chroma": 1.0, "scale": None}
        return {name: value for name, value in told.items() if (value != usual[name] if name in usual else value)}

    def words(self) -> str:
        """One line for people."""
        if not self.restore:
            return "; ".join([f"enlarge {self.scale:g} times", *self.notes])
        if self.only:
            told = ["restore only " + ", ".join(f"{_much(part)}{kind}" for kind, part in self.only.items())]
        else:
            some = [f"{_much(part)}{kind}" for kind, part in self.part.items()]
            told = ["restore whatever is found" + (f", but {', '.join(some)}" if some else "")]
        told += [f"leave {', '.join(self.skip)} alone"] if self.skip else []
        told += [f"{self.detail:.0%} of the finest grain stays"] if self.detail else []
        told += ["colours stay as they are"] if self.chroma == 0 else []
        told += [f"at strength {self.strength:g}"] if self.strength != 1 else []
        told += [f"enlarge {self.scale:g} times"] if self.scale is not None else []
        return "; ".join([*told, *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "words": self.words(),
            "only": dict(self.only),
            "skip": list(self.skip),
            "part": dict(self.part),
            "strength": self.strength,
            "detail": self.detail,
            "chroma": self.chroma,
            "scale": self.scale,
            "restore": self.restore,
            "notes": list(self.notes),
        }


def wishes_in(text: str) -> Wishes:
    """What a text in English wants of a restoration.

    Raises:
        SettingsError: it is empty, not English, without a wish that a restoration could grant, or contradicts itself.
    """
    if not text.strip():
        raise SettingsError("text: it is empty; say for example: remove the noise but keep the grain")
    if len(text) > LONGEST:
        raise SettingsError(f"text: more than {LONGEST} letters")
    language = language_of(text)
    if language is not None:
        raise SettingsError(f"text {_short(text)!r}: is {language}, and only English is understood")
    entries: list[_Entry] = []
    strength, before = 1.0, _Clause(())
    prior: Fate | None = None
    for clause in _clauses(text):
        read = clause.read(before)
        if read or not clause.parts:
            entries += read
            prior = before.fate
            named = before.entries + read if clause.joint == "nor" else read
            before = replace(clause, entries=named, fate=clause.settled(before))
            continue
        if clause.has("good", "look", "colours", "tones") and not clause.has("keep", "remove", "amount"):
            before = replace(clause, entries=[])  # "noise gone, sharpness untouched"
            continue
        # Nothing is named: it is said of what was named before, or of all.
        refused = [*clause.parts[0].roles] == ["not"] and len(clause.parts) == 1 and not clause.others  # "noise: no"
        if (clause.has("keep") or refused) and before.entries and not clause.has("amount") and clause.speaks_of_before:
            # "no noise may stay"; "noise is okay, blur is not"
            mirrored = before.joint == "nor" or before.has("not") or (refused and prior == "stays")
            fate: Fate = "goes" if mirrored else "stays"
            entries[-len(before.entries) :] = before.entries = [replace(one, fate=fate) for one in before.entries]
            before.fate = fate
        elif clause.has("remove") and before.entries and before.entries[-1].fate == "stays" and clause.speaks_of_before:
            # "don't sharpen the noise, remove it"
            del entries[-len(before.entries) :]
            before.entries = [replace(before.entries[-1], fate="goes")]
            entries += before.entries
        elif clause.has("amount") and before.entries and not clause.has("restore"):
            changed = [replace(one, part=clause.part) for one in before.entries]
            entries[-len(before.entries) :] = before.entries = changed
        elif clause.has("amount") and not clause.names_the_unknown:  # not "slight vignetting"
            strength = clause.part
    return _joined(text, entries, strength)


@dataclass(frozen=True)
class _Entry:
    """One thing that is named, and what becomes of it."""

    what: str
    """fault, grain, look, colours, tones, all, rest, restore, scale or edit."""
    value: Any = None
    fate: Fate = "goes"
    part: float | None = None
    alone: bool = False
    """Whether nothing else is wanted."""


@dataclass(frozen=True)
class _Part:
    """A phrase of a clause."""

    words: tuple[str, ...]
    roles: Mapping[str, Any]


_CUT = "+"
"""The joint of a clause that was cut off from the one before, without a sign between them."""
_POINTING = " it its them they that this those these one ones should must can may be to the there please i me my "
_THINGS = {"fault", "bad", "wish", "good", "grain", "look", "colours", "tones", "all", "rest"}
_VERBS = {"remove", "keep", "but", "wish", "add", "less", "more", "make", "not"}


@dataclass
class _Clause:
    """Phrases between two signs or joining words, and what was made of them."""

    parts: tuple[_Part, ...]
    joint: str = ""
    others: tuple[str, ...] = ()
    """Words that are in no phrase."""
    entries: list[_Entry] = field(default_factory=list)
    fate: Fate | None = None

    @property
    def speaks_of_before(self) -> bool:
        """Whether it can be about what was named before: it names nothing, known or not."""
        return self.joint == _CUT or all(f" {word} " in _POINTING for word in self.others)

    @property
    def names_the_unknown(self) -> bool:
        """Whether a word is in it that is neither plain English nor known."""
        return any(len(word) > 3 and word not in plain_words() for word in self.others)

    def has(self, *roles: str) -> bool:
        return any(role in part.roles for part in self.parts for role in roles)

    @property
    def part(self) -> float:
        """How much, where several words say it the one that is no verb."""
        said = [part for part in self.parts if "amount" in part.roles]
        plain = [part for part in said if "remove" not in part.roles] or said
        return float(plain[-1].roles["amount"])

    def settled(self, before: "_Clause") -> Fate | None:
        """What becomes of things without a verb in the next clause, where this one is carried on."""
        return self._fate(before) or (before.fate if self._carries() else None)

    def _carries(self) -> bool:
        return self.joint not in (".", "!", "?", "because", "since", "")

    def _negated(self, at: int) -> bool:
        return (self.joint == "nor") != any("not" in part.roles for part in self.parts[:at])

    def _place(self, role: str) -> int | None:
        return next((at for at, part in enumerate(self.parts) if role in part.roles), None)

    def _fate(self, before: "_Clause") -> Fate | None:
        """What the verb of the clause says; None where there is none."""
        if self.has("but", "all but"):
            # "nothing but the noise", "leave all as it is except the noise", and the other way round
            words = {word for part in self.parts for word in part.words}
            all_stays = self.has("keep", "not") or "nothing" in words or before.fate == "stays"
            return "goes" if all_stays else "stays"
        keep, remove = self._place("keep"), self._place("remove")
        if keep is not None:
            return "goes" if self._negated(keep) else "stays"
        if remove is not None:
            unwanted = self.parts[remove].words[:3] == ("do", "not", "want")
            removed = any(
                "remove" in part.roles for part in self.parts[remove + 1 :]
            )  # "do not want the noise removed"
            return "stays" if self._negated(remove) or (unwanted and removed) else "goes"
        if self.has("less"):
            return "goes"
        if self.has("not"):
            word = next(part.words[0] for part in self.parts if "not" in part.roles)
            wanted = word in ("no", "without", "zero", "neither") or self.has("make")
            if before.fate == "stays":  # "the snow may stay, but not the noise", "noise is okay, blur is not"
                wanted = wanted or self.joint == "but" or "not" in self.parts[-1].roles
            return "goes" if wanted and not self.has("wish") else "stays"
        if self.has("make", "more", "restore"):
            return "goes"
        return "described" if self.has("is") else None

    def read(self, before: "_Clause") -> list[_Entry]:
        """What is named here, and what becomes of it."""
        spared = self.has("remove", "wish", "keep", "less")
        if self.joint == _CUT and "without" in self.parts[0].words and before.entries and not spared:
            return []  # "remove the noise without blurring the hair" warns of what is not to come
        fate = self._fate(before)
        carried = before.fate if fate is None and self._carries() and not self.has("only") else None
        if carried == "stays" and self.has("bad") and not self.has("fault", "grain"):
            carried = "described"
        if carried == "stays" and "does" in self.others:  # "noise does not bother me, the blur does"
            carried = None
        if carried == "stays" and self.has("wish") and self.joint not in ("or", "nor", "and"):
            carried = None
        fate = fate or carried or "goes"
        if fate == "stays" and self.has("not") and self.has("wish") and self.has("amount"):
            # "do not sharpen too strongly"
            return [_Entry("fault", part.roles["wish"], "goes", TEXTURE) for part in self.parts if "wish" in part.roles]
        amount = self.part if self.has("amount") and fate != "described" else None
        if amount is None and self.has("less"):
            amount = VISIBLY
        found = [one for at, part in enumerate(self.parts) if (one := self._named(part, at, fate)) is not None]
        found = [
            one if one.what in ("scale", "edit") or one.fate == "described" else replace(one, part=amount)
            for one in found
        ]
        if self.has("but", "all but"):
            found = [one for one in found if one.what != "all"]
            found += [_Entry("all", None, "stays" if fate == "goes" else "goes")] if self.has("all but") else []
        found = [replace(one, alone=True) for one in found] if self.has("only") and amount is None else found
        if fate == "goes" and not found and self.has("restore") and not self.has("not"):
            found = [_Entry("restore", None, "goes", amount)]
        return found

    def _named(self, part: _Part, at: int, fate: Fate) -> _Entry | None:
        roles, stays = part.roles, fate == "stays"
        if "contrast" in part.words and any({"fault", "bad"} & one.roles.keys() for one in self.parts[at + 1 :]):
            return None  # "low contrast due to haze"
        if "scale" in roles:
            return None if self._negated(at) else _Entry("scale", roles["scale"])
        if "edit" in roles:
            return None if stays else _Entry("edit", roles["edit"])
        if "place" in roles or (roles.keys() & {"all"} and fate == "described"):
            return None
        if "amid" in roles:
            return _Entry("fault", AMID[part.words[-1]], "described")
        if "plastic" in roles:
            return _Entry("look", None, "stays") if self.has("not") else None
        if "all" in roles and self.has("make") and not self.has("restore", "remove", "more"):
            return None  # "make everything blue"
        if "all" in roles and self.has("bad") and not self.has("restore", "remove", "keep", "not", "but", "all but"):
            return None  # "everything looks yellow"
        for role in ("all", "rest"):
            if role in roles:
                return _Entry(role, None, fate)
        if "grain" in roles:
            adds = self.has("add") and fate != "described" and not self.has("remove", "not")
            back = any("back" in one.words for one in self.parts) or "back" in self.others
            return _Entry("grain", "added" if adds and not back else None, "stays" if adds else fate)
        if stays and "look" in roles:
            return _Entry("look", None, fate)
        if stays and "tones" in roles and not {"fault", "bad"} & roles.keys():
            return _Entry("tones", None, fate)
        if "colours" in roles and (stays or not {"good", "fault", "wish"} & roles.keys()):
            return _Entry("colours", None, fate)
        if "wish" in roles and not ("them" in self.others and part.words[0] in ("smooth", "clean")):
            return self._wished(roles["wish"], part, at, fate)
        if "fault" in roles:
            plainly_more = any(
                word in ("more", "increase", "boost", "raise") for one in self.parts for word in one.words
            )
            adds = (self.has("add") or plainly_more) and not self.has("remove", "less", "not")
            adds = adds and roles["fault"] != "fading"  # "bring back the faded colours"
            if self.has("add") and self.has("not"):  # "without adding noise"
                return None
            return _Entry("fault", roles["fault"], "opposite" if adds else fate)
        if "bad" in roles and not self.has("edit"):
            later = self.parts[at + 1 :]
            if roles["bad"] == "colour-cast" and any("fault" in one.roles for one in later):  # "bluish haze"
                return None
            make, negation = self._place("make"), self._place("not")
            if make is not None and negation is not None and negation < make and not self.has("remove", "keep"):
                return None  # "do not make it blurry"
            made = self.has("make") and not self.has("not", "less", "remove", "wish", "keep")
            if self.has("not") and self.has("make", "more") and not self.has("keep", "remove"):
                fate = "goes"
            return _Entry("fault", roles["bad"], "opposite" if made else fate)
        if "good" in roles and not stays:
            dark = self.has("less") and roles["good"] == "low-light"
            if any(one.words[0] in LACKING for one in self.parts):
                return _Entry("fault", roles["good"], "described")
            if self.has("more", "add", "make", "restore", "remove", "amount"):
                return _Entry("fault", roles["good"], "opposite" if dark else "goes")
            poor = any(word in POOR for word in self.others)  # "the light was bad"
            return _Entry("fault", roles["good"], "described") if poor else None
        return None

    def _wished(self, kind: str, part: _Part, at: int, fate: Fate) -> _Entry | None:
        if fate == "described":  # "the sky is bright"
            return None
        if at and self.parts[at - 1].words == ("less",) and not part.words[0].endswith("er"):  # "less sharp"
            return _Entry("fault", "ringing") if part.words == ("sharpening",) else _Entry("fault", kind, "opposite")
        if part.words == ("sharpening",) and self.has("remove") and fate == "goes":
            return _Entry("fault", "ringing")
        unwanted = any(one.words[:3] == ("do", "not", "want") for one in self.parts)
        if self._negated(at) or unwanted or fate == "stays":
            adjective = self.has("keep") and not self._negated(at)
            return None if adjective else _Entry("fault", kind, "stays")
        return _Entry("fault", kind)


def _joined(text: str, entries: Sequence[_Entry], strength: float) -> Wishes:
    """All that is said, as one."""
    goes: dict[str, float] = {}
    stays: dict[str, float | None] = {}
    notes: list[str] = []
    everything = exclusive = generic = False
    if any(one.alone and one.fate == "goes" for one in entries):
        entries = [one for one in entries if one.fate != "described"]
    detail, chroma, scale = 0.0, 1.0, None
    grain: float | None = None
    kept_grain = False
    asked: set[str] = set()
    for one in entries:
        gone = one.fate in ("goes", "described")
        part = 1.0 if one.part is None else one.part
        if one.what == "scale":
            scale = max(scale or 0.0, float(one.value))
        elif one.what == "edit":
            where = f"`pellucid {one.value}`" if " " not in one.value else one.value
            notes.append(f"what is asked of {where} is not done here")
        elif one.fate == "opposite":
            notes.append(f"more {one.value} is not made: a restoration takes away")
        elif one.what in ("fault", "grain"):
            kind = "noise" if one.what == "grain" else str(one.value)
            if gone and part == 0:
                stays[kind] = None
            elif gone:
                goes[kind] = part
                asked |= {kind} if one.fate == "goes" else set()
            elif one.what == "grain" and one.value == "added" and "noise" not in goes:
                notes.append("grain is not added: a restoration takes away")
            elif one.what == "grain":
                kept_grain, grain = True, one.part
            else:
                stays[kind] = one.part
        elif one.what == "look" and not gone:
            detail = TEXTURE if one.part is None else part
        elif one.what == "colours" and not gone:
            chroma = 0.0
        elif one.what == "tones" and not gone:
            stays |= dict.fromkeys(TONAL)
        elif one.what in ("all", "rest"):
            everything, exclusive = everything or gone, exclusive or not gone
            strength = min(strength, part) if gone and one.what == "all" else strength
        elif one.what == "restore":
            generic = True
            strength = min(strength, part)
    for kind, kept in list(stays.items()):
        if kind not in goes and kept is not None and 0 < kept < 1:  # "a quarter of it may stay"
            goes[kind], asked = 1.0, asked | {kind}
        if kind in goes and kind not in asked:  # "foggy as it was, leave the fog"
            del goes[kind]
        if kind not in goes:
            continue
        if kept is not None and 0 < kept < 1:
            goes[kind] = round(1 - kept, 2)
        elif kind in TONAL and sum(other in stays for other in TONAL) == len(TONAL):
            pass  # "brighten it but keep the mood": what is named counts
        else:
            raise SettingsError(f"text {_short(text)!r}: {kind} is to go and to stay: that contradicts itself")
        del stays[kind]
    if scale is not None:
        scale = scale or LARGER
        goes.pop("low-resolution", None)  # the larger picture is what was meant by it
    if "blur" in goes and "noise" not in goes:
        detail = 0.0  # the blurred finest band would come back over the sharp one
    if kept_grain and "noise" in goes:
        detail = 1.0 if grain is None else grain
    elif kept_grain and grain is not None and grain < 1:
        detail = grain
    elif kept_grain:  # what nobody takes does not have to come back: that would undo the end of other faults
        stays["noise"] = None
    if everything and not (exclusive and goes):
        only: dict[str, float] = {}
    elif goes or not generic:
        only = goes
    else:
        only = {}
    changed = bool(stays) or detail > 0 or chroma < 1 or scale is not None or strength < 1
    if not (goes or everything or generic or changed):
        raise _nothing(text, notes, entries)
    if scale is not None and not (goes or everything or generic):
        return Wishes(scale=scale, restore=False, notes=tuple(dict.fromkeys(notes)))
    skip = tuple(kind for kind in (*KINDS, *MEASURED) if kind in stays and kind not in only)
    less = {} if only else {kind: some for kind, some in goes.items() if some < 1}
    return Wishes(
        _ordered(only), () if only else skip, less, strength, detail, chroma, scale, notes=tuple(dict.fromkeys(notes))
    )


def _nothing(text: str, notes: Sequence[str], entries: Sequence[_Entry]) -> SettingsError:
    if notes:
        return SettingsError(f"text {_short(text)!r}: {'; '.join(dict.fromkeys(notes))}")
    if any(one.what in ("all", "rest") for one in entries):
        return SettingsError(f"text {_short(text)!r}: nothing is to be changed, so there is nothing to restore")
    known = plain_words()
    strange = [word for word in re.findall(r"[a-z]{4,}", plain(text)) if word not in known]
    why = f" ({', '.join(strange[:4])}: not known)" if strange else ""
    return SettingsError(
        f"text {_short(text)!r}: says nothing that a restoration can do{why}; say for example: remove the noise, "
        "sharpen a little, brighten it"
    )


def _ordered(kinds: Mapping[str, float]) -> dict[str, float]:
    return {kind: kinds[kind] for kind in (*KINDS, *MEASURED) if kind in kinds}


def _much(part: float) -> str:
    return "" if part == 1 else f"{part:.0%} of the "


def _short(text: str) -> str:
    one = " ".join(text.split())
    return one if len(one) <= 60 else one[:57] + "..."


def _clauses(text: str) -> Iterator[_Clause]:
    """The clauses of a text, in order."""
    known, joint = phrases(), ""
    words = words_of(text)
    longest, at, parts, others = max(map(len, known)), 0, list[_Part](), list[str]()
    while at < len(words):
        if words[at][0] == "×":
            parts.append(_Part((words[at],), {"scale": float(words[at][1:])}))
            at += 1
            continue
        number = number_at(words, at)
        if number is not None:
            parts.append(_Part(("number",), {"amount": number[0]}))
            at += number[1]
            continue
        for length in range(min(longest, len(words) - at), 0, -1):
            roles = known.get(tuple(words[at : at + length]))
            if roles is None or (length > 1 and _ends_with_but(words, at, length)):
                continue
            part = _Part(tuple(words[at : at + length]), dict(roles))
            if parts and parts[-1].words == ("light",) and {"wish", "fault"} & part.roles.keys():
                parts[-1] = _Part(("light",), {"amount": LIGHTLY})  # "light denoising"
            if _begins(part, parts):
                yield _Clause(tuple(parts), joint, tuple(others))
                joint, parts, others = _CUT, [], []
            parts.append(part)
            at += length
            break
        else:
            if words[at] == ":" and parts and not any(_THINGS & one.roles.keys() for one in parts):
                pass  # "keep: the grain"
            elif words[at] not in JOINTS:
                others.append(words[at])
            else:
                if parts:
                    yield _Clause(tuple(parts), joint, tuple(others))
                    parts, others = [], []
                    joint = words[at]
                elif words[at] not in ("and", "or") or joint in ("", ","):
                    joint = words[at] if joint not in (".", "!", "?") else joint
            at += 1
    if parts:
        yield _Clause(tuple(parts), joint, tuple(others))


def _ends_with_but(words: Sequence[str], at: int, length: int) -> bool:
    """Whether the "but" at the end of a phrase joins two clauses: "fix it all but leave the fog"."""
    if words[at + length - 1] != "but" or at + length == len(words):
        return False
    follows = words[at + length]
    roles = {role for role, _ in phrases().get((follows,), ())}
    return follows in ("do", "at") or follows.isdigit() or bool(roles & {"keep", "not", "only", "amount"})


def _begins(part: _Part, parts: Sequence[_Part]) -> bool:
    """Whether a phrase begins a clause of its own behind these, since it is another verb and they name something."""
    if not any(_THINGS & one.roles.keys() for one in parts):
        return False
    verb = _VERBS & part.roles.keys()
    if part.words in (("up",), ("down",)):
        return False  # "sharpness up, noise down"
    if "remove" in verb and any(one.words[:3] == ("do", "not", "want") for one in parts):
        return False  # "I do not want the noise removed"
    if "keep" in verb and {"all", "picture"} & parts[-1].roles.keys() and any("but" in one.roles for one in parts):
        return False  # "except for the darkness everything is fine"
    if not verb or (
        {"fault", "good", "bad", "grain"} & part.roles.keys() and not {"remove", "wish"} & part.roles.keys()
    ):
        return False
    if "wish" in part.roles and not {"remove", "keep"} & part.roles.keys():
        last = parts[-1].roles
        return not {"not", "less", "more", "make", "is", "amount", "add"} & last.keys() or "bad" in last
    return True
