"""What a sentence of a person says of colours, read with the words of the templates: for telling people what was
understood. What the networks are told is the sentence itself, as the encoder reads it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from pellucid.words.facts import TONES
from pellucid.words.sentences import AT, SHADES, THINGS, TONE_WORDS, words_of_templates
from pellucid.words.vocabulary import split_words

__all__ = ["Colours", "colours_in", "language_of"]

LOOKS = ("vivid", "muted", "colourless", "warm", "cool", "night", "sunset", "day")
"""The tones that are wishes about colours."""

FOREIGN = {
    "German": "der die das und ein eine einen mit ohne ist nicht himmel grün grüne grünes blau blauer blaue rot "
    "rote roter gelb gelbe weiß schwarz braun wiese gras feld oben unten mach mache bitte haut wasser "
    "entferne entfernen für auf im rauschen unschärfe schärfer heller dunkel dem vom",
    "French": "le la les un une et avec sans est pas ciel bleu bleue vert verte rouge jaune blanc noir marron "
    "herbe champ haut bas fais rends du des dans sur pelouse mer soleil bruit flou enlève enlever supprime photo "
    "trop pluie neige brouillard",
    "Spanish": "el los las una con sin es no cielo azul verde rojo roja amarillo blanco negro hierba campo "
    "arriba abajo haz del en sobre mar sol y césped ruido quita quitar elimina eliminar foto lluvia niebla nieve más",
    "Italian": "il lo gli una con senza è non cielo blu azzurro verde rosso rossa giallo bianco nero erba campo "
    "sopra sotto rendi della del prato mare sole e rumore rimuovi togli sfocatura foto dalla dal pioggia nebbia più",
    "Portuguese": "o os uma com sem não céu azul verde vermelho amarelo branco preto grama campo acima abaixo mar "
    "do da no relva ruído remova remover imagem foto chuva mais",
    "Dutch": "de het een en met zonder is niet hemel lucht blauw blauwe groen groene rood rode geel wit zwart "
    "gras veld boven onder maak ruis verwijder scherper foto uit alsjeblieft",
    "Swedish": "och en ett av från bilden bild bruset brus bort skärpa inte gör himmel blå grön gul vit svart",
    "Norwegian or Danish": "og et fra bildet billedet støy støj fjern fjerne skarpere ikke gjør gør himmel blå grønn "
    "grøn",
    "Polish": "proszę usuń usunąć szum ze z zdjęcia zdjęcie rozmycie niebo niebieskie trawa zielona nie bez",
    "Czech": "prosím odstraň šum z fotky rozmazání nebe modré tráva zelená bez není",
    "Turkish": "lütfen fotoğraf fotoğraftan gürültüyü gürültü kaldır bulanıklığı gökyüzü mavi yeşil bir",
    "Finnish": "poista kohina kuvasta kiitos terävämpi taivas sininen vihreä ja ei",
}
"""Words by which another language shows; those that are English as well do not count."""


NEGATIONS = {"not", "no", "without", "never", "nor", "neither", "instead", "than", "avoid"}
"""Words before what is not to be."""


@dataclass(frozen=True)
class Colours:
    """What a sentence says of colours.

    Attributes:
        named: pairs of place and colour, as `words.facts` names them, in the order of the sentence.
        looks: tones of the whole, such as vivid.
        refused: colours and tones that are not to be.
    """

    named: tuple[tuple[str, str], ...] = ()
    looks: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.named or self.looks)

    def words(self) -> str:
        """What was understood, in plain words."""
        parts = [f"{colour} {'mostly' if place == 'whole' else AT[place][0]}" for place, colour in self.named]
        return ", ".join([*parts, *self.looks])

    def contradictions(self) -> list[str]:
        """Places of which several colours are said, in words."""
        places = dict.fromkeys(place for place, _ in self.named if place != "whole")
        said = {place: [colour for at, colour in self.named if at == place] for place in places}
        return [
            f"{' and '.join(dict.fromkeys(colours))} {AT[place][0]}"
            for place, colours in said.items()
            if len(set(colours)) > 1
        ]


def colours_in(text: str) -> Colours:
    """The colours that a text names, each with the place that is named nearest to it within its part of the sentence;
    the whole picture where none is."""
    named: list[tuple[str, str]] = []
    refused: list[str] = []
    for part in _clauses(text):
        shades = list(_found(part, _shades()))
        places = list(_found(part, _places()))
        negated = next((at for at, word in enumerate(part) if word in NEGATIONS), len(part))
        refused += [said for at, _, said in (*shades, *_found(part, _looks())) if at > negated]
        for at, end, colour in shades:
            if at > negated:
                continue
            # "blue sky": what follows is what is meant, before what came before it ("the sky is blue").
            nearest = min(places, key=lambda one: one[0] - end if one[0] >= end else at - one[1] + 0.5, default=None)
            pair = ("whole" if nearest is None else nearest[2], colour)
            if pair not in named:
                named.append(pair)
    words = split_words(text)
    found = {tone for _, _, tone in _found(words, _looks())}
    looks = tuple(tone for tone in LOOKS if tone in found and tone not in refused)
    return Colours(tuple(named), looks, tuple(dict.fromkeys(refused)))


def language_of(text: str) -> str | None:
    """The language of a text that is plainly not English, by name; None for English, and where nothing shows.

    It shows by two different words that are of it and not English, or by one of four letters or more; a word that is
    said again, as in singing, counts once. Languages that have these words alike are all named.
    A text in letters of another script than Latin is "no language with Latin letters".
    """
    said = split_words(text)
    letters = [letter for word in said for letter in word]
    if letters and sum(ord(letter) > 0x24F for letter in letters) > len(letters) / 2:
        return "no language with Latin letters"
    english = words_of_templates() | {"please", "very", "no", "me", "not", "is", "on", "in", "to"}
    words = set(said)
    own = {name: (words & {*known.split()}) - english for name, known in FOREIGN.items()}
    most = max(map(len, own.values()))
    if most <= len(words & english) or (most == 1 and all(len(word) < 4 for word in set().union(*own.values()))):
        return None
    return " or ".join(name for name, found in own.items() if len(found) == most)


def _clauses(text: str) -> Iterator[list[str]]:
    """Parts of a sentence, between signs and joining words, as words."""
    text = re.sub("n['’]t\\b", " not", text.lower())
    marked = "".join(letter if letter.isalpha() or letter.isspace() else " , " for letter in text)
    part: list[str] = []
    for word in marked.split():
        if word in (",", "and", "under", "over", "with", "while", "but", "against"):
            if part:
                yield part
            part = []
        else:
            part.append(word)
    if part:
        yield part


def _found(words: Sequence[str], phrases: dict[tuple[str, ...], str]) -> Iterator[tuple[int, int, str]]:
    """Where phrases stand among words, longest first: begin, end and what it means."""
    longest, at = max(map(len, phrases)), 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            meant = phrases.get(tuple(words[at : at + length]))
            if meant is not None:
                yield at, at + length, meant
                at += length
                break
        else:
            at += 1


@cache
def _shades() -> dict[tuple[str, ...], str]:
    return {tuple(split_words(text)): colour for colour, texts in SHADES.items() for text in texts}


@cache
def _places() -> dict[tuple[str, ...], str]:
    tables = (THINGS, AT)
    found = {tuple(split_words(text)): place for table in tables for place, texts in table.items() for text in texts}
    more = {"trees": "middle", "tree": "middle", "forest": "middle", "leaves": "middle", "clouds": "above"}
    return found | {(word,): place for word, place in more.items()}


@cache
def _looks() -> dict[tuple[str, ...], str]:
    return {tuple(split_words(text)): tone for tone in TONES if tone in LOOKS for text in TONE_WORDS[tone]}
