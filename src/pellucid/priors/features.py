"""Priors from any network's own features: a restoration model trained elsewhere, as the PTG-RM paper's table 1 has it ("-r")."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, PellucidError, one_line
from pellucid.priors.contract import FrozenPrior, Normalise, unit_rms
from pellucid.priors.hooks import first_tensor, gathered, watch_output

__all__ = ["ModuleFeatures", "deepest_layer"]


class ModuleFeatures(FrozenPrior):
    """What one layer of a network gives, averaged over the image; `maps` gives it where it lies.

    Any module will do that takes images (B, 3, *size). It is frozen and kept, not copied: give a copy if you train it. A
    network that works on several pictures per image, such as its colours one by one, gives the mean of their features.

    Args:
        module: the network.
        layer: the layer's name in the module, as `named_modules` has it; by default `deepest_layer`.
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
        self.layer = deepest_layer(module, size) if layer is None else layer
        if self.layer not in dict(module.named_modules()):
            raise ModelError(f"{name}: {_unknown_layer(self.layer, module)}")
        watch_output(module.get_submodule(self.layer))
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
        watched = self.module.get_submodule(self.layer)
        with gathered() as seen:
            self.module(self.normalise(view))
        given = [features for layer, features in seen if layer is watched]
        if not given or given[-1].ndim < 2 or len(given[-1]) % len(view):
            raise ModelError(f"{self.name}: layer {self.layer!r} gives no features of the image; name another")
        features = given[-1].float()
        return features.reshape(len(view), -1, *features.shape[1:]).mean(1)


@torch.no_grad()
def deepest_layer(module: nn.Module, size: tuple[int, int] = (256, 256)) -> str:
    """The name of the layer that gives a network's smallest feature map: the bottom of a U-Net.

    The network runs once, on a grey image twice as wide as `size`. What does not keep that image's proportions is pooled,
    not a feature map; what has three channels or fewer is an image. Of several maps of the smallest area the outermost
    layer's is taken, and of those the last: what a block gives, rather than what stands inside it. Raises ModelError when
    the network refuses the image, or has no such layer.
    """
    height, width = size[0], 2 * size[1]
    found: list[tuple[str, torch.Size]] = []

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                found.append((name, tensor.shape))

        return hook

    handles = [layer.register_forward_hook(note(name)) for name, layer in module.named_modules() if name]
    weight = next(module.parameters(), torch.empty(0))
    try:
        with _explained(module, height, width):
            module(torch.full((1, 3, height, width), 0.5, device=weight.device, dtype=weight.dtype))
    finally:
        for handle in handles:
            handle.remove()
    ranks = [
        (shape[2] * shape[3], name.count("."), -order, name)
        for order, (name, shape) in enumerate(found)
        if len(shape) == 4 and shape[1] > 3 and 0.7 < shape[3] / shape[2] * height / width < 1.3
    ]
    if not ranks:
        raise ModelError(f"{type(module).__name__}: found no feature map among its layers' outputs; name a layer")
    return min(ranks)[-1]


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


def _unknown_layer(layer: str, module: nn.Module) -> str:
    """The message for a layer that is not there: near names, or the outermost ones."""
    names = [name for name, _ in module.named_modules() if name]
    near = get_close_matches(layer, names, n=3) or [name for name in names if "." not in name]
    return f"{type(module).__name__} has no layer {layer!r}; did you mean {' or '.join(map(repr, near[:8]))}?"
