"""Model files: one `.safetensors` that holds weights, how to build what they belong to, and how they were made.

Its metadata key `pellucid` is JSON:

    format       1
    network      {"name", "settings"} of the NETWORKS table, or {"sha256"} of a network that is not ours
    refinement   {"name", "settings"} or null
    prior        of R, and of a network that it guides: {"student": settings}, {"encoder": settings} or {"diagnosis": settings}
                 (embedded), {"name": ...} (needed from elsewhere), or null; "sha256" is of its weights, if any; "shuffled"
                 marks a control
    recipe       the resolved recipe of the training
    card         what the model is for, what it was trained on, numbers with their protocols, licence

Nothing in a file is executed: names are looked up in our tables (the one that imports classes by name is refused), and
weights are plain tensors.

A network of the user's own is not stored, for its code is not ours to run: such a file holds the refinement alone, or only
says which network it is. The network's weights lie beside it, in `network.safetensors`. The network comes from the user:

    load_model(path, network=...)           the user's module, which is wrapped in `External` with the recipe's settings; one
                                            that is `External` already is taken as it is
    load_model(path, import_network=True)   the class that the file's recipe names is imported and called; no file is ever
                                            loaded so unless somebody asks for it

Either way its weights must be those that the file was made with, by their SHA-256. A network with others is filled from
`network.safetensors`, whose tensors are checked first, before a network is imported and before one is changed.

A file without that key, and .pth, .pt and .ckpt, may hold the weights of a published network: where `networks.published`
recognises them, such a file is read like a model file that has a network only.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.checkpoints import load_weights, read_weights
from pellucid.diagnosis import DiagnosisPrior, diagnosis_prior
from pellucid.errors import ModelError, SettingsError, one_line
from pellucid.networks import External, build_network, input_multiple, module_within, network_name
from pellucid.networks.published import PUBLISHED, recognise
from pellucid.priors import Cached, DegradationEncoder, ModuleFeatures, Prior, Shuffled, Student, build_prior
from pellucid.priors.specs import Weights
from pellucid.refinement import Boosted, Guided, build_refinement, refinement_name

__all__ = [
    "FORMAT",
    "NETWORK_FILE",
    "ModelFile",
    "describe_model",
    "find_prior",
    "load_model",
    "load_network_weights",
    "save_model",
    "save_own_network",
]

FORMAT = 1
NETWORK_FILE = "network.safetensors"
"""Beside a model file: the weights of the user's own network that it is for, by the names that they have in it."""
HEADER: Mapping[str, tuple[type, ...]] = {
    "network": (dict,),
    "refinement": (dict, type(None)),
    "prior": (dict, type(None)),
    "recipe": (dict,),
    "card": (dict,),
}
"""The keys that a header must have, and the kinds of their values."""
EMBEDDED_PRIORS: Mapping[str, type] = {"diagnosis": DiagnosisPrior, "encoder": DegradationEncoder, "student": Student}
"""The priors that travel in model files, by the key of the header that holds their settings: small, and ours."""


@dataclass(frozen=True)
class ModelFile:
    """A loaded model: the module, ready to restore, and the header of its file."""

    module: nn.Module
    header: dict[str, Any]


def save_model(
    module: nn.Module,
    path: Path,
    *,
    recipe: Mapping[str, Any],
    card: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes a model file, whole or not at all.

    Args:
        module: a network of ours, or a `Boosted`; a network may be `Guided`, by the prior of R where there is one. An `External`
            alone, too, once `save_own_network` has written its weights beside the file.
        path: where to.
        recipe: the resolved recipe, JSON-able.
        card: what people should know, JSON-able.
        dtype: of the stored weights; float16 halves the file and is loaded back as float32.
    """
    outer = module.network if isinstance(module, Boosted) else module
    network = outer.network if isinstance(outer, Guided) else outer
    name = network_name(network)
    parts: dict[str, nn.Module] = {}
    bank: dict[str, Tensor] = {}
    header: dict[str, Any] = {"format": FORMAT, "network": None, "refinement": None, "prior": None}
    if name is None or isinstance(network, External):
        header["network"] = {"sha256": fingerprint(network)}
    else:
        header["network"] = {"name": name, "settings": network.settings}
        parts["network"] = network
    if isinstance(module, Boosted):
        header["refinement"] = {"name": refinement_name(module.refinement), "settings": module.refinement.settings}
        parts["refinement"] = module.refinement
    guide = next((part.prior for part in (module, outer) if isinstance(part, Boosted | Guided)), None)
    if isinstance(outer, Guided) and outer.prior is not guide:
        raise ModelError(f"{path}: R and the network have different priors; a model file holds one")
    if guide is None and hasattr(network, "guide_width"):
        raise ModelError(f"{path}: {type(network).__name__} is guided by a prior; store it `Guided` by one")
    prior = guide.prior if isinstance(guide, Cached) else guide
    if prior is not None:
        embedded = next((key for key, kind in EMBEDDED_PRIORS.items() if type(prior) is kind), None)
        if embedded is not None:
            header["prior"] = {embedded: prior.settings}
            parts["prior"] = prior
        elif isinstance(prior, Shuffled):
            header["prior"] = _outside(prior.prior) | {"shuffled": True}
            bank = {"prior.bank": prior.bank.cpu()}
        else:
            header["prior"] = _outside(prior)
    if not parts and not (isinstance(network, External) and path.with_name(NETWORK_FILE).is_file()):
        raise ModelError(f"{path}: nothing of ours to store; the network is external and not boosted")
    tensors = {
        f"{part}.{key}": (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for part, kept in parts.items()
        for key, value in kept.state_dict().items()
    }
    tensors |= bank
    header |= {"recipe": dict(recipe), "card": dict(card)}
    _write(tensors, path, {"pellucid": json.dumps(header, sort_keys=True)})


def save_own_network(module: nn.Module, folder: Path) -> bool:
    """Writes the weights of a network of the user's own to a folder, beside the model file there, whole or not at all.

    Args:
        module: an `External`, or `Boosted` on one; of any other module nothing is written.
        folder: where `network.safetensors` goes.

    Returns:
        Whether the module has such a network.

    Raises:
        ModelError: the weights are not finite, or the file cannot be written.
    """
    network = module.network if isinstance(module, Boosted) else module
    if not isinstance(network, External):
        return False
    # Copies: weights that several layers share are stored for each, for the format knows of no sharing.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in network.network.state_dict().items()}
    _write(tensors, folder / NETWORK_FILE)
    return True


def describe_model(path: Path) -> dict[str, Any]:
    """The header of a model file, without loading its weights; for weights of a published network, what was recognised.

    Raises:
        ModelError: missing, damaged, not ours and not recognised, or of a newer format.
    """
    return _open(path)[0]


def load_model(
    path: Path,
    *,
    network: nn.Module | None = None,
    import_network: bool = False,
    prior_weights: Path | None = None,
) -> ModelFile:
    """Builds what a model file holds.

    Args:
        path: the file, or the weights of a published network as their authors give them.
        network: for a file that is for a network of your own, that network, in `External` or as it is. Where its weights are
            not those that the file was made with, it is given those of `network.safetensors` beside the file.
        import_network: for such a file, import the network that its recipe names instead: this runs its code.
        prior_weights: for a file whose prior is not embedded, that prior's weights.

    Raises:
        ModelError: missing, damaged, not ours and not recognised, of a newer format, or not fitting together.
    """
    header, tensors = _open(path, weights=True)
    try:
        kept = header["network"]
        if "name" not in kept:
            network = _own_network(network, header, path, imported=import_network)
        elif network is not None:
            raise ModelError(f"{path}: has a network of its own, and is loaded without network=...")
        else:
            network = _network(kept, path)
            _fill(network, tensors, "network", path)
        refinement: nn.Module | None = None
        if header["refinement"] is not None:
            with torch.device("meta"):
                refinement = build_refinement(header["refinement"]["name"], header["refinement"]["settings"])
            _fill(refinement, tensors, "refinement", path)
        guided = hasattr(network, "guide_width")
        if refinement is None and not guided:
            return ModelFile(network.eval(), header)
        prior = _prior(header, tensors, path, prior_weights)
        module: nn.Module = Guided(network, prior) if guided else network
        if refinement is not None:
            module = Boosted(module, prior, refinement)
    except ModelError:
        raise
    except Exception as error:  # a header can be wrong in any way
        raise ModelError(f"{path}: its header does not describe a model ({one_line(error)})") from error
    return ModelFile(module.eval(), header)


def load_network_weights(network: nn.Module, weights: Path | Mapping[str, Path]) -> None:
    """Fills a network from a model file's network part, or from a plain weights file by its own keys or its authors'.

    Of a model file that is for a network of the user's own, that is `network.safetensors` beside it.

    Args:
        network: what is filled.
        weights: the file; or files by the names of the modules within the network that they are for, such as `experts.0`.

    Raises:
        ModelError: a file is missing or damaged, or does not fit.
        SettingsError: the network has no module of that name.
    """
    if isinstance(weights, Mapping):
        for name, file in weights.items():
            load_network_weights(module_within(network, name), file)
        return
    path = weights
    if not _is_model_file(path) and (isinstance(network, External) or recognise(read_weights(path)) is None):
        load_weights(network.network if isinstance(network, External) else network, path)
        return
    header, tensors = _open(path, weights=True)
    if isinstance(network, External) and "name" not in header["network"]:
        _fill_own(network, _own_weights(header, path), path)
        return
    if header["network"].get("name") != network_name(network):
        raise ModelError(f"{path}: holds a network of another kind ({header['network'].get('name', 'external')})")
    _fill(network, tensors, "network", path)


def find_prior(spec: str, *, weights: Weights = None) -> Prior:
    """The prior that `spec` names, as `build_prior` does, and two more.

    They are `restorer:FILE`, the deepest features of a network's file, and `diagnosis` or `diagnosis:FOLDER`, what a
    degradation encoder sees and its diagnoser concludes.

    Raises:
        SettingsError: an unknown or malformed spec.
        ModelError: weights are missing or wrong.
        MissingExtraError: an optional package is needed.
    """
    return build_prior(spec, weights=weights, more={"diagnosis": _diagnosis_prior, "restorer": _restorer_prior})


def _diagnosis_prior(folder: str, _weights: str | Path | None) -> Prior:
    return diagnosis_prior(folder)


def _restorer_prior(file: str, _weights: str | Path | None) -> Prior:
    module = load_model(Path(file)).module
    network = module.network if isinstance(module, Boosted) else module  # one that is guided looks for itself
    side = 256 + -256 % input_multiple(network)
    return ModuleFeatures(network, name=f"restorer:{file}", size=(side, side))


def fingerprint(network: nn.Module) -> str:
    """The SHA-256 of a network's weights and their names."""
    return _fingerprint(network.state_dict())


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        digest.update(key.encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _outside(prior: Any) -> dict[str, str]:
    """What a header says of a prior that is not in the file: its name, and the SHA-256 of its weights, where it has any.

    The names of the weights do not count, for they change with the versions of libraries.
    """
    hashes = sorted(hashlib.sha256(_bytes(value)).hexdigest() for value in prior.state_dict().values())
    return {"name": prior.name} | ({"sha256": hashlib.sha256("".join(hashes).encode()).hexdigest()} if hashes else {})


def _network(kept: dict[str, Any], path: Path) -> nn.Module:
    """A network of ours, without memory for weights yet: they come from the file, and their sizes must agree."""
    if kept["name"] == "external":  # it would import whatever the header names
        raise ModelError(f"{path}: names a network that is not pellucid's own; model files may not")
    with torch.device("meta"):
        return build_network(kept["name"], kept["settings"])


def _own_network(given: nn.Module | None, header: dict[str, Any], path: Path, *, imported: bool) -> nn.Module:
    """The network of the user's own that a file is for, with the weights that it was made with."""
    settings = _external_settings(header)
    if given is None:
        if not imported:
            raise ModelError(
                f"{path}: is for a network of your own; --import-network imports it, which runs its code, "
                "and pellucid.load(file, network=...) takes it"
            )
        if settings is None:
            raise ModelError(f"{path}: does not say which network to import; use pellucid.load(file, network=...)")
        weights = _own_weights(header, path)  # first: of a file that is not whole no code runs
        try:
            network = External(**settings)
        except SettingsError as error:
            raise ModelError(f"{path}: {error}") from error
        _fill_own(network, weights, path)
        return network
    if not isinstance(given, External) and settings is not None:
        how = {key: value for key, value in settings.items() if key not in ("target", "arguments")}
        given = External(given, **how)
    if fingerprint(given) == header["network"]["sha256"]:
        return given
    if not isinstance(given, External):
        raise ModelError(
            f"{path}: was made for a network with other weights than the one given, or for External(network, ...)"
        )
    if not path.with_name(NETWORK_FILE).is_file():
        raise ModelError(
            f"{path}: was made for a network with other weights than the one given, and no {NETWORK_FILE} lies beside it"
        )
    _fill_own(given, _own_weights(header, path), path)
    return given


def _external_settings(header: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of `External` with which a file's recipe trained a network of the user's own."""
    network = header["recipe"].get("network")
    settings = network.get("settings") if isinstance(network, dict) and network.get("name") == "external" else None
    return settings if isinstance(settings, dict) else None


def _own_weights(header: dict[str, Any], path: Path) -> dict[str, Tensor]:
    """The tensors of `network.safetensors` beside a model file, which are those that it was made with."""
    beside = path.with_name(NETWORK_FILE)
    try:
        with safe_open(beside, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{beside}: the weights of the network of {path.name} cannot be read ({error})") from error
    if _fingerprint({f"network.{key}": value for key, value in tensors.items()}) != header["network"]["sha256"]:
        raise ModelError(f"{beside}: holds other weights than those that {path.name} was made with")
    return tensors


def _fill_own(network: External, tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        network.network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights of its network do not fit {network.settings['target']} "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error


def _prior(header: dict[str, Any], tensors: Mapping[str, Tensor], path: Path, weights: Path | None) -> Any:
    embedded = next((key for key in EMBEDDED_PRIORS if key in header["prior"]), None)
    if embedded is not None:
        kept = header["prior"][embedded]
        embedded_prior: Any = DegradationEncoder(kept) if embedded == "encoder" else EMBEDDED_PRIORS[embedded](**kept)
        _fill(embedded_prior, tensors, "prior", path)
        embedded_prior.freeze()
        return embedded_prior
    prior = _outside_prior(header, path, weights)
    return Shuffled(prior, tensors["prior.bank"]) if header["prior"].get("shuffled") else prior


def _outside_prior(header: dict[str, Any], path: Path, weights: Path | None) -> Any:
    name = header["prior"]["name"]
    try:
        prior = find_prior(name, weights=weights or _recorded_weights(header))
    except (ModelError, SettingsError) as error:
        raise ModelError(
            f"{path}: needs the prior {name!r} ({error}); `pellucid distill` makes a model file that needs no other"
        ) from error
    known = header["prior"].get("sha256")  # older files do not say it
    if known is not None and _outside(prior).get("sha256") != known:
        raise ModelError(f"{path}: was made with other weights of the prior {name!r} than those that are found now")
    return prior


def _recorded_weights(header: dict[str, Any]) -> Weights:
    """The weights files that the recipe took the prior from, if they are there: read as plain tensors, like any other."""
    prior = header["recipe"].get("prior")
    recorded = prior.get("weights") if isinstance(prior, dict) else None
    if isinstance(recorded, dict):
        files = {str(name): _weights_file(file) for name, file in recorded.items()}
        return {name: file for name, file in files.items() if file} or None
    return _weights_file(recorded)


def _weights_file(recorded: Any) -> Path | None:
    path = Path(recorded) if isinstance(recorded, str) else None
    return path if path and path.suffix == ".safetensors" and path.is_file() else None


def _open(path: Path, *, weights: bool = False) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    if path.suffix != ".safetensors":
        return _open_published(path)
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("pellucid")
            tensors = {key: file.get_tensor(key) for key in file.keys()} if weights else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable .safetensors file ({error})".splitlines()[0]) from error
    if text is None:
        return _open_published(path)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or "format" not in header:
        raise ModelError(f"{path}: not a pellucid model file (its header is missing)")
    if header["format"] != FORMAT:
        raise ModelError(f"{path}: format {header['format']}; this version of pellucid reads format {FORMAT}")
    for key, kinds in HEADER.items():
        if not isinstance(header.get(key), kinds):
            raise ModelError(f"{path}: its header does not describe a model ({key} is missing or of a wrong kind)")
    return header, tensors


def _open_published(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors that a model file of the same network would have."""
    read = read_weights(path)
    found = recognise(read)
    if found is None:
        named = ", ".join(list(read)[:4]) or "none"
        raise ModelError(
            f"{path}: not a pellucid model file, nor (its first tensors: {named}) the published weights of a network "
            f"known here: {', '.join(PUBLISHED)}"
        )
    name, settings, weights = found
    header = {
        "format": FORMAT,
        "network": {"name": name, "settings": settings},
        "refinement": None,
        "prior": None,
        "recipe": {},
        "card": {
            "about": f"weights of {name} as its authors published them; their licence applies",
            "task": PUBLISHED[name].task,
        },
    }
    return header, {f"network.{key}": value for key, value in weights.items()}


def _is_model_file(path: Path) -> bool:
    """Whether a file has our header, readable or not."""
    try:
        with safe_open(path, "pt") as file:
            return "pellucid" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], part: str, path: Path) -> None:
    state = {key.removeprefix(f"{part}."): value for key, value in tensors.items() if key.startswith(f"{part}.")}
    try:
        # Copies, since how a tensor lies in a file decides in which order its sums are taken: the last bits would follow.
        kinds = {key: torch.float32 if value.is_floating_point() else value.dtype for key, value in state.items()}
        module.load_state_dict({key: value.to(kinds[key], copy=True) for key, value in state.items()}, assign=True)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights of its {part} do not fit ({str(error).splitlines()[-1].strip()})"
        ) from error
    if not all(value.isfinite().all() for value in state.values()):
        raise ModelError(f"{path}: the weights of its {part} are not finite")


def _write(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    if not all(value.isfinite().all() for value in tensors.values()):
        raise ModelError(f"{path}: the weights to be stored are not finite; the training has diverged")
    partial = path.with_name(path.name + ".partial")
    try:
        partial.touch()  # with the rights that new files have here; safetensors alone makes it private
        rights = partial.stat().st_mode
        save_file(dict(tensors), partial, metadata=metadata)
        partial.chmod(rights)
        partial.replace(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
