"""From a recipe to a run folder: `recipe.yaml`, `log.jsonl`, `checkpoint.pt`, and at the end `model.safetensors`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.data.batches import Batch, Batches
from pellucid.data.folders import Photographs, list_photographs
from pellucid.degradations import GaussianNoise, parse_drawn
from pellucid.errors import DataError, SettingsError, one_line, unknown_name
from pellucid.losses import LOSSES
from pellucid.metrics import psnr
from pellucid.networks import External, build_network, input_multiple
from pellucid.padding import pad_to_multiple
from pellucid.priors import Prior, Shuffled, build_prior
from pellucid.refinement import Boosted, build_refinement
from pellucid.restoration.model_file import load_network_weights, save_model
from pellucid.training.loop import Run, Step
from pellucid.training.run_folder import is_main_process, logged_steps, start
from pellucid.training.settings import DataSettings, Recipe

__all__ = ["build_module", "objective", "prepare", "split_photographs", "train"]


def train(recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains a recipe in a run folder, yielding each step; the model file is there when the generator has ended.

    Every 50 steps a line of JSON goes to `log.jsonl`, and every `validate_steps` one with the PSNR on held-out photographs.
    The weights of an external network are no part of a model file: they are written to `network.safetensors` beside it.

    Raises:
        SettingsError: the recipe asks for what does not exist, or the run folder holds another recipe.
        DataError: the folder of photographs is missing, or too small to hold any out.
        ModelError: a weights file or the checkpoint does not fit, or training diverged.
    """
    run, held_out = prepare(recipe, folder)
    tree = recipe.model_dump(mode="json")
    start(run, tree, resume=resume)

    def scores(step: Step) -> dict[str, Any]:
        due = step.number % recipe.train.validate_steps == 0 or step.last
        return validate(run, held_out) if due else {}

    yield from logged_steps(run, scores)
    if is_main_process():
        with run.average.applied():
            _save(run, folder, tree, card(recipe, run))


def _save(run: Run, folder: Path, tree: dict[str, Any], written: dict[str, Any]) -> None:
    """Writes the model file; the weights of a network that is not ours go to a file of their own, `network.safetensors`."""
    network = run.module.network if isinstance(run.module, Boosted) else run.module
    if isinstance(network, External):
        tensors = {key: value.detach().cpu().contiguous() for key, value in network.network.state_dict().items()}
        save_file(tensors, folder / "network.safetensors")
        if network is run.module:
            return
    save_model(run.module, folder / "model.safetensors", recipe=tree, card=written)


def prepare(recipe: Recipe, folder: Path) -> tuple[Run, list[Tensor]]:
    """The run of a recipe, and the photographs (3, H, W) held out for validation."""
    if recipe.train.loss not in LOSSES:
        raise SettingsError(unknown_name("loss", recipe.train.loss, LOSSES))
    torch.manual_seed(recipe.train.seed)
    module = build_module(recipe)
    data = recipe.data
    multiple = input_multiple(module)
    if data.crop % multiple:
        raise SettingsError(
            f"data.crop: must be divisible by {multiple} for network {recipe.network.name!r}, got {data.crop}"
        )
    training, held_out = split_photographs(data)
    view = module.prior.prepare if isinstance(module, Boosted) else None
    drawn = [parse_drawn(text) for text in data.degradations]
    batches = Batches(training, drawn, data.crop, recipe.train.batch, recipe.train.seed, data.grey, view)
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = Run(module, objective(recipe), batches, recipe.train, folder / "checkpoint.pt")
    return run, [held_out[index] for index in range(len(held_out))]


def split_photographs(data: DataSettings) -> tuple[Photographs, Photographs]:
    """The photographs to train on, and the last ones by name, which are held out.

    Raises:
        DataError: the folder is missing or empty, or nothing would be left to train on.
    """
    paths = list_photographs(data.folder)
    if len(paths) <= data.validation:
        raise DataError(
            f"{data.folder}: {len(paths)} photographs, of which data.validation holds out {data.validation}"
        )
    kept = len(paths) - data.validation
    return Photographs(paths[:kept]), Photographs(paths[kept:])


def build_module(recipe: Recipe) -> nn.Module:
    """The network of a recipe, boosted where the recipe says so."""
    network = build_network(recipe.network.name, recipe.network.settings)
    if recipe.network.weights:
        load_network_weights(network, recipe.network.weights)
    if recipe.prior is None or recipe.refinement is None:
        return network
    try:
        prior = build_prior(recipe.prior.name, weights=recipe.prior.weights)
        if recipe.prior.shuffled:
            prior = Shuffled(prior, _bank(prior, recipe))
    except (RuntimeError, ValueError, OverflowError) as error:  # a width that no memory holds, a bank of one
        raise SettingsError(f"prior {recipe.prior.name!r}: {one_line(error)}") from error
    refinement = build_refinement(recipe.refinement.name, {**recipe.refinement.settings, "prior_width": prior.width})
    return Boosted(network, prior, refinement, freeze_network=recipe.train.freeze_network)


@torch.no_grad()
def _bank(prior: Prior, recipe: Recipe, size: int = 64) -> Tensor:
    """The prior's vectors (N, width) of some degraded training photographs, for the shuffled control."""
    photographs = Photographs(list_photographs(recipe.data.folder)[:size])
    degradation = parse_drawn(recipe.data.degradations[0])
    generator = torch.Generator().manual_seed(recipe.train.seed)
    vectors = [
        prior(degradation.draw(generator)(photographs[index], generator)[None]) for index in range(len(photographs))
    ]
    return torch.cat(vectors)


def objective(recipe: Recipe) -> Any:
    """Equation (8) of PTG-RM: L(restored, clean) + lambda_1 L(refined, clean); for a network alone its first term."""
    loss = LOSSES[recipe.train.loss]
    weight = recipe.train.refined_weight
    frozen = recipe.train.freeze_network
    boosted = recipe.refinement is not None

    def of(module: nn.Module, batch: Batch) -> Tensor:
        if not boosted:
            return loss(module(batch.degraded).float(), batch.clean)
        refined, restored = module(batch.degraded, both=True, view=batch.view, grid=batch.grid)
        refined_loss = weight * loss(refined.float(), batch.clean)
        return refined_loss if frozen else loss(restored.float(), batch.clean) + refined_loss

    return of


@torch.no_grad()
def validate(run: Run, held_out: list[Tensor]) -> dict[str, float]:
    """PSNR in dB on the centres of held-out photographs with noise of sigma 25, by the averaged weights."""
    module = run.module
    device = next(module.parameters()).device
    scores: dict[str, list[float]] = {"psnr": [], "psnr_network": []}
    module.eval()
    with run.average.applied():
        for index, picture in enumerate(held_out):
            clean = _centre(picture, 256)[None].to(device)
            degraded = GaussianNoise(25)(clean, torch.Generator().manual_seed(index))
            height, width = clean.shape[2:]
            if isinstance(module, Boosted):
                refined, restored = module(degraded, both=True)
                scores["psnr_network"].append(float(psnr(restored.clamp(0, 1), clean)))
            else:
                refined = module(pad_to_multiple(degraded, input_multiple(module)))[:, :, :height, :width]
            scores["psnr"].append(float(psnr(refined.clamp(0, 1), clean)))
    module.train()
    return {name: round(sum(values) / len(values), 3) for name, values in scores.items() if values}


def card(recipe: Recipe, run: Run) -> dict[str, Any]:
    """What a model file says of its making; numbers are added when they have been measured."""
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "trained": {
            "steps": run.step,
            "minutes": round(run.seconds / 60, 1),
            "photographs": len(run.batches.photographs),
            "degradations": recipe.data.degradations,
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        },
    }


def _centre(image: Tensor, side: int) -> Tensor:
    height, width = (min(side, length) for length in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]
