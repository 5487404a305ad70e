"""What is scored: models by name, a model's network alone, and the input as it is."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pellucid.files import sha256_of
from pellucid.guidance import Guidance
from pellucid.models.hub import find_model
from pellucid.models.load import load_model
from pellucid.networks import contract_of
from pellucid.priors import Student
from pellucid.refinement import Boosted
from pellucid.restoration.restorer import Restorer

__all__ = ["DEGRADED", "INPUT", "Candidate", "candidates_of", "telling"]

DEGRADED = "degraded"
"""The name under which the input itself is scored."""


@dataclass(frozen=True)
class Candidate:
    """Something that restores.

    Attributes:
        name: of its rows.
        restore: degraded (1, 3, H, W) in, restored (1, 3, H * scale, W * scale) out; None scores the input as it is.
        identity: what its results depend on beside the picture; rows of the same identity are not computed twice. None
            where that is not known, as of a function: such rows are always computed.
        details: for the report: its file, hash, parameters.
        telling: the same, for a model that can be told numbers: those that are known of the picture go before it.
    """

    name: str
    restore: Callable[[Tensor], Tensor] | None
    identity: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    telling: Callable[[Mapping[str, float], Tensor], Tensor] | None = None

    def restored(self, degraded: Tensor, told: Mapping[str, float]) -> Tensor:
        """What the model makes of a picture of which so much is known; the picture, where there is no model."""
        if self.telling is not None:
            return self.telling(told, degraded)
        return degraded if self.restore is None else self.restore(degraded)


MEMORY = "2GB"
"""For intermediate results, where nobody says otherwise."""

INPUT = Candidate(DEGRADED, None, identity="input")


def candidates_of(
    names: Sequence[str],
    *,
    alone: bool = False,
    network: nn.Module | None = None,
    import_network: bool = False,
    **options: Any,
) -> list[Candidate]:
    """The models of these names or files, in order.

    Args:
        names: as `pellucid.load` takes them.
        alone: the network of each boosted model is a candidate of its own, too, before it.
        network: of the user's own, for the one model that is named.
        import_network: import those that model files name instead, as `load_model` does: this runs their code.
        options: of `RestoreOptions`.

    Raises:
        ModelError: there is no such model, its file is damaged, or it is for a network of the user's own.
        SettingsError: an option that cannot be.
    """
    # How a picture is cut must not depend on what happens to be free at the moment.
    options["memory"] = options.get("memory") or MEMORY
    found = []
    for name in dict.fromkeys(names):
        path = find_model(name)
        loaded = load_model(path, network=network, import_network=import_network)
        policy = loaded.header.policy
        restorer = Restorer(loaded.module, policy=policy, **options)
        task = str(loaded.header.card.get("task", ""))
        digest = sha256_of(path)
        if alone and isinstance(loaded.module, Boosted) and loaded.module.refinement is not None:
            unboosted = Restorer(loaded.module.unrefined(), policy=policy, **options)
            found.append(_candidate(f"{name} (network alone)", unboosted, path, f"{digest} network", task))
        found.append(_candidate(name, restorer, path, digest, task))
    return found


def _candidate(name: str, restorer: Restorer, path: Path, weights: str, task: str) -> Candidate:
    depends: dict[str, Any] = {
        "weights": weights,
        "precision": "bfloat16" if restorer.bfloat16 else "float32",
        "device": restorer.device.type,
        "tile": restorer.options.tile,
        "memory": restorer.options.memory,
        "strength": restorer.strength,
        "passes": restorer.passes,
        "always": restorer.options.always,
        "only": restorer.wish.only,
        "skip": restorer.wish.skip,
    }
    if restorer.options.tell:
        depends["tell"] = dict(restorer.options.tell)
    guide = getattr(restorer.model, "prior", None)
    # A prior is not counted among what a boost adds, nor where it guides the network, too; a student is part of the
    # model.
    frozen = set() if guide is None or isinstance(guide, Student) else {id(value) for value in guide.parameters()}
    whole, network = (
        sum(parameter.numel() for parameter in module.parameters() if id(parameter) not in frozen)
        for module in (restorer.model, restorer.network)
    )
    details = depends | {"file": path.name, "parameters": whole, "parameters_added": whole - network}
    details |= {"task": task} if task else {}
    identity = json.dumps(depends, sort_keys=True)
    return Candidate(name, restorer.restore_image, identity, details, telling(restorer))


def telling(restorer: Restorer) -> Callable[[Mapping[str, float], Tensor], Tensor] | None:
    """`Candidate.telling` of a restorer: None where its model can be told nothing that the user has not said."""
    numbers = [one for one in contract_of(restorer.model).numbers if one not in restorer.options.tell]
    if not numbers:
        return None

    def restore(told: Mapping[str, float], degraded: Tensor) -> Tensor:
        known = Guidance(told={one: told[one] for one in numbers if one in told})
        return restorer.restore_image(degraded, known=known)

    return restore
