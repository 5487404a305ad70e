"""Teaching the gate of `networks.Experts` which expert is for what, before the experts and the refinement learn together.

Left to the restoration's loss alone, the gate and an expert that still learns settle on a blend: half of one answer, half of
another, for photographs that call for one. What a training photograph suffers from is known, so the gate is told.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.data.sources import Mixture, Source, Synthetic
from pellucid.degradations import KINDS
from pellucid.errors import SettingsError, unknown_name
from pellucid.networks import Experts
from pellucid.priors import Prior
from pellucid.training.mosaics import Labels, generator_of, seen_photograph

__all__ = ["expert_of", "teach_gate"]

EXAMPLES, STEPS, LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 1000, 400, 5e-3, 0.1, 0.3


def expert_of(experts: Experts, labels: Labels) -> Tensor:
    """The expert that each photograph should be given to, (B,): the first for a kind that it has, or else the one for the rest.

    Raises SettingsError where not exactly one expert is for the rest, or one is for a kind that there is not.
    """
    rest = [place for place, kinds in enumerate(experts.kinds) if kinds is None]
    if len(rest) != 1:
        raise SettingsError(
            f"network.settings.experts: one of them must be without kinds, for the rest; got {len(rest)}"
        )
    asked = torch.full((len(labels.present),), rest[0])
    for place in reversed(range(len(experts.kinds))):
        kinds = experts.kinds[place]
        if kinds is not None:
            if unknown := sorted(set(kinds) - set(KINDS)):
                raise SettingsError(
                    f"network.settings.experts: {unknown_name('kind of degradation', unknown[0], KINDS)}"
                )
            columns = [KINDS.index(kind) for kind in kinds]
            asked[labels.present[:, columns].any(1)] = place
    return asked


def teach_gate(experts: Experts, prior: Prior, source: Source, *, seed: int = 0) -> None:
    """Fits the gate, by cross-entropy, to photographs of a source whose degradations are known, and leaves it frozen.

    Args:
        experts: each for some kinds of degradations, one of them for the rest.
        prior: whose vectors open the gate.
        source: of photographs. They are seen whole, without a window: in a part of one the prior sees other things, and a
            gate that has learnt from parts is sure and wrong about photographs that are shaken.
        seed: of the draws.

    Raises:
        SettingsError: not exactly one expert is for the rest.
    """
    generator = generator_of(seed, 0, EXAMPLES, 4)
    source = _without_windows(source)
    drawn = [seen_photograph(source, None, generator_of(seed, 0, number, 4)) for number in range(EXAMPLES)]
    target = expert_of(experts, Labels.join([labels for _, labels in drawn]))
    vectors = torch.cat([prior(image[None] if image.ndim == 3 else image) for image, _ in drawn]).float()
    experts.gate.requires_grad_(True)
    optimizer = torch.optim.AdamW(experts.gate.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(STEPS):
        kept = torch.rand(vectors.shape, generator=generator) >= DROPOUT
        loss: Tensor = F.cross_entropy(experts.gate(vectors * kept / (1 - DROPOUT)), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    experts.gate.requires_grad_(False)


def _without_windows(source: Source) -> Source:
    if isinstance(source, Mixture):
        return Mixture([_without_windows(one) for one in source.sources], source.weights)
    return replace(source, window=None) if isinstance(source, Synthetic) else source
