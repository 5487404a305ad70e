"""Any class on the import path as a network: `package.module:Class` with keyword arguments and a weights file."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError, one_line, unknown_name

__all__ = ["External"]


class External(nn.Module):
    """A foreign network behind the contract of ours: (B, 3, H, W) in [0, 1] in and out.

    Args:
        target: `package.module:Class` (or any callable that returns a module), or a module that is there already.
        arguments: its keyword arguments.
        multiple: sides that it accepts must be divisible by this, in pixels.
        scale: output sides over input sides.
        channels: colour channels it takes; with 1, each colour channel is restored on its own.
        low: the image value that our 0 becomes before the network, and comes back from after it.
        high: the same for our 1; (-1, 1) for networks that work on a symmetric range, (0, 255) for those on bytes.

    Raises:
        SettingsError: the target does not import, or refuses the arguments.
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
    ) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise SettingsError(f"external network: channels must be 1 or 3, got {channels}")
        if multiple < 1 or scale < 1 or high <= low:
            raise SettingsError("external network: multiple and scale must be at least 1, and high above low")
        self.settings: dict[str, Any] = {
            "target": target if isinstance(target, str) else type(target).__qualname__,
            "arguments": dict(arguments or {}),
            "multiple": multiple,
            "scale": scale,
            "channels": channels,
            "low": low,
            "high": high,
        }
        self.multiple, self.scale, self.channels, self.low, self.high = multiple, scale, channels, low, high
        self.network = target if isinstance(target, nn.Module) else _construct(target, arguments or {})

    def forward(self, degraded: Tensor) -> Tensor:
        """Degraded (B, 3, H, W) to restored (B, 3, H * scale, W * scale).

        A network that returns several outputs (coarse to fine, or a dictionary) is taken at its last image of the right size.

        Raises:
            ModelError: it returns no image of that size.
        """
        batch, colours, height, width = degraded.shape
        image = degraded * (self.high - self.low) + self.low
        if self.channels == 1:
            image = image.reshape(batch * colours, 1, height, width)
        shape = (*image.shape[:2], height * self.scale, width * self.scale)
        outputs = _tensors(self.network(image))
        for output in reversed(outputs):
            if output.shape == shape:
                restored = (output - self.low) / (self.high - self.low)
                return restored.reshape(batch, colours, *shape[2:])
        got = ", ".join(str(tuple(output.shape)) for output in outputs) or "no tensor"
        raise ModelError(f"{self.settings['target']}: expected an output of shape {shape}, got {got}")


def _construct(target: str, arguments: Mapping[str, Any]) -> nn.Module:
    if not isinstance(target, str):
        raise SettingsError(f"external network: expected package.module:Class, got {target!r}")
    module_name, colon, class_name = target.partition(":")
    if not colon or not module_name or not class_name:
        raise SettingsError(f"external network: expected package.module:Class, got {target!r}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing foreign code can fail in any way
        raise SettingsError(f"external network: cannot import {module_name!r} ({one_line(error)})") from error
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
