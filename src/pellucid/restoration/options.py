"""How to restore: one frozen record, from which the library, the command line and evaluation take defaults and help.

Importing it loads no torch: the command line reads it for `--help`.
"""

import re
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

from pellucid.errors import SettingsError, unknown_name

__all__ = ["Engine", "Precision", "RestoreOptions", "parse_memory"]

Precision = Literal["auto", "float32", "bfloat16", "int8"]
Engine = Literal["auto", "torch", "openvino", "onnx"]
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
SMALLEST_TILE = 64
"""Pixels of a side; smaller tiles are mostly overlap."""
SMALLEST_MEMORY = 16 << 20
"""Bytes; with less nothing can be done."""

LARGEST_SCALE = 8
"""By which the sides can grow."""


@dataclass(frozen=True)
class RestoreOptions:
    """Options of a restoration; each field's metadata holds its help, and its range where it has one.

    Attributes:
        strength: 0 gives the degraded picture back, 1 the restored one; between them it mixes. Networks that enlarge
            take 1 only.
        tile: side of a tile in pixels; None takes the largest that fits the memory; 0 never cuts.
        memory: bytes, or a text such as "1GB", for intermediate maps, and for a picture with the copies that are made
            of it: one that needs more lies on the disk meanwhile. None takes a quarter of what is free.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps".
        precision: "float32"; "bfloat16"; "int8", where the model has been calibrated for it, by the engines openvino
            and onnx; or "auto": what the device is faster with, and 8 bits only where the picture's noise hides it.
        engine: "torch", "openvino", "onnx"; or "auto" for openvino where it is installed and has this model's graphs,
            else torch.
        scale: by how much the sides grow, above 1 and up to 8; None leaves the size to the model: most keep it. A model
            that keeps the size restores first, and the embedded `upscale` then enlarges.
        orientations: the mean of what the network makes of all eight orientations of the picture: a little better, and
            eight times as slow. For models that are one network and look at nothing but the picture.
        passes: how often at most a model of experts restores a picture; None takes what its file says.
        always: restore also those pictures that the model's file says to leave alone.
        only: kinds of degradations, or a text with commas between them: a model of experts restores these alone, and
            without asking whether they are there.
        skip: kinds of degradations that a model of experts leaves alone.

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
        metadata={
            "help": "For a photograph and intermediate results, such as 1GB; a larger one is on the disk meanwhile. "
            "The default is a quarter of what is free."
        },
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps."})
    precision: Precision = field(
        default="auto", metadata={"help": "auto, float32, bfloat16 or int8; auto takes what is faster and safe."}
    )
    engine: Engine = field(
        default="auto",
        metadata={"help": "auto, torch, openvino or onnx; auto takes OpenVINO once it has been used with this model."},
    )
    scale: float | None = field(
        default=None,
        metadata={
            "help": "Enlarge the sides by this, above 1 and up to 8, as in 4 or 2.5; the model is then `upscale`, "
            "unless --model says another, which restores before that.",
        },
    )
    orientations: bool = field(
        default=False,
        metadata={"help": "The mean over all eight orientations: a little better, eight times as slow."},
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

    def __post_init__(self) -> None:
        if isinstance(self.strength, bool) or not isinstance(self.strength, int | float) or not 0 <= self.strength <= 1:
            raise SettingsError(f"strength must be a number in 0..1, got {self.strength!r}")
        if self.tile is not None and (type(self.tile) is not int or (self.tile != 0 and self.tile < SMALLEST_TILE)):
            raise SettingsError(f"tile must be 0 (never cut) or at least {SMALLEST_TILE} pixels, got {self.tile!r}")
        if self.memory is not None:
            bytes_ = parse_memory(self.memory) if isinstance(self.memory, str) else _checked(self.memory)
            object.__setattr__(self, "memory", bytes_)
        for name, known in (("precision", Precision), ("engine", Engine)):
            if getattr(self, name) not in get_args(known):
                raise SettingsError(f"{name} must be {' or '.join(get_args(known))}, got {getattr(self, name)!r}")
        if self.scale is not None:
            _check_scale(self.scale)
        if self.passes is not None and (type(self.passes) is not int or self.passes < 1):
            raise SettingsError(f"passes must be a whole number, 1 or more, got {self.passes!r}")
        for name in ("only", "skip"):
            object.__setattr__(self, name, _kinds(name, getattr(self, name)))
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


def _check_scale(scale: Any) -> None:
    """Raises SettingsError for what is no number above 1 and up to the largest."""
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 1 < scale <= LARGEST_SCALE:
        raise SettingsError(f"scale must be a number above 1 and up to {LARGEST_SCALE}, got {scale!r}")


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


def _checked(size: float) -> int:
    """The same number of bytes, where it can be worked with."""
    if isinstance(size, bool) or not isinstance(size, int | float) or not SMALLEST_MEMORY <= size < 1 << 60:
        shown = f"{size:g}" if isinstance(size, int | float) else repr(size)
        raise SettingsError(f"memory of {shown} bytes: it must be 16MB at least, and finite")
    return int(size)
