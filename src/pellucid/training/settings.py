"""What a recipe may say. Unknown keys are refused, every key has a unit, and the resolved recipe travels with the weights."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pellucid.data.sources import Sight
from pellucid.degradations import KINDS
from pellucid.errors import SettingsError, unknown_name

__all__ = [
    "DataSettings",
    "DistillSettings",
    "EncoderSettings",
    "NetworkSettings",
    "PairSettings",
    "PriorSettings",
    "Recipe",
    "RefinementSettings",
    "SourceSettings",
    "TrainSettings",
    "WeightedSource",
    "override",
    "put",
    "read_recipe",
]


Weight = Annotated[float, Field(gt=0)]
"""How often something is drawn, in proportion to the others."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkSettings(_Settings):
    """F: its name in the NETWORKS table, its arguments, and the weights or model file that it starts from."""

    name: str = "unet"
    settings: dict[str, Any] = {}
    weights: Path | dict[str, Path] | None = None
    """Or several, each by the name of the module within the network that it is for, such as `experts.0`."""

    @field_validator("weights", mode="before")
    @classmethod
    def _flat(cls, weights: Any) -> Any:
        """`{experts: {0: FILE}}` means `{experts.0: FILE}`: so it comes from `--set network.weights.experts.0=FILE`."""
        if not isinstance(weights, dict):
            return weights
        flat: dict[str, Any] = {}
        for name, file in weights.items():
            inner = cls._flat(file)
            flat |= (
                {f"{name}.{key}": value for key, value in inner.items()} if isinstance(inner, dict) else {name: file}
            )
        return flat


class PriorSettings(_Settings):
    """G: its name (`mobilenet_v2`, `clip:FOLDER`, `zeros:512`, ...) and, where it has one, its weights file."""

    name: str
    weights: Path | dict[str, Path] | None = None
    """For `joined(...)` with several files: each by the name of its prior."""
    cache: Path | None = None
    """Where the vectors of pairs seen whole are kept, so that each picture is seen by the prior once, over all runs."""
    shuffled: bool = False
    """A control: every image is given the vector of another one."""


class RefinementSettings(_Settings):
    """R: its name and arguments."""

    name: str = "ptgrm"
    settings: dict[str, Any] = {}


class PairSettings(_Settings):
    """Folders of photographs as they were taken; partners have the same name, or `1400_2` and `1400_5` share `1400`."""

    degraded: Path
    clean: Path | None = None
    """May be left out where the loss needs no clean photographs."""


class SourceSettings(_Settings):
    """Either clean photographs (`folder`) and the `degradations` drawn for them, or real `pairs`, to which more may be done."""

    folder: Path | None = None
    degradations: (
        Annotated[list[str], Field(min_length=1)] | Annotated[dict[str, Weight], Field(min_length=1)] | None
    ) = None
    """Each crop draws one; as a mapping, as often as its weight says. To `pairs` it is done on top of what they suffer from."""
    window: Annotated[int, Field(ge=64)] | None = None
    """Take parts of the photographs of `folder`, of this side in pixels, for whole photographs: degrading them is cheaper."""
    grey: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the crops that are made grey: noise in grey photographs is the same in all channels."""
    enlarged: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the crops that are made up to twice as large first: photographs of full size are softer than small ones."""
    photographed: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the crops that pass through a camera without noise first: its demosaicking and sharpening are not to be undone."""
    pairs: PairSettings | None = None
    whole: Path | None = None
    """Where the degraded files of `pairs` are crops: the photographs that they are from, perhaps averaged down."""
    match_exposure: bool = False
    """Bring the dark photographs of `pairs` to the exposure of their clean partners: what is left of the dark is its noise."""
    kind: str | None = None
    """What `pairs` suffer from, of `degradations.KINDS`: for what learns to tell."""
    validation: Annotated[int, Field(ge=0)] = 8
    """Photographs held out of training (the last by name) to watch progress on. Of pairs: clean ones, with all of theirs."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if getattr(self, "sources", None) is not None:
            return self
        if (self.pairs is None) == (self.folder is None):
            raise ValueError("give either folder with degradations, or pairs")
        if self.folder is not None and self.degradations is None:
            raise ValueError("folder and degradations go together: clean photographs, and what is done to them")
        for name in (
            ("whole", "kind", "match_exposure")
            if self.folder is not None
            else ("grey", "enlarged", "photographed", "window")
        ):
            if getattr(self, name):
                raise ValueError(_MISPLACED[name])
        if self.whole is not None and self.degradations is not None:
            raise ValueError("whole: degradations are done to crops, not to the photographs that they are from")
        if self.match_exposure and (self.whole is not None or (self.pairs is not None and self.pairs.clean is None)):
            raise ValueError("match_exposure: needs clean partners, and photographs that are whole themselves")
        if self.kind is not None and self.kind not in KINDS:
            raise ValueError(unknown_name("kind of degradation", self.kind, KINDS))
        return self


_MISPLACED = {
    "whole": "whole is for pairs; the photographs of folder are whole themselves",
    "kind": "kind is for pairs; the degradations of folder say theirs",
    "match_exposure": "match_exposure is for pairs; the photographs of folder are clean",
    "grey": "grey is for folder with degradations; pairs keep their colours",
    "enlarged": "enlarged is for folder with degradations; pairs keep their size",
    "photographed": "photographed is for folder with degradations; pairs were taken by a camera",
    "window": "window is for folder with degradations; pairs are whole, or have `whole`",
}


class WeightedSource(SourceSettings):
    """One of several sources."""

    weight: Weight = 1.0
    """How often a crop is from this source, in proportion."""


class DataSettings(SourceSettings):
    """What is trained on: one source, or several in `sources`."""

    sources: Annotated[list[WeightedSource], Field(min_length=1)] | None = None
    view: Sight = "whole"
    """What the prior is shown in training: the whole photograph, as when it restores, or the training crop."""
    degrade_whole: bool = False
    """Degrade whole photographs, as for a prior that sees them, also where there is none: then both train on the same pixels."""
    crop: Annotated[int, Field(ge=8, le=4096)] = 96
    """Side of a training crop, in pixels."""

    @model_validator(mode="after")
    def _alone(self) -> Self:
        # By value, not by what was written: a resolved recipe, read back, has every key.
        given = [name for name, key in SourceSettings.model_fields.items() if getattr(self, name) != key.default]
        if self.sources is not None and given:
            raise ValueError(f"{', '.join(given)}: with sources, each of them says it for itself")
        return self

    def parts(self) -> Sequence[SourceSettings]:
        """The sources: this one, or the several."""
        return self.sources or (self,)


class TrainSettings(_Settings):
    """The optimisation. It ends at `steps` or after `minutes`, whichever comes first; the schedule follows the nearer end."""

    steps: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    batch: Annotated[int, Field(ge=1)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    final_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient of all parameters."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the exponential moving average of the weights, which is what a model file holds."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are averaged for one step: a larger batch in the same memory."""
    loss: str = "charbonnier"
    """What is minimised: a loss, or a weighted sum such as `charbonnier + 0.1 ssim` (see `objectives.TERMS`)."""
    perceptual_weights: Path | None = None
    """torchvision's weights of VGG-16, for the loss `perceptual`."""
    refined_weight: Annotated[float, Field(gt=0)] = 1.0
    """lambda_1 of PTG-RM's equation (8); with 0 R would learn nothing."""
    freeze_network: bool = False
    """Train R alone and leave F as it is."""
    frozen: tuple[str, ...] = ()
    """Modules within the network, by their names there, such as `experts.0`, whose weights are left as they are."""
    prior_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the samples in which the prior's vector is replaced by zeros, so that R does not lean on it alone."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """`auto` takes bfloat16 where the device is faster with it: emulated, it takes ten times as long as float32."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    validate_steps: Annotated[int, Field(ge=1)] = 1000

    @model_validator(mode="after")
    def _has_an_end(self) -> "TrainSettings":
        if self.steps is None and self.minutes is None:
            raise ValueError("train needs steps, minutes, or both")
        return self


class DistillSettings(_Settings):
    """The student that takes the prior's place: its arguments, and how long it learns."""

    settings: dict[str, Any] = {}
    minutes: Annotated[float, Field(gt=0)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch: Annotated[int, Field(ge=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3

    @model_validator(mode="after")
    def _has_an_end(self) -> "DistillSettings":
        if self.steps is None and self.minutes is None:
            raise ValueError("distill needs steps, minutes, or both")
        return self


class EncoderSettings(_Settings):
    """The degradation encoder: what is trained then is no restorer, but what tells degradations apart."""

    tower: dict[str, Any] = {}
    """Of the image tower, by transformers' names: image_size, patch_size, hidden_size, num_hidden_layers, ..."""
    text_width: Annotated[int, Field(ge=1)] = 64
    text_layers: Annotated[int, Field(ge=1)] = 2
    text_heads: Annotated[int, Field(ge=1)] = 4
    hidden: Annotated[int, Field(ge=1)] = 128
    """Units of the heads that diagnose."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Part of their features that is left out while they are fitted."""
    examples: Annotated[int, Field(ge=2)] = 10_000
    """Photographs that the heads are fitted to, once the encoder is done."""
    first: Annotated[int, Field(ge=1)] = 512
    """Degraded photographs that the first step draws from."""
    fresh: Annotated[int, Field(ge=1)] = 8
    """New ones with each step."""
    pool: Annotated[int, Field(ge=1)] = 4096
    """The oldest are given up beyond so many."""
    contrastive: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the contrastive loss between pictures and captions."""
    presence: Annotated[float, Field(ge=0)] = 5.0
    """Weight of the cross-entropy of which kinds are there."""
    severity: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the pinball loss of severities, in units of 100."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.text_width % self.text_heads:
            raise ValueError(
                f"text_width must be a multiple of text_heads, got {self.text_width} and {self.text_heads}"
            )
        if self.first > self.pool:
            raise ValueError(f"the pool must hold the first examples, got first {self.first} and pool {self.pool}")
        return self


class Recipe(_Settings):
    """A whole experiment: which parts, which data, how long."""

    name: str
    summary: str = ""
    network: NetworkSettings = NetworkSettings()
    prior: PriorSettings | None = None
    refinement: RefinementSettings | None = None
    data: DataSettings
    train: TrainSettings
    distill: DistillSettings | None = None
    encoder: EncoderSettings | None = None
    """Given for the degradation encoder alone, which has no network, prior or refinement."""

    @model_validator(mode="after")
    def _encoder_alone(self) -> "Recipe":
        others = self.prior or self.refinement or self.distill or self.network != NetworkSettings()
        if self.encoder is not None and others:
            raise ValueError("encoder stands alone: it has no network, prior, refinement or distill")
        return self

    @model_validator(mode="after")
    def _boosted_whole(self) -> "Recipe":
        if (self.prior is None) != (self.refinement is None):
            raise ValueError("prior and refinement go together: give both, or neither for the network alone")
        if self.train.freeze_network and self.refinement is None:
            raise ValueError("train.freeze_network leaves nothing to train without a refinement")
        if self.train.prior_dropout and self.prior is None:
            raise ValueError("train.prior_dropout withholds a prior's vector, and there is no prior")
        fixed = self.data.pairs is not None and self.data.degradations is None and self.data.view == "whole"
        if self.prior is not None and self.prior.cache and not fixed:
            raise ValueError(
                "prior.cache is for data.pairs as they are, seen whole; pictures that are drawn anew are never met again"
            )
        return self


def read_recipe(tree: Any, source: str) -> Recipe:
    """The recipe in a tree of plain values (as YAML gives it); `source` names it in errors.

    Raises:
        SettingsError: an unknown or missing key, or a value of the wrong kind; the first problem, by its dotted key.
    """
    if not isinstance(tree, dict):
        raise SettingsError(f"{source}: a recipe is a mapping of keys to values")
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(f"{source}: {_explain(error)}") from None


def override(tree: dict[str, Any], assignment: str) -> None:
    """Applies one `a.b=value` to a recipe's tree, in place; the value is read as YAML.

    Raises:
        SettingsError: no equals sign, no key, or a value that is not YAML.
    """
    import yaml

    path, text = _split(tree, assignment)
    if not _holds(tree, path) and not all(path.split(".")):
        raise SettingsError(f"--set {assignment!r}: expected key.key=value")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise SettingsError(f"--set {assignment!r}: {text!r} is not a YAML value") from None
    put(tree, path, value, f"--set {assignment!r}")


def _split(tree: Any, assignment: str) -> tuple[str, str]:
    """The key and the value of `key=value`; a key that is there already may hold an equals sign, such as `noise sigma=25`."""
    places = [place for place, letter in enumerate(assignment) if letter == "="]
    if not places:
        raise SettingsError(f"--set {assignment!r}: expected key.key=value")
    place = max((place for place in places if _holds(tree, assignment[:place].strip())), default=places[0])
    return assignment[:place].strip(), assignment[place + 1 :]


def _holds(tree: Any, path: str) -> bool:
    """Whether the whole of a dotted path is in the tree."""
    key, rest = _first(tree, path)
    return key is not None and (not rest or _holds(tree[key], rest))


def _first(tree: Any, path: str) -> tuple[Any, str]:
    """The key that a dotted path begins with in a tree, and what of the path follows; None for a key that is not there.

    A number counts in a list, from 0. A key of a mapping may hold dots of its own; of several the longest is meant.
    """
    first, _, rest = path.partition(".")
    if isinstance(tree, list):
        return (int(first) if first.isdecimal() and int(first) < len(tree) else None), rest
    keys = tree if isinstance(tree, dict) else ()
    there = [key for key in keys if f"{path}.".startswith(f"{key}.")]  # YAML's keys may be numbers
    if not there:
        return None, rest
    key = max(there, key=lambda one: len(str(one)))
    return key, path[len(str(key)) + 1 :]


def put(tree: dict[str, Any] | list[Any], path: str, value: Any, source: str) -> None:
    """Puts a value at the key `a.b` of a recipe's tree, in place; groups that are not there are made.

    A number counts in a list, from 0: `data.sources.0.weight`. A key that is there already may hold dots of its own, as those of
    `network.weights` do: `network.weights.experts.0`.

    Raises:
        SettingsError: a group holds a value, or a list has no such entry; `source` names what asked for it.
    """
    key, rest = _first(tree, path)
    if key is None:
        key = path.partition(".")[0]
        if isinstance(tree, list):
            raise SettingsError(f"{source}: {key!r} is no entry of a list of {len(tree)}, counted from 0")
    if not rest:
        tree[key] = value
        return
    if isinstance(tree, dict) and tree.get(key) is None:
        tree[key] = {}
    if not isinstance(tree[key], dict | list):
        raise SettingsError(f"{source}: {key} holds a value, not a group of keys")
    put(tree[key], rest, value, source)


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    # Of a value of several kinds, pydantic goes on to name the kind, in brackets.
    where = ".".join(takewhile(lambda part: "[" not in part, map(str, first["loc"])))
    if first["type"] == "extra_forbidden":
        *groups, last = [str(part) for part in first["loc"]]
        model: Any = Recipe
        for group in groups:
            if not group.isdigit():  # the place in a list
                model = next(_models_in(model.model_fields[group].annotation))
        return unknown_name("key", last, model.model_fields) + (f" (in {'.'.join(groups)})" if groups else "")
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings in an annotation such as `list[A] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part)
