"""A network asked about each tile in all its orientations: the mean errs less than any of the answers."""

import torch
from torch import Tensor

from pellucid.guidance import NOTHING, Guidance
from pellucid.networks.contract import Network

__all__ = ["Orientations"]


class Orientations(Network):
    """The mean of what a network makes of the eight orientations of a tile, each turned back.

    Source: Timofte et al., "Seven ways to improve example-based single image super resolution" (CVPR 2016, arXiv
    1511.02228), section 3.5, enhanced prediction; EDSR calls it geometric self-ensemble.

    Args:
        network: a network of ours, for which the tile's orientation means nothing.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.contract, self.settings = network, network.contract, network.settings

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """What the network finds in the upright picture."""
        return self.network.look(image, known, cut=cut)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """See `Network.restore`; it takes eight times as long."""
        total = torch.zeros(())
        for turns in range(4):
            for mirrored in (False, True):
                turned = torch.rot90(tile, turns, (2, 3))
                turned = turned.flip(3) if mirrored else turned
                made = self.network(turned.contiguous(memory_format=torch.channels_last), guidance).float()
                made = made.flip(3) if mirrored else made
                total = total.to(made.device) + torch.rot90(made, -turns, (2, 3))
        return total / 8
