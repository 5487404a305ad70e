"""From a recipe with a diffusion section to a run folder."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.data.sources import Source
from pellucid.devices import channels_last
from pellucid.diffusion.adapters import ADAPTERS, adapt, merge
from pellucid.diffusion.network import Generative
from pellucid.diffusion.schedulers import check_noising
from pellucid.errors import SettingsError
from pellucid.models.header import Policy
from pellucid.models.hub import find_model
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.save import save_model
from pellucid.models.tables import build_network, module_within
from pellucid.training.card import card
from pellucid.training.data import split_sources
from pellucid.training.diffusion.batches import DiffusionBatches
from pellucid.training.diffusion.objective import DiffusionObjective, FidelityObjective
from pellucid.training.diffusion.settings import DiffusionSettings
from pellucid.training.diffusion.validation import validate_diffusion
from pellucid.training.loop import Step
from pellucid.training.places import check_places
from pellucid.training.run import Run
from pellucid.training.run_folder import is_due, is_main_process, logged_steps, start
from pellucid.training.settings import Recipe

__all__ = ["prepare_diffusion", "train_diffusion"]


def train_diffusion(recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains a diffusion network, yielding each step; see `training.train.train`.

    Raises:
        SettingsError: the network does not sample, or the crops do not suit it.
        DataError: no photographs, or pairs.
    """
    run, held_out = prepare_diffusion(recipe, folder)
    start(run, recipe.as_tree(), resume=resume)

    def scores(step: Step) -> dict[str, Any]:
        return validate_diffusion(run, held_out) if is_due(run, step) else {}

    yield from logged_steps(run, scores)
    if is_main_process():
        with run.average.applied():
            adapted = recipe.diffusion is not None and recipe.diffusion.adapter is not None
            save_model(
                _merged(run.module) if adapted else run.module,
                folder / "model.safetensors",
                recipe=recipe.as_tree(travelling=True),
                card=card(recipe, run),
                policy=Policy(**recipe.policy.as_tree()),
                dtype=torch.float16,
            )


def prepare_diffusion(recipe: Recipe, folder: Path) -> tuple[Run, DiffusionBatches]:
    """The run of a recipe, and batches of the photographs that are held out; raises as `train_diffusion` does."""
    check_places(recipe)
    settings = recipe.diffusion
    assert settings is not None
    torch.manual_seed(recipe.train.seed)
    training, held_out = split_sources(recipe.data)
    network = build_network(recipe.network.name, recipe.network.settings)
    if not isinstance(network, Generative):
        raise SettingsError(f"network.name: diffusion trains networks that sample, not {recipe.network.name!r}")
    check_noising(network.noising)
    if recipe.network.weights:
        load_network_weights(network, recipe.network.weights)
    if settings.adapter is not None:
        _adapted(network, settings.adapter)
    for name in recipe.train.frozen:
        module_within(network, name).requires_grad_(False)
    if settings.fidelity:
        if not network.codec.has_fidelity:
            raise SettingsError("diffusion.fidelity: the codec has no fidelity decoder; set its fidelity: true")
        network.requires_grad_(False)
        network.codec.fusion.requires_grad_(True)
    if settings.regression and float(network.noising.kept[-1]) > 0:
        raise SettingsError("diffusion.regression: needs a schedule that ends in nothing but noise")
    if recipe.data.crop % network.contract.multiple:
        raise SettingsError(
            f"data.crop: must be divisible by {network.contract.multiple} for this network, got {recipe.data.crop}"
        )
    channels_last(network)
    torch.manual_seed(recipe.train.seed)
    batches = _batches(recipe, training, settings, recipe.train.seed)
    first = None if network.first is None else load_model(find_model(network.first)).module
    objective = (FidelityObjective if settings.fidelity else DiffusionObjective)(network, first)
    run = Run(network, objective, batches, recipe.train, folder / "checkpoint.pt")
    return run, _batches(recipe, held_out, settings, 10_000 + recipe.train.seed)


NO_ADAPTER = "none"
"""An adapter that adds nothing: what others are compared with."""
ENTERING = ("conv_in", "gains")
"""Layers by which the degraded picture enters a U-Net: never frozen with it."""


def _adapted(network: Generative, told: Mapping[str, Any]) -> None:
    """Freezes a network's denoiser and puts adapters on it; by what pictures and words enter it stays free."""
    settings = {key: value for key, value in told.items() if key not in ("kind", "targets")}
    if "kind" not in told:
        raise SettingsError(f"diffusion.adapter: kind is missing; known: {', '.join((*ADAPTERS, NO_ADAPTER))}")
    if told["kind"] == NO_ADAPTER:
        network.denoiser.unet.requires_grad_(False)
    else:
        adapt(network.denoiser.unet, told["kind"], tuple(told.get("targets", ())), ENTERING, **settings)
    for name in ENTERING:
        layer = getattr(network.denoiser.unet, name, None)
        if layer is not None and not hasattr(layer, "parametrizations"):
            layer.requires_grad_(True)


def _merged(module: nn.Module) -> nn.Module:
    """A copy whose adapters are part of its weights."""
    copied = copy.deepcopy(module)
    merge(copied)
    return copied


def _batches(recipe: Recipe, source: Source, settings: DiffusionSettings, seed: int) -> DiffusionBatches:
    return DiffusionBatches(source, recipe.data.crop, recipe.train.batch, seed, settings)
