"""What is scored: models by name, a model's network alone, and the input as it is."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.evaluation.remembering import Remembered
from pellucid.files import sha256_of
from pellucid.guidance import Guidance
from pellucid.models.header import Policy
from pellucid.models.hub import find_model
from pellucid.models.load import load_model
from pellucid.networks import contract_of
from pellucid.priors import Oracle, Student
from pellucid.refinement import Boosted
from pellucid.restoration.once import MIXING
from pellucid.restoration.options import RestoreOptions
from pellucid.restoration.restorer import Restorer

__all__ = ["DEGRADED", "INPUT", "Candidate", "candidates_of", "informing", "sampled_candidates"]

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
        inform: from (degraded, clean, numbers known of the picture) to what `restore` is told as `known`; None for all
            but models with an oracle, and those that can be told numbers.
        choose: from (degraded, clean) to what is scored, where the clean picture has a say in it, as in the best of
            several samples; None for all that is not told of it.
        at_scale: gives the same for photographs whose sides are to grow so many times; None for what decides its size
            by itself.
    """

    name: str
    restore: Callable[..., Tensor] | None
    identity: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    inform: Callable[[Tensor, Tensor, Mapping[str, float]], Guidance] | None = None
    choose: Callable[[Tensor, Tensor], Tensor] | None = None
    at_scale: Callable[[int], "Candidate"] | None = None

    def restored(self, degraded: Tensor, clean: Tensor, told: Mapping[str, float]) -> Tensor:
        """What it makes of a degraded picture (1, 3, H, W) of which so much is known; the clean one is for those alone
        who are told of it."""
        assert self.restore is not None
        if self.choose is not None:
            return self.choose(degraded, clean)
        if self.inform is None:
            return self.restore(degraded)
        return self.restore(degraded, known=self.inform(degraded, clean, told))

    def of_scale(self, scale: int) -> "Candidate":
        """The same for a set of that scale."""
        return self if scale == 1 or self.at_scale is None else self.at_scale(scale)


MEMORY = "2GB"
"""For intermediate results, where nobody says otherwise."""

INPUT = Candidate(DEGRADED, None, identity="input")


def candidates_of(
    names: Sequence[str],
    *,
    alone: bool = False,
    network: nn.Module | None = None,
    import_network: bool = False,
    remembered: Remembered | None = None,
    samples: int = 1,
    **options: Any,
) -> list[Candidate]:
    """The models of these names or files, in order.

    Args:
        names: as `pellucid.load` takes them.
        alone: the network of each boosted model is a candidate of its own, too, before it.
        network: of the user's own, for the one model that is named.
        import_network: import those that model files name instead, as `load_model` does: this runs their code.
        remembered: shared by models of the same network, each of which then restores a picture once for all.
        samples: of a model that samples, so many are drawn: the first, their mean and the best by its PSNR are each a
            candidate.
        options: of `RestoreOptions`.

    Raises:
        ModelError: there is no such model, its file is damaged, or it is for a network of the user's own.
        SettingsError: an option that cannot be.
    """
    # How a picture is cut must not depend on what happens to be free at the moment.
    options["memory"] = options.get("memory") or MEMORY
    control = RestoreOptions.of(control=options.get("control") or {}).control
    found = []
    for name in dict.fromkeys(names):
        path = find_model(name)
        loaded = load_model(path, network=network, import_network=import_network)
        whole = loaded.module if remembered is None else remembered.within(loaded.module)
        modules = [(name, whole, "")]
        if alone and isinstance(whole, Boosted) and whole.refinement is not None:
            modules.insert(0, (f"{name} (network alone)", whole.unrefined(), " network"))
        digest, task = sha256_of(path), str(loaded.header.card.get("task", ""))
        for label, module, part in modules:
            drawn = samples > 1 and contract_of(module).samples

            def at_scale(
                scale: int | None,
                label: str = label,
                module: nn.Module = module,
                path: Path = path,
                weights: str = digest + part,
                policy: Policy = loaded.header.policy,
                task: str = task,
                drawn: bool = drawn,
            ) -> Candidate:
                told = options | ({"control": {**control, "samples": 1}} if drawn else {})
                restorer = Restorer(module, policy=policy, **told, scale=scale)
                return _candidate(label, restorer, path, weights, task)

            one = replace(at_scale(None), at_scale=at_scale)
            found += sampled_candidates(one, samples) if drawn else [one]
    return found


def sampled_candidates(candidate: Candidate, count: int) -> list[Candidate]:
    """The first of several samples of a picture, their mean, and the best, which is chosen by the clean picture and so
    says what could be had, not what is.

    Samples are drawn once for all three; what the later ones cost is told of those that need them first.

    Args:
        candidate: of a model that samples.
        count: how many.
    """
    draws, names = _Draws(candidate), (f"1 of {count}", f"mean of {count}", f"best of {count}")
    chosen: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda degraded, clean: draws.of(degraded, 1)[0],
        lambda degraded, clean: torch.stack(draws.of(degraded, count)).mean(0),
        lambda degraded, clean: min(draws.of(degraded, count), key=lambda one: float((one - clean).square().mean())),
    ]
    return [
        replace(
            candidate,
            name=f"{candidate.name} ({name})",
            identity=f"{candidate.identity} {name}",
            choose=choose,
            at_scale=None,
        )
        for name, choose in zip(names, chosen, strict=True)
    ]


class _Draws:
    """Samples of the last picture."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self._picture: Tensor | None = None
        self._samples: list[Tensor] = []

    def of(self, degraded: Tensor, count: int) -> list[Tensor]:
        """So many samples of a picture (1, 3, H, W), by the seeds that follow the candidate's own."""
        restore, first = self._candidate.restore, int(self._candidate.details.get("seed", 0))
        assert restore is not None
        if self._picture is not degraded:
            self._picture, self._samples = degraded, []
        for number in range(len(self._samples), count):
            self._samples.append(restore(degraded, known=Guidance(seed=first + number)))
        return self._samples[:count]


def _candidate(name: str, restorer: Restorer, path: Path, weights: str, task: str) -> Candidate:
    depends: dict[str, Any] = {
        "weights": weights,
        "precision": restorer.precision,
        "device": restorer.device.type,
        "tile": restorer.options.tile,
        "memory": restorer.options.memory,
        "strength": restorer.options.strength,
        "scale": restorer.options.scale,
        "orientations": restorer.options.orientations,
        "passes": restorer.passes,
        "always": restorer.options.always,
        "only": restorer.wish.only,
        "skip": restorer.wish.skip,
    }
    if restorer.wish.amount:
        depends["amount"] = dict(restorer.wish.amount)
    if restorer.options.tell:
        depends["tell"] = dict(restorer.options.tell)
    usual, own = RestoreOptions(), restorer.options
    # What steers a model that samples, where anything does.
    depends |= {name: told for name in ("prompt", "first", "seed", "control") if (told := getattr(own, name))}
    depends |= {name: str(told) for name in MIXING[1:] if (told := getattr(own, name)) != getattr(usual, name)}
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
    return Candidate(name, restorer.restore_image, identity, details, inform=informing(restorer))


def informing(restorer: Restorer) -> Callable[[Tensor, Tensor, Mapping[str, float]], Guidance] | None:
    """`Candidate.inform` of a restorer: None where its model can be told nothing that the user has not said."""
    prior = getattr(restorer.model, "prior", None)
    oracle = prior if isinstance(prior, Oracle) else None
    numbers = [one for one in contract_of(restorer.model).numbers if one not in restorer.options.tell]
    if oracle is None and not numbers:
        return None

    def inform(degraded: Tensor, clean: Tensor, told: Mapping[str, float]) -> Guidance:
        view = None if oracle is None else oracle.prepare_told(degraded, clean)
        return Guidance(view=view, told={one: told[one] for one in numbers if one in told})

    return inform
