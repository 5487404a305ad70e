"""The diffusion section of a recipe: what is asked for in training, and what is shown as the answer."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from pellucid.diffusion.operations import OPERATIONS
from pellucid.errors import unknown_name
from pellucid.training.section import Section

__all__ = ["DiffusionSettings"]

Share = Annotated[float, Field(ge=0, le=1)]


class DiffusionSettings(Section):
    """How degradations are chained, and of each chain how much is asked for.

    An amount is an instruction: what is asked for is taken away, and what is not asked for stays in the target, made
    from the same draws. Where all is asked for the target is clean, and the prompt describes what was done.
    """

    prior: bool = False
    """Train a prior: clean patches, nothing degraded, nothing said."""
    regression: Share = 0.0
    """Part of the samples whose state is nothing but noise, the first of a sampler: of them the mean of what could be
    sampled is learnt. With 1 that is all: regression of the same patches, words and parameters, used with one step."""
    draws: Annotated[int, Field(ge=1)] = 2
    """Times and noises that are drawn for each patch: degrading one costs nearly as much as learning from it."""
    most: Annotated[int, Field(ge=1)] = 3
    """Degradations of a chain; each is of another kind, from `data.degradations`."""
    single: Share = 0.4
    """Part of the chains that have one only."""
    clean: Share = 0.04
    """Part of the pictures to which nothing was done."""
    unsaid: Share = 0.1
    """Part of the samples without a prompt, for guidance by the difference that words make."""
    all: Share = 0.12
    """Part that is asked to take everything away, without naming it; the target is clean."""
    bad: Share = 0.05
    """Part that is described as bad and left as it came: what a negative prompt leads away from."""
    unseen: Share = 0.06
    """Part of the samples that are shown no degraded picture, and told nothing: for guidance by the difference that the
    picture makes. The target is clean."""
    part: Share = 0.35
    """Of the other samples, those in which parts of amounts are asked for, drawn from 0 to all."""
    some: Share = 0.2
    """Of the other samples, those in which some degradations are asked for in full, and others stay."""
    without_number: Share = 0.15
    """Of the clauses that take a degradation away in full, those that do not say how much it was."""
    absent: Share = 0.06
    """Part of the prompts that also name what is not there, with the amount 0."""
    alone: Share = 0.15
    """Part of the samples that are told nothing of the whole photograph, for networks that see some of it."""
    adapter: dict[str, Any] | None = None
    """Freeze the denoiser but for what the degraded picture and the words enter by, and train adapters on it: `kind` of
    `diffusion.adapters.ADAPTERS` (or `none`, for nothing but what enters), `targets`, and the adapter's own settings.
    They are merged into the model file."""
    fidelity: bool = False
    """Train the codec's fidelity decoder, and nothing else, on what the network makes."""
    pages: Share = 0.04
    """Part of the crops that are from drawn pages of text and lines."""
    held_back: tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]] | None = None
    """Severities, from and to, that no step of a chain has and no prompt names: what words do there can be measured
    afterwards, as of amounts that the network has never seen."""
    orders_held_back: tuple[tuple[str, str], ...] = ()
    """Pairs of verbs: no chain does what the first takes away before what the second takes away."""

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if self.unsaid + self.all + self.bad + self.unseen > 1 or self.part + self.some > 1:
            raise ValueError(
                "diffusion: unsaid, all, bad and unseen together, and part and some together, are 1 at most"
            )
        return self

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.held_back is not None and self.held_back[0] >= self.held_back[1]:
            raise ValueError(f"diffusion.held_back: from the smaller to the larger severity, got {self.held_back}")
        for verb in {verb for pair in self.orders_held_back for verb in pair}:
            if verb not in OPERATIONS:
                raise ValueError(f"diffusion.orders_held_back: {unknown_name('verb', verb, OPERATIONS)}")
        return self
