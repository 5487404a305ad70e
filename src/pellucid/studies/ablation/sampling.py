"""The arms around a recipe whose network samples: contexts, entries, and ways of adapting a prior."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pellucid.diffusion.network import ENTRIES
from pellucid.diffusion.small import CONTEXTS
from pellucid.errors import SettingsError, unknown_name
from pellucid.models.file import describe_model
from pellucid.models.tables import build_network
from pellucid.studies.ablation.arms import RECIPE, Arm, require_distinct, require_steps, variant, varied
from pellucid.training.settings import Recipe, read_recipe

__all__ = ["SAMPLING_GRIDS", "arms_of_sampling"]

SAMPLING_GRIDS = ("context", "entries", "adapters")
SCRATCH = "from scratch"
ADAPTERS: Mapping[str, Mapping[str, Any]] = {
    "lora": {"kind": "lora", "rank": 8},
    "boft": {"kind": "boft", "block": 4, "factors": 2},
    "what enters alone": {"kind": "none"},
}
"""By which a prior that stays as it is is adapted; the last is an adapter that adds nothing."""
FROZEN = "prior as it is"


def arms_of_sampling(tree: Mapping[str, Any], *, grids: Sequence[str] = (), vary: Sequence[str] = ()) -> list[Arm]:
    """The arms around a recipe with a diffusion section, itself among them.

    Args:
        tree: the recipe, as YAML gives it.
        grids: "context" (what the network is told of the whole picture: the other contexts), "entries" (how the
            degraded picture enters: the other entries), "adapters" (the prior adapted whole, as the recipe does,
            against `ADAPTERS`, the prior that learns to read words and sees nothing, and no prior at all); none for all
            that the recipe allows.
        vary: further variants, as `arms.arms_of` takes them.

    Raises:
        SettingsError: an unknown grid, adapters of a recipe that goes on from no prior, or a variant that is no recipe.
    """
    for grid in grids:
        if grid not in SAMPLING_GRIDS:
            raise SettingsError(unknown_name("grid", grid, SAMPLING_GRIDS))
    base = read_recipe(dict(tree), str(tree.get("name", "recipe")))
    if base.diffusion is None or base.diffusion.prior:
        raise SettingsError(f"{base.name}: contexts, entries and adapters are those of a recipe that restores by words")
    if "adapters" in grids and base.network.weights is None:
        raise SettingsError(f"{base.name}: adapters need a prior: --set network.weights=FILE")
    if base.network.weights is not None:
        describe_model(Path(str(base.network.weights)))  # that it is there is known before hours of training
    chosen = grids or [one for one in SAMPLING_GRIDS if one != "adapters" or base.network.weights is not None]
    found = [Arm(RECIPE, tree, base.name)]
    for grid in dict.fromkeys(chosen):
        found += {"context": _contexts, "entries": _entries, "adapters": _adapters}[grid](tree, base)
    found += varied(tree, base.name, vary)
    require_distinct(found)
    for arm in found:
        recipe = require_steps(arm)
        with torch.device("meta"):
            build_network(recipe.network.name, recipe.network.settings)
    return found


def _contexts(tree: Mapping[str, Any], base: Recipe) -> Iterator[Arm]:
    own = base.network.settings.get("context", "none")
    for context in CONTEXTS:
        if context != own:
            yield _settings(f"context {context}", tree, base, context=context)


def _entries(tree: Mapping[str, Any], base: Recipe) -> Iterator[Arm]:
    own = base.network.settings.get("entry", "concat")
    for entry in ENTRIES:
        if entry not in ("none", own):
            yield _settings(f"entry {entry}", tree, base, entry=entry)


def _adapters(tree: Mapping[str, Any], base: Recipe) -> Iterator[Arm]:
    assert base.diffusion is not None
    told = {key: value for key, value in (tree.get("diffusion") or {}).items() if key != "adapter"}
    for name, adapter in ADAPTERS.items():
        yield Arm(name, {**tree, "diffusion": {**told, "adapter": dict(adapter)}}, base.name)
    yield variant(FROZEN, tree, base.name, train={"frozen": ["denoiser.unet"]})
    yield variant(SCRATCH, tree, base.name, network={"weights": None})


def _settings(name: str, tree: Mapping[str, Any], base: Recipe, **changed: Any) -> Arm:
    return variant(name, tree, base.name, network={"settings": {**base.network.settings, **changed}})
