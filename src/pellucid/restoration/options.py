"""How to restore: one frozen record, from which the library, the command line and evaluation take defaults and help.

Importing it loads no torch: the command line reads it for `--help`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

from pellucid.errors import SettingsError, unknown_name

__all__ = ["Precision", "RestoreOptions", "parse_memory"]

Precision = Literal["auto", "float32", "bfloat16"]
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
SMALLEST_TILE = 64
"""Pixels of a side; smaller tiles are mostly overlap."""


@dataclass(frozen=True)
class RestoreOptions:
    """Options of a restoration; each field's metadata holds its help, and its range where it has one.

    Attributes:
        strength: 0 gives the degraded picture back, 1 the restored one; between them it mixes. Networks that enlarge
            take 1 only.
        tile: side of a tile in pixels; None takes the largest that fits the memory; 0 never cuts.
        memory: bytes, or a text such as "1GB", for intermediate maps, beside the picture itself and a few copies of it;
            None takes a quarter of what is free.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps".
        precision: "bfloat16", "float32", or "auto" for bfloat16 where the device is faster with it.
        passes: how often at most a model of experts restores a picture; None takes what its file says.
        always: restore also those pictures that the model's file says to leave alone.
        only: kinds of degradations, or a text with commas between them: a model of experts restores these alone, and
            without asking whether they are there.
        skip: kinds of degradations that a model of experts leaves alone.
        prompt: what a model that samples is asked to do (`diffusion.prompts`), or that and some controls in short
            (`sr60-up4-cfg11`); None asks for everything.
        seed: of what a model that samples draws.
        control: controls of a model that samples, by name (`diffusion.controls.Controls`), or texts such as `steps=20`.
        region: places that a prompt names: the file of a mask, or left,top,right,bottom in pixels.
        strength_map: the file of a picture whose brightness says how much of the prompt's amounts is asked for where.

    Raises:
        SettingsError: an option that cannot be.
    """

    strength: float = field(
        default=1.0, metadata={"help": "0 leaves the photograph as it is, 1 restores it fully.", "min": 0, "max": 1}
    )
    tile: int | None = field(
        default=None, metadata={"help": "Side of a tile in pixels; 0 never cuts; the default fits the memory."}
    )
    memory: int | None = field(
        default=None,
        metadata={"help": "For intermediate results, such as 1GB; the default is a quarter of what is free."},
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps."})
    precision: Precision = field(
        default="auto", metadata={"help": "auto, float32 or bfloat16; auto takes bfloat16 where it is faster."}
    )
    passes: int | None = field(
        default=None,
        metadata={
            "help": "How often at most a model of experts restores: again while another expert is wanted; the default "
            "is "
            "the model's own.",
            "min": 1,
        },
    )
    always: bool = field(
        default=False,
        metadata={"help": "Restore also those with which most surely nothing is wrong; else they are copied."},
    )
    only: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "Restore these kinds of degradations alone, as in noise,jpeg, without asking whether they are "
            "there.",
            "metavar": "KINDS",
        },
    )
    skip: tuple[str, ...] = field(
        default=(),
        metadata={"help": "Leave these kinds of degradations alone, as in low-light,haze.", "metavar": "KINDS"},
    )
    prompt: str | None = field(
        default=None,
        metadata={
            "help": 'What a model that samples is to do, as in "denoise 20, deblur 2px @face"; the default asks for '
            "everything."
        },
    )
    seed: int = field(default=0, metadata={"help": "Of what a model that samples draws.", "min": 0})
    control: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "help": "How a model that samples does it, as in steps=20; again for more. docs/generate.md says what "
            "there is.",
            "metavar": "NAME=VALUE",
        },
    )
    region: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "help": "A place that the prompt names, as in face=mask.png or face=10,20,110,140 (left,top,right,bottom).",
            "metavar": "NAME=PLACE",
        },
    )
    strength_map: str | None = field(
        default=None,
        metadata={"help": "A picture, bright where all of the prompt's amounts are asked for.", "metavar": "FILE"},
    )

    def __post_init__(self) -> None:
        if isinstance(self.strength, bool) or not isinstance(self.strength, int | float) or not 0 <= self.strength <= 1:
            raise SettingsError(f"strength must be a number in 0..1, got {self.strength!r}")
        if self.tile is not None and (type(self.tile) is not int or (self.tile != 0 and self.tile < SMALLEST_TILE)):
            raise SettingsError(f"tile must be 0 (never cut) or at least {SMALLEST_TILE} pixels, got {self.tile!r}")
        if self.memory is not None:
            bytes_ = parse_memory(self.memory) if isinstance(self.memory, str) else _checked(self.memory)
            object.__setattr__(self, "memory", bytes_)
        if self.precision not in get_args(Precision):
            raise SettingsError(f"precision must be auto, float32 or bfloat16, got {self.precision!r}")
        if self.passes is not None and (type(self.passes) is not int or self.passes < 1):
            raise SettingsError(f"passes must be a whole number, 1 or more, got {self.passes!r}")
        for name in ("only", "skip"):
            object.__setattr__(self, name, _kinds(name, getattr(self, name)))
        for name in ("control", "region"):
            object.__setattr__(self, name, _assignments(name, getattr(self, name)))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**31:
            raise SettingsError(f"seed must be a whole number in 0..{2**31 - 1}, got {self.seed!r}")
        if self.strength_map is not None:
            object.__setattr__(self, "strength_map", str(self.strength_map))
        both = sorted(set(self.only) & set(self.skip))
        if both:
            raise SettingsError(
                f"only and skip both name {', '.join(both)}: it cannot be restored alone and left alone"
            )

    @classmethod
    def of(cls, **given: Any) -> Self:
        """From options by their names. Raises SettingsError for one that there is not, with the near names."""
        known = [one.name for one in fields(cls)]
        for name in given:
            if name not in known:
                raise SettingsError(unknown_name("option", name, known))
        return cls(**given)


def parse_memory(text: str) -> int:
    """Bytes in a text such as `1GB`, `800 MiB` or `1500000000`; units are powers of 1024.

    Raises:
        SettingsError: it does not parse, or is less than 16 MB.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if not match:
        raise SettingsError(f"memory {text!r}: expected a number and a unit, such as 1GB or 800MB")
    return _checked(float(match[1]) * UNITS[match[2]])


def _kinds(option: str, given: Any) -> tuple[str, ...]:
    """Kinds of degradations from a text with commas or from a sequence; whether there are such kinds, others check."""
    if given is None:
        return ()
    kinds = given.split(",") if isinstance(given, str) else given
    if not isinstance(kinds, list | tuple | set | frozenset) or not all(isinstance(kind, str) for kind in kinds):
        raise SettingsError(f"{option} must be kinds of degradations such as noise,jpeg, got {given!r}")
    return tuple(dict.fromkeys(kind.strip() for kind in kinds if kind.strip()))


def _assignments(option: str, given: Any) -> dict[str, Any]:
    """Values by names, from a mapping or from texts such as `steps=20`."""
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, str):
        given = [given]
    found: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = str(text).partition("=")
        if not equals or not name.strip() or not value.strip():
            raise SettingsError(f"{option}: expected NAME=VALUE, got {text!r}")
        if name.strip() in found:
            raise SettingsError(f"{option}: {name.strip()} is given twice")
        found[name.strip()] = value.strip()
    return found


def _checked(size: float) -> int:
    """The same number of bytes, where it can be worked with."""
    if isinstance(size, bool) or not isinstance(size, int | float) or not 16 << 20 <= size < 1 << 60:
        shown = f"{size:g}" if isinstance(size, int | float) else repr(size)
        raise SettingsError(f"memory of {shown} bytes: it must be 16MB at least, and finite")
    return int(size)
