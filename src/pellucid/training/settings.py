"""What a recipe may say, put together from the sections of those that are set.

Unknown keys are refused, every key has a unit, and the resolved recipe travels with the weights.
"""

from collections.abc import Iterator
from itertools import takewhile
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from pellucid.errors import SettingsError, unknown_name
from pellucid.models.header import ONE_PASS, TONES
from pellucid.training.data import DataSettings
from pellucid.training.diffusion.settings import DiffusionSettings
from pellucid.training.editing.settings import ColouringSettings, InpaintingSettings
from pellucid.training.encoder.settings import EncoderSettings
from pellucid.training.gate import GateSettings
from pellucid.training.places import Place
from pellucid.training.references import ReferenceSettings
from pellucid.training.run import TrainSettings
from pellucid.training.section import Section
from pellucid.training.sentences.settings import SentencesSettings
from pellucid.training.textir.settings import TextIRSettings
from pellucid.training.words.settings import WordsSettings

__all__ = [
    "DistillSettings",
    "NetworkSettings",
    "PolicySettings",
    "PriorSettings",
    "Recipe",
    "RefinementSettings",
    "read_recipe",
]


class NetworkSettings(Section):
    """F: its name in the NETWORKS table, its arguments, and the weights or model file that it starts from."""

    name: str = "unet"
    settings: dict[str, Any] = Field(default_factory=dict)
    weights: Place | dict[str, Place] | None = None
    """Or several, each by the name of the module within the network that it is for, such as `experts.0`."""
    cache: Place | None = None
    """Where what a frozen network makes of the photographs of `data.pairs` is kept: it restores each whole, once, over
    all runs, and from then on training R costs R alone."""

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


class PriorSettings(Section):
    """G: its name (`mobilenet_v2`, `clip:FOLDER`, `zeros:512`, ...) and, where it has one, its weights file."""

    name: str
    weights: Place | dict[str, Place] | None = None
    """For `joined(...)` with several files: each by the name of its prior."""
    cache: Place | None = None
    """Where the vectors of pairs seen whole are kept: the prior sees each picture once, over all runs."""
    shuffled: bool = False
    """A control: every image is given the vector of another one."""


class RefinementSettings(Section):
    """R: its name and arguments."""

    name: str = "ptgrm"
    settings: dict[str, Any] = Field(default_factory=dict)


Probability = Annotated[float, Field(ge=0, le=1)]


class PolicySettings(Section):
    """How the model restores pictures, beyond calling it once: what its file says (`models.header.Policy`)."""

    passes: Annotated[int, Field(ge=1)] = 1
    """How often at most a model of experts that the diagnosis guides restores a picture."""
    align_blocks: bool = False
    """Pad a cropped JPEG until its blocks begin in the corner, where a diagnosis and its experts know them."""
    leave_alone: bool = False
    """Give a picture back as it is with which most surely nothing is wrong."""
    tones: dict[str, tuple[Probability, Probability]] = Field(default_factory=lambda: dict(TONES))
    """Kinds whose experts change the tones of the whole picture: how probable the diagnosis must find each, and how
    much the gate must believe its expert."""
    monotone: tuple[str, ...] = ONE_PASS.monotone
    """Of these kinds, those whose experts must leave what is brighter brighter."""
    tone_shift: Annotated[float, Field(ge=0, le=255)] = ONE_PASS.tone_shift
    """How far the mean luminance may move, of 255, where no such expert has acted."""
    second_probability: Probability = ONE_PASS.second_probability
    """How probable the diagnosis must find another kind, for its expert to act where the gate names others."""
    second_share: Probability = ONE_PASS.second_share
    """How much the gate must believe that expert at least."""
    certainty: Probability = ONE_PASS.certainty
    """How sure an expert must be that can say so of a whole picture, as that for blur can, to act at all."""
    convinced: Probability = ONE_PASS.convinced
    """How sure it must be to act first and alone where the gate asks for what is for `hiding` kinds."""
    hiding: tuple[str, ...] = ONE_PASS.hiding
    """Kinds that keep the gate from seeing what lies beneath, as the blocks of a JPEG do."""
    unasked: tuple[Probability, Probability] = ONE_PASS.unasked
    """How probable the diagnosis must find a kind of its, and how much the gate must believe it, for it not to be
    asked."""
    mistaken: tuple[str, ...] = ONE_PASS.mistaken
    """Kinds that the diagnosis may name where a picture has what such an expert is for; then the expert is asked."""
    refined: tuple[str, ...] | None = ONE_PASS.refined
    """Kinds for which R goes over what experts have made; none for whatever they have made. `models.header.Policy` has
    the rule for which kinds these may be."""
    measured_noise: dict[str, tuple[Annotated[float, Field(ge=0, le=255)], Probability]] = Field(default_factory=dict)
    """How strong noise must measure, of 255, and how much the gate must believe the expert for it, for it to be found
    where the diagnosis overlooks it: by the kind that is found instead, or by `any`."""
    drawn: tuple[Annotated[float, Field(ge=0, le=255)], Probability] = ONE_PASS.drawn
    """Below which noise, and which probability of JPEG, a dark picture counts as drawn, and is not brightened."""


class DistillSettings(Section):
    """The student that takes the prior's place: its arguments, and how long it learns."""

    settings: dict[str, Any] = Field(default_factory=dict)
    minutes: Annotated[float, Field(gt=0)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch: Annotated[int, Field(ge=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.steps is None and self.minutes is None:
            raise ValueError("distill needs steps, minutes, or both")
        return self


class Recipe(Section):
    """A whole experiment: which parts, which data, how long."""

    name: str
    summary: str = ""
    network: NetworkSettings = NetworkSettings()
    prior: PriorSettings | None = None
    refinement: RefinementSettings | None = None
    data: DataSettings
    train: TrainSettings
    gate: GateSettings = GateSettings()
    """How the gate of a network of experts is taught."""
    policy: PolicySettings = PolicySettings()
    distill: DistillSettings | None = None
    encoder: EncoderSettings | None = None
    """Given for the degradation encoder alone, which has no network, prior or refinement."""
    reference: ReferenceSettings | None = None
    """What a guided network is shown beside each crop; without it, it learns as the network within."""
    diffusion: DiffusionSettings | None = None
    """Given for a network that samples: how it is trained."""
    colouring: ColouringSettings | None = None
    """Given for a network that colours: what is said of the photographs."""
    inpainting: InpaintingSettings | None = None
    """Given for a network that fills what is missing: what is cut out of the photographs."""
    textir: TextIRSettings | None = None
    """Given for TextIR: its losses and its discriminator."""
    sentences: SentencesSettings | None = None
    """Given for the encoder of sentences alone, which has no network, prior or refinement."""
    words: WordsSettings | None = None
    """Given for words of images alone, which are no network: a stage of their training."""

    @model_validator(mode="after")
    def _encoder_alone(self) -> Self:
        others = self.prior or self.refinement or self.distill or self.network != NetworkSettings()
        for name in ("encoder", "sentences"):
            if getattr(self, name) is not None and others:
                raise ValueError(f"{name} stands alone: it has no network, prior, refinement or distill")
        if self.words is not None and (others or self.encoder or self.diffusion or self.reference):
            raise ValueError("words stand alone: no network, prior, refinement, distill, encoder or diffusion")
        return self

    @model_validator(mode="after")
    def _has_a_gate(self) -> Self:
        if self.gate != GateSettings() and self.network.name != "experts":
            raise ValueError(f"gate is for network 'experts'; {self.network.name!r} has none")
        return self

    @model_validator(mode="after")
    def _has_a_reference(self) -> Self:
        if self.reference is None:
            return self
        if self.network.name != "guided" or self.refinement is not None:
            raise ValueError("reference is for network 'guided', not boosted; others are shown nothing")
        known = all(part.pairs is not None and part.pairs.guidance is not None for part in self.data.parts())
        if self.reference.source == "pairs" and not known:
            raise ValueError("reference.source: pairs: needs data.pairs.guidance, a picture for each degraded one")
        if self.reference.source == "clean" and any(
            part.pairs is not None and part.pairs.clean is None for part in self.data.parts()
        ):
            raise ValueError("reference.source: clean: needs clean photographs")
        return self

    @model_validator(mode="after")
    def _leaves_alone_what_keeps_its_sides(self) -> Self:
        if self.policy.leave_alone and self.network.settings.get("scale", 1) != 1:
            raise ValueError("policy.leave_alone: a network that enlarges leaves no picture as it is")
        return self

    @model_validator(mode="after")
    def _boosted_whole(self) -> Self:
        if (self.prior is None) != (self.refinement is None):
            raise ValueError("prior and refinement go together: give both, or neither for the network alone")
        if self.train.freeze_network and self.refinement is None:
            raise ValueError("train.freeze_network leaves nothing to train without a refinement")
        if self.train.prior_dropout and self.prior is None:
            raise ValueError("train.prior_dropout withholds a prior's vector, and there is no prior")
        fixed = self.data.pairs is not None and self.data.degradations is None and self.data.view == "whole"
        if self.prior is not None and self.prior.cache and not fixed:
            raise ValueError(
                "prior.cache is for data.pairs as they are, seen whole; pictures that are drawn anew never come again"
            )
        return self

    @model_validator(mode="after")
    def _results_are_fixed(self) -> Self:
        refined = self.refinement is not None and self.refinement.name != "ptgrm-features"
        fixed = self.data.pairs is not None and self.data.degradations is None and not self.data.match_exposure
        if self.network.cache and not (fixed and refined and self.train.freeze_network):
            raise ValueError(
                "network.cache is for a frozen network (train.freeze_network) whose result R refines, and data.pairs "
                "as they are; pictures that are drawn anew never come again"
            )
        if self.network.cache and any(part.pairs is not None and part.pairs.right for part in self.data.parts()):
            raise ValueError("network.cache keeps what a network restores of one picture, and data.pairs.right are two")
        known = any(part.pairs is not None and part.pairs.restored is not None for part in self.data.parts())
        if known and not (refined and self.train.freeze_network):
            raise ValueError(
                "data.pairs.restored stands for a network that is not run: train.freeze_network=true, and a refinement "
                "of its result"
            )
        if known and self.network.cache:
            raise ValueError("network.cache keeps what the network restores, which data.pairs.restored has already")
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


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    # Of a value of several kinds, pydantic goes on to name the kind, in brackets.
    where = ".".join(takewhile(lambda part: "[" not in part, map(str, first["loc"])))
    if first["type"] == "extra_forbidden":
        *groups, last = [str(part) for part in first["loc"]]
        section: Any = Recipe
        for group in groups:
            if not group.isdigit():  # the place in a list
                section = next(_sections_in(section.model_fields[group].annotation))
        return unknown_name("key", last, section.model_fields) + (f" (in {'.'.join(groups)})" if groups else "")
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings in an annotation such as `list[A] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _sections_in(part)
