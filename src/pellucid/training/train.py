"""From a recipe to a run folder: `recipe.yaml`, `log.jsonl`, `checkpoint.pt`, and at the end `model.safetensors`."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.data.batches import Batches
from pellucid.data.sources import Pairs, PriorInput, Source
from pellucid.devices import channels_last
from pellucid.errors import SettingsError, one_line
from pellucid.models.assemble import assemble
from pellucid.models.header import Policy
from pellucid.models.load import load_network_weights
from pellucid.models.own_network import save_own_network
from pellucid.models.priors import find_prior
from pellucid.models.refinements import refinement_for
from pellucid.models.save import save_model
from pellucid.models.tables import build_network, module_within
from pellucid.networks import Experts, External, contract_of
from pellucid.priors import Cached, Oracle, Prior, Shuffled, feature_maps, shown
from pellucid.refinement import Boosted, ColourMatrix, network_of
from pellucid.refinement.latent import LatentRefinement
from pellucid.training.card import card
from pellucid.training.data import split_sources
from pellucid.training.diffusion.train import train_diffusion
from pellucid.training.editing.train import train_editing
from pellucid.training.encoder.train import train_encoder
from pellucid.training.gate import check_gate, teach_gate
from pellucid.training.least_squares import solve_colour_matrix
from pellucid.training.loop import Step
from pellucid.training.objective import Objective, build_objective, glanced
from pellucid.training.outputs import Outputs
from pellucid.training.places import check_places
from pellucid.training.references import References
from pellucid.training.run import Run
from pellucid.training.run_folder import is_due, is_main_process, logged_steps, start
from pellucid.training.sentences.train import train_sentences
from pellucid.training.settings import Recipe
from pellucid.training.textir.train import train_textir
from pellucid.training.validation import MUCH, validate
from pellucid.training.words.train import train_words

__all__ = ["build_module", "prepare", "run_of", "train", "with_outputs"]


def train(
    recipe: Recipe, folder: Path, *, resume: bool = False, show: Callable[[float, str], None] | None = None
) -> Iterator[Step]:
    """Trains a recipe in a run folder, yielding each step; the model file is there when the generator has ended.

    Every 50 steps a line of JSON goes to `log.jsonl`, and every `validate_steps` one with the PSNR on held-out
    photographs. The weights of an external network are no part of a model file: they are written to
    `network.safetensors` beside it. The recipe in the model file names no absolute path of this machine.

    Args:
        recipe: the experiment.
        folder: the run folder; made.
        resume: go on from its checkpoint.
        show: told, before the first step, how far teaching a gate is: the part that is done, and what is being done.

    Raises:
        SettingsError: the recipe asks for what does not exist, or the run folder holds another recipe.
        DataError: what the recipe names below `{data}` or `{weights}` is missing, or another folder of photographs is,
            or it is too small to hold any out.
        ModelError: a weights file or the checkpoint does not fit, or training diverged.
    """
    if recipe.encoder is not None:
        yield from train_encoder(recipe, folder, resume=resume)
        return
    if recipe.diffusion is not None:
        yield from train_diffusion(recipe, folder, resume=resume)
        return
    if recipe.textir is not None:
        yield from train_textir(recipe, folder, resume=resume)
        return
    if recipe.sentences is not None:
        yield from train_sentences(recipe, folder, resume=resume)
        return
    if recipe.inpainting is not None or recipe.colouring is not None:
        yield from train_editing(recipe, folder, resume=resume)
        return
    if recipe.words is not None:
        yield from train_words(recipe, folder, resume=resume)
        return
    run, held_out = prepare(recipe, folder)
    start(run, recipe.as_tree(), resume=resume)
    if isinstance(run.module, Boosted) and isinstance(run.module.refinement, ColourMatrix):
        yield _solved(run, recipe, folder)
        return
    to_teach = _gate_to_teach(run.module, recipe)
    if to_teach is not None and not resume:  # what a checkpoint brings has been taught
        settled = not _without_weights(to_teach[0], recipe)
        teach_gate(*to_teach, run.batches.source, recipe.gate, seed=recipe.train.seed, by_cost=settled, show=show)

    def scores(step: Step) -> dict[str, Any]:
        found = validate(run, held_out) if is_due(run, step) else {}
        for name, share in found.get("saturated", {}).items() if step.last else ():
            if share > MUCH:
                warnings.warn(
                    f"{share:.0%} of {name} of the refinement are 0 or 1, and learn no more; "
                    "refinement.settings.bounded=true keeps them from it",
                    stacklevel=2,
                )
        return found

    yield from logged_steps(run, scores)
    if is_main_process():
        with run.average.applied():
            _save(run, recipe, folder)


def _save(run: Run, recipe: Recipe, folder: Path) -> None:
    """Writes the model as it is now."""
    save_own_network(run.module, folder)  # first: a run is complete where its model file is
    save_model(
        run.module,
        folder / "model.safetensors",
        recipe=recipe.as_tree(travelling=True),
        card=card(recipe, run),
        policy=Policy(**recipe.policy.as_tree()),
    )


def _solved(run: Run, recipe: Recipe, folder: Path) -> Step:
    """Finds a colour matrix and writes the model; nothing is drawn, and there is nothing to resume."""
    if not recipe.train.freeze_network:
        raise SettingsError(
            "refinement 'colour-matrix' is found for a network that is frozen: train.freeze_network=true"
        )
    started = time.monotonic()
    solve_colour_matrix(run.module, run.batches.source)  # type: ignore[arg-type]
    run.seconds = time.monotonic() - started
    if is_main_process():
        _save(run, recipe, folder)
    return Step(1, math.nan, 0.0, 1.0, run.seconds, last=True)


def _gate_to_teach(module: nn.Module, recipe: Recipe) -> tuple[Experts, Prior] | None:
    """Experts that say what they are for, and the prior whose vector they are told; None where no gate is to be
    taught."""
    if not isinstance(module, Boosted) or not isinstance(module.network, Experts):
        return None
    return (module.network, module.prior) if _is_taught(module.network, recipe) else None


def _is_taught(experts: Experts, recipe: Recipe) -> bool:
    """Whether a gate is taught: its experts say what they are for, and it is not to be left as it is."""
    return experts.specialised and "gate" not in recipe.train.frozen


def prepare(recipe: Recipe, folder: Path) -> tuple[Run, Source]:
    """The run of a recipe, and the photographs held out for validation; raises as `train` does."""
    check_places(recipe)
    objective = build_objective(recipe)
    torch.manual_seed(recipe.train.seed)
    training, held_out = split_sources(recipe.data)
    module = build_module(recipe, training)
    if recipe.network.cache is not None:
        training, held_out = (with_outputs(source, module, recipe.network.cache) for source in (training, held_out))
    to_teach = _gate_to_teach(module, recipe)
    if to_teach is not None:
        check_gate(to_teach[0], training)
    return run_of(module, objective, recipe, training, folder), held_out


def with_outputs(source: Source, module: nn.Module, folder: Path) -> Source:
    """Pairs with what the frozen network of a boosted module makes of each, kept in a folder.

    Raises:
        SettingsError: the network gives something else with each prior, or the photographs do not stay as they are.
    """
    assert isinstance(module, Boosted)
    if not isinstance(source, Pairs) or source.degradations or source.match_exposure:
        raise SettingsError("network.cache: pictures that are drawn anew never come again")
    if contract_of(module.network).vector is not None:
        raise SettingsError("network.cache: a network that the prior guides gives something else with each prior")
    return source.with_restored(Outputs(module.network, source.degraded, folder))


def run_of(module: nn.Module, objective: Objective, recipe: Recipe, training: Source, folder: Path) -> Run:
    """The run that trains a module by a recipe's data and optimisation.

    Raises:
        SettingsError: the objective looks at what the network does not compute, or the crops do not suit it.
    """
    data, settings = recipe.data, recipe.train
    objective.check(network_of(module))
    multiple = contract_of(module).multiple
    if data.crop % multiple:
        raise SettingsError(f"data.crop: must be divisible by {multiple} for this network, got {data.crop}")
    views = [part.pairs is not None and part.pairs.right is not None for part in data.parts()]
    if contract_of(module).channels == 6 and not all(views):
        raise SettingsError("data.pairs.right: this network takes two views of a dual-pixel sensor, and here is one")
    if any(views) and contract_of(module).channels != 6:
        raise SettingsError("data.pairs.right: this network takes one picture; network.settings.channels=6 takes two")
    unknown = set(data.scales) - set(contract_of(module).scales)
    if unknown:
        raise SettingsError(f"data.scales: this network does not enlarge by {', '.join(map(str, sorted(unknown)))}")
    if contract_of(module).scale != 1 and not data.scales:
        raise SettingsError("data.scales: a network that enlarges needs to know how small its pictures are made")
    glance = contract_of(module).glance
    view: Callable[[Tensor, Tensor | None], Tensor] | None = None
    if isinstance(module, Boosted):
        view = partial(shown, module.prior)
    elif glance is not None:
        view = partial(glanced, glance)
    prior_input: PriorInput | None = data.view if view is not None else "whole" if data.degrade_whole else None
    reference = None if recipe.reference is None else References(recipe.reference)
    batches = Batches(
        training, data.crop, settings.batch, settings.seed, view, prior_input, settings.prior_dropout, reference
    )
    module = channels_last(module)
    # However much was drawn for the weights, what training draws, such as dropout, is the same for every module.
    torch.manual_seed(settings.seed)
    return Run(module, objective, batches, settings, folder / "checkpoint.pt")


def build_module(recipe: Recipe, training: Source | None = None) -> nn.Module:
    """The network of a recipe, boosted where the recipe says so.

    Args:
        recipe: the experiment.
        training: its photographs, for a prior that is shuffled or standardised; None reads them where they are needed.
    """
    network = build_network(recipe.network.name, recipe.network.settings)
    if recipe.network.weights:
        load_network_weights(network, recipe.network.weights)
    _freeze(network, recipe)
    told = network.contract.vector is not None
    if recipe.prior is None or recipe.refinement is None:
        if told:
            raise SettingsError(f"network {recipe.network.name!r} is guided by a prior: give prior and refinement")
        return assemble(network)
    try:
        with torch.random.fork_rng():  # or R would begin otherwise after a prior that draws weights to be filled
            prior = find_prior(recipe.prior.name, weights=recipe.prior.weights)
        if recipe.prior.cache and not isinstance(prior, Oracle):  # whose view is made of two pictures, and soon encoded
            prior = Cached(prior, recipe.prior.cache)
        if recipe.prior.shuffled:
            maps = recipe.refinement.settings.get("guidance") == "concatenated-maps"
            prior = Shuffled(prior, _bank(prior, training or split_sources(recipe.data)[0], maps=maps))
    except (RuntimeError, ValueError, OverflowError) as error:  # a width that no memory holds, a bank of one
        raise SettingsError(f"prior {recipe.prior.name!r}: {one_line(error)}") from error
    if told:
        if recipe.train.prior_dropout:
            raise SettingsError("train.prior_dropout: a network that the prior guides cannot do without it")
        if isinstance(network, Experts) and network.specialised:  # its gate is taught, and learns nothing else
            network.gate.requires_grad_(False)
    refinement = refinement_for(network, prior, recipe.refinement.name, recipe.refinement.settings)
    if isinstance(refinement, LatentRefinement) and refinement.standardises:
        refinement.learn_prior(_bank(prior, training or split_sources(recipe.data)[0], size=256))
    return assemble(network, prior, refinement, freeze_network=recipe.train.freeze_network)


def _freeze(network: nn.Module, recipe: Recipe) -> None:
    """Freezes what `train.frozen` names; what stays as it is must have been given weights, for it would stay random."""
    try:
        for name in recipe.train.frozen:
            module_within(network, name).requires_grad_(False)
    except SettingsError as error:
        raise SettingsError(f"train.frozen: {error}") from None
    missing = [
        name
        for name in _without_weights(network, recipe)
        if recipe.train.freeze_network or not network.get_parameter(name).requires_grad
    ]
    if isinstance(network, External):
        # It may be meant: what its own constructor does to its weights, to load or to fix them, is not seen from here.
        if missing and (recipe.train.freeze_network or recipe.train.frozen):
            warnings.warn(
                f"network.weights: {missing[0]} of {network.settings['target']} is frozen and no weights are given; "
                "unless the network loads its own, it stays random",
                stacklevel=2,
            )
    elif missing:
        raise SettingsError(f"network.weights: {missing[0]} is frozen and has no weights; it would stay random")


def _without_weights(network: nn.Module, recipe: Recipe) -> list[str]:
    """The parameters of a network that start at random: not given by `network.weights`, nor of a gate to be taught."""
    given = recipe.network.weights
    if isinstance(given, Path):
        return []
    taught = ["gate"] if isinstance(network, Experts) and _is_taught(network, recipe) else []
    known = tuple(f"{name}." for name in [*(given or ()), *taught])
    return [name for name, _ in network.named_parameters() if not name.startswith(known)]


@torch.no_grad()
def _bank(prior: Prior, training: Source, size: int = 64, *, maps: bool = False) -> Tensor:
    """The prior's vectors (N, width) of some training photographs; or its maps (N, C, h, w) of their views."""
    step = max(1, len(training) // size)  # spread over all of them: several sources stand one after the other
    examples = [training.example(index) for index in range(0, len(training), step)][:size]
    views = [
        shown(prior, example.seen[None], None if example.seen_clean is None else example.seen_clean[None])
        for example in examples
        if example.seen is not None
    ]
    return torch.cat([feature_maps(prior, view) if maps else prior.encode(view) for view in views])
