"""What a frozen network makes of fixed photographs, kept on disk: it restores each once, for all runs and their steps.

A photograph is restored whole, as when the network is used; crops are then cut from the result and turned with it, so
that training a refinement costs the refinement alone. A file's name is a hash of the photograph's pixels and of the
network's class, settings and weights: a change of either is another file.
"""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.data.folders import Photographs
from pellucid.errors import DataError
from pellucid.files import written_whole
from pellucid.models.own_network import bytes_of, fingerprint
from pellucid.networks import module_of
from pellucid.restoration.restorer import Restorer

__all__ = ["Outputs"]

FORMAT = 1
"""Raised when what is kept, or what a network computes from the same weights, changes."""


class Outputs:
    """The results of a network, by the numbers of photographs; computed where the folder does not hold them yet.

    They are kept in half precision, which is finer than a file of 8 bits by a factor of eight.

    Args:
        network: in evaluation mode, and never changed again.
        photographs: what it restores.
        folder: made where it is not there; several networks may share one.

    Raises:
        DataError: the folder cannot be made.
    """

    def __init__(self, network: nn.Module, photographs: Photographs, folder: Path) -> None:
        self.photographs, self.folder = photographs, folder
        self.found = self.computed = 0
        self._restorer = Restorer(network, precision="float32")
        own = module_of(network)
        said = f"{FORMAT} {type(own).__module__}.{type(own).__qualname__} {getattr(own, 'settings', '')}"
        self._network = f"{said} {fingerprint(network)}".encode()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: the folder cannot be made ({error.strerror})") from error

    def __getitem__(self, index: int) -> Tensor:
        """What the network makes of photograph `index`: float32 (3, H, W), not clamped.

        Raises:
            ModelError: the network fails, or gives another size.
            DataError: the result cannot be written.
        """
        photograph = self.photographs[index]
        file = self.folder / f"{hashlib.sha256(self._network + bytes_of(photograph)).hexdigest()[:40]}.npy"
        kept = self._read(file, photograph)
        if kept is not None:
            self.found += 1
            return kept
        restored = self._restorer.unrefined(photograph[None])[0].half()
        self.computed += 1
        try:
            with written_whole(file) as partial, partial.open("wb") as stream:
                np.save(stream, restored.numpy())
        except OSError as error:
            raise DataError(f"{file}: cannot be written ({error.strerror})") from error
        return restored.float()

    @staticmethod
    def _read(file: Path, photograph: Tensor) -> Tensor | None:
        """What a file holds; None where it is not there, or damaged, which is said."""
        if not file.exists():
            return None
        try:
            kept = torch.from_numpy(np.load(file, allow_pickle=False)).float()
        except (OSError, ValueError, TypeError):
            kept = torch.empty(0)
        if kept.shape == photograph.shape:
            return kept
        warnings.warn(f"{file}: damaged; its photograph is restored again", stacklevel=3)
        return None
