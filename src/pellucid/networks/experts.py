"""Experts: several networks, each for some degradations, and a gate that a prior's vector opens.

What is wrong with a photograph may call for opposite things: light to be let into the dark, and not a shade to be moved
where noise lies. One small network that must do both does each by halves, so here each network does its own, and the
prior, which has seen the whole photograph, says how much each is to be believed. The gate is that of "Adaptive Mixtures
of Local Experts" (Jacobs et al., Neural Computation 1991), equation (1.3): a softmax that weighs the experts' results.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError
from pellucid.guidance import NOTHING, Guidance
from pellucid.networks.contract import Contract, Network, Verbs, verbs_of
from pellucid.networks.unet import UNet

__all__ = ["Experts"]

NEGLIGIBLE = 0.05
"""An expert that is believed less is not asked, unless the gate is still learning."""


class Experts(Network):
    """Degraded image and the prior's vector in, restored image out: (B, 3, H, W), sides divisible by the multiple.

    Args:
        networks: the experts; each keeps the size of the image and needs no prior of its own.
        kinds: for each expert the kinds of degradations that it is for, or None for the rest. Where any says so,
            training teaches the gate first.
        prior_width: length of the prior's vector.
        hidden: units of the gate's one hidden layer.
        settings: what builds it again, JSON-able.

    Raises:
        ValueError: fewer than two experts, or one that cannot be one.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        kinds: Sequence[Collection[str] | None],
        *,
        prior_width: int = 64,
        hidden: int = 32,
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if len(networks) < 2 or min(prior_width, hidden) < 1:
            raise ValueError(f"experts: two or more, a prior_width and hidden units, got {len(networks)}")
        contracts = [network.contract for network in networks]
        if any(one.scale != 1 or one.vector is not None or one.samples for one in contracts):
            raise ValueError("experts: each must keep the size of the image, and need no prior of its own")
        self.kinds = [None if one is None else tuple(one) for one in kinds]
        self.settings = settings or {}
        self.contract = Contract(
            multiple=math.lcm(*(one.multiple for one in contracts)),
            vector=prior_width,
            looks=any(one.looks for one in contracts),
            numbers=tuple(dict.fromkeys(name for one in contracts for name in one.numbers)),
            experts=True,
        )
        self.experts = nn.ModuleList(networks)
        self.gate = nn.Sequential(nn.Linear(prior_width, hidden), nn.ReLU(), nn.Linear(hidden, len(networks)))

    @property
    def specialised(self) -> bool:
        """Whether any of them says what it is for, and the gate is to be taught so."""
        return any(kinds is not None for kinds in self.kinds)

    @classmethod
    def tiny(cls) -> "Experts":
        """The smallest useful instance, for tests."""
        shape: dict[str, Any] = {"widths": [4, 8], "blocks": [1, 1]}
        spec = {"experts": [{"name": "unet", "settings": shape}] * 2, "prior_width": 8, "hidden": 4}
        return cls([UNet(**shape), UNet(**shape)], [None, None], prior_width=8, hidden=4, settings=spec)

    def trust(self, vector: Tensor) -> Tensor:
        """How much the gate believes each expert: vectors (B, prior_width) to (B, experts), of sum 1."""
        with torch.autocast(vector.device.type, enabled=False):
            trust: Tensor = self.gate(vector.to(next(self.gate.parameters()).dtype)).float().softmax(1)
        return trust

    def weights(self, vector: Tensor) -> Tensor:
        """The part of each expert in the result, as the gate has it: vectors (B, prior_width) to (B, experts), of sum
        1.

        What the gate hardly believes is 0, once it has learnt.
        """
        weights = self.trust(vector)
        if self.training and next(self.gate.parameters()).requires_grad:
            return weights  # from an expert that is not asked the gate would never learn that it should be
        weights = weights * (weights >= weights.amax(1, keepdim=True).clamp(max=NEGLIGIBLE))
        return weights / weights.sum(1, keepdim=True)

    def is_for(self, expert: int, kinds: Collection[str]) -> bool:
        """Whether an expert is for any of these kinds; the one without kinds is for what no other is for."""
        own = self.kinds[expert]
        others = {kind for named in self.kinds for kind in named or ()}
        return any(kind not in others if own is None else kind in own for kind in kinds)

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds what each expert that is asked finds out, by its number in `parts`.

        Args:
            image: the whole picture.
            known: with the prior's vectors, or with `weights` of its own, (B, experts), where others have decided.
            cut: see `Network.look`.

        Raises:
            ModelError: the prior's vectors (B, prior_width) are not known.
        """
        believed = self._weights(known).any(0).tolist()
        asked = Guidance(words=known.words, seed=known.seed, grid=known.grid, told=known.told)
        found = {
            str(number): expert.look(image, asked, cut=cut)
            for number, expert in enumerate(self._experts())
            if believed[number] and expert.contract.looks
        }
        return known.knowing(parts=found)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """The weighted sum of what the experts restore; each runs on the images that it is asked for.

        Args:
            tile: (B, 3, h, w).
            guidance: with the prior's vector of each whole photograph, (B, prior_width), or one (1, prior_width) for
                all. Where its own `weights`, (B, experts) or (1, experts), say how much of each expert is wanted, they
                are taken instead of the gate's.

        Raises:
            ModelError: there is no vector, or one of another width.
        """
        weights = self._weights(guidance).to(tile.dtype).expand(len(tile), -1)
        alone = (weights == 1).all(0).nonzero().flatten()
        if len(alone) == 1 and not weights.requires_grad:  # one that restores every image wholly
            number = int(alone)
            restored: Tensor = self._experts()[number](tile, guidance.part(str(number), torch.arange(len(tile))))
            return restored.to(tile.dtype)
        restored = torch.zeros_like(tile)
        for number, (expert, weight) in enumerate(zip(self._experts(), weights.unbind(1), strict=True)):
            asked = weight.nonzero()[:, 0]
            if len(asked):
                answer = expert(tile[asked], guidance.part(str(number), asked))
                restored = restored.index_add(0, asked, (answer * weight[asked, None, None, None]).to(restored.dtype))
        return restored

    def _weights(self, guidance: Guidance) -> Tensor:
        """Those that were decided on, else the gate's."""
        decided = guidance.own.get("weights")
        return self.weights(self._vector(guidance)) if decided is None else decided

    def _vector(self, guidance: Guidance) -> Tensor:
        vector, width = guidance.vector, self.contract.vector
        if vector is None or vector.ndim != 2 or vector.shape[1] != width:
            got = None if vector is None else tuple(vector.shape)
            raise ModelError(f"experts: expected a prior's vector (B, {width}), got {got}")
        return vector

    def _experts(self) -> list[Verbs]:
        return [verbs_of(expert) for expert in self.experts]
