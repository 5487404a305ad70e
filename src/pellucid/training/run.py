"""A training under way, and the settings of its optimisation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from pellucid.data.sources import Source
from pellucid.errors import SettingsError
from pellucid.models.tables import module_within
from pellucid.networks import Guided
from pellucid.refinement import network_of
from pellucid.refinement.guidance import PriorMap
from pellucid.training.average import Average
from pellucid.training.muon import Muon, matrices_of
from pellucid.training.places import Place
from pellucid.training.section import Section

__all__ = ["EVEN_WIDTH", "Batch", "Batches", "Run", "TrainSettings"]

EVEN_WIDTH = 32
"""Numbers up to which T learns with the full rate, where the rate goes by the width: as many as the convolutions of R's
smallest kernels read."""


class TrainSettings(Section):
    """The optimisation, by AdamW, or by Muon in part. It ends at `steps` or after `minutes`, whichever comes first.

    The learning rate grows linearly over `warmup_steps`, and falls by half a cosine from `learning_rate` to
    `final_learning_rate` at the end, of the two the nearer one.
    """

    steps: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    batch: Annotated[int, Field(ge=1)] = 8
    """Crops of a batch, for each process."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    final_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    reference_share: Annotated[float, Field(gt=0)] = 1.0
    """The rate of a guided network's encoder and fusions, over that of the network within."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """By which part of itself, times the learning rate, a weight shrinks with each step."""
    prior_rate: Literal["same", "by-width"] = "same"
    """Of R's maps from the prior, T: Adam moves a weight by the learning rate whatever its gradient, so what reads a
    thousand numbers moves a hundred times as far as what reads ten. `by-width` divides the rate by the numbers read,
    counted in units of `EVEN_WIDTH`."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Of AdamW; gradients much smaller than it move nothing."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of AdamW's mean of squared gradients; that of its mean of gradients is 0.9."""
    muon: tuple[str, ...] = ()
    """Modules within the network, by their names there, such as `blocks`, whose weights Muon steps instead of AdamW."""
    muon_learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """The rate of those; it rises and falls with `learning_rate`."""
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient of all parameters."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the exponential moving average of the weights, which is what a model file holds."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are averaged for one step: a larger batch in the same memory."""
    loss: str = "charbonnier"
    """What is minimised: a loss, or a weighted sum such as `charbonnier + 0.1 ssim` (see `objective.TERMS`)."""
    perceptual_weights: Place | None = None
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
    """Of the weights that are drawn, of the batches, and of whatever else is drawn."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    """Between two checkpoints."""
    validate_steps: Annotated[int, Field(ge=1)] = 1000
    """Between two scores on the photographs that are held out."""

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.steps is None and self.minutes is None:
            raise ValueError("train needs steps, minutes, or both")
        if self.muon and self.prior_rate != "same":
            raise ValueError("muon: not together with prior_rate; R's maps are not convolutions")
        return self


class Batch(Protocol):
    """What a step learns from."""

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        ...


class Batches(Protocol):
    """Batches by their number."""

    @property
    def source(self) -> Source:
        """What they are drawn from."""
        ...

    def at(self, number: int, *, rank: int = 0) -> Batch:
        """Batch `number` of process `rank`: a pure function of both."""
        ...


@dataclass
class Run:
    """A training under way: everything that must be saved for it to resume exactly.

    Args:
        module: what is trained; only parameters that require a gradient are.
        objective: (module, batch) to the scalar loss.
        batches: batch n for process `rank`, a pure function of both.
        settings: the optimisation.
        checkpoint: the file to save to and to resume from.
    """

    module: nn.Module
    objective: Callable[[nn.Module, Any], Tensor]
    batches: Batches
    settings: TrainSettings
    checkpoint: Path
    step: int = 0
    seconds: float = 0.0
    trainable: list[nn.Parameter] = field(init=False)
    average: Average = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.trainable = [value for value in self.module.parameters() if value.requires_grad]
        if not self.trainable:
            raise SettingsError("nothing to train: every parameter is frozen")
        self.average = Average(self.module, self.settings.average)
        self.optimizer = self._muon() if self.settings.muon else self._adamw()

    def _adamw(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self._groups(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            betas=(0.9, self.settings.beta2),
            eps=self.settings.epsilon,
        )

    def _muon(self) -> torch.optim.Optimizer:
        """Muon for the modules that are named, AdamW for the rest.

        Raises:
            SettingsError: there is no such module, or nothing in it that Muon could step.
        """
        settings, network = self.settings, network_of(self.module)
        try:
            matrices = matrices_of(module_within(network, name) for name in settings.muon)
        except SettingsError as error:
            raise SettingsError(f"train.muon: {error}") from None
        if not matrices:
            raise SettingsError(f"train.muon: {', '.join(settings.muon)}: no matrix there that learns")
        known = set(map(id, matrices))
        optimizer = Muon(
            matrices,
            [value for value in self.trainable if id(value) not in known],
            learning_rate=settings.learning_rate,
            matrix_learning_rate=settings.muon_learning_rate,
            betas=(0.9, settings.beta2),
            weight_decay=settings.weight_decay,
            epsilon=settings.epsilon,
        )
        for group in optimizer.param_groups:
            group["share"] = group["lr"] / settings.learning_rate
        return optimizer

    def _groups(self) -> list[dict[str, Any]]:
        """What is trained, by the part of the learning rate that it learns with, its `share`."""
        shares: dict[Tensor, float] = dict.fromkeys(self.trainable, 1.0)
        if self.settings.prior_rate == "by-width":
            for part in self.module.modules():
                if isinstance(part, PriorMap):
                    for layer in part:
                        if isinstance(layer, nn.Linear) and layer.weight in shares:
                            shares[layer.weight] = min(1.0, EVEN_WIDTH / layer.in_features)
        if self.settings.reference_share != 1:
            for guided in self.module.modules():
                if isinstance(guided, Guided):
                    own = [*guided.encoder.parameters(), *guided.fusions.parameters()]
                    shares |= {value: self.settings.reference_share for value in own if value in shares}
        return [
            {"params": [value for value, other in shares.items() if other == share], "share": share}
            for share in sorted(set(shares.values()), reverse=True)
        ]

    def progress(self) -> float:
        """The part of the training that is done, by steps or by time, whichever is further."""
        by_steps = self.step / self.settings.steps if self.settings.steps else 0.0
        by_time = self.seconds / (60 * self.settings.minutes) if self.settings.minutes else 0.0
        return min(1.0, max(by_steps, by_time))
