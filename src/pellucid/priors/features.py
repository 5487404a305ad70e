"""Priors from any network's own features: a restoration model trained elsewhere, as the PTG-RM paper's table 1 has it
("-r")."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, PellucidError, SettingsError, one_line
from pellucid.layers import check_layer, find_layer, watched
from pellucid.priors.contract import FrozenPrior, Normalise, unit_rms

__all__ = ["ModuleFeatures"]


class ModuleFeatures(FrozenPrior):
    """What one layer of a network gives, averaged over the image; `maps` gives it where it lies.

    Any module will do that takes images (B, 3, *size). It is frozen and kept, not copied: give a copy if you train it.
    A network that works on several pictures per image, such as its colours one by one, gives the mean of their
    features.

    Args:
        module: the network.
        layer: the layer's name in the module, as `named_modules` has it; by default the deepest one
            (`layers.find_layer`).
        name: recorded in model files, such as "restorer:FILE".
        size: height and width of the view, in pixels; what the network accepts.
        mean, std: what is subtracted from, and divides, RGB in [0, 1], for networks of another range.

    Raises ModelError when there is no such layer, when it gives no features, or when the network refuses the view.
    """

    def __init__(
        self,
        module: nn.Module,
        layer: str | None = None,
        *,
        name: str,
        size: tuple[int, int] = (256, 256),
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__(name, 1, size)
        self.module = module
        self.normalise = Normalise(mean, std)
        self.freeze()
        weight = next(module.parameters(), torch.empty(0))
        self.normalise.to(weight.device, weight.dtype)
        self.layer = _layer(module, layer)
        with _explained(module, *size):
            self.width = self.encode(torch.full((1, 3, *size), 0.5, device=weight.device)).shape[1]

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        features = self._features(view)
        if features.ndim == 4:
            return unit_rms(features.mean((2, 3)))
        return unit_rms(features.reshape(len(view), -1, features.shape[-1]).mean(1))

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The layer's output: (B, 3, H, W) in [0, 1] to (B, C, h, w), not normalised. Raises ModelError for tokens."""
        features = self._features(self.prepare(image))
        if features.ndim != 4:
            raise ModelError(f"{self.name}: layer {self.layer!r} gives no feature map, only a vector")
        return features

    def extra_repr(self) -> str:
        """What `print` and caches tell such priors apart by."""
        return f"{super().extra_repr()}, layer={self.layer}"

    def _features(self, view: Tensor) -> Tensor:
        """What the layer gives, float32: (B, C, h, w), tokens (B, ..., C) or vectors (B, C)."""
        with watched({self.layer: self.module.get_submodule(self.layer)}, copy=True) as seen:
            self.module(self.normalise(view))
        given = [features for _, _, features in seen if features is not None]
        if not given or given[-1].ndim < 2 or len(given[-1]) % len(view):
            raise ModelError(f"{self.name}: layer {self.layer!r} gives no features of the image; name another")
        features: Tensor = given[-1].float()
        return features.reshape(len(view), -1, *features.shape[1:]).mean(1)


def _layer(module: nn.Module, name: str | None) -> str:
    """The layer of that name, of which none is the network itself; without one the deepest."""
    try:
        if name is None:
            return find_layer(module).name
        if name:
            check_layer(module, name)
    except SettingsError as error:
        raise ModelError(str(error)) from None
    return name


@contextmanager
def _explained(module: nn.Module, height: int, width: int) -> Iterator[None]:
    """Around the first run of a network: where it fails, a ModelError that says on what."""
    try:
        yield
    except PellucidError:
        raise
    except Exception as error:  # a foreign network can fail in any way
        raise ModelError(
            f"{type(module).__name__} fails on an RGB image of {height} x {width} ({one_line(error)})"
        ) from error
