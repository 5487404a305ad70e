"""What every restoration network is: two verbs, and one record of what it takes.

    guidance = network.look(image)                   what it must know of the whole picture; most need nothing
    restored = network.restore(tile, guidance)       any part of it; (B, channels, h, w) to (B, channels, h, w)

A network that needs nothing of the whole defines `restore` alone. A module of somebody else's, images to images, is
taken as it is: `verbs_of` gives it the two verbs. Other ranges, channels and outputs are adapted by
`networks.external`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, overload

from torch import Tensor, nn

from pellucid.errors import ModelError
from pellucid.guidance import NOTHING, Guidance

__all__ = [
    "Compiled",
    "Contract",
    "Network",
    "Plain",
    "SamplingNetwork",
    "Verbs",
    "contract_of",
    "is_more_than_restore",
    "verbs_of",
]


@dataclass(frozen=True)
class Contract:
    """What a network is, as data.

    Attributes:
        multiple: what the sides of its input must divide by, in pixels; whoever calls it pads.
        scale: output sides over input sides.
        scales: for a network that can be told by how much (`Guidance.scale`): all that it can, `scale` being what it
            does when it is told nothing; empty for others.
        channels: of its input: 3 for colour; 1 for a network of planes, which restores each channel of a colour image
            on its own; 6 for the two views of a dual-pixel sensor, of which it makes one image.
        vector: the length of the prior's vector that it must be told; None where it needs none.
        words: whether it can be told in words what is wanted.
        numbers: what it can be told in numbers, by name: `sigma`, the standard deviation of the noise on the scale
            0..255; `ratio`, by how much light is to grow. What is not told, it estimates or has by its settings.
        reference: whether it can be shown another picture of what it restores, `Guidance.reference`.
        looks: whether it finds something out by itself from the whole picture.
        glance: where it needs no more of the whole than its means over so many parts along each side: how many.
            Training, which sees crops, then shows it the whole photographs like that.
        samples: whether it restores in many steps from noise (`SamplingNetwork`).
        experts: whether it asks networks within it, as the prior's vector says (`networks.Experts`).
    """

    multiple: int = 1
    scale: int = 1
    scales: tuple[int, ...] = ()
    channels: int = 3
    vector: int | None = None
    words: bool = False
    numbers: tuple[str, ...] = ()
    reference: bool = False
    looks: bool = False
    glance: int | None = None
    samples: bool = False
    experts: bool = False


class Verbs(Protocol):
    """Whatever restores: a network of ours, a boosted one, or somebody else's in `Plain`."""

    @property
    def contract(self) -> Contract:
        """What it is."""
        ...

    def look(self, image: Tensor, known: Guidance = ..., *, cut: bool = ...) -> Guidance:
        """See `Network.look`."""
        ...

    def __call__(self, tile: Tensor, guidance: Guidance = ...) -> Tensor:
        """Restores a tile: see `Network.restore`. Called so, hooks on the network run, and what is compiled is used."""
        ...

    def refine(self, restored: Tensor, degraded: Tensor, guidance: Guidance, *, memory: int | None = ...) -> Tensor:
        """See `Network.refine`."""
        ...


class Network(nn.Module):
    """The base of every network of ours.

    Attributes:
        contract: what it is; set by the constructor.
        settings: the constructor's arguments, JSON-able, from which a model file builds it again.
    """

    contract: Contract
    settings: dict[str, Any]

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """What the network must be told of a whole picture when it restores parts of it.

        Args:
            image: the whole picture, (B, channels, H, W) in [0, 1], any size, not padded.
            known: what is known already.
            cut: whether tiles will be restored. A network that is given the whole picture, padded to its multiple, may
                leave to `restore` what it finds out there just as well.

        Returns:
            `known` and what was found.
        """
        return known

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Degraded (B, channels, h, w), sides divisible by `contract.multiple`, to restored, sides times
        `contract.scale`, or the guidance's where the network has several.

        What the guidance does not say, the network takes from the tile, as if it were the whole picture.
        """
        raise NotImplementedError

    def refine(self, restored: Tensor, degraded: Tensor, guidance: Guidance, *, memory: int | None = None) -> Tensor:
        """What is left to do with the whole restored picture, (B, 3, H, W), where its tiles are joined: here
        nothing."""
        return restored

    def traced(self, tile: Tensor, guidance: Guidance) -> tuple[Tensor, Any]:
        """What `restore` gives, and what the network's own loss looks at beside it, such as curves; here nothing."""
        return self.restore(tile, guidance), None

    @overload
    def forward(self, degraded: Tensor, guidance: Guidance = ..., *, trace: Literal[False] = ...) -> Tensor: ...

    @overload
    def forward(self, degraded: Tensor, guidance: Guidance = ..., *, trace: Literal[True]) -> tuple[Tensor, Any]: ...

    def forward(
        self, degraded: Tensor, guidance: Guidance = NOTHING, *, trace: bool = False
    ) -> Tensor | tuple[Tensor, Any]:
        """Restores images: `restore`, or with `trace` what `traced` gives."""
        return self.traced(degraded, guidance) if trace else self.restore(degraded, guidance)


class SamplingNetwork(Network):
    """A network that restores in steps, from a state that begins as noise; tiles meet within every step.

    `restoration.sampling` runs it over pictures of any size: in each step the tiles' predictions are blended, and one
    step of the scheduler is taken with the whole. `restore` runs all steps on what it is given.

    Attributes:
        stride: pixels of the image, along each side, for one place of the state; it divides `contract.multiple`.
        decodes_whole: whether `decode` takes states of any size, and gives of the whole what it would not of tiles.
    """

    stride: int = 1
    decodes_whole: bool = False

    def times(self) -> Sequence[int]:
        """The steps' times, from noise to image."""
        raise NotImplementedError

    def start(self, degraded: Tensor, guidance: Guidance) -> Tensor:
        """The first state of whole pictures (B, channels, H, W): (B, C, H / stride, W / stride), drawn by the seed."""
        raise NotImplementedError

    def predict(self, state: Tensor, degraded: Tensor, time: int, guidance: Guidance) -> Tensor:
        """What the network says at a time of a part of the state, (B, C, h, w), and the same part of the picture."""
        raise NotImplementedError

    def advance(self, state: Tensor, prediction: Tensor, time: int) -> Tensor:
        """The next state, of the whole, from the whole prediction."""
        raise NotImplementedError

    def decode(self, state: Tensor, degraded: Tensor, guidance: Guidance) -> Tensor:
        """From a part of the last state to the same part of the restored picture; here it is one already."""
        return state

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """All steps on one tile, as if it were the whole picture."""
        state = self.start(tile, guidance)
        for time in self.times():
            state = self.advance(state, self.predict(state, tile, time, guidance), time)
        return self.decode(state, tile, guidance)


class Plain:
    """A module of somebody else's, images to images, under the two verbs; it needs nothing of the whole picture."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @property
    def contract(self) -> Contract:
        """What the module says of itself by whole numbers `multiple` and `scale`; 1 where it says nothing."""
        return Contract(multiple=_whole_number(self.module, "multiple"), scale=_whole_number(self.module, "scale"))

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """See `Network.look`: nothing more."""
        return known

    def __call__(self, tile: Tensor, guidance: Guidance = NOTHING) -> Tensor:
        """What the module makes of the tile."""
        restored: Tensor = self.module(tile)
        return restored

    def refine(self, restored: Tensor, degraded: Tensor, guidance: Guidance, *, memory: int | None = None) -> Tensor:
        """See `Network.refine`: nothing."""
        return restored


class Compiled:
    """A network of ours behind `torch.compile`: it looks as it is, and restores compiled."""

    def __init__(self, network: Network, compiled: nn.Module) -> None:
        self.network, self.compiled = network, compiled

    @property
    def contract(self) -> Contract:
        """That of the network."""
        return self.network.contract

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """See `Network.look`."""
        return self.network.look(image, known, cut=cut)

    def __call__(self, tile: Tensor, guidance: Guidance = NOTHING) -> Tensor:
        """What the compiled network makes of the tile."""
        restored: Tensor = self.compiled(tile, guidance)
        return restored

    def refine(self, restored: Tensor, degraded: Tensor, guidance: Guidance, *, memory: int | None = None) -> Tensor:
        """See `Network.refine`."""
        return self.network.refine(restored, degraded, guidance, memory=memory)


def verbs_of(network: nn.Module) -> Verbs:
    """The two verbs of any network.

    Raises:
        ModelError: it is compiled, and more than its `restore` makes the picture: compiled, it would be only part of
            it.
    """
    if isinstance(network, Network):
        return network
    inner = getattr(network, "_orig_mod", None)  # what torch.compile made its module of
    if not isinstance(inner, Network):
        return Plain(network)
    if is_more_than_restore(inner):
        raise ModelError(
            f"a compiled {type(inner).__name__} cannot restore pictures tile by tile; compile the network within it "
            "instead, before it is put there: pellucid.boost(torch.compile(network), ...)"
        )
    return Compiled(inner, network)


def is_more_than_restore(network: nn.Module) -> bool:
    """Whether tiles meet within what it does, by a refinement of the whole or in steps: `restore` is not all."""
    return isinstance(network, Network) and (network.contract.samples or type(network).refine is not Network.refine)


def contract_of(network: nn.Module) -> Contract:
    """What any network is."""
    return verbs_of(network).contract


def _whole_number(module: nn.Module, name: str) -> int:
    value = getattr(module, name, 1)
    return value if isinstance(value, int) and value > 0 else 1
