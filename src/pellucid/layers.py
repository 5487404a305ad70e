"""The layers of any network: finding the one that gives its deepest feature map, watching and replacing what layers
give.

A layer is a module of the network, by its dotted name, which runs once in a forward pass and gives one map (B, C, h,
w).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from math import lcm
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError, one_line, unknown_name

__all__ = [
    "Layer",
    "check_layer",
    "find_layer",
    "first_tensor",
    "is_compiled",
    "replaced",
    "statistics_kept",
    "watched",
]

# The probe's sides are as 3 to 5: so are those of feature maps, and not those of pooled maps, attention matrices or
# channels-last maps. 32 is the usual largest stride.
PROBE = (3 * 32, 5 * 32)


@dataclass(frozen=True)
class Layer:
    """A layer's dotted name in its network, and the channels of its map."""

    name: str
    channels: int


@dataclass
class _Seen:
    """What a probing forward pass saw of a module: how often it ran, and what came out last, and when."""

    calls: int = 0
    output: Any = None
    order: int = 0

    def problem(self) -> str | None:
        """Why this is not a layer, in words; None where it is."""
        if self.calls != 1:
            return "does not run in a forward pass" if not self.calls else f"runs {self.calls} times in a forward pass"
        if not isinstance(self.output, tuple):
            return f"gives {self.output}"
        return None if self.is_map() else f"gives a tensor of shape {self.output}"

    def is_map(self) -> bool:
        """Whether what came out last is one map."""
        return isinstance(self.output, tuple) and len(self.output) == 4


def find_layer(network: nn.Module, name: str | None = None, *, multiple: int = 1, repeated: bool = False) -> Layer:
    """The layer called `name`; None: the network's deepest, found by one forward pass over a blank image.

    The deepest is the one with the smallest feature map; of several that are equally small, the outermost by name, and
    of these the last to run. Maps of 3 channels or fewer do not count: they are images, masks or gates.

    Args:
        network: images (B, 3, H, W) to images; (B, 1, H, W) and (B, 6, H, W) are tried, too. It is left as it was.
        name: the module's dotted name, such as "encoders.3".
        multiple: what the sides of the network's input must divide by.
        repeated: where no layer is found that runs once, take one that runs several times, by the last map it gives.

    Raises:
        SettingsError: there is no such module, it does not run exactly once, or gives anything but one map; the near
            names.
        ModelError: the network cannot be run, or has no feature map that is found without a name.
    """
    if name is not None:
        check_layer(network, name)
    seen = _probe(network, multiple)
    layers = {key: found for key, found in seen.items() if found.problem() is None}
    if name is not None:
        problem = seen[name].problem()
        if problem is not None:
            near = ", ".join(map(repr, _shortlist(name, layers))) or "none found"
            raise SettingsError(
                f"layer {name!r} of {type(network).__name__} {problem}; name one that gives one map, once: {near}"
            )
        return Layer(name, layers[name].output[1])
    maps = {key: found for key, found in layers.items() if _is_feature_map(found.output)}
    if not maps and repeated:
        maps = {key: found for key, found in seen.items() if found.is_map() and _is_feature_map(found.output)}
    if not maps:
        raise ModelError(f"{type(network).__name__}: no feature map found to refine; name the module with layer=...")
    name = min(maps, key=lambda key: (maps[key].output[2] * maps[key].output[3], key.count("."), -maps[key].order))
    return Layer(name, maps[name].output[1])


def check_layer(network: nn.Module, name: str) -> None:
    """Raises SettingsError, with the near names, where the network has no module of that dotted name."""
    names = [key for key, _ in network.named_modules() if key]
    if not isinstance(name, str):
        raise SettingsError(f"layer must be the dotted name of a module of {type(network).__name__}, got {name!r}")
    if name not in names:
        shown = _shortlist(name, names)
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        raise SettingsError(unknown_name(f"layer of {type(network).__name__}", name, shown) + more)


def is_compiled(network: nn.Module) -> bool:
    """Whether torch.compile has been on a network, or on a module of it: once it has run, no layer can be replaced any
    more."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in network.modules()
    )


@contextmanager
def replaced(network: nn.Module, name: str, replace: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, what the layer called `name` gives in this thread is replaced by `replace` of it.

    The network is neither changed nor copied: a hook is there for as long as this lasts.

    Raises:
        ModelError: the layer gave anything but one map, or did not run exactly once.
    """
    thread, calls = get_ident(), 0  # another thread that runs the same network is left alone

    def hook(_: nn.Module, inputs: Any, output: Any) -> Tensor | None:
        nonlocal calls
        if get_ident() != thread:
            return None
        calls += 1
        if calls > 1 or not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            problem = "ran twice" if calls > 1 else f"gave {shape}"
            raise ModelError(
                f"layer {name!r} of {type(network).__name__} {problem}; expected one map (B, C, h, w), once"
            )
        return replace(output)

    handle = network.get_submodule(name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if not calls:
        raise ModelError(
            f"layer {name!r} of {type(network).__name__} did not run; a network that is compiled runs past it: leave "
            f"the network "
            "as it is, and compile R alone, with boosted.refinement.compile()"
        )


@torch.no_grad()
def _probe(network: nn.Module, multiple: int) -> dict[str, _Seen]:
    """What every module but the network itself does in one forward pass."""
    place = next(network.parameters(), torch.empty(0))
    sides = [lcm(side // factor, multiple) * factor for side, factor in zip(PROBE, (3, 5), strict=True)]
    modes = [(module, module.training) for module in network.modules()]
    first: Exception | None = None
    network.eval()
    try:
        for channels in (3, 1, 6):
            image = torch.full((1, channels, *sides), 0.5, device=place.device, dtype=place.dtype)
            try:
                return _watch(network, image)
            except Exception as error:  # foreign code can fail in any way
                first = first or error
    finally:
        for module, training in modes:
            module.training = training
    assert first is not None
    raise ModelError(f"{type(network).__name__}: cannot be run to find its layers ({one_line(first)})") from first


def _watch(network: nn.Module, image: Tensor) -> dict[str, _Seen]:
    modules = {name: module for name, module in network.named_modules() if name}
    seen = {name: _Seen() for name in modules}
    with watched(modules) as ran:
        network(image)
    for order, (name, _, output) in enumerate(ran):
        shape = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
        seen[name] = _Seen(seen[name].calls + 1, shape, order)
    return seen


def _is_feature_map(shape: tuple[int, ...]) -> bool:
    """Whether a map has the proportions of the image, but for padding, and more channels than images and masks have."""
    channels, height, width = shape[1:]
    return channels > 3 and 0.9 < 5 * height / (3 * width) < 1.1


def _shortlist(name: str, names: Collection[str]) -> list[str]:
    """The names worth showing, for a network has hundreds: the near ones, then the outermost."""
    near = get_close_matches(name, names, n=6)
    return near + sorted(set(names) - set(near), key=lambda key: (key.count("."), key))[: 8 - len(near)]


@contextmanager
def watched(
    modules: Mapping[str, nn.Module], *, copy: bool = False
) -> Iterator[list[tuple[str, tuple[Any, ...], Any]]]:
    """While it lasts, what modules take and give in this thread: name, inputs and output of each, as they run.

    Args:
        modules: by names of the caller's choosing.
        copy: keep a copy of the first tensor of what they give, for a later layer may work in place.
    """
    seen: list[tuple[str, tuple[Any, ...], Any]] = []
    thread = get_ident()  # another thread that runs the same module is left alone

    def watcher(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if get_ident() == thread:
                seen.append((name, inputs, _copied(output) if copy else output))

        return hook

    handles = [module.register_forward_hook(watcher(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _copied(output: Any) -> Tensor | None:
    tensor = first_tensor(output)
    return None if tensor is None else tensor.detach().clone()


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of what a layer returns: a tensor, or nested tuples, lists and dictionaries of them."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return next((tensor for value in values if (tensor := first_tensor(value)) is not None), None)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """A context in which normalisations that learn the statistics of what they see, such as `BatchNorm2d`, learn
    nothing."""
    learning: list[Any] = [
        module for module in network.modules() if module.training and getattr(module, "track_running_stats", False)
    ]
    for module in learning:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in learning:
            module.track_running_stats = True
