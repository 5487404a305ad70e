"""How a picture is sampled: one frozen record, from which library, command line and manifests take names and defaults.

Importing it loads no torch: the command line reads it for `--help`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

from pellucid.errors import SettingsError, unknown_name

__all__ = ["COLOURS", "SAMPLERS", "TILINGS", "Controls"]

Sampler = Literal["ddim", "ddpm", "dpm"]
Colour = Literal["off", "adain", "wavelet"]
FirstAs = Literal["reference", "start", "seen"]
Tiling = Literal["meet", "gaussian", "uniform", "shift", "independent", "full"]
SAMPLERS, COLOURS, TILINGS = get_args(Sampler), get_args(Colour), get_args(Tiling)


@dataclass(frozen=True)
class Controls:
    """What steers a network that samples; each field's metadata holds its help, and its range.

    Attributes:
        steps: of the sampler.
        sampler: `ddim`, `ddpm`, or `dpm` for DPM-Solver++.
        eta: noise that `ddim` adds in each step: 0 none, 1 as much as `ddpm`.
        noise_scale: what the noise that is left after each step is times. A network that was trained by squares expects
            a little less of fine structure than there is, and what it leaves out is lost from step to step: above 1,
            samples keep the energy of photographs, and grain with it.
        start: where between picture and noise to begin: 1 with nothing but noise, less with the degraded picture under
            so much of it; 0.6 leaves what is coarse as it is.
        text_guidance: w_r, weight of the difference that what is to be done makes: 1 takes the network at its word.
        semantic_guidance: w_s, weight of the difference that a sentence about the picture makes, for models that read;
            None: that of the words.
        image_guidance: weight of the difference that seeing the degraded picture makes.
        rescale: how far a guided prediction is brought back to the spread of the unguided one, 0 to 1.
        coarse_guidance: what text_guidance is times for coarse structure; and
        fine_guidance: for fine structure: guidance by frequency.
        control_scale: of what a `controlnet` or `sft` entry adds.
        restoration_guidance: how far, 0 to 1, each step is drawn to what the first step expects where that is flat.
        bound: levels of 255 by which a sample may differ from what the first step expects; None for no bound.
        fidelity: how much of the degraded picture a fidelity decoder adds, for models that have one: 0 nothing, 1 all.
        first_as: what the result of another model is, where one restored first: only what is kept to (`reference`, in
            the stead of what the first step expects), also where sampling starts (`start`, with `start` below 1), or
            also what the network sees instead of the degraded picture (`seen`).
        samples: of which the mean is the result: many approach what is expected, one has the sharpness of a photograph.
        colour: whose tones the result takes from the cleaned picture: `off`, by mean and spread (`adain`), or all that
            is coarse (`wavelet`).
        tiles: how tiles meet: in every step, weighted as restored tiles are (`meet`), by a Gaussian (`gaussian`) or
            alike (`uniform`); without overlap on a grid that moves with each step (`shift`); only as finished pictures
            (`independent`); or the picture is not cut (`full`).
        up: how many times the picture is enlarged before it is cut, and made as small as it was afterwards.
        negative: a prompt that is led away from.

    Raises:
        SettingsError: a control that cannot be.
    """

    steps: int = field(default=3, metadata={"low": 1, "high": 1000})
    sampler: Sampler = field(default="ddim", metadata={"choices": SAMPLERS})
    eta: float = field(default=0.0, metadata={"low": 0, "high": 1})
    noise_scale: float = field(default=1.0, metadata={"low": 0.8, "high": 1.25})
    start: float = field(default=1.0, metadata={"low": 0.01, "high": 1})
    text_guidance: float = field(default=1.0, metadata={"low": 0, "high": 20})
    semantic_guidance: float | None = field(default=None, metadata={"low": 0, "high": 20})
    image_guidance: float = field(default=1.0, metadata={"low": 0, "high": 20})
    rescale: float = field(default=0.0, metadata={"low": 0, "high": 1})
    coarse_guidance: float = field(default=1.0, metadata={"low": 0, "high": 10})
    fine_guidance: float = field(default=1.0, metadata={"low": 0, "high": 10})
    control_scale: float = field(default=1.0, metadata={"low": 0, "high": 10})
    restoration_guidance: float = field(default=0.0, metadata={"low": 0, "high": 1})
    bound: float | None = field(default=None, metadata={"low": 0, "high": 255})
    fidelity: float = field(default=0.0, metadata={"low": 0, "high": 1})
    first_as: FirstAs = field(default="reference", metadata={"choices": get_args(FirstAs)})
    samples: int = field(default=3, metadata={"low": 1, "high": 64})
    colour: Colour = field(default="off", metadata={"choices": COLOURS})
    tiles: Tiling = field(default="meet", metadata={"choices": TILINGS})
    up: float = field(default=1.0, metadata={"low": 1, "high": 8})
    negative: str = ""

    def __post_init__(self) -> None:
        for one in fields(self):
            value, told = getattr(self, one.name), one.metadata
            if "choices" in told and value not in told["choices"]:
                raise SettingsError(f"{one.name}: {unknown_name('value', str(value), told['choices'])}")
            if "low" in told and not (value is None and one.default is None):
                whole = isinstance(one.default, int)
                kind = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
                if not kind or not math.isfinite(value) or not told["low"] <= value <= told["high"]:
                    number = "a whole number" if whole else "a number"
                    raise SettingsError(
                        f"{one.name} must be {number} in {told['low']:g}..{told['high']:g}, got {value!r}"
                    )
        if self.tiles == "independent" and (self.colour != "off" or self.bound is not None):
            raise SettingsError(
                "colour and bound compare with what is expected of the whole: not with tiles=independent"
            )
        if self.up != 1 and (self.colour != "off" or self.bound is not None):
            raise SettingsError("colour and bound compare pixel by pixel: not with up")
        if self.first_as == "start" and self.start == 1:
            raise SettingsError("first_as=start needs a start below 1: at 1 there is nothing but noise")
        if self.negative and self.text_guidance <= 1:
            raise SettingsError("negative leads away from a prompt only where text_guidance is more than 1")
        if not isinstance(self.negative, str):
            raise SettingsError(f"negative must be a prompt, got {self.negative!r}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From values by names; texts become numbers where numbers are meant, as from a command line.

        Raises:
            SettingsError: an unknown name, with the near ones, or a value that cannot be.
        """
        known = {one.name: one for one in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                raise SettingsError(unknown_name("control", name, known))
            default = known[name].default
            if isinstance(value, str) and "low" in known[name].metadata:
                try:
                    value = int(value) if isinstance(default, int) else float(value)
                except ValueError:
                    raise SettingsError(f"{name} must be a number, got {value!r}") from None
            values[name] = value
        return cls(**values)
