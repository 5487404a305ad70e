"""R, fed with vectors that are not the picture's own: does it listen to what the prior says?

The weights stay as they are: this asks what a trained R does with its prior, not what R would have learnt without one.
The controls of training are those of `pellucid ablate`.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.guidance import Guidance
from pellucid.refinement import Boosted
from pellucid.restoration.restorer import Restorer
from pellucid.restoration.tiles import over_tiles

__all__ = ["ANOTHER", "BOOSTED", "FED", "NETWORK", "RANDOM", "ZEROS", "Subject", "partner", "random_like"]

NETWORK = "network alone"
BOOSTED = "boosted"
"""R, fed the picture's own vector."""
ZEROS = "fed zeros"
ANOTHER = "fed another picture's vector"
RANDOM = "fed a random vector"
FED = (ZEROS, ANOTHER, RANDOM)
"""What R is fed with instead of the picture's own vector."""


class Subject:
    """A boosted model whose refinement takes any vector; in float32, since what is looked for is small.

    Args:
        boosted: it is moved to the device.
        device: "auto", "cpu", "cuda", ...
        memory: for intermediate maps, as `RestoreOptions` has it.

    Raises:
        SettingsError: no such device, or a memory that cannot be.
    """

    def __init__(self, boosted: Boosted, *, device: str = "auto", memory: str | None = None) -> None:
        self._restorer = Restorer(boosted, device=device, memory=memory, precision="float32")
        self.boosted, self.device = boosted, self._restorer.device

    def feature(self, degraded: Tensor) -> Tensor:
        """What R takes of the prior for a whole picture (1, 3, H, W): a vector (1, width), or maps; on the CPU."""
        told = self.boosted.told(self._placed(degraded))
        feature = told.maps if self.boosted.takes_maps else told.vector
        assert feature is not None
        return feature.float().cpu()

    def fed_with(self, guidance: Guidance, feature: Tensor) -> Guidance:
        """The same guidance with another feature for R."""
        return guidance.knowing(**{"maps" if self.boosted.takes_maps else "vector": feature.to(self.device)})

    @torch.no_grad()
    def results(self, degraded: Tensor, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the network makes of a picture alone, and what R makes of it with each of several features.

        Args:
            degraded: (1, 3, H, W) in [0, 1], any size.
            features: by name, each as `feature` gives them.

        Returns:
            The same size, in [0, 1], on the CPU: `NETWORK`, then by the names of the features.

        Raises:
            ModelError: a result is not finite.
        """
        image, memory, boosted = self._placed(degraded), self._restorer.memory, self.boosted
        tiles, guidance = self._restorer.tiles(image), self._restorer.look(image)
        restored = over_tiles(boosted.restore, image, boosted.for_network_alone(guidance), tiles)
        found = {NETWORK: restored}
        for name, feature in features.items():
            told = self.fed_with(guidance, feature)
            inside = over_tiles(boosted.restore, image, told, tiles) if boosted.inside else restored
            found[name] = boosted.refine(inside, image, told, memory=memory)
        for name, result in found.items():
            if not result.isfinite().all():
                raise ModelError(f"{name}: the result is not finite")
        return {name: result.clamp(0, 1).contiguous().cpu() for name, result in found.items()}

    def _placed(self, degraded: Tensor) -> Tensor:
        return degraded.float().to(self.device, memory_format=torch.channels_last)


def partner(index: int, count: int) -> int:
    """Whose vector picture number `index` of `count` is fed, never its own: half a set away; neighbours may be alike.

    Raises:
        ValueError: fewer than two pictures.
    """
    if count < 2:
        raise ValueError(f"another picture's vector needs two pictures, got {count}")
    return (index + count // 2) % count


def random_like(feature: Tensor, *names: str) -> Tensor:
    """Normal numbers of a feature's shape and root-mean-square, the same for the same names."""
    seed = int.from_bytes(hashlib.sha256("\0".join(names).encode("utf-8", "backslashreplace")).digest()[:7], "big")
    drawn = torch.randn(feature.shape, generator=torch.Generator().manual_seed(seed))
    return drawn * (feature.square().mean() / drawn.square().mean()).sqrt()
