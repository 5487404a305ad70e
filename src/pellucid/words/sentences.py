"""Sentences about photographs: what they state, and many ways to state it.

A statement is what a sentence means in part: a colour at a place, a tone, what is wrong, or what is wanted. Sentences
are drawn from templates and synonyms; all that state the same mean the same to the encoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from pellucid.degradations import KINDS
from pellucid.words.facts import ACHROMATIC, COLOURS, PLACES, TONES, Facts

__all__ = ["STATEMENTS", "Said", "described", "sentence_of", "true_statements", "words_of_templates"]

GRADE_WORDS: Mapping[str, Sequence[str]] = {
    "slight": ("slight", "light", "a little", "some", "a bit of", "faint", "mild", "weak"),
    "moderate": ("", "moderate", "medium", "visible", "clear", "noticeable"),
    "strong": ("strong", "heavy", "a lot of", "much", "severe", "very strong", "terrible", "extreme"),
}
LIMITS = (("slight", 30.0), ("moderate", 55.0), ("strong", float("inf")))
"""Below which severity, 0 to 100, a grade ends."""

STATEMENTS: tuple[str, ...] = (
    *(f"{place} {colour}" for place in PLACES for colour in COLOURS),
    *TONES,
    *(f"{grade} {kind}" for kind in KINDS for grade, _ in LIMITS),
    "clean",
    *(f"remove {kind}" for kind in KINDS),
    *(f"keep {kind}" for kind in KINDS),
)
"""All that can be stated, by number. `remove` and `keep` are wishes, the rest says how a picture is."""

SHADES: Mapping[str, Sequence[str]] = {
    "black": ("black", "pitch black", "dark black", "black"),
    "grey": ("grey", "gray", "grayish", "greyish", "silver", "silvery"),
    "white": ("white", "whitish", "snow white", "pure white"),
    "red": ("red", "reddish", "crimson", "scarlet", "dark red", "bright red", "ruby"),
    "orange": ("orange", "amber", "bright orange", "tangerine"),
    "yellow": ("yellow", "golden", "gold", "yellowish", "bright yellow", "lemon"),
    "green": ("green", "greenish", "dark green", "light green", "bright green", "lush green", "olive", "emerald"),
    "turquoise": ("turquoise", "cyan", "teal", "aqua", "aquamarine"),
    "blue": ("blue", "bluish", "light blue", "dark blue", "bright blue", "deep blue", "azure", "navy", "navy blue"),
    "purple": ("purple", "violet", "lilac", "lavender", "magenta"),
    "pink": ("pink", "pinkish", "rose", "rosy", "salmon"),
    "brown": ("brown", "brownish", "chestnut", "dark brown", "chocolate", "rusty"),
    "beige": ("beige", "tan", "cream", "sandy", "light brown", "sand coloured", "skin coloured"),
}
THINGS: Mapping[str, Sequence[str]] = {
    "above": ("sky", "sky", "sky", "skies", "heaven", "ceiling", "top", "upper part"),
    "below": ("ground", "grass", "field", "meadow", "lawn", "water", "sea", "ocean", "lake", "river", "sand", "beach",
              "floor", "earth", "snow", "road", "bottom", "lower part", "foreground", "land", "fields"),
    "middle": ("thing", "object", "flower", "dress", "car", "house", "animal", "bird", "person", "shirt", "boat",
               "building", "coat", "centre", "center", "middle", "subject", "fish", "horse", "main thing", "face",
               "butterfly", "jacket", "hat", "fruit", "barn", "bus", "train", "flowers", "bear", "dog", "cat"),
    "left": ("left side", "left part", "left"),
    "right": ("right side", "right part", "right"),
    "whole": ("picture", "photograph", "photo", "image", "scene", "background", "everything", "all"),
}  # fmt: skip
"""How people call what lies at a place."""
AT: Mapping[str, Sequence[str]] = {
    "above": ("above", "at the top", "on top", "in the upper part", "overhead", "up there"),
    "below": ("below", "at the bottom", "underneath", "in the lower part", "beneath", "in the foreground"),
    "middle": ("in the middle", "in the centre", "in the center", "at the centre"),
    "left": ("on the left", "at the left", "to the left", "left"),
    "right": ("on the right", "at the right", "to the right", "right"),
    "whole": ("everywhere", "all over", "overall", "throughout", "mostly"),
}
TONE_WORDS: Mapping[str, Sequence[str]] = {
    "dark": ("dark", "dim", "gloomy", "low key", "a dark scene", "little light"),
    "bright": ("bright", "light", "high key", "full of light", "well lit", "a bright scene"),
    "low contrast": ("low contrast", "flat", "little contrast", "soft light", "without contrast"),
    "high contrast": ("high contrast", "contrasty", "strong contrast", "deep shadows and bright lights", "harsh light"),
    "vivid": (
        "vivid",
        "colourful",
        "colorful",
        "saturated",
        "vivid colours",
        "strong colors",
        "rich colours",
        "lively",
    ),
    "muted": ("muted", "pale", "faint colours", "dull colors", "desaturated", "faded colours", "subdued"),
    "colourless": (
        "black and white",
        "colourless",
        "monochrome",
        "without colour",
        "no color",
        "grayscale",
        "greyscale",
    ),
    "warm": ("warm", "warm colours", "warm tones", "warm light", "warm colors"),
    "cool": ("cool", "cold", "cool colours", "cold tones", "cool light", "cold colors", "cool tones"),
    "smooth": ("smooth", "soft", "few details", "little texture", "plain", "smooth surfaces", "empty"),
    "detailed": ("detailed", "full of details", "much texture", "rough", "fine texture", "busy", "leaves and textures"),
    "night": ("night", "at night", "a night scene", "by night", "nighttime", "in the dark"),
    "sunset": ("sunset", "at sunset", "dusk", "a sunset", "evening light", "sunrise", "at dawn", "golden hour"),
    "day": ("day", "by day", "daylight", "a sunny day", "in the daytime", "fine weather", "sunny"),
}
KIND_WORDS: Mapping[str, Sequence[str]] = {
    "noise": ("noise", "grain", "graininess", "sensor noise", "speckles", "film grain", "static"),
    "blur": ("blur", "blurriness", "unsharpness", "camera shake", "softness", "motion blur", "defocus", "shake"),
    "rain": ("rain", "rain streaks", "raindrops", "rainfall", "drizzle"),
    "snow": ("snow flakes", "snowfall", "snowflakes", "falling snow", "flakes"),
    "haze": ("haze", "fog", "mist", "smog", "a grey veil", "murk"),
    "low-light": ("low light", "darkness", "underexposure", "too little light", "shadows", "gloom"),
    "jpeg": ("jpeg artefacts", "compression artifacts", "blocks", "jpeg blocks", "compression", "blockiness",
             "artefacts", "artifacts", "blocking"),
    "low-resolution": ("low resolution", "pixelation", "too few pixels", "pixels", "small size", "upscaling",
                       "coarse pixels"),
    "ringing": ("ringing", "halos", "oversharpening", "sharpening halos", "halo", "edges with halos"),
}  # fmt: skip
KIND_ADJECTIVES: Mapping[str, Sequence[str]] = {
    "noise": ("noisy", "grainy", "speckled"),
    "blur": ("blurry", "blurred", "unsharp", "out of focus", "shaky", "soft"),
    "rain": ("rainy", "rained on"),
    "snow": ("snowy",),
    "haze": ("hazy", "foggy", "misty"),
    "low-light": ("underexposed", "too dark", "badly lit"),
    "jpeg": ("compressed", "blocky", "overcompressed"),
    "low-resolution": ("pixelated", "low res", "tiny"),
    "ringing": ("oversharpened",),
}
WISHES: Mapping[str, Sequence[str]] = {
    "noise": ("denoise", "denoise it", "smooth out the noise", "less grain", "make it less grainy", "less noise",
              "reduce the noise", "clean the noise"),
    "blur": ("deblur", "sharpen", "sharpen it", "make it sharper", "make it sharp", "sharper", "more sharpness",
             "bring it into focus", "crisper", "fix the focus"),
    "rain": ("derain", "no rain", "stop the rain", "make it dry"),
    "snow": ("desnow", "no snowfall", "stop the snow"),
    "haze": ("dehaze", "defog", "clear the air", "clearer air", "lift the fog", "see through the mist"),
    "low-light": ("brighten", "brighten it", "lighten", "make it brighter", "brighter", "more light", "lighten up",
                  "raise the exposure", "lift the shadows"),
    "jpeg": ("deblock", "dejpeg", "undo the compression", "fix the compression", "no more blocks"),
    "low-resolution": ("upscale", "enlarge", "more resolution", "higher resolution", "super resolution", "more pixels",
                       "increase the resolution"),
    "ringing": ("dering", "remove the sharpening", "less sharpening", "undo the sharpening"),
}  # fmt: skip
REMOVE = ("remove", "get rid of", "take away", "take out", "delete", "clean up", "eliminate", "reduce", "fix", "drop",
          "erase", "no more", "clear", "correct", "without", "no", "less")  # fmt: skip
KEEP = ("keep", "leave", "preserve", "do not touch", "retain", "do not remove", "maintain", "don t remove", "not")
NOTHING = ("clean", "nothing wrong", "a good photograph", "a clean picture", "flawless", "no faults",
           "sharp and clean", "high quality")  # fmt: skip
OPENINGS = ("", "", "", "", "a photograph of", "a picture with", "photo :", "make it", "please", "i want",
            "an image of", "there is", "with", "give me", "colour it with", "colorize with")  # fmt: skip
JOINTS = (", ", ", ", " and ", "; ", " with ", ". ")
ASKED = ("make the {thing} {shade}", "the {thing} is {shade}", "the {thing} should be {shade}",
         "paint the {thing} {shade}", "{shade} {thing}", "a {shade} {thing}", "the {shade} {thing}",
         "{thing} in {shade}", "{shade} {thing}", "{thing} {shade}", "turn the {thing} {shade}",
         "colour the {thing} {shade}")  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A sentence and what it states, by numbers in STATEMENTS."""

    text: str
    statements: frozenset[int]


def true_statements(facts: Facts) -> list[str]:
    """All that is true of a picture among STATEMENTS, wishes apart."""
    true = []
    for place in PLACES:
        for colour in COLOURS:
            share = facts.share(place, colour)
            plain = COLOURS.index(colour) < ACHROMATIC
            most = 0.45 if plain else 0.3
            stands_out = place == "middle" and share > 0.2 and share > 3 * facts.share("whole", colour) and not plain
            if share > most or stands_out:
                true.append(f"{place} {colour}")
    true += [tone for tone in TONES if tone in facts.tones]
    if facts.kinds is not None:
        true += [f"{grade_of(severity)} {kind}" for kind, severity in facts.kinds.items()]
        true += [] if facts.kinds else ["clean"]
    return true


def grade_of(severity: float) -> str:
    """The grade of a severity, 0 to 100."""
    return next(name for name, limit in LIMITS if severity < limit)


def sentence_of(statements: Sequence[str], generator: torch.Generator) -> Said:
    """One of many sentences that state all of these."""
    order = torch.randperm(len(statements), generator=generator).tolist()
    parts = [_part(statements[place], generator) for place in order]
    opening = _one_of(OPENINGS, generator)
    joint = _one_of(JOINTS, generator)
    text = f"{opening} {joint.join(parts)}".strip()
    return Said(text, frozenset(STATEMENTS.index(one) for one in statements))


def described(facts: Facts, *, most: int = 4) -> str:
    """One plain sentence of what is most true of a picture's colours and tones, always the same."""
    found = sorted(
        (
            (facts.share(place, colour), place, colour)
            for place in PLACES
            for colour in COLOURS
            if f"{place} {colour}" in true_statements(facts)
        ),
        key=lambda one: (one[1] == "whole", COLOURS.index(one[2]) < ACHROMATIC, -one[0]),
    )
    parts = [f"{colour} {AT[place][0]}" for _, place, colour in found[:most]]
    parts += [TONE_WORDS[tone][0] for tone in TONES if tone in facts.tones][:2]
    return ", ".join(parts)


def words_of_templates() -> set[str]:
    """Every word that a sentence can have."""
    texts: list[str] = [
        *NOTHING,
        *OPENINGS,
        *REMOVE,
        *KEEP,
        "mostly mainly all very slightly something thing the a an it is are of in under over",
    ]
    for table in (GRADE_WORDS, SHADES, THINGS, AT, TONE_WORDS, KIND_WORDS, KIND_ADJECTIVES, WISHES):
        texts += [text for choices in table.values() for text in choices]
    texts += [text.replace("{thing}", "").replace("{shade}", "") for text in ASKED]
    return {word for text in texts for word in "".join(c if c.isalpha() else " " for c in text).split()}


def _part(statement: str, generator: torch.Generator) -> str:
    head, _, rest = statement.partition(" ")
    if statement in TONE_WORDS:
        return _one_of(TONE_WORDS[statement], generator)
    if statement == "clean":
        return _one_of(NOTHING, generator)
    if head in PLACES:
        return _coloured(head, rest, generator)
    if head == "remove":
        if _chance(0.5, generator):
            return _one_of(WISHES[rest], generator)
        article = _one_of(("the ", "", "all the ", "all "), generator)
        return f"{_one_of(REMOVE, generator)} {article}{_one_of(KIND_WORDS[rest], generator)}"
    if head == "keep":
        return f"{_one_of(KEEP, generator)} {_one_of(('the ', ''), generator)}{_one_of(KIND_WORDS[rest], generator)}"
    if _chance(0.3, generator):
        adverb = {"slight": "slightly", "moderate": "", "strong": "very"}[head]
        return f"{adverb} {_one_of(KIND_ADJECTIVES[rest], generator)}".strip()
    return f"{_one_of(GRADE_WORDS[head], generator)} {_one_of(KIND_WORDS[rest], generator)}".strip()


def _coloured(place: str, colour: str, generator: torch.Generator) -> str:
    shade, thing = _one_of(SHADES[colour], generator), _one_of(THINGS[place], generator)
    drawn = float(torch.rand((), generator=generator))
    if place == "whole" and drawn < 0.5:
        return f"{_one_of(('mostly', 'mainly', 'all', 'very'), generator)} {shade}"
    if drawn < 0.6:
        return _one_of(ASKED, generator).format(thing=thing, shade=shade)
    if drawn < 0.75:
        return f"{_one_of(('a', 'something', ''), generator)} {shade} {_one_of(AT[place], generator)}".strip()
    if drawn < 0.85 and place == "middle":
        return f"a {shade} thing {_one_of(AT[place], generator)}"
    return f"{shade} {_one_of(AT[place], generator)}"


def _chance(part: float, generator: torch.Generator) -> bool:
    return float(torch.rand((), generator=generator)) < part


def _one_of(choices: Sequence[str], generator: torch.Generator) -> str:
    return choices[int(torch.randint(len(choices), (), generator=generator))]
