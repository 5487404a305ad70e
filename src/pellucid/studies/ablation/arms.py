"""The arms of an ablation: which recipes are trained beside the one in question."""

import itertools
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from pellucid.errors import PellucidError, SettingsError, unknown_name
from pellucid.models.priors import find_prior, prior_and_weights
from pellucid.models.refinements import build_refinement, feature_width, has_maps, refinement_for
from pellucid.models.tables import build_network
from pellucid.priors import Prior
from pellucid.refinement import ABLATIONS
from pellucid.training.overrides import put
from pellucid.training.settings import Recipe, read_recipe

__all__ = [
    "BASE",
    "BASES",
    "COLOUR",
    "CONTROLS",
    "GRIDS",
    "NETWORK",
    "NOTHING",
    "OF_ANY",
    "RECIPE",
    "STUDENT",
    "Arm",
    "arms_of",
    "require_distinct",
    "require_steps",
    "variant",
    "varied",
]

BASE = "boosted"
"""The arm of the recipe itself."""
RECIPE = "as it is"
"""The arm of a recipe itself whose network samples."""
BASES = (BASE, RECIPE)
"""With these arms the others of their host are compared."""
NETWORK = "network alone"
STUDENT = "boosted, student"
"""The base arm with its prior distilled into a student."""
NOTHING = "no prior"
CONTROLS = (NOTHING, "shuffled prior", "random prior", "equal parameters")
"""What a boost must beat for its prior to be the reason."""
OF_ANY = (NOTHING, "random prior", "equal parameters")
"""Those of them that are controls of any other prior, too, with the same R."""
COLOUR = "colour matrix"
"""The humblest refinement of a frozen network, of twelve numbers: what it gains was a matter of exposure."""
GRIDS = ("controls", "no-prior", "table-3", "features", "colour-matrix")


@dataclass(frozen=True)
class Arm:
    """One variant of a recipe.

    Attributes:
        name: of its row.
        tree: its recipe, complete but for the seed.
        host: the recipe that it is a variant of, by name: its rows are compared with one another.
        network: of which only the network counts, because the recipe leaves it as it is: nothing is trained for it.
        prior: that differs from the recipe in its prior alone, and is compared with the controls `OF_ANY`.
    """

    name: str
    tree: Mapping[str, Any]
    host: str
    network: bool = False
    prior: bool = False

    @property
    def seed(self) -> int:
        """The one that its recipe says."""
        return read_recipe(deepcopy(dict(self.tree)), f"{self.host}, {self.name}").train.seed

    def recipe(self, seed: int) -> Recipe:
        """Its recipe for one seed. Raises SettingsError, naming the arm, where it is no recipe."""
        tree = deepcopy(dict(self.tree))
        tree["train"] = {**tree["train"], "seed": seed}
        return read_recipe(tree, f"{self.host}, {self.name}")


def arms_of(
    tree: Mapping[str, Any],
    *,
    grids: Sequence[str] = ("controls",),
    priors: Sequence[str] = (),
    vary: Sequence[str] = (),
) -> list[Arm]:
    """The arms around a recipe with a boost, itself among them.

    Args:
        tree: the recipe, as YAML gives it.
        grids: "controls" (the network alone, and `CONTROLS`), "no-prior" (of these the two that say what R gains and
            what a prior adds: the network alone, and no prior), "table-3" (PTG-RM's ablations of R, those that its
            prior and its place allow), "features" (R inside the network, at its deepest features), "colour-matrix" (in
            R's stead a matrix and an offset of colours, by least squares).
        priors: further priors, each `SPEC` or `SPEC=WEIGHTS_FILE`, or where several read a file, `SPEC={SPEC: FILE,
            SPEC: FILE}`: table 1 of PTG-RM.
        vary: further variants, each `a.b=value,value` (values as YAML), one arm per value; `a=1,2; b=3,4` makes the
            product.

    Raises:
        SettingsError: an unknown grid, a recipe without a boost, or a variant that is no recipe.
        ModelError: weights of a prior are missing.
    """
    for grid in grids:
        if grid not in GRIDS:
            raise SettingsError(unknown_name("grid", grid, GRIDS))
    base = read_recipe(dict(tree), str(tree.get("name", "recipe")))
    if base.prior is None or base.refinement is None:
        raise SettingsError(f"{base.name}: an ablation needs a recipe with a prior and a refinement")
    guided = _guided(base)
    found = [Arm(BASE, tree, base.name)]
    parts = _Parts()
    if "controls" in grids or "no-prior" in grids:
        controls = _controls(tree, base, parts, guided=guided)
        found += controls if "controls" in grids else [arm for arm in controls if arm.name in (NETWORK, NOTHING)]
    if "table-3" in grids:
        variants = [
            variant(f"R {name}", tree, base.name, refinement={"settings": {**base.refinement.settings, **settings}})
            for name, settings in ABLATIONS.items()
            if parts.suits(name, base)
        ]
        # R "large" may be the control of equal parameters.
        known = [arm.recipe(0) for arm in found]
        found += [arm for arm in variants if arm.recipe(0) not in known]
    if "features" in grids:
        kept = {key: value for key, value in base.refinement.settings.items() if key in ("width", "prior_hidden")}
        found.append(variant("R on features", tree, base.name, refinement={"name": "ptgrm-features", "settings": kept}))
    if "colour-matrix" in grids:
        if not base.train.freeze_network or guided:
            raise SettingsError(
                f"{base.name}: a colour matrix is found for a frozen network; ablate with train.freeze_network=true"
            )
        nothing = {"name": "zeros:1", "weights": None, "shuffled": False, "cache": None}
        matrix = {"name": "colour-matrix", "settings": {}}
        found.append(variant(COLOUR, tree, base.name, prior=nothing, refinement=matrix))
    for prior in priors:
        name, weights = prior_and_weights(prior)
        given = {"name": name, "weights": weights, "shuffled": False}
        found.append(replace(variant(name, tree, base.name, prior=given), prior=True))
    found += varied(tree, base.name, vary)
    if guided:
        found = [_with_guide_of_its_prior(arm, base) for arm in found]
    for arm in found:
        parts.check(arm)
    require_distinct(found)
    return found


def varied(tree: Mapping[str, Any], host: str, vary: Sequence[str]) -> list[Arm]:
    """An arm for each value of each variant, as `arms_of` takes them."""
    return [Arm(name, _changed(tree, changes), host) for text in vary for name, changes in _products(text)]


def require_distinct(arms: Sequence[Arm]) -> None:
    """Raises SettingsError where two arms have one name."""
    names = [arm.name for arm in arms]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(f"two arms would be called {twice!r}; ask for it once")


def require_steps(arm: Arm) -> Recipe:
    """The recipe of an arm. Raises SettingsError, naming the arm, where it is none, or ends by the clock."""
    recipe = arm.recipe(0)
    if recipe.train.minutes is not None:
        raise SettingsError(
            f"{arm.host}, {arm.name}: train.minutes would end some arms after fewer steps than others; "
            "give --set train.minutes=null --set train.steps=N"
        )
    return recipe


class _Parts:
    """What the arms are made of, built once each: networks with any weights, and priors."""

    def __init__(self) -> None:
        self._networks: dict[str, nn.Module] = {}
        self._priors: dict[str, Prior] = {}

    def prior(self, recipe: Recipe) -> Prior:
        """The prior of a recipe that has one."""
        assert recipe.prior is not None
        key = repr((recipe.prior.name, recipe.prior.weights))
        if key not in self._priors:
            self._priors[key] = find_prior(recipe.prior.name, weights=recipe.prior.weights)
        return self._priors[key]

    def refinement(self, recipe: Recipe) -> nn.Module:
        """R of a recipe that has one, made for its network and prior."""
        assert recipe.refinement is not None
        key, prior = repr((recipe.network.name, recipe.network.settings)), self.prior(recipe)
        if key not in self._networks:
            self._networks[key] = build_network(recipe.network.name, recipe.network.settings)
        return refinement_for(self._networks[key], prior, recipe.refinement.name, recipe.refinement.settings)

    def suits(self, ablation: str, base: Recipe) -> bool:
        """Whether a recipe can be ablated so: not every prior has maps, nor a layer a signal-to-noise ratio."""
        assert base.refinement is not None
        if ablation == "concatenated-maps":
            return has_maps(self.prior(base))
        return ablation != "snr-mask" or base.refinement.name == "ptgrm"

    def check(self, arm: Arm) -> None:
        """Builds what an arm is made of: what cannot be is known before hours of training; errors name the arm."""
        recipe = require_steps(arm)
        try:
            if recipe.refinement is not None:
                self.refinement(recipe)
        except PellucidError as error:
            raise SettingsError(f"{arm.host}, {arm.name}: {error}") from error


def _controls(tree: Mapping[str, Any], base: Recipe, parts: _Parts, *, guided: bool) -> list[Arm]:
    assert base.refinement is not None
    prior = parts.prior(base)
    width = feature_width(prior, base.refinement.settings)
    plain = {"weights": None, "shuffled": False}
    # R "large" looks at no prior: neither beside its latent, nor in a layer of the network, whatever the recipe's own R
    # does.
    outside = {key: value for key, value in base.refinement.settings.items() if key not in ("guidance", "layer")}
    large = _as_large({**outside, **ABLATIONS["large"]}, _parameters(parts.refinement(base)), prior.width)
    frozen = base.train.freeze_network
    if not frozen and guided:
        raise SettingsError(
            f"{base.name}: a network that the prior guides cannot learn alone; ablate it with train.freeze_network=true"
        )
    if guided and base.refinement.settings.get("guidance") == "concatenated-maps":
        raise SettingsError(
            f"{base.name}: of a prior that guides the network by its vector and R by its maps there are no controls; "
            "ablate it with --set refinement.settings.guidance=attention"
        )
    nothing = {**plain, "name": f"zeros:{width}"}
    # A network that the prior guides must not be told of it either, or it would not be without prior.
    blind = {"prior": nothing} if guided else {}
    alone = {
        **tree,
        "prior": None,
        "refinement": None,
        "data": {**tree["data"], "degrade_whole": base.data.view == "whole"},
        "train": {**tree["train"], "freeze_network": False, "prior_dropout": 0.0},
    }
    return [
        Arm(NETWORK, tree if frozen else alone, base.name, network=frozen),
        variant(NOTHING, tree, base.name, prior=nothing),
        variant("shuffled prior", tree, base.name, prior={"shuffled": True}),
        variant("random prior", tree, base.name, prior={**plain, "name": f"random:{width}"}),
        variant("equal parameters", tree, base.name, refinement={"name": "ptgrm", "settings": large}, **blind),
    ]


def _as_large(settings: Mapping[str, Any], parameters: int, prior_width: int) -> dict[str, Any]:
    """Settings of an R for images, with the channels, a multiple of four, that come nearest to so many parameters."""
    best, least = 4, math.inf
    for channels in itertools.count(4, 4):
        with torch.device("meta"):
            found = _parameters(build_refinement("ptgrm", {**settings, "prior_width": prior_width, "width": channels}))
        if abs(found - parameters) < least:
            best, least = channels, abs(found - parameters)
        if found >= parameters:
            return {**settings, "width": best}
    raise AssertionError("unreachable")


def _parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def _guided(recipe: Recipe) -> bool:
    """Whether a prior guides the network itself; never one of the user's own, which may be too large to be built."""
    if recipe.network.name == "external":
        return False
    with torch.device("meta"):
        return build_network(recipe.network.name, recipe.network.settings).contract.vector is not None


def _with_guide_of_its_prior(arm: Arm, base: Recipe) -> Arm:
    """The arm with a network as wide in its guide as the arm's own prior; no weights may depend on that."""
    prior, usual = arm.recipe(0).prior, base.prior
    if prior is None or (usual and (prior.name, prior.weights) == (usual.name, usual.weights)):
        return arm
    tree = deepcopy(dict(arm.tree))
    tree["network"].setdefault("settings", {})["prior_width"] = find_prior(prior.name, weights=prior.weights).width
    return replace(arm, tree=tree)


def variant(name: str, tree: Mapping[str, Any], host: str, **sections: Mapping[str, Any]) -> Arm:
    """The recipe with some keys of some sections changed."""
    changed = {section: {**tree[section], **keys} for section, keys in sections.items()}
    return Arm(name, {**tree, **changed}, host)


def _products(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Every combination of the values of each axis, with its name."""
    axes = []
    for axis in text.split(";"):
        key, equals, listed = axis.partition("=")
        try:
            values = yaml.safe_load(f"[{listed}]")
        except yaml.YAMLError:
            values = None
        if not equals or not key.strip() or not values:
            raise SettingsError(f"--vary {text!r}: expected key.key=value,value")
        axes.append([(key.strip(), value) for value in values])
    return [
        (", ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in choice), dict(choice))
        for choice in itertools.product(*axes)
    ]


def _short(value: Any) -> str:
    return Path(value).stem if isinstance(value, str) and "/" in value else str(value)


def _changed(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with values put at dotted keys."""
    changed = deepcopy(dict(tree))
    if "train.seed" in changes:
        raise SettingsError("--vary train.seed: every arm is trained with each seed that --seed gives")
    for path, value in changes.items():
        put(changed, path, value, f"--vary {path}")
    return changed
