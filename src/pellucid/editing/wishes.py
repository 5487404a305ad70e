"""What people may say, and what is wrong with what they say."""

from pellucid.errors import SettingsError
from pellucid.words.encoder import Sentences
from pellucid.words.reading import Colours, colours_in, language_of

__all__ = ["understood"]


def understood(text: str, encoder: Sentences) -> tuple[Colours, list[str]]:
    """What a text says of colours, and what must be said of it in turn: words that are not known, contradictions.

    Raises:
        SettingsError: the text is empty, is in another language than English, says nothing of colours, or says what
            they are not to be: the encoder reads the colours of a sentence, and no "not".
    """
    if not text.strip():
        raise SettingsError("text: is empty; leave it out, and the colours are chosen for you")
    language = language_of(text)
    if language is not None:
        raise SettingsError(f"text {text!r}: this looks like {language}; only English is understood")
    colours = colours_in(text)
    if colours.refused:
        raise SettingsError(
            f"text {text!r}: says what is not to be ({', '.join(colours.refused)}), only what is to be is understood"
        )
    if not colours:
        strange = encoder.unknown(text)
        known = f"; not known: {', '.join(dict.fromkeys(strange))}" if strange else ""
        raise SettingsError(
            f"text {text!r}: says nothing of colours{known}; write for example: green field, blue sky, a red boat"
        )
    notes = [f"not understood: {word}" for word in dict.fromkeys(encoder.unknown(text))]
    notes += [f"two colours for one place, both are tried: {words}" for words in colours.contradictions()]
    return colours, notes
