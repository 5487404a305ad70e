"""Training any module in one call: for researchers whose network, boosted or not, stands in their own script."""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from pellucid.errors import DataError, ModelError, PellucidError, SettingsError, one_line, unknown_name
from pellucid.networks import Experts, contract_of
from pellucid.refinement import Boosted, network_of
from pellucid.training.data import DataSettings, split_sources, with_results
from pellucid.training.loop import Step
from pellucid.training.objective import build_objective
from pellucid.training.run import TrainSettings
from pellucid.training.run_folder import is_due, logged_steps, start
from pellucid.training.settings import read_recipe
from pellucid.training.train import run_of, with_outputs
from pellucid.training.validation import validate

__all__ = ["fit"]

Module = TypeVar("Module", bound=nn.Module)
OWN = ("folder", "pairs", "sources", "freeze_network", "frozen")
"""Settings of recipes that `fit` takes otherwise, or that the module says itself."""


def fit(
    module: Module,
    clean: str | Path,
    *,
    degraded: str | Path | None = None,
    degradations: list[str] | Mapping[str, float] | None = None,
    restored: str | Path | None = None,
    cache: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    show: Callable[[Step], None] | None = None,
    **settings: Any,
) -> Module:
    """Trains a module on photographs, in place, and returns it in evaluation mode, with averaged weights.

        boosted = pellucid.boost(network, prior="statistics")
        pellucid.fit(boosted, "photographs", degradations=["noise sigma=5..50"], steps=2000)

    Args:
        module: a network (B, 3, H, W) to (B, 3, H, W) in [0, 1], or what `pellucid.boost` gave; of it, whatever
            requires a gradient learns, except a gate of experts that say what they are for: it was taught what is
                wrong.
        clean: a folder of clean photographs.
        degraded: a folder of their degraded partners, by the same names.
        degradations: instead, what is done to the clean ones, as `pellucid degrade --list` has it; ranges are drawn
            from.
        restored: beside degraded, a folder of what the network made of them, by the same names and of the same sizes:
            a boosted network that is frozen is then not run (`networks.Results` stands for one that is not at hand).
        cache: a folder where what a frozen network makes of the degraded photographs is kept: it restores each whole,
            once, and R is trained on that.
        out: a folder for a checkpoint and `log.jsonl`, with scores on photographs that are held out; None keeps
            neither.
        resume: go on from the checkpoint there.
        show: told of each step: number, loss, progress.
        settings: by the names that recipes have in `train` (steps, minutes, batch, learning_rate, loss, seed,
            precision, ...) and in `data` (crop, validation, grey, window, ...); 1,000 steps where neither steps nor
            minutes is given.

    Raises:
        SettingsError: neither or both of degraded and degradations, or a setting that there is not or that cannot be.
        DataError: a folder is missing, or too small to hold any photographs out.
        ModelError: training diverged, the checkpoint does not fit, or the module gives pictures of other channels or
            sides than the clean ones.
    """
    if not isinstance(module, nn.Module):
        raise SettingsError(
            f"fit: expected a torch.nn.Module, whose weights learn, got {type(module).__name__}"
            + ("; give its model" if isinstance(getattr(module, "model", None), nn.Module) else "")
        )
    if (degraded is None) == (degradations is None):
        raise SettingsError(
            "fit: give either degraded, a folder, or degradations, what is done to the clean photographs"
        )
    if resume and out is None:
        raise SettingsError("fit: resume goes on from the checkpoint in out; give that folder")
    if out is None:  # nobody reads scores on photographs that are held out
        settings.setdefault("validation", 0)
    _check_results(module, degraded, restored, cache)
    with _in_arguments(), _gate_frozen(module):
        # The prior is withheld apart from the recipe, which knows of none: it is the module's.
        dropout = settings.pop("prior_dropout", 0.0)
        recipe = read_recipe(_tree(clean, degraded, degradations, settings), "fit")
        training, held_out = split_sources(recipe.data)
        if restored is not None:
            training, held_out = (
                with_results(source, Path(str(degraded)), Path(restored)) for source in (training, held_out)
            )
        elif cache is not None:
            training, held_out = (with_outputs(source, module, Path(cache)) for source in (training, held_out))
        recipe = recipe.model_copy(update={"train": _with_dropout(recipe.train, dropout, module)})
        frozen = isinstance(module, Boosted) and module.freeze_network
        objective = replace(build_objective(recipe), frozen=frozen)
        with tempfile.TemporaryDirectory() if out is None else nullcontext(out) as folder:
            run = run_of(module, objective, recipe, training, Path(folder))
            if not isinstance(module, Boosted):  # which says so itself
                _check_output(run.module, run.batches.at(0))
            start(run, recipe.model_dump(mode="json"), resume=resume)

            def scores(step: Step) -> dict[str, Any]:
                return validate(run, held_out) if out is not None and is_due(run, step) else {}

            for step in logged_steps(run, scores):
                if show is not None:
                    show(step)
        run.average.take()
    module.eval()
    return module


def _check_results(
    module: nn.Module, degraded: str | Path | None, restored: str | Path | None, cache: str | Path | None
) -> None:
    """Raises SettingsError where results are given, or to be kept, that would not be those of training."""
    if restored is None and cache is None:
        return
    if restored is not None and cache is not None:
        raise SettingsError("fit: give restored, or cache, which keeps the same")
    if degraded is None:
        raise SettingsError("fit: restored and cache are for degraded, a folder: what is drawn anew never comes again")
    if not isinstance(module, Boosted) or not module.freeze_network or module.inside:
        raise SettingsError(
            "fit: restored and cache are for what boost(..., freeze_network=True) gave, refined outside"
        )


@contextmanager
def _in_arguments() -> Iterator[None]:
    """A context in which errors speak of the arguments of `fit`, and not of keys of recipes and options of commands."""
    try:
        yield
    except (SettingsError, DataError, ModelError) as error:
        text = re.sub(r"(?<![\w./\\])data\.folder\b", "clean", str(error))
        names = "|".join([*TrainSettings.model_fields, *DataSettings.model_fields, "clean", "degraded"])
        text = re.sub(rf"(?<![\w./\\])(?:train|data)\.(?:pairs\.)?(?=(?:{names})\b)", "", text)
        text = text.replace("(--resume)", "(resume=True)")
        if text == str(error):
            raise
        raise type(error)(text) from error


@contextmanager
def _gate_frozen(module: nn.Module) -> Iterator[None]:
    """A context in which a gate that was taught what is wrong with pictures learns nothing else."""
    network = network_of(module)
    gate = list(network.gate.parameters()) if isinstance(network, Experts) and network.specialised else []
    learning = [value for value in gate if value.requires_grad]
    for value in learning:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in learning:
            value.requires_grad_(True)


def _with_dropout(settings: TrainSettings, dropout: Any, module: nn.Module) -> TrainSettings:
    """The settings, with how often the module's prior is withheld. Raises SettingsError where it cannot be."""
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise SettingsError(f"fit: prior_dropout must be at least 0 and below 1, got {dropout!r}")
    if dropout and not isinstance(module, Boosted):
        raise SettingsError(f"fit: prior_dropout withholds a prior's vector, and {type(module).__name__} has no prior")
    if dropout and contract_of(network_of(module)).vector is not None:
        raise SettingsError("fit: prior_dropout: a network that the prior guides cannot do without it")
    return settings.model_copy(update={"prior_dropout": float(dropout)})


@torch.no_grad()
def _check_output(module: nn.Module, sample: Any) -> None:
    """Raises ModelError where the module fails on a picture, or gives one of another shape than the clean one."""
    degraded, clean = sample.degraded[:1], sample.clean[:1]
    place = next(module.parameters())
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        with torch.random.fork_rng([place.device] if place.is_cuda else []):
            restored = module(degraded.to(place.device, place.dtype))
    except PellucidError:
        raise
    except Exception as error:  # foreign code can fail in any way
        raise ModelError(
            f"{type(module).__name__} fails on a picture of shape {tuple(degraded.shape)} ({one_line(error)}); "
            "pellucid.networks.External(network, ...) adapts networks of other channels and ranges"
        ) from error
    finally:
        for one, training in modes:
            one.training = training
    got = tuple(restored.shape) if isinstance(restored, torch.Tensor) else type(restored).__name__
    if got != tuple(clean.shape):
        raise ModelError(
            f"{type(module).__name__}: expected a picture of shape {tuple(clean.shape)}, got {got}; "
            "pellucid.networks.External(network, ...) adapts networks of other outputs"
        )


def _tree(
    clean: str | Path,
    degraded: str | Path | None,
    degradations: list[str] | Mapping[str, float] | None,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The recipe of a call."""
    data: dict[str, Any] = {"folder": str(clean), "degradations": degradations}
    if degraded is not None:
        data = {"pairs": {"degraded": str(degraded), "clean": str(clean)}}
    train: dict[str, Any] = {}
    for name, value in settings.items():
        if name in TrainSettings.model_fields and name not in OWN:
            train[name] = value
        elif name in DataSettings.model_fields and name not in OWN:
            data[name] = value
        else:
            known = {*TrainSettings.model_fields, *DataSettings.model_fields}.difference(OWN)
            raise SettingsError(f"fit: {unknown_name('setting', name, known)}")
    if not {"steps", "minutes"} & train.keys():
        train["steps"] = 1000
    return {"name": "fit", "data": data, "train": train}
