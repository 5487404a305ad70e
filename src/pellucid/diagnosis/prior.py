"""The diagnosis as a prior: what the encoder sees of a photograph, and what follows from that and from its traces.

The encoder's vector alone takes shaken photographs of other cameras for hazy ones (EXPERIMENTS.md 24). The heads of the
diagnosis have learnt from ten times as many examples as a gate does, and read traces of the whole photograph beside it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.degradations import KINDS
from pellucid.diagnosis.blocks import from_first_block
from pellucid.diagnosis.diagnoser import load_diagnoser
from pellucid.diagnosis.heads import Heads
from pellucid.diagnosis.traces import traces
from pellucid.priors import DegradationEncoder
from pellucid.priors.contract import FrozenPrior, check_image, unit_rms

__all__ = ["DiagnosisPrior", "diagnosis_prior"]


class DiagnosisPrior(FrozenPrior):
    """The encoder's vector, the probability of every kind of degradation, and its severity.

    The view is these numbers themselves, computed at the photograph's own resolution, as resizing would take away what
    they are read from.

    Args:
        encoder: settings of a `DegradationEncoder`.
        heads: settings of the `Heads` that read its features and the traces.
        name: recorded in model files.
    """

    def __init__(self, encoder: Mapping[str, Any], heads: Mapping[str, Any], *, name: str = "diagnosis") -> None:
        looking = DegradationEncoder(encoder)
        self.reach = looking.width**0.5
        """The largest component that a vector of the encoder can have: its root-mean-square is one."""
        width = looking.width + 2 * len(KINDS)
        super().__init__(name, width, (1, 1))
        self.view_channels = width
        self.settings = {"encoder": dict(encoder), "heads": dict(heads)}
        self.encoder, self.heads = looking, Heads(**heads)
        self.freeze()

    @torch.no_grad()
    def prepare(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) of any size, in [0, 1], to vector, probabilities and severities, (B, width, 1, 1), in [0, 1]."""
        check_image(image)
        return self.views([from_first_block(one[None]) for one in image])

    def views(self, photographs: list[Tensor]) -> Tensor:
        """`prepare` for photographs (1, 3, H, W) in [0, 1], of which each begins where a block would."""
        return self.concluded(*self.seen(photographs))

    @torch.no_grad()
    def seen(self, photographs: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Of photographs as `views` takes them the encoder's vectors (B, encoder.width), and what the heads read."""
        device = self.heads.margin.device
        seen = torch.cat([self.encoder.prepare(one) for one in photographs]).to(device)
        return self._looked(seen, torch.cat([traces(one) for one in photographs]).to(device))

    @torch.no_grad()
    def view(self, photograph: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """`views` of one photograph whose `block_places` are given, as a graph needs it."""
        return self.concluded(*self._looked(self.encoder.prepare(photograph), traces(photograph, places)))

    def _looked(self, composite: Tensor, traced: Tensor) -> tuple[Tensor, Tensor]:
        vector, features = self.encoder.look(composite)
        return vector, torch.cat([features, traced], 1)

    @torch.no_grad()
    def concluded(self, vector: Tensor, features: Tensor) -> Tensor:
        """Views (B, width, 1, 1) of what `seen` gives."""
        probabilities, severities = self.heads.predict(features.to(self.heads.margin.dtype))
        looked = vector / (2 * self.reach) + 0.5
        view = torch.cat([looked, probabilities.float(), severities[:, :, 1].float() / 100], 1)
        return view[:, :, None, None].clamp(0, 1)

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, width, 1, 1) to vectors (B, width), float32, of unit root-mean-square: the numbers around zero."""
        numbers = 2 * view.float().flatten(1) - 1
        seen, concluded = numbers[:, : self.encoder.width], numbers[:, self.encoder.width :]
        return unit_rms(torch.cat([seen * self.reach, concluded], 1))

    def probabilities(self, view: Tensor) -> Tensor:
        """Of every kind the probability that photographs have it: views (B, width, 1, 1) to (B, kinds)."""
        return view.flatten(1)[:, self.encoder.width : self.encoder.width + len(KINDS)]

    def conclusions(self, view: Tensor) -> dict[str, tuple[float, float]]:
        """Of every kind the probability that a photograph has it, 0 to 1, and its severity if so, 0 to 100.

        Args:
            view: of the photograph, (1, width, 1, 1).
        """
        concluded = view[0, self.encoder.width :].flatten().tolist()
        probabilities, severities = concluded[: len(KINDS)], concluded[len(KINDS) :]
        return {
            kind: (probability, 100 * severity)
            for kind, probability, severity in zip(KINDS, probabilities, severities, strict=True)
        }


def diagnosis_prior(folder: str = "") -> DiagnosisPrior:
    """The prior of a folder that `pellucid train degradation-encoder` wrote; without one, of the embedded encoder.

    Raises ModelError: files are missing, damaged, or of another model.
    """
    diagnoser = load_diagnoser(folder)
    prior = DiagnosisPrior(
        diagnoser.encoder.settings, diagnoser.heads.settings, name=f"diagnosis:{folder}" if folder else "diagnosis"
    )
    prior.encoder.load_state_dict(diagnoser.encoder.state_dict())
    prior.heads.load_state_dict(diagnoser.heads.state_dict())
    prior.freeze()
    return prior
