"""Any class on the import path as a network: `package.module:Class` with keyword arguments and a weights file.

Or a file with a graph of its own (`networks.graphs`).
"""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, PellucidError, SettingsError, one_line, unknown_name
from pellucid.guidance import NOTHING, Guidance
from pellucid.networks.contract import Contract, Network, is_more_than_restore, verbs_of
from pellucid.networks.graphs import is_graph_file, load_graph
from pellucid.scratch import mapped

__all__ = ["External", "module_of"]


class External(Network):
    """A foreign network behind the contract of ours: (B, 3, H, W) in [0, 1] in and out.

    Of a network that returns several outputs (a tuple, a list or a dictionary, also within one another), the last image
    of the right size counts, as where coarse images come before fine ones. One that returns `image, residual` needs
    `output=0`.

    Args:
        target: `package.module:Class` (or any callable that returns a module); a file of TorchScript, torch.export or
            ONNX; or a module that is there already. What is named is run.
        arguments: its keyword arguments.
        multiple: sides that it accepts must be divisible by this, in pixels.
        scale: output sides over input sides.
        channels: colour channels it takes; with 1, each colour channel is restored on its own; with 6, it makes one
            image (B, 3, H, W) of the two views of a dual-pixel sensor (B, 6, H, W).
        low: the image value that our 0 becomes before the network, and comes back from after it.
        high: the same for our 1; (-1, 1) for networks that work on a symmetric range, (0, 255) for those on bytes.
        output: index or key of the output that counts, where it returns several; None takes the last of the right size.
        others: none; settings that are not known end here, to be refused in words.

    Raises:
        SettingsError: the target does not import, or refuses the arguments; or a setting that there is not, or that
            cannot be.
        ModelError: a file cannot be read; or the network refines whole pictures or samples: it is not one call for each
            tile.
    """

    def __init__(
        self,
        target: str | nn.Module,
        arguments: Mapping[str, Any] | None = None,
        *,
        multiple: int = 1,
        scale: int = 1,
        channels: int = 3,
        low: float = 0.0,
        high: float = 1.0,
        output: int | str | None = None,
        **others: Any,
    ) -> None:
        super().__init__()
        if others:  # most often those of the network that a recipe had before
            raise SettingsError(
                f"external network: {unknown_name('setting', next(iter(others)), _settings())}; where a recipe has "
                f"another "
                "network's settings, replace the section: --set 'network={name: external, settings: {target: "
                f"{target if isinstance(target, str) else 'package.module:Class'}}}}}'"
            )
        if channels not in (1, 3, 6):
            raise SettingsError(f"external network: channels must be 1, 3 or 6, got {channels}")
        if multiple < 1 or scale < 1 or high <= low:
            raise SettingsError("external network: multiple and scale must be at least 1, and high above low")
        if not isinstance(output, int | str | None):
            raise SettingsError(f"external network: output must be the index or the key of an output, got {output!r}")
        self.settings = {
            "target": target if isinstance(target, str) else type(target).__qualname__,
            "arguments": dict(arguments or {}),
            "multiple": multiple,
            "scale": scale,
            "channels": channels,
            "low": low,
            "high": high,
            "output": output,
        }
        self.output = output
        self.contract = Contract(multiple=multiple, scale=scale, channels=channels)
        self.low, self.high = low, high
        self.network = target if isinstance(target, nn.Module) else _construct(target, arguments or {})
        if is_more_than_restore(self.network):
            raise ModelError(
                f"a {type(self.network).__name__} takes pictures in [0, 1] as it is: no External around it"
            )

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """What a network of ours within it finds out; others need nothing."""
        return verbs_of(self.network).look(self._taken(image), known, cut=cut)

    def _taken(self, image: Tensor) -> Tensor:
        """An image (B, C, H, W) as the network takes it, its colours one by one where it knows one channel."""
        if (self.low, self.high) != (0, 1):
            image = mapped(lambda part: part * (self.high - self.low) + self.low, image)
        return image.reshape(-1, 1, *image.shape[2:]) if self.contract.channels == 1 else image

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Degraded (B, 3, H, W) to restored (B, 3, H * scale, W * scale); with `channels=6`, (B, 6, H, W) to that.

        Raises:
            ModelError: the network fails on this image, or returns no image of that size.
        """
        channels, scale = self.contract.channels, self.contract.scale
        batch, _, height, width = tile.shape
        image = self._taken(tile)
        restored_colours = 3 if channels == 6 else image.shape[1]
        shape = (image.shape[0], restored_colours, height * scale, width * scale)
        outputs = _tensors(self._counting(self._run(image, guidance)))
        for output in reversed(outputs):
            if output.shape == shape:
                restored = (output - self.low) / (self.high - self.low)
                return restored.reshape(batch, -1, *shape[2:])
        got = ", ".join(str(tuple(output.shape)) for output in outputs) or "no tensor"
        raise ModelError(f"{self.settings['target']}: expected an output of shape {shape}, got {got}")

    def _run(self, image: Tensor, guidance: Guidance) -> Any:
        """What the network returns. Foreign code can fail in any way; what it says is passed on, with what may help."""
        try:
            return verbs_of(self.network)(image, guidance)
        except (PellucidError, MemoryError, torch.OutOfMemoryError):  # these speak for themselves
            raise
        except Exception as error:
            raise ModelError(
                f"{self.settings['target']}: fails on an image of shape {tuple(image.shape)} ({one_line(error)}); if "
                f"it needs "
                "sides that divide by a number, or other channels, set multiple= or channels= of the external network"
            ) from error

    def _counting(self, returned: Any) -> Any:
        """The part of what the network returns that counts."""
        if self.output is None:
            return returned
        if isinstance(returned, Mapping | list | tuple):
            try:
                return returned[self.output]  # type: ignore[index]  # which of both kinds fits, is what is tried
            except (LookupError, TypeError):
                pass
        got = type(returned).__name__
        got += f" with {', '.join(map(repr, returned))}" if isinstance(returned, Mapping) else ""
        got += f" of {len(returned)}" if isinstance(returned, list | tuple) else ""
        raise ModelError(f"{self.settings['target']}: has no output {self.output!r}, for it returns a {got}")


def module_of(network: nn.Module) -> nn.Module:
    """The module that `External` holds, and else the network itself."""
    return network.network if isinstance(network, External) else network


def _settings() -> list[str]:
    """The names of the settings of `External`."""
    return [name for name in inspect.signature(External).parameters if name != "others"]


def _construct(target: str, arguments: Mapping[str, Any]) -> nn.Module:
    if not isinstance(target, str):
        raise SettingsError(f"external network: expected package.module:Class, got {target!r}")
    if is_graph_file(target):
        if arguments:
            raise SettingsError(f"external network: {target} is a file with its own graph; it takes no arguments")
        return load_graph(target)
    module_name, colon, class_name = target.partition(":")
    if not colon or not module_name or not class_name:
        raise SettingsError(f"external network: expected package.module:Class, got {target!r}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing foreign code can fail in any way
        absent = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}.")
        remedy = "; the folder that holds it must be on PYTHONPATH" if absent else ""
        raise SettingsError(f"external network: cannot import {module_name!r} ({one_line(error)}){remedy}") from error
    if not hasattr(module, class_name):
        names = [name for name, value in vars(module).items() if inspect.isclass(value)]
        raise SettingsError(f"external network: {unknown_name(f'class of {module_name}', class_name, names)}")
    try:
        network = getattr(module, class_name)(**arguments)
    except Exception as error:  # so can its constructor
        raise SettingsError(f"external network: {target} refused its arguments ({one_line(error)})") from error
    if not isinstance(network, nn.Module):
        raise SettingsError(f"external network: {target} is not a torch.nn.Module but {type(network).__name__}")
    return network


def _tensors(output: Any) -> list[Tensor]:
    """Every tensor of a network's output, in order."""
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return [tensor for value in values for tensor in _tensors(value)]
