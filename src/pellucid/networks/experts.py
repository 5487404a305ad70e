"""Experts: several networks, each for some degradations, and a gate that a prior's vector opens.

What is wrong with a photograph may call for opposite things: light to be let into the dark, and not a shade to be moved where
noise lies. One small network that must do both does each by halves, so here each network does its own, and the prior, which
has seen the whole photograph, says how much each is to be believed. The gate is that of "Adaptive Mixtures of Local Experts"
(Jacobs et al., Neural Computation 1991), equation (1.3): a softmax that weighs the experts' results.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError

__all__ = ["Experts"]

NEGLIGIBLE = 0.05
"""An expert that is believed less is not asked, unless the gate is still learning."""


class Experts(nn.Module):
    """Degraded image and the prior's vector in, restored image out: (B, 3, H, W), sides divisible by `multiple`.

    Args:
        experts: each `{"name": ..., "settings": {...}, "kinds": [...]}`, networks of the table `networks.NETWORKS` that keep the
            size. Where they say the kinds of degradations that they are for, training teaches the gate so first; the one without
            kinds is for the rest.
        guide_width: length of the prior's vector.
        hidden: units of the gate's one hidden layer.
    """

    scale = 1

    def __init__(self, experts: Sequence[Mapping[str, Any]], guide_width: int = 64, hidden: int = 32) -> None:
        from pellucid.networks import build_network, input_multiple, output_scale  # whose table has this class, too

        super().__init__()
        if len(experts) < 2 or min(guide_width, hidden) < 1:
            raise ValueError(f"experts: two or more, a guide_width and hidden units, got {len(experts)}")
        for expert in experts:
            if not isinstance(expert, Mapping) or not {"name"} <= set(expert) <= {"name", "settings", "kinds"}:
                raise ValueError(f"experts: each has a name, settings and perhaps kinds, got {expert!r}")
            if expert["name"] == "external":  # a model file that names one would import whatever it likes
                raise ValueError("experts: networks that pellucid has itself, and not 'external'")
            kinds = expert.get("kinds")
            if isinstance(kinds, str):
                raise ValueError(f"experts: kinds are a list, as in [{kinds}]")
            if kinds is not None and not (isinstance(kinds, list | tuple) and kinds and set(map(type, kinds)) == {str}):
                raise ValueError(f"experts: kinds are a list of one name or more, and none for the rest; got {kinds!r}")
        self.kinds = [None if one.get("kinds") is None else tuple(one["kinds"]) for one in experts]
        self.settings: dict[str, Any] = {
            "experts": [
                {"name": one["name"], "settings": dict(one.get("settings") or {})}
                | ({} if kinds is None else {"kinds": list(kinds)})
                for one, kinds in zip(experts, self.kinds, strict=True)
            ],
            "guide_width": guide_width,
            "hidden": hidden,
        }
        self.guide_width = guide_width
        self.experts = nn.ModuleList(build_network(one["name"], one.get("settings")) for one in experts)
        if any(output_scale(one) != 1 or hasattr(one, "guide_width") for one in self.experts):
            raise ValueError("experts: each must keep the size of the image, and need no guide of its own")
        self.multiple = math.lcm(*map(input_multiple, self.experts))
        self.gate = nn.Sequential(nn.Linear(guide_width, hidden), nn.ReLU(), nn.Linear(hidden, len(experts)))

    @property
    def specialised(self) -> bool:
        """Whether any of them says what it is for, and the gate is to be taught so."""
        return any(kinds is not None for kinds in self.kinds)

    @classmethod
    def tiny(cls) -> "Experts":
        """The smallest useful instance, for tests."""
        shape = {"widths": (4, 8), "blocks": (1, 1)}
        return cls([{"name": "unet", "settings": shape}, {"name": "unet", "settings": shape}], guide_width=8, hidden=4)

    def weights(self, guide: Tensor) -> Tensor:
        """How much each expert is believed: vectors (B, guide_width) to (B, experts), of sum 1.

        Negligible weights are 0, once the gate has learnt.
        """
        with torch.autocast(guide.device.type, enabled=False):
            weights: Tensor = self.gate(guide.to(next(self.gate.parameters()).dtype)).float().softmax(1)
        if self.training and next(self.gate.parameters()).requires_grad:
            return weights  # from an expert that is not asked the gate would never learn that it should be
        weights = weights * (weights >= weights.amax(1, keepdim=True).clamp(max=NEGLIGIBLE))
        return weights / weights.sum(1, keepdim=True)

    def most_believed(self, guide: Tensor) -> int:
        """The expert that is believed most for a vector (1, guide_width)."""
        return int(self.weights(guide).argmax())

    def is_for(self, expert: int, kinds: Collection[str]) -> bool:
        """Whether an expert is for any of these kinds of degradations; the one without kinds is for what no other is for."""
        own = self.kinds[expert]
        others = {kind for named in self.kinds for kind in named or ()}
        return any(kind not in others if own is None else kind in own for kind in kinds)

    def forward(self, degraded: Tensor, guide: Tensor) -> Tensor:
        """The weighted sum of what the experts restore; each runs on the images that it is asked for.

        Args:
            degraded: (B, 3, H, W).
            guide: the prior's vector of each whole photograph, (B, guide_width), or one (1, guide_width) for all.

        Raises:
            ModelError: a guide of another width.
        """
        if guide.ndim != 2 or guide.shape[1] != self.guide_width:
            raise ModelError(f"experts: expected a guide (B, {self.guide_width}), got {tuple(guide.shape)}")
        weights = self.weights(guide).to(degraded.dtype).expand(len(degraded), -1)
        restored = torch.zeros_like(degraded)
        for expert, weight in zip(self.experts, weights.unbind(1), strict=True):
            asked = weight.nonzero()[:, 0]
            if len(asked):
                answer = expert(degraded[asked]) * weight[asked, None, None, None]
                restored = restored.index_add(0, asked, answer.to(restored.dtype))
        return restored
