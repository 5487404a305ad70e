"""From a model to its file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError
from pellucid.layers import is_compiled
from pellucid.models.file import write_tensors
from pellucid.models.header import ONE_PASS, Header, Policy
from pellucid.models.own_network import bytes_of, file_beside, fingerprint, network_file, save_own_network
from pellucid.models.priors import EMBEDDED_PRIORS
from pellucid.models.refinements import refinement_name
from pellucid.models.tables import network_name
from pellucid.networks import External, contract_of
from pellucid.priors import Cached, Shuffled
from pellucid.refinement import Boosted, network_of

__all__ = ["outside_prior_header", "save", "save_model"]


def save_model(
    module: nn.Module,
    path: Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    policy: Policy = ONE_PASS,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes a model file, whole or not at all.

    Args:
        module: a network of ours, or a `Boosted`. An `External` alone, too, once `save_own_network` has written its
            weights beside the file.
        path: where to.
        recipe: the resolved recipe of its training, JSON-able.
        card: what people should know, JSON-able.
        policy: how pictures are restored by it.
        dtype: of the stored weights; float16 halves the file and is loaded back as float32.

    Raises:
        ModelError: nothing of it is ours to store, or the file cannot be written.
        SettingsError: see `save`.
    """
    tensors, header = _contents(module, path, recipe, card, policy, dtype)
    if header.is_of_own_network and not tensors and not file_beside(path).is_file():
        raise ModelError(f"{path}: nothing of ours to store; the network is external and not boosted")
    write_tensors(tensors, path, header)


def _contents(
    module: nn.Module,
    path: Path,
    recipe: Mapping[str, Any] | None,
    card: Mapping[str, Any] | None,
    policy: Policy,
    dtype: torch.dtype,
) -> tuple[dict[str, Tensor], Header]:
    """The tensors and the header of a model file. Raises what `save` raises before anything is written."""
    if path.suffix != ".safetensors":
        raise SettingsError(f"{path}: model files are .safetensors; save to {path.with_suffix('.safetensors').name}")
    network = network_of(module)
    name = network_name(network)
    stored: dict[str, nn.Module] = {}
    bank: dict[str, Tensor] = {}
    prior_header: dict[str, Any] | None = None
    refinement_header: dict[str, Any] | None = None
    if name is None or isinstance(network, External):
        network_header: dict[str, Any] = {"sha256": fingerprint(network)}
        if isinstance(network, External):
            kept = {key: value for key, value in network.settings.items() if key not in ("target", "arguments")}
            network_header["settings"] = kept
    else:
        network_header = {"name": name, "settings": network.settings}
        stored["network"] = network
    if isinstance(module, Boosted):
        if module.refinement is not None:
            refinement_header = {
                "name": refinement_name(module.refinement),
                "settings": module.refinement.settings,
            }
            stored["refinement"] = module.refinement
        prior = module.prior.prior if isinstance(module.prior, Cached) else module.prior
        embedded = next((key for key, kind in EMBEDDED_PRIORS.items() if type(prior) is kind), None)
        if embedded is not None:
            prior_header = {embedded: prior.settings}
            stored["prior"] = prior
        elif isinstance(prior, Shuffled):
            prior_header = outside_prior_header(prior.prior) | {"shuffled": True}
            bank = {"prior.bank": prior.bank.cpu()}
        else:
            prior_header = outside_prior_header(prior)
    elif contract_of(network).vector is not None:
        raise ModelError(f"{path}: {type(network).__name__} must be told a prior's vector; store it with its prior")
    if not stored and not isinstance(network, External):
        remedy = (
            "save what torch.compile was given"
            if is_compiled(network)
            else "save pellucid.networks.External(network), or what pellucid.boost gave"
        )
        raise ModelError(f"{path}: nothing of ours to store; {remedy}")
    if policy.leave_alone and contract_of(network).scale != 1:
        raise SettingsError(
            f"{path}: a network that enlarges, here by {contract_of(network).scale}, leaves no picture as it is; "
            "set the policy's leave_alone to false"
        )
    tensors = {
        f"{part}.{key}": (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for part, one in stored.items()
        for key, value in one.state_dict().items()
    }
    header = Header(
        network_header, refinement_header, prior_header, policy, recipe=dict(recipe or {}), card=dict(card or {})
    )
    try:
        json.dumps(header.as_dict())
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"{path}: recipe and card must hold what JSON can: texts, numbers, lists ({error})"
        ) from None
    return tensors | bank, header


def save(
    module: nn.Module,
    path: str | Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    policy: Policy = ONE_PASS,
    dtype: torch.dtype = torch.float32,
) -> list[Path]:
    """Writes a model file that `pellucid.load` reads; of a network that is not ours, its weights beside it.

    Those of `boosted.safetensors` go to `boosted.network.safetensors`; keep both together.

    The code of a network of your own is never stored: `pellucid.load(path, network=Yours())` is given the class, and
    fills it with those weights, in `External` with the settings that it had.

    Args:
        module: a network of ours, what `pellucid.boost` gave, or `External`.
        path: of the model file, a .safetensors; its folder is made.
        recipe, card, policy, dtype: as `save_model` takes them.

    Returns:
        The files that were written.

    Raises:
        ModelError: nothing of it is ours to store, the weights are not finite, or a file cannot be written.
        SettingsError: this is no module, the path is no .safetensors, recipe or card hold what JSON cannot, or the
            policy does not suit the network. Nothing is written then.
    """
    if not isinstance(module, nn.Module):
        kind = type(module).__name__
        raise SettingsError(
            f"save: expected a torch.nn.Module, got {kind}; of a Restorer, give its model, and policy=restorer.policy"
        )
    path = Path(path)
    tensors, header = _contents(module, path, recipe, card, policy, dtype)
    network = network_of(module).state_dict() if header.is_of_own_network else {}
    if not all(value.isfinite().all() for value in [*tensors.values(), *network.values()]):  # before either file
        raise ModelError(f"{path}: the weights to be stored are not finite; the training has diverged")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{path.parent}: the folder cannot be made ({error.strerror or error})") from error
    beside = network_file(path)
    written = save_own_network(module, beside.parent, beside.name)
    write_tensors(tensors, path, header)
    return [path, beside] if written else [path]


def outside_prior_header(prior: Any) -> dict[str, str]:
    """What a header says of a prior that is not in the file: its name, and the SHA-256 of its weights, where it has
    any.

    The names of the weights do not count, for they change with the versions of libraries.
    """
    hashes = sorted(hashlib.sha256(bytes_of(value)).hexdigest() for value in prior.state_dict().values())
    return {"name": prior.name} | ({"sha256": hashlib.sha256("".join(hashes).encode()).hexdigest()} if hashes else {})
