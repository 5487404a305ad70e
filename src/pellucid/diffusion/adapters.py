"""Adapters: few weights that change a frozen network, merged into it, saved and loaded by themselves.

    lora    W + (alpha / rank) B A                       (Hu et al., ICLR 2022, arXiv 2106.09685)
    boft    R W, with R a product of butterfly factors   (Liu et al., ICLR 2024, arXiv 2311.06243)

Both begin as the identity. For LoRA these are forty lines, so peft is not needed; its BOFT on a machine without the
compiled kernel silently has one factor whatever is asked for, which is OFT.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pellucid.errors import ModelError, SettingsError, unknown_name
from pellucid.files import written_whole

__all__ = ["ADAPTERS", "Butterfly", "LowRank", "adapt", "energy", "load_adapter", "merge", "save_adapter"]


class LowRank(nn.Module):
    """W + (alpha / rank) B A: a weight with a change of few dimensions; B begins at zero.

    Args:
        weight: what is adapted, (out, in) or (out, in, k, k).
        rank: of the change.
        alpha: how much it counts, over the rank.
    """

    def __init__(self, weight: Tensor, rank: int = 8, alpha: float | None = None) -> None:
        super().__init__()
        outside, inside = len(weight), weight[0].numel()
        if not 1 <= rank <= min(outside, inside):
            raise SettingsError(f"lora: the rank lies in 1..{min(outside, inside)} for this layer, got {rank}")
        self.scale = (rank if alpha is None else alpha) / rank
        self.down = nn.Parameter(torch.randn(rank, inside) / rank)
        self.up = nn.Parameter(torch.zeros(outside, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight, same shape."""
        return weight + self.scale * (self.up @ self.down).view_as(weight).to(weight)


class Butterfly(nn.Module):
    """R W: the output neurons of a weight turned by an orthogonal matrix of butterfly structure.

    R is a product of `factors` matrices. Factor i mixes groups of `block` inputs that lie `block`^i apart, each by an
    orthogonal matrix of its own, Cayley's (I + S)(I - S)^-1 of a skew S that begins at zero; with one factor this is
    OFT's block diagonal. Turning leaves the length of every neuron's column and all angles between them as they are.

    Args:
        weight: what is adapted, (out, in) or (out, in, k, k); the turned dimension is that of the inputs, so neurons
            keep their pairwise angles.
        block: sides of the orthogonal blocks.
        factors: of the product.

    Raises:
        SettingsError: the inputs cannot be cut so.
    """

    def __init__(self, weight: Tensor, block: int = 4, factors: int = 2) -> None:
        super().__init__()
        width = weight[0].numel()
        if block < 2 or factors < 1 or width % block**factors:
            raise SettingsError(
                f"boft: {width} inputs cannot be cut in blocks of {block} over {factors} factors; {block}^{factors} "
                "must divide them"
            )
        self.block, self.factors, self.width = block, factors, width
        self.skews = nn.Parameter(torch.zeros(factors, width // block, block * (block - 1) // 2))

    def rotations(self) -> Tensor:
        """The orthogonal blocks of all factors, (factors, width / block, block, block)."""
        upper = torch.triu_indices(self.block, self.block, 1, device=self.skews.device)
        skew = self.skews.new_zeros(*self.skews.shape[:2], self.block, self.block)
        skew[..., upper[0], upper[1]] = self.skews
        skew = skew - skew.mT
        one = torch.eye(self.block, device=skew.device, dtype=skew.dtype)
        blocks: Tensor = torch.linalg.solve(one - skew, one + skew)
        return blocks

    def forward(self, weight: Tensor) -> Tensor:
        """The turned weight, same shape."""
        flat = weight.flatten(1).float()
        for factor, blocks in enumerate(self.rotations().float()):
            stride = self.block**factor
            # Inputs as (groups, block, stride): those of one block lie `stride` apart.
            cut = flat.view(len(flat), -1, self.block, stride).transpose(2, 3)
            turned = torch.einsum("ogsb,gscb->ogsc", cut, blocks.view(-1, stride, self.block, self.block))
            flat = turned.transpose(2, 3).reshape(flat.shape)
        return flat.view_as(weight).to(weight)

    def matrix(self) -> Tensor:
        """R whole, (width, width)."""
        turned: Tensor = self(torch.eye(self.width, device=self.skews.device))
        return turned.mT


ADAPTERS: Mapping[str, Any] = {"lora": LowRank, "boft": Butterfly}


def adapt(
    network: nn.Module, kind: str, targets: tuple[str, ...] = (), spared: tuple[str, ...] = (), **settings: Any
) -> list[str]:
    """Freezes a network and puts adapters on its linear and convolutional layers.

    Args:
        network: what is adapted, in place.
        kind: of ADAPTERS.
        targets: ends of the layers' names, such as `to_q` or `first`; none for all that can be adapted.
        spared: ends of the names of those that are not, where nothing else is named.
        settings: of the adapter.

    Returns:
        The names of the layers that were adapted.

    Raises:
        SettingsError: an unknown kind, or no layer that it fits.
    """
    if kind not in ADAPTERS:
        raise SettingsError(unknown_name("adapter", kind, ADAPTERS))
    network.requires_grad_(False)
    adapted, reason = [], "no layer has such a name"
    for name, layer in list(network.named_modules()):
        if not isinstance(layer, nn.Linear | nn.Conv2d) or (targets and not name.endswith(targets)):
            continue
        if not targets and spared and name.endswith(spared):
            continue
        try:
            adapter = ADAPTERS[kind](layer.weight, **settings)
        except SettingsError as error:
            if targets:
                raise SettingsError(f"{name}: {error}") from None
            reason = str(error)
            continue
        parametrize.register_parametrization(layer, "weight", adapter.to(layer.weight.device))
        adapted.append(name)
    if not adapted:
        raise SettingsError(f"nothing to adapt: {reason}")
    return adapted


def merge(network: nn.Module) -> None:
    """Makes what adapters do part of the weights, and takes the adapters off."""
    for layer, _ in list(_adapted(network)):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def save_adapter(network: nn.Module, path: Path, *, kind: str, settings: Mapping[str, Any]) -> None:
    """Writes a network's adapters, without the network: what they are, for which weights, and their own.

    Raises:
        ModelError: there are none, or the file cannot be written.
    """
    tensors = {
        f"{_name(network, layer)}.{key}": value.detach().contiguous().cpu()
        for layer, adapter in _adapted(network)
        for key, value in adapter.state_dict().items()
    }
    if not tensors:
        raise ModelError(f"{path}: the network has no adapters to store")
    told = {"kind": kind, "settings": dict(settings), "base": _fingerprint(network)}
    try:
        with written_whole(path) as partial:
            save_file(tensors, partial, metadata={"pellucid-adapter": json.dumps(told, sort_keys=True)})
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror or error})") from error


def load_adapter(network: nn.Module, path: Path) -> None:
    """Puts stored adapters on the network that they were made for.

    Raises:
        ModelError: it is no file of adapters, or they are for another base.
    """
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("pellucid-adapter")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable file of adapters ({error})".splitlines()[0]) from error
    if text is None:
        raise ModelError(f"{path}: not a file of adapters (its header is missing)")
    told = json.loads(text)
    if told["base"] != _fingerprint(network):
        raise ModelError(f"{path}: its adapters are for another base than this network")
    layers = tuple(dict.fromkeys(key.rpartition(".")[0] for key in tensors))
    known = dict(network.named_modules())
    network.requires_grad_(False)
    for name in layers:
        layer = known[name]
        adapter = ADAPTERS[told["kind"]](layer.weight, **told["settings"])
        adapter.load_state_dict(
            {key.rpartition(".")[2]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
        )
        parametrize.register_parametrization(layer, "weight", adapter)


def energy(weight: Tensor) -> Tensor:
    """The hyperspherical energy of a layer's neurons, the rows of (out, in): the sum of 1 over the distances of their
    directions, which an orthogonal adapter leaves as it is (equation 1 of the paper on BOFT)."""
    directions = F.normalize(weight.flatten(1).double(), dim=1)
    distances = torch.pdist(directions)
    return (1 / distances.clamp_min(1e-9)).sum()


def _adapted(network: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    for layer in network.modules():
        found = getattr(layer, "parametrizations", None)
        if found is not None and "weight" in found and isinstance(found["weight"][0], LowRank | Butterfly):
            yield layer, found["weight"][0]


def _name(network: nn.Module, wanted: nn.Module) -> str:
    return next(str(name) for name, layer in network.named_modules() if layer is wanted)


def _fingerprint(network: nn.Module) -> str:
    """What a base is known by: names, shapes and sums of its weights, without those of adapters."""
    from hashlib import sha256

    found = sha256()
    for key, value in sorted(network.state_dict().items()):
        if ".parametrizations.weight.0." in f".{key}":
            continue
        name = key.replace("parametrizations.weight.original", "weight")
        found.update(f"{name} {tuple(value.shape)} {math.fsum(value.double().flatten()[:4096].tolist()):.9e}".encode())
    return found.hexdigest()
