"""From a model's file to the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.checkpoints import load_weights, read_weights
from pellucid.data.benchmarks.places import weights_root
from pellucid.errors import ModelError, SettingsError, one_line
from pellucid.models.assemble import assemble
from pellucid.models.file import StrangerError, fill, has_header, header_of_foreign, open_model
from pellucid.models.foreign import foreign
from pellucid.models.header import Header
from pellucid.models.own_network import fill_own_network, own_network, own_weights
from pellucid.models.priors import Weights, embedded_prior, find_prior, network_in
from pellucid.models.published import recognise
from pellucid.models.refinements import build_refinement, feature_width
from pellucid.models.save import outside_prior_header
from pellucid.models.tables import module_within, network_name
from pellucid.networks import External, module_of
from pellucid.priors import Shuffled

__all__ = ["LoadedModel", "load_model", "load_network_weights"]


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model: the module, ready to restore, and the header of its file."""

    module: nn.Module
    header: Header


def load_model(
    path: Path,
    *,
    network: nn.Module | None = None,
    import_network: bool = False,
    prior_weights: Path | None = None,
) -> LoadedModel:
    """Builds what a model file holds.

    Args:
        path: the file, or the weights of a published network as their authors give them.
        network: for a file that is for a network of your own, that network, in `External` or as it is. Where its
            weights are not those that the file was made with, it is given those that lie beside the file.
        import_network: for such a file, import the network that its recipe names instead: this runs its code.
        prior_weights: for a file whose prior is not embedded, that prior's weights.

    Raises:
        ModelError: missing, damaged, not ours and not recognised, of a newer format, or not fitting together.
    """
    try:
        header, tensors = open_model(path)
    except StrangerError as error:
        found = foreign(error.weights)
        if found is None:
            raise
        return LoadedModel(found.network.eval(), header_of_foreign(found))
    try:
        if header.is_of_own_network:
            restoring = own_network(network, header, path, imported=import_network)
        elif network is not None:
            raise ModelError(f"{path}: has a network of its own, and is loaded without network=...")
        else:
            restoring = network_in(header, tensors, path)
        refinement: nn.Module | None = None
        if header.refinement is not None:
            with torch.device("meta"):
                refinement = build_refinement(header.refinement["name"], header.refinement["settings"])
            fill(refinement, tensors, "refinement", path)
        prior = None if header.prior is None else _prior(header, tensors, path, prior_weights)
        if refinement is not None and prior is not None:
            _check_width(refinement, prior, path)
        module = assemble(restoring, prior, refinement)
    except ModelError:
        raise
    except Exception as error:  # a header can be wrong in any way
        raise ModelError(f"{path}: its header does not describe a model ({one_line(error)})") from error
    return LoadedModel(module.eval(), header)


def load_network_weights(network: nn.Module, weights: Path | Mapping[str, Path]) -> None:
    """Fills a network from a model file's network part, or from a plain weights file by its own keys or its authors'.

    Of a model file that is for a network of the user's own, that is the file of weights beside it.

    Args:
        network: what is filled.
        weights: the file; or files by the names of the modules within the network that they are for, such as
            `experts.0`.

    Raises:
        ModelError: a file is missing or damaged, does not fit, or predicts something else of a state.
        SettingsError: the network has no module of that name.
    """
    if isinstance(weights, Mapping):
        for name, file in weights.items():
            load_network_weights(module_within(network, name), file)
        return
    path = weights
    if not has_header(path) and (isinstance(network, External) or recognise(read_weights(path)) is None):
        load_weights(module_of(network), path)
        return
    header, tensors = open_model(path)
    if isinstance(network, External) and header.is_of_own_network:
        fill_own_network(network, own_weights(header, path), path)
        return
    if header.network.get("name") != network_name(network):
        raise ModelError(f"{path}: holds a network of another kind ({header.network.get('name', 'external')})")
    _check_prediction(header, network, path)
    fill(network, tensors, "network", path)


def _check_prediction(header: Header, network: nn.Module, path: Path) -> None:
    """Of networks that sample: the same weights say noise, velocity or picture, which their shapes do not tell."""
    settings: Any = getattr(network, "settings", {})
    said, meant = header.network.get("settings", {}).get("prediction"), settings.get("prediction")
    if said is not None and meant is not None and said != meant:
        raise ModelError(f"{path}: its network predicts {said!r}, not {meant!r}")


def _check_width(refinement: nn.Module, prior: Any, path: Path) -> None:
    settings: Any = refinement.settings
    taken, given = settings["prior_width"], feature_width(prior, settings)
    if taken != given:
        raise ModelError(
            f"{path}: its refinement takes {taken} numbers of the prior {prior.name!r}, which gives {given} here: it "
            f"is "
            "another one, or of another version, than the file was made with"
        )


def _prior(header: Header, tensors: Mapping[str, Tensor], path: Path, weights: Path | None) -> Any:
    assert header.prior is not None
    found = embedded_prior(header, tensors, path)
    if found is not None:
        return found
    prior = _outside_prior(header, path, weights)
    return Shuffled(prior, tensors["prior.bank"]) if header.prior.get("shuffled") else prior


def _outside_prior(header: Header, path: Path, weights: Path | None) -> Any:
    assert header.prior is not None
    name = header.prior["name"]
    try:
        prior = find_prior(name, weights=weights or _recorded_weights(header))
    except (ModelError, SettingsError) as error:
        raise ModelError(
            f"{path}: needs the prior {name!r} ({error}); `pellucid distill` makes a model file that needs no other"
        ) from error
    known = header.prior.get("sha256")  # older files do not say it
    if known is not None and outside_prior_header(prior).get("sha256") != known:
        raise ModelError(f"{path}: was made with other weights of the prior {name!r} than those that are found now")
    return prior


def _recorded_weights(header: Header) -> Weights:
    """The weights files that the recipe took the prior from, if they are there: read as plain tensors, like any
    other."""
    prior = header.recipe.get("prior")
    recorded = prior.get("weights") if isinstance(prior, dict) else None
    if isinstance(recorded, dict):
        files = {str(name): _weights_file(file) for name, file in recorded.items()}
        return {name: file for name, file in files.items() if file} or None
    return _weights_file(recorded)


def _weights_file(recorded: Any) -> Path | None:
    path = Path(recorded) if isinstance(recorded, str) else None
    if path and path.parts[:1] == ("{weights}",):  # as recipes write that folder, on whatever machine
        path = weights_root().joinpath(*path.parts[1:])
    return path if path and path.suffix == ".safetensors" and path.is_file() else None
