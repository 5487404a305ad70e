"""Muon: steps of a weight matrix in which every direction counts alike; AdamW for all other weights."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "matrices_of", "orthogonalised"]

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, for some weights; AdamW for the others.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with Nesterov's momentum
    and the five iterations of Newton and Schulz of degree five given there. A convolution's weight (out, in, k, k)
    counts as a matrix (out, in k k), as there.

    Args:
        matrices: weights of two axes or more that are stepped so.
        others: the rest.
        learning_rate: of the others.
        matrix_learning_rate: of the matrices: the size of a step in every direction, before `max(1, rows / columns)`
            under a root.
        betas: of AdamW.
        weight_decay: of all, times the rate.
        epsilon: of AdamW.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        others: Sequence[Tensor],
        *,
        learning_rate: float,
        matrix_learning_rate: float,
        betas: tuple[float, float],
        weight_decay: float = 0.0,
        epsilon: float = 1e-8,
    ) -> None:
        if any(matrix.ndim < 2 for matrix in matrices):
            raise ValueError("Muon steps weights of two axes or more")
        groups = [
            {"params": list(matrices), "lr": matrix_learning_rate, "orthogonal": True},
            {"params": list(others), "lr": learning_rate, "orthogonal": False},
        ]
        super().__init__(
            [group for group in groups if group["params"]],
            {"betas": betas, "weight_decay": weight_decay, "epsilon": epsilon},
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step with the gradients that are there."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    change = self._orthogonal(parameter) if group["orthogonal"] else self._adam(parameter, group)
                    parameter.sub_(change, alpha=group["lr"])

    def _orthogonal(self, parameter: Tensor) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        matrix = gradient.lerp(momentum, MOMENTUM).flatten(1)
        rows, columns = matrix.shape
        change: Tensor = orthogonalised(matrix).view(parameter.shape)
        return change.mul_(math.sqrt(max(1, rows / columns)))

    def _adam(self, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
        betas: tuple[float, float] = group["betas"]
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 1 - betas[0])
        square = state["square"].lerp_(gradient.square(), 1 - betas[1])
        size = (square / (1 - betas[1] ** state["step"])).sqrt_().add_(group["epsilon"])
        change: Tensor = mean / (1 - betas[0] ** state["step"]) / size
        return change


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of `matrix` (rows, columns) and singular values near 1, about 0.7 to 1.2."""
    first, third, fifth = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
    result: Tensor = wide / (wide.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = result @ result.mT
        result = first * result + (third * square + fifth * square @ square) @ result
    return result if matrix.shape[0] <= matrix.shape[1] else result.mT


def matrices_of(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The weights of two axes or more of some modules that learn, each once."""
    found = {id(value): value for module in modules for value in module.parameters() if value.ndim > 1}
    return [value for value in found.values() if value.requires_grad]
