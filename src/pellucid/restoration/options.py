"""How to restore: one frozen record, from which the library, the command line and evaluation take defaults and help.

Importing it loads no torch: the command line reads it for `--help`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeGuard, get_args

from pellucid.errors import SettingsError, unknown_name

if TYPE_CHECKING:
    from pellucid.words.wishes import Wishes

__all__ = ["Engine", "Precision", "RestoreOptions", "check_part", "is_number", "parse_memory"]

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
        amount: how much of a kind goes, 0 to 1, by kinds; or texts such as `noise=0.5`. For models of experts.
        text: what is wanted, in English (`words.wishes`): it says `only`, `skip`, `amount`, `detail` and the like.
        tell: numbers for networks that can be told them (`Contract.numbers`), by name: `sigma`, how much noise there
            is, on the scale 0..255; `ratio`, by how much light is to grow. Or texts such as "sigma=25".
        prompt: what a model that samples is asked to do (`diffusion.prompts`), or that and some controls in short
            (`sr60-up4-cfg11`); None asks for everything.
        first: a model that restores before one that samples, which then keeps to its result, starts from it or sees it
            (the control `first_as`); None: the one that it has learnt beside, if any.
        seed: of what a model that samples draws.
        control: controls of a model that samples, by name (`diffusion.controls.Controls`), or texts such as `steps=20`.
        region: places that a prompt names: the file of a mask, or left,top,right,bottom in pixels; a name without a
            place is that of a JSON file, or of a folder of masks, that holds several.
        strength_map: the file of a picture whose brightness says how much of the prompt's amounts is asked for where.
        control_map: the file of a picture whose brightness says how much an entry `controlnet` or `sft` adds where.
        detail: how much of the finest band of the degraded picture, its grain, comes back, 0 to 1.
        luminance: part of the change of luma that is kept, 0 to 1.
        chroma: part of the change of colours that is kept, 0 to 1.
        faithful: steps of 255 by which the low frequencies of the result may differ from those of the degraded picture
            at most; None for any number.
        mask: a picture of the same size that says where to restore, white is wholly and black is not at all: a path, or
            a picture of a kind that the restorer takes.
        feather: pixels over which a mask rises within itself.
        guided: for guided models, where the guidance of a picture comes from: a picture, a folder of guidance that
            `pellucid words` made, or a file of words, which then make it.
        crop: left, top, width and height in pixels, or a text such as "100,50,640,480", of the part that is given back;
            it is that part of the whole result.
        provenance: whether photographs say in their XMP what restored them, and how.

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
    amount: Mapping[str, float] = field(
        default_factory=dict,
        metadata={
            "help": "How much of a kind of degradation goes, 0 to 1, as in noise=0.5; again for more.",
            "metavar": "KIND=PART",
        },
    )
    text: str | None = field(
        default=None,
        metadata={
            "help": 'What is wanted, in English, as in "remove the noise but keep the grain": says --only, --skip, '
            "--amount, --detail and the like; what was understood is printed."
        },
    )
    prompt: str | None = field(
        default=None,
        metadata={
            "help": 'What a model that samples is to do, as in "denoise 20, deblur 2px @face"; the default asks for '
            "everything."
        },
    )
    first: str | None = field(
        default=None,
        metadata={
            "help": "A model that restores before one that samples, which keeps to its result, as --control first_as= "
            "says.",
            "metavar": "MODEL",
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
            "help": "A place that the prompt names, as in face=mask.png or face=10,20,110,140 (left,top,right,bottom); "
            "or a JSON file of such names and places, or a folder of masks.",
            "metavar": "NAME=PLACE",
        },
    )
    strength_map: str | None = field(
        default=None,
        metadata={"help": "A picture, bright where all of the prompt's amounts are asked for.", "metavar": "FILE"},
    )
    control_map: str | None = field(
        default=None,
        metadata={
            "help": "A picture, bright where all counts that the photograph adds by the entries controlnet and sft.",
            "metavar": "FILE",
        },
    )

    tell: Mapping[str, float] = field(
        default_factory=dict,
        metadata={
            "help": "Tell the network a number that it can use, as in sigma=25 (its noise) or ratio=5 (its light); "
            "what is not told is estimated, or the network's own.",
            "metavar": "NAME=NUMBER",
        },
    )
    detail: float = field(
        default=0.0,
        metadata={
            "help": "How much of the original's finest band, its grain, comes back: 0 nothing, 1 all.",
            "min": 0,
            "max": 1,
        },
    )
    luminance: float = field(
        default=1.0, metadata={"help": "How much of what is done to the brightness is kept.", "min": 0, "max": 1}
    )
    chroma: float = field(
        default=1.0, metadata={"help": "How much of what is done to the colours is kept.", "min": 0, "max": 1}
    )
    faithful: float | None = field(
        default=None,
        metadata={"help": "Never further from the photograph than so many of 255 in low frequencies.", "metavar": "E"},
    )
    mask: Any = field(
        default=None,
        metadata={
            "help": "A picture of the same size: restore where it is white, leave alone, to the bit, where it is "
            "black.",
            "metavar": "FILE",
        },
    )
    feather: int = field(
        default=8, metadata={"help": "Pixels over which the mask rises, within itself; 0 takes it as it is.", "min": 0}
    )
    guided: str | None = field(
        default=None,
        metadata={
            "help": "For guided models: a picture that shows the same, a folder that `pellucid words` filled, or a "
            "file of words, which make one.",
            "metavar": "WHAT",
        },
    )
    crop: tuple[int, int, int, int] | None = field(
        default=None,
        metadata={"help": "Write this part of the result alone, in pixels.", "metavar": "X,Y,W,H"},
    )
    provenance: bool = field(
        default=True, metadata={"help": "Say in the XMP of the outputs which model restored them, and how."}
    )

    def __post_init__(self) -> None:
        for name in ("strength", "detail", "luminance", "chroma"):
            check_part(name, getattr(self, name))
        if self.faithful is not None and (not is_number(self.faithful) or not 0 < self.faithful <= 255):
            raise SettingsError(f"faithful must be a number of steps of 255, above 0, got {self.faithful!r}")
        if type(self.feather) is not int or not 0 <= self.feather <= 1000:
            raise SettingsError(f"feather must be a whole number of pixels, 0 to 1000, got {self.feather!r}")
        if self.crop is not None:
            object.__setattr__(self, "crop", _box(self.crop))
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
        object.__setattr__(self, "tell", _told(self.tell))
        object.__setattr__(self, "amount", _amounts(self.amount))
        object.__setattr__(self, "control", _assignments("control", self.control))
        object.__setattr__(self, "region", _assignments("region", self.region, alone=True))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**31:
            raise SettingsError(f"seed must be a whole number in 0..{2**31 - 1}, got {self.seed!r}")
        for name in ("strength_map", "control_map"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, str(getattr(self, name)))
        if self.guided is not None:
            object.__setattr__(self, "guided", str(self.guided))
        both = sorted(set(self.only) & set(self.skip))
        if both:
            raise SettingsError(
                f"only and skip both name {', '.join(both)}: it cannot be restored alone and left alone"
            )

    @classmethod
    def of(cls, **given: Any) -> Self:
        """From options by their names; a text becomes the options that it says.

        Raises SettingsError for one that there is not, with the near names, and for one that the text says, too.
        """
        known = [one.name for one in fields(cls)]
        for name in given:
            if name not in known:
                raise SettingsError(unknown_name("option", name, known))
        if given.get("text") is None:
            return cls(**given)
        from pellucid.words.wishes import wishes_in  # needs torch, which no option does

        return cls(**given).saying(wishes_in(given["text"]))

    def saying(self, wishes: "Wishes") -> Self:
        """The same with what a text wants. Raises SettingsError where one of these is said already."""
        usual, told = type(self)(), wishes.options()
        for name in told:
            if getattr(self, name) != getattr(usual, name):
                raise SettingsError(f"the text says {name} as well ({wishes.words()}): say it in one way")
        return replace(self, **told)


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


def check_part(name: str, value: object) -> None:
    """Raises SettingsError where an option is no number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise SettingsError(f"{name} must be a number in 0..1, got {value!r}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether an option is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _box(given: Any) -> tuple[int, int, int, int]:
    """Left, top, width and height, from a text with commas or from a sequence."""
    parts = given.split(",") if isinstance(given, str) else given
    try:
        left, top, width, height = (int(part) for part in parts)
    except (TypeError, ValueError):
        raise SettingsError(f"crop must be x,y,w,h in pixels, such as 100,50,640,480, got {given!r}") from None
    if min(left, top) < 0 or min(width, height) < 1:
        raise SettingsError(f"crop must begin at 0 or more and have a width and a height of 1 or more, got {given!r}")
    return left, top, width, height


def _kinds(option: str, given: Any) -> tuple[str, ...]:
    """Kinds of degradations from a text with commas or from a sequence; whether there are such kinds, others check."""
    if given is None:
        return ()
    kinds = given.split(",") if isinstance(given, str) else given
    if not isinstance(kinds, list | tuple | set | frozenset) or not all(isinstance(kind, str) for kind in kinds):
        raise SettingsError(f"{option} must be kinds of degradations such as noise,jpeg, got {given!r}")
    found = tuple(dict.fromkeys(kind.strip() for kind in kinds if kind.strip()))
    if isinstance(given, str) and not found:
        raise SettingsError(f"{option} must be kinds of degradations such as noise,jpeg, got {given!r}")
    return found


def _told(given: Any) -> dict[str, float]:
    """Numbers by their names, from such a mapping or from texts; whether the network takes them, others check."""
    told = {}
    for name, value in _assignments("tell", given).items():
        number = _number(value)
        if not math.isfinite(number) or number < 0:
            raise SettingsError(f"tell {name}={value}: expected a number that is not negative, such as sigma=25")
        told[str(name).strip()] = number
    return told


def _amounts(given: Any) -> dict[str, float]:
    """Parts by kinds, from such a mapping or from texts; whether there are such kinds, others check."""
    amounts = {}
    for kind, value in _assignments("amount", given).items():
        part = _number(value)
        if not 0 <= part <= 1:
            raise SettingsError(f"amount {kind}={value}: expected a number in 0..1, such as noise=0.5")
        amounts[str(kind).strip()] = part
    return amounts


def _number(value: Any) -> float:
    """A number, or a text that is one; NaN for whatever is none."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan


def _assignments(option: str, given: Any, *, alone: bool = False) -> dict[str, Any]:
    """Values by names, from a mapping or from texts such as `steps=20`; where names may stand alone, empty for them."""
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, str):
        given = [given]
    found: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = str(text).partition("=")
        if not name.strip() or not (value.strip() if equals else alone):
            raise SettingsError(f"{option}: expected NAME=VALUE, got {text!r}")
        if name.strip() in found:
            raise SettingsError(f"{option}: {name.strip()} is given twice")
        found[name.strip()] = value.strip()
    return found


def _checked(size: float) -> int:
    """The same number of bytes, where it can be worked with."""
    if isinstance(size, bool) or not isinstance(size, int | float) or not SMALLEST_MEMORY <= size < 1 << 60:
        shown = f"{size:g}" if isinstance(size, int | float) else repr(size)
        raise SettingsError(f"memory of {shown} bytes: it must be 16MB at least, and finite")
    return int(size)
