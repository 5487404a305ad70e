"""Priors from image classifiers: what stands before the last layer, averaged over the image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.checkpoints import load_weights
from pellucid.errors import MissingExtraError, ModelError, SettingsError, one_line, unknown_name
from pellucid.layers import watched
from pellucid.priors.contract import FrozenPrior, Normalise, unit_rms

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ClassifierPrior", "torchvision_prior"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""The normalisation of torchvision's classifiers, RGB in [0, 1]."""


class ClassifierPrior(FrozenPrior):
    """The input of a classifier's last layer, as one vector per image.

    Any classifier in the style of torchvision or timm will do: images (B, 3, *size) in, classes out, and as its head
    the last `nn.Linear`, or where there is none the last 1x1 convolution. What enters the head is averaged over the
    image if it still is a map. The classifier itself is frozen and kept, not copied: give a copy if you train it.

    Args:
        module: the classifier.
        name: recorded in model files.
        size: height and width of the view, in pixels.
        mean, std: what is subtracted from, and divides, RGB in [0, 1]; one number per channel, always in RGB order.
        bgr: whether the classifier takes its channels in the order blue, green, red.
        head: the last layer's name in the module, where the rule above finds the wrong one.

    Raises ModelError when the classifier has no such head, or never runs it.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        size: tuple[int, int] = (224, 224),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        bgr: bool = False,
        head: str | None = None,
    ) -> None:
        head = _find_head(module, name) if head is None else head
        last = dict(module.named_modules()).get(head)
        if not isinstance(last, nn.Linear | nn.Conv2d):
            raise ModelError(f"{name}: the classifier has no linear layer or convolution called {head!r}")
        super().__init__(name, last.in_features if isinstance(last, nn.Linear) else last.in_channels, size)
        self.module = module
        self._head = head
        self.bgr = bgr
        self._pixels = Normalise(mean, std)
        self.freeze()

    def normalise(self, view: Tensor) -> Tensor:
        """What the classifier takes: views (B, 3, *size) in [0, 1], normalised, in its order of channels."""
        pixels: Tensor = self._pixels(view)
        return pixels.flip(1) if self.bgr else pixels

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        head = self.module.get_submodule(self._head)
        entering = [features for layer, features in self._run(view) if layer is head]
        if not entering:
            raise ModelError(
                f"{self.name}: the classifier never runs its layer {self._head!r}; name another as its head"
            )
        features = entering[-1].float()
        return unit_rms(features.mean((2, 3)) if isinstance(head, nn.Conv2d) else _mean_tokens(features))

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The last feature map before pooling: (B, 3, H, W) in [0, 1] to (B, C, h, w), as it is, not normalised.

        Raises ModelError when there is none: the classifier has no `nn.AdaptiveAvgPool2d`, and its head takes vectors.
        """
        # A convolution as the head stands before the pooling, so that the last map seen may be one of classes.
        head = self.module.get_submodule(self._head)
        seen = [(layer, features) for layer, features in self._run(self.prepare(image)) if features.ndim == 4]
        found = [features for layer, features in seen if layer is head] or [features for _, features in seen]
        if not found:
            raise ModelError(f"{self.name}: this classifier has no feature map to show, only a vector")
        return found[-1].float()

    def extra_repr(self) -> str:
        """What `print` and caches tell classifiers apart by."""
        return f"{super().extra_repr()}, head={self._head}, bgr={self.bgr}"

    def _run(self, view: Tensor) -> list[tuple[nn.Module, Tensor]]:
        """What enters the head and the poolings, in the order in which they run."""
        layers = {
            name: layer
            for name, layer in self.module.named_modules()
            if name == self._head or isinstance(layer, nn.AdaptiveAvgPool2d)
        }
        with watched(layers) as seen:
            self.module(self.normalise(view))
        return [(layers[name], inputs[0]) for name, inputs, _ in seen]


def _mean_tokens(features: Tensor) -> Tensor:
    """(B, ..., width) to (B, width): networks of tokens may give them all to the head."""
    return features.flatten(1, -2).mean(1) if features.ndim > 2 else features


def _find_head(module: nn.Module, name: str) -> str:
    layers = list(module.named_modules())
    linear = [key for key, layer in layers if isinstance(layer, nn.Linear)]
    pointwise = [key for key, layer in layers if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)]
    if not linear and not pointwise:
        raise ModelError(
            f"{name}: found neither a linear layer nor a 1x1 convolution to take for the classifier's head"
        )
    head: str = (linear or pointwise)[-1]
    return head


def torchvision_prior(model: str, weights: str | Path | None = None) -> ClassifierPrior:
    """A classifier of torchvision, as `torchvision:MODEL`, with the view and the normalisation of its default weights.

    `weights` is a local copy of the published file; without it torchvision's default weights are downloaded, or taken
    from its cache. Raises MissingExtraError without torchvision, SettingsError for an unknown model, and ModelError
    when the weights cannot be had.
    """
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError("torchvision", "torchvision") from error
    except RuntimeError as error:  # what it says where its own operators cannot be loaded
        raise ModelError(
            f"torchvision:{model}: torchvision does not fit this torch ({one_line(error)}); install both from one place"
        ) from error
    known = models.list_models(module=models)
    if model not in known:
        raise SettingsError(unknown_name("torchvision model", model, known))
    default = models.get_model_weights(model).DEFAULT
    if weights is None:
        try:
            module: Any = models.get_model(model, weights=default, progress=False)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"torchvision:{model}: no weights: download failed ({error}); give a local copy of {default.url}"
            ) from error
    else:
        module = models.get_model(model, weights=None)
        load_weights(module, weights)
        # Published weights of googlenet and inception_v3 come from elsewhere, and expect another normalisation.
        if hasattr(module, "transform_input"):
            module.transform_input = True
    transforms = default.transforms()
    side = transforms.crop_size[0]
    return ClassifierPrior(
        module, name=f"torchvision:{model}", size=(side, side), mean=transforms.mean, std=transforms.std
    )
