"""A network that restores a picture once, however many refinements of it are scored on that picture."""

import hashlib
from collections import OrderedDict

from torch import Tensor, nn

from pellucid.guidance import NOTHING, Guidance
from pellucid.models.own_network import bytes_of, fingerprint
from pellucid.networks import Network, contract_of
from pellucid.refinement import Boosted

__all__ = ["Remembered"]

MOST = 1 << 30
"""Bytes of results that are kept; the oldest go first."""


class Remembered:
    """Results of networks by their weights and the pixels that they were given; shared by several models.

    Seconds and memory of whoever finds one here are those of the refinement alone.
    """

    def __init__(self) -> None:
        self.found = 0
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0

    def within(self, model: nn.Module) -> nn.Module:
        """A boosted model whose network remembers; what is not boosted, or is told of its prior, as it is."""
        if not isinstance(model, Boosted) or model.inside or contract_of(model.network).vector is not None:
            return model
        if isinstance(model.network, Network) and not model.contract.samples:
            model.network = _Remembering(model.network, self)
        return model

    def get(self, key: str) -> Tensor | None:
        """What is known under a key."""
        kept = self._kept.get(key)
        self.found += kept is not None
        return kept

    def put(self, key: str, restored: Tensor) -> None:
        """Keeps a result."""
        self._kept[key] = restored
        self._bytes += restored.nbytes
        while self._bytes > MOST and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes


class _Remembering(Network):
    def __init__(self, network: Network, remembered: Remembered) -> None:
        super().__init__()
        self.network, self.contract, self.settings = network, network.contract, network.settings
        self._remembered, self._identity = remembered, f"{type(network).__qualname__} {fingerprint(network)}"

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """That of the network."""
        return self.network.look(image, known, cut=cut)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """What the network made of the same pixels, of the same picture, before; or makes of them now."""
        own = [bytes_of(value) for _, value in sorted(guidance.own.items())]
        key = hashlib.sha256(b"|".join([self._identity.encode(), bytes_of(tile), *own])).hexdigest()
        restored = self._remembered.get(key)
        if restored is None:
            restored = self.network(tile, guidance)
            self._remembered.put(key, restored)
        return restored.clone()
