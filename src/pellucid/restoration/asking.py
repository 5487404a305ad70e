"""From what people ask of a model that samples to what it is told, and what to tell people afterwards."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pellucid.diagnosis import Diagnosis
from pellucid.diffusion.controls import Controls
from pellucid.diffusion.network import Generative
from pellucid.diffusion.operations import OPERATIONS, verb_for
from pellucid.diffusion.prompts import ALL, Clause, Prompt, read_prompt, read_shorthand
from pellucid.diffusion.regions import read_regions
from pellucid.errors import SettingsError, one_line
from pellucid.guidance import NOTHING, Guidance
from pellucid.networks import contract_of
from pellucid.restoration.options import RestoreOptions

__all__ = ["Sampled", "as_before", "asked_of", "prompt_for", "with_asked", "with_what"]

SHORT: Mapping[str, str] = {"up": "up", "cfg": "text_guidance", "steps": "steps"}
"""Controls by the names that they have in short."""

MAPS = ("strength_map", "control_map")
"""Options that name files of maps."""

SOFT = ("blur", "low-resolution")
"""Kinds that make soft."""

ENLARGED = "sr 2x"
"""What a model that samples is asked where a picture was enlarged and nobody said anything: `upscale` leaves about as
much to be done, by experiment 64."""


def asked_of(options: RestoreOptions, network: nn.Module) -> Guidance:
    """What a network is told of every picture: words, seed, controls, and places.

    Raises:
        SettingsError: something is asked that cannot be, or of a network that does not sample.
        ImageError: a mask cannot be read.
    """
    given = [name for name in ("prompt", "first", "control", "region", *MAPS) if getattr(options, name)]
    contract = contract_of(network)
    if not contract.samples:
        if given or options.seed:
            name = (given or ["seed"])[0].replace("_", "-")
            raise SettingsError(f"--{name} steers models that sample, such as generate; this one does not")
        return NOTHING
    words, told = options.prompt or (None if options.scale is None else ENLARGED), dict(options.control)
    short = read_shorthand(words) if words else None
    if short is not None:
        words = str(short[0])
        told = {SHORT[name]: int(value) if name == "steps" else value for name, value in short[1].items()} | told
    controls = Controls.of(told)
    regions = None
    if options.region or options.strength_map or options.control_map:
        maps = [None if (file := getattr(options, name)) is None else Path(file) for name in MAPS]
        regions = read_regions(options.region, *maps)
        if controls.up != 1:
            raise SettingsError("up enlarges whole pictures: not together with regions or maps")
    if isinstance(network, Generative):
        network.check(words, controls)
    return Guidance(words=None if words is None else (words,), seed=options.seed, controls=controls, regions=regions)


def prompt_for(diagnosis: Diagnosis, network: Generative) -> str:
    """The prompt that asks for what a photograph has, as far as a network has learnt to take it away; empty where it
    has nothing of that: told what is there, a network does less harm than told to take everything.

    Mild blur and loss of resolution look alike, and share what is likely between them: where one of the two is more
    likely there than not, but neither by itself, blur is asked for, the milder of the two (experiment 73).
    """
    learnt = network.settings.get("operations", tuple(OPERATIONS))
    found = list(diagnosis.present)
    if not {one.kind for one in found} & set(SOFT) and _any_of(diagnosis, SOFT) > 0.5:
        found.append(diagnosis["blur"])
    asked = [(verb_for(one.kind), one.severity) for one in found]
    return str(Prompt(tuple(Clause(verb, float(round(amount))) for verb, amount in asked if verb in learnt)))


def _any_of(diagnosis: Diagnosis, kinds: Sequence[str]) -> float:
    """How likely it is that any of these kinds is there, as if they were independent."""
    return 1 - math.prod(1 - one.probability for one in diagnosis.findings if one.kind in kinds)


def with_asked(known: Guidance, asked: Guidance) -> Guidance:
    """What is known of a picture, and of what that does not say, what is asked of all."""
    names = ("words", "seed", "controls", "regions")
    return known.knowing(**{name: getattr(asked, name) for name in names if getattr(known, name) is None})


class Sampled:
    """What sampling one picture took.

    Args:
        image: the picture, (1, 3, H, W).
    """

    def __init__(self, image: Tensor) -> None:
        self.started = time.perf_counter()
        self.megapixels = image.shape[2] * image.shape[3] / 1e6
        self.record: dict[str, Any] | None = None

    def note(self, network: nn.Module, guidance: Guidance, **how: Any) -> None:
        """Writes down what the last picture took, and with what it can be done again: `how` by options that are no
        controls, such as the tile."""
        if not isinstance(network, Generative) or network.course is None:
            return
        seconds = time.perf_counter() - self.started
        course, controls = network.course, network.course.controls
        self.record = {
            "prompt": str(read_prompt((guidance.words or (ALL,))[0])),
            "seed": guidance.seed or 0,
            "controls": asdict(controls),
            "steps": len(course.times),
            "tiles": max(1, len(course.places)),
            "evaluations": course.evaluations * controls.samples,
            "seconds": round(seconds, 3),
            "seconds_per_megapixel": round(seconds / self.megapixels, 3),
            "peak_memory_mb": _peak_memory(),
        } | how


def with_what(options: RestoreOptions) -> dict[str, Any]:
    """What a record says of options that name files: what restored first, and places; nothing of those not given."""
    told = {name: getattr(options, name) for name in ("first", "region", *MAPS)}
    return {name: dict(value) if name == "region" else value for name, value in told.items() if value}


AGAIN = ("prompt", "seed", "control", "tile", "precision", "first", "region", *MAPS)
"""Options that decide what a model that samples makes of a picture."""


def as_before(path: Path) -> dict[str, Any]:
    """The model and the options with which the first photograph of a document of `pellucid restore --json` was sampled:
    with them, it is sampled so again.

    Raises:
        SettingsError: it is no such document, or nothing in it was sampled.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"--like {path}: cannot be read as JSON ({one_line(error)})") from None
    try:
        decisions = [one["decision"] for one in document["photographs"] if one.get("decision")]
        record = next(one["sampling"] for one in decisions if one.get("sampling"))
        return {"model": document["model"]} | {
            name: record["controls" if name == "control" else name]
            for name in AGAIN
            if record.get("controls" if name == "control" else name) is not None
        }
    except (StopIteration, KeyError, TypeError, AttributeError):
        raise SettingsError(
            f"--like {path}: expected what pellucid restore --json says of a model that samples"
        ) from None


def _peak_memory() -> float:
    """Of this process so far, in MB; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0.0
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)
