"""One expert after the other: how often a picture is restored by a model of experts, and when to stop.

What one expert leaves, another goes on with. None is asked twice, and after the first none for what the diagnosis has
not found in the picture as it came: a restored one may look blurred or hazy to a gate, which knows degraded ones.
"""

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks import Experts
from pellucid.refinement import Boosted

__all__ = ["Passes"]


@runtime_checkable
class Diagnosing(Protocol):
    """A prior that also says which kinds of degradations it sees."""

    def kinds_found(self, view: Tensor) -> set[str]:
        """The kinds of degradations that a photograph more likely has than not, by its view."""
        ...


class Passes:
    """The passes over one picture. A model without experts that a diagnosis guides has one.

    Args:
        model: what restores.
        most: passes at most.
    """

    def __init__(self, model: nn.Module, most: int) -> None:
        guided = isinstance(model, Boosted) and isinstance(model.network, Experts)
        self._experts: Experts | None = None
        if guided and isinstance(model.prior, Diagnosing) and isinstance(model.network, Experts):
            self._experts, self._prior = model.network, model.prior
        self._most = most
        self._asked: list[int] = []
        self._found: Collection[str] = ()

    def begins(self, guidance: Guidance) -> bool:
        """Whether another pass is to be made over what was looked at last; the first always is."""
        if self._experts is None:
            return True
        assert guidance.vector is not None
        assert guidance.view is not None
        expert = self._experts.top_expert(guidance.vector)
        if not self._asked:
            self._found = self._prior.kinds_found(guidance.view)
        elif expert in self._asked or not self._experts.is_for(expert, self._found):
            return False
        self._asked.append(expert)
        return True

    def ended(self) -> bool:
        """Whether a pass was the last, whatever the result looks like."""
        if self._experts is None or len(self._asked) == self._most:
            return True
        others = (other for other in range(len(self._experts.kinds)) if other not in self._asked)
        return not any(self._experts.is_for(other, self._found) for other in others)
