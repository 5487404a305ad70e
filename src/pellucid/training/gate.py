"""Teaching the gate of `networks.Experts` which expert is for what, before the experts and the refinement learn together.

Left to the restoration's loss alone, the gate and an expert that still learns settle on a blend: half of one answer, half of
another, for photographs that call for one. What a training photograph suffers from is known, so the gate is told.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.data.plain import plain_sample
from pellucid.data.sources import Mixture, Pairs, Source, Synthetic
from pellucid.degradations import KINDS
from pellucid.errors import SettingsError, unknown_name
from pellucid.networks import Experts
from pellucid.priors import Prior
from pellucid.training.mosaics import Labels, generator_of, labelled, seen_photograph

__all__ = ["check_gate", "expert_of", "teach_gate"]

CLEAN = "clean"
"""What an expert that is for photographs with which nothing is wrong has among its kinds."""

EXAMPLES, STEPS, LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 4500, 400, 5e-3, 0.1, 0.3

PLAIN = 450
"""Examples of pictures that show nothing, beside those: a white page is like no photograph, and must not be taken for a haze."""


def check_gate(experts: Experts, source: Source) -> None:
    """Raises SettingsError where a gate could not be taught: see `teach_gate`."""
    check_kinds(experts)
    for one in source.sources if isinstance(source, Mixture) else [source]:
        if isinstance(one, Pairs) and one.kind is None:
            raise SettingsError("data: a gate must know what pairs suffer from; give their kind")


def check_kinds(experts: Experts) -> None:
    """Raises SettingsError where not exactly one expert is for the rest, or one is for a kind that there is not."""
    rest = experts.kinds.count(None)
    if rest != 1:
        raise SettingsError(f"network.settings.experts: one of them must be without kinds, for the rest; got {rest}")
    named = {kind for kinds in experts.kinds for kind in kinds or ()}
    known = [*KINDS, CLEAN]
    if unknown := sorted(named.difference(known)):
        raise SettingsError(f"network.settings.experts: {unknown_name('kind of degradation', unknown[0], known)}")


def expert_of(experts: Experts, labels: Labels) -> Tensor:
    """The expert that each photograph should be given to, (B,): the first for a kind that it has, or else the one for the rest.

    A photograph with which nothing is wrong goes to the first that is for the clean, where there is one.

    Raises SettingsError as `check_kinds` does.
    """
    check_kinds(experts)
    asked = torch.full((len(labels.present),), experts.kinds.index(None))
    for place in reversed(range(len(experts.kinds))):
        kinds = experts.kinds[place]
        if kinds is not None:
            columns = [KINDS.index(kind) for kind in kinds if kind != CLEAN]
            theirs = labels.present[:, columns].any(1)
            if CLEAN in kinds:
                theirs |= ~labels.present.any(1)
            asked[theirs] = place
    return asked


def teach_gate(
    experts: Experts,
    prior: Prior,
    source: Source,
    *,
    seed: int = 0,
    show: Callable[[float, str], None] | None = None,
) -> None:
    """Fits the gate, by cross-entropy, to photographs of a source whose degradations are known, and leaves it frozen.

    Args:
        experts: each for some kinds of degradations, one of them for the rest.
        prior: whose vectors open the gate.
        source: of photographs. They are seen whole, without a window: in a part of one the prior sees other things, and a
            gate that has learnt from parts is sure and wrong about photographs that are shaken.
        seed: of the draws.
        show: told how far it is: the part that is done, and what is being done.

    Raises:
        SettingsError: not exactly one expert is for the rest, or it is not known what a photograph suffers from.
    """
    check_gate(experts, source)
    source = _without_windows(source)
    place = next(experts.gate.parameters())
    vectors, labels = [], []
    for number in range(EXAMPLES + PLAIN):  # one picture at a time: a thousand of them would fill any memory
        generator = generator_of(seed, 0, number, 4)
        if number < EXAMPLES:
            image, known = seen_photograph(source, None, generator)
        else:
            image, known = labelled(plain_sample(generator), generator)
        vectors.append(prior(image[None].to(place.device)).float())
        labels.append(known)
        if show is not None:
            show((number + 1) / (EXAMPLES + PLAIN), f"teaching the gate, photograph {number + 1}")
    target, given = expert_of(experts, Labels.join(labels)).to(place.device), torch.cat(vectors)
    experts.gate.requires_grad_(True)
    generator = generator_of(seed, 0, EXAMPLES + PLAIN, 4)
    optimizer = torch.optim.AdamW(experts.gate.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(STEPS):
        kept = (torch.rand(given.shape, generator=generator) >= DROPOUT).to(given)
        loss: Tensor = F.cross_entropy(experts.gate(given * kept / (1 - DROPOUT)), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    experts.gate.requires_grad_(False)


def _without_windows(source: Source) -> Source:
    if isinstance(source, Mixture):
        return Mixture([_without_windows(one) for one in source.sources], source.weights)
    return replace(source, window=None) if isinstance(source, Synthetic) else source
