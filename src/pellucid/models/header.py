"""The header of a model file: what the model is made of, how it restores, and how it was made.

A model file is one `.safetensors`. Its metadata key `pellucid` is JSON:

    format       2
    network      {"name", "settings"} of the NETWORKS table, or {"sha256"} of a network that is not ours; of one in
                 `External` with its "settings", but for what it is and its arguments
    refinement   {"name", "settings"} or null
    prior        of R, and of a network that is told of it: {"student": settings}, {"encoder": settings} or
                 {"diagnosis": settings} (embedded), {"name": ...} (needed from elsewhere), or null; "sha256" is of its
                 weights, if any; "shuffled" marks a control
    policy       how pictures are restored by it: see `Policy`
    recipe       the resolved recipe of the training
    card         what the model is for, what it was trained on, numbers with their protocols, licence

Nothing in a file is executed: names are looked up in our tables (the one that imports classes by name is refused), and
weights are plain tensors.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pellucid.errors import ModelError

__all__ = ["FORMAT", "ONE_PASS", "TONES", "Header", "Policy", "parse_header"]

FORMAT = 2
HEADER: Mapping[str, tuple[type, ...]] = {
    "network": (dict,),
    "refinement": (dict, type(None)),
    "prior": (dict, type(None)),
    "policy": (dict,),
    "recipe": (dict,),
    "card": (dict,),
}
"""The keys that a header must have, and the kinds of their values."""

TONES: Mapping[str, tuple[float, float]] = {
    "haze": (0.96, 0.5),
    "low-light": (0.98, 0.82),
    "rain": (0.9, 0.7),
    "snow": (0.997, 0.5),
}
"""What stands in for files that say nothing of it, for the embedded models: for each kind the least at which, of 119
clean photographs that no training saw, one at most was taken for it. Wood has a haze of 0.94 with a gate of 0.98, a
pier rain of 0.88 and 0.99, gravel snow of 0.996 and 0.99, and brick, which none of these spares, rain of 1 and 1;
hazy photographs of the training set's last scenes have 0.973 and 0.97 at least (docs/experiments/42)."""


@dataclass(frozen=True)
class Policy:
    """How a model restores pictures, beyond calling it once; it stands in the model's file.

    Attributes:
        passes: how often at most a picture is restored: of the result, a model of experts is asked again, and goes on
            while it names another expert for what was found in the picture as it came.
        align_blocks: whether a cropped JPEG is padded until its blocks begin in the corner, where the model knows them.
        leave_alone: whether a picture with which most surely nothing is wrong comes back as it is.
        tones: kinds of degradations whose experts change the tones of the whole picture, let light in or take some
            away; for each, how probable the diagnosis must find it, and how much the gate must believe its expert.
            These
            experts act alone or not at all: never as a part of a blend.
        monotone: of these kinds, those whose experts must leave what is brighter brighter: a result that does not, as
            beside a halo, counts for less. Haze, rain and snow lie over a scene unevenly, so what they hid may be
            darker.
        tone_shift: how far the mean luminance may move, of 255, where no such expert has acted; a pass that moves it
            further counts for less.
        second_probability: how probable the diagnosis must find another kind, for its expert to act where the gate
            names others.
        second_share: how much the gate must believe that expert at least.
        certainty: how sure an expert must be that can say so of a whole picture, as that for blur can, to act at all.
        convinced: how sure it must be to act first, alone and whole, where a kind of its is found and the gate asks for
            one that is for `hiding` kinds instead, or asks for it in doubt while such a kind is found.
        hiding: kinds that keep the gate from seeing what lies beneath, as the blocks of a JPEG do.
        unasked: where the diagnosis finds a kind of its with this probability, and the gate believes it as much as the
            second says, it is not asked how sure it is.
        mistaken: kinds that the diagnosis may name where a picture has what an expert is for that can say how sure it
            is. Where the gate believes that expert by half or more, and one of these kinds or of its own may be there,
            it is asked, and what it is sure of is found; empty where it is not asked so.
        refined: kinds for which R goes over what experts have made of a picture; None for whatever they have made. The
            rule for models that are given away: a kind stands here where the paired 95 % interval of R's gain on
            photographs that were held out lies above zero, and where it does for none, the model has no R. `default`
            departs from it for haze, low light and rain, whose intervals hold zero (experiment 49).
        measured_noise: how strong noise must measure, as a standard deviation of 0..255, and how much the gate must
            believe the expert for it, for it to be found where the diagnosis overlooks it: by the kind that the
            diagnosis finds instead, or by "any"; empty where nothing is measured.
        drawn: a dark picture whose noise measures less than the first, as a standard deviation of 0..255, and that the
            diagnosis takes for a JPEG, which forgets noise, with less than the second, was drawn and not photographed,
            and is not brightened; nothing measures less than 0.

    Raises:
        ValueError: a value of a wrong type or out of its range.
    """

    passes: int = 1
    align_blocks: bool = False
    leave_alone: bool = False
    tones: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(TONES))
    monotone: tuple[str, ...] = ("low-light",)
    tone_shift: float = 2.0
    second_probability: float = 0.9
    second_share: float = 0.2
    certainty: float = 0.78
    convinced: float = 0.8
    hiding: tuple[str, ...] = ("jpeg",)
    unasked: tuple[float, float] = (0.97, 0.95)
    mistaken: tuple[str, ...] = ()
    refined: tuple[str, ...] | None = None
    measured_noise: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    drawn: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if type(self.passes) is not int or self.passes < 1:
            raise ValueError(f"passes must be a whole number, 1 or more, got {self.passes!r}")
        for name in ("tones", "measured_noise"):
            pairs = getattr(self, name)
            if not isinstance(pairs, Mapping) or not all(
                isinstance(kind, str) and _is_pair(pair) for kind, pair in pairs.items()
            ):
                raise ValueError(f"{name} must be two numbers by kinds, got {pairs!r}")
            object.__setattr__(self, name, {kind: tuple(pair) for kind, pair in pairs.items()})
        for name in ("unasked", "drawn"):
            if not _is_pair(getattr(self, name)):
                raise ValueError(f"{name} must be two numbers, got {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("monotone", "hiding", "mistaken", "refined"):
            kinds = getattr(self, name)
            if kinds is None and name == "refined":
                continue
            if not isinstance(kinds, list | tuple) or not all(isinstance(kind, str) for kind in kinds):
                raise ValueError(f"{name} must be a list of kinds, got {kinds!r}")
            object.__setattr__(self, name, tuple(kinds))
        self._check_numbers()
        for name in ("align_blocks", "leave_alone"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")

    def _check_numbers(self) -> None:
        numbers = {
            name: getattr(self, name) for name in ("second_probability", "second_share", "certainty", "convinced")
        }
        numbers |= {"unasked": self.unasked[0], "unasked, second": self.unasked[1], "drawn, second": self.drawn[1]}
        for kind, pair in self.tones.items():
            numbers |= {f"tones of {kind}": pair[0], f"tones of {kind}, second": pair[1]}
        levels = {"tone_shift": self.tone_shift, "drawn": self.drawn[0]}
        for kind, pair in self.measured_noise.items():
            levels[f"measured_noise of {kind}"], numbers[f"measured_noise of {kind}, second"] = pair
        for most, values in ((1, numbers), (255, levels)):
            for name, value in values.items():
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                    raise ValueError(f"{name} must be a number in 0..{most}, got {value!r}")


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


ONE_PASS = Policy()
"""A model is called once, whatever the picture."""


@dataclass(frozen=True)
class Header:
    """What a model file says of its model; see the module's docstring."""

    network: Mapping[str, Any]
    refinement: Mapping[str, Any] | None = None
    prior: Mapping[str, Any] | None = None
    policy: Policy = ONE_PASS
    recipe: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, as it stands in a file."""
        tree = asdict(self)
        for name in ("tones", "measured_noise"):
            tree["policy"][name] = {kind: list(pair) for kind, pair in getattr(self.policy, name).items()}
        for name in ("monotone", "hiding", "unasked", "mistaken", "refined", "drawn"):
            value = getattr(self.policy, name)
            tree["policy"][name] = value if value is None else list(value)
        return {"format": FORMAT} | tree

    @property
    def is_of_own_network(self) -> bool:
        """Whether the network is one of the user's own, which is not in the file."""
        return "name" not in self.network


def parse_header(text: str | None, path: Path) -> Header | None:
    """The header that a file's metadata holds; None for a file without one.

    Raises:
        ModelError: it is damaged, of a newer format, or does not describe a model; the file is named.
    """
    if text is None:
        return None
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict) or "format" not in tree:
        raise ModelError(f"{path}: not a pellucid model file (its header is missing)")
    if tree["format"] == 1:
        tree = _from_format_1(tree)
    if tree["format"] != FORMAT:
        raise ModelError(f"{path}: format {tree['format']}; this version of pellucid reads formats 1 to {FORMAT}")
    for key, kinds in HEADER.items():
        if not isinstance(tree.get(key), kinds):
            raise ModelError(f"{path}: its header does not describe a model ({key} is missing or of a wrong kind)")
    if not {"name", "sha256"} & tree["network"].keys():
        raise ModelError(f"{path}: its header does not describe a model (network has neither a name nor a sha256)")
    try:
        policy = Policy(**tree["policy"])
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: its header does not describe a model (policy: {error})") from error
    return Header(policy=policy, **{key: tree[key] for key in HEADER if key != "policy"})


def _from_format_1(tree: dict[str, Any]) -> dict[str, Any]:
    """Format 1 had no policy, which followed from the parts, and called the width of an experts' prior otherwise."""
    prior = tree.get("prior")
    diagnosing = isinstance(prior, dict) and ("diagnosis" in prior or str(prior.get("name")).startswith("diagnosis"))
    network = tree.get("network")
    experts = isinstance(network, dict) and network.get("name") == "experts"
    policy = {"passes": 3 if diagnosing and experts else 1, "align_blocks": diagnosing}
    renamed = {key: _with_prior_width(tree.get(key)) for key in ("network", "recipe")}
    return tree | renamed | {"format": FORMAT, "policy": policy}


def _with_prior_width(tree: Any) -> Any:
    """The tree with every key `guide_width` called `prior_width`."""
    if isinstance(tree, dict):
        return {"prior_width" if key == "guide_width" else key: _with_prior_width(value) for key, value in tree.items()}
    return [_with_prior_width(value) for value in tree] if isinstance(tree, list) else tree
