"""TextIR from a recipe to a run folder: the loop of all trainings, with a second optimiser for the discriminator."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import SettingsError
from pellucid.images.lab import lab_of, rgb_of
from pellucid.metrics import psnr
from pellucid.models.header import Policy
from pellucid.models.load import load_network_weights
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.networks.textir import TextIR, TextIRDiscriminator
from pellucid.training.card import card
from pellucid.training.data import split_sources
from pellucid.training.loop import Step, to_training
from pellucid.training.perceptual import Perceptual
from pellucid.training.places import check_places
from pellucid.training.run import Run
from pellucid.training.run_folder import is_due, is_main_process, logged_steps, start
from pellucid.training.settings import Recipe
from pellucid.training.textir.batches import TextIRBatch, TextIRBatches
from pellucid.training.textir.settings import TextIRSettings
from pellucid.words.encoder import ClipSentences, SentenceEncoder, sentence_encoder

__all__ = ["Adversaries", "TextIRObjective", "TextIRPair", "train_textir"]

VALIDATION = 2
"""Batches of held-out photographs that are scored."""


class TextIRPair(nn.Module):
    """A generator and a discriminator, of which the loop sees the generator's parameters alone.

    Attributes:
        generator: what is wanted.
        judge: what it learns against; its parameters learn within the objective.
    """

    def __init__(self, generator: TextIR, judge: TextIRDiscriminator) -> None:
        super().__init__()
        self.generator, self.judge = generator, judge
        judge.requires_grad_(False)


class Adversaries(torch.optim.Adam):
    """Adam for a generator, and beside it one for its judge, so that a checkpoint holds both.

    Args:
        pair: both.
        rate: of both.
        penalty_steps: see `TextIRSettings`. Adam's decays are those of StyleGAN2 for a penalty every so many steps.
    """

    def __init__(self, pair: TextIRPair, rate: float, penalty_steps: int) -> None:
        super().__init__(pair.generator.parameters(), lr=rate, betas=(0.0, 0.99**0.8))
        part = penalty_steps / (penalty_steps + 1)
        self.judge = torch.optim.Adam(pair.judge.parameters(), lr=rate, betas=(0.0, 0.99**part))

    def state_dict(self) -> dict[str, Any]:
        """Of both."""
        return {"generator": super().state_dict(), "judge": self.judge.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of both."""
        super().load_state_dict(state_dict["generator"])
        self.judge.load_state_dict(state_dict["judge"])


class TextIRObjective:
    """Takes a step of the judge, and gives the generator's loss.

    Args:
        settings: the weights.
        optimizer: whose judge is stepped.
        encoder: that sees results and clean pictures.
        perceptual: of a result and a clean picture; None where there are no weights.
    """

    def __init__(
        self,
        settings: TextIRSettings,
        optimizer: Adversaries,
        encoder: SentenceEncoder | ClipSentences,
        perceptual: Callable[[Tensor, Tensor], Tensor] | None,
    ) -> None:
        self.settings, self.optimizer, self.encoder, self.perceptual = settings, optimizer, encoder, perceptual
        self.run: Run | None = None

    def __call__(self, module: nn.Module, batch: TextIRBatch) -> Tensor:
        """The loss of the generator, a scalar, after a step of the judge."""
        assert isinstance(module, TextIRPair)
        settings, generator, judge = self.settings, module.generator, module.judge
        given = generator.generate(batch.given, batch.vector, batch.factor)
        if generator.task == "colour":
            clean = lab_of(batch.clean)
            fidelity = F.smooth_l1_loss(given, clean[:, 1:])
            made = rgb_of(torch.cat([clean[:, :1], given], 1))
        else:
            # What is known stands in the picture that is judged, as it will in the result.
            made = given if generator.task != "inpainting" else torch.lerp(batch.clean, given, batch.missing)
            fidelity = (made - batch.clean).abs().mean()
        self._judged(judge, made.detach(), batch.clean)
        loss: Tensor = settings.fidelity * fidelity + settings.adversarial * F.softplus(-judge(made)).mean()
        if settings.words:
            seen = self.encoder.embedding(self.encoder.prepare(made.clamp(0, 1)))
            loss = loss + settings.words * (1 - F.cosine_similarity(seen, batch.vector)).mean()
        if self.perceptual is not None:
            loss = loss + settings.perceptual * self.perceptual(made, batch.clean)
        return loss

    def _judged(self, judge: TextIRDiscriminator, made: Tensor, clean: Tensor) -> None:
        """One step of the judge, by the logistic loss, with R1 where it is due."""
        settings = self.settings
        judge.requires_grad_(True)
        self.optimizer.judge.zero_grad()
        loss = F.softplus(-judge(clean)).mean() + F.softplus(judge(made)).mean()
        step = 0 if self.run is None else self.run.step
        if settings.penalty and step % settings.penalty_steps == 0:
            real = clean.clone().requires_grad_()
            (slope,) = torch.autograd.grad(judge(real).sum(), real, create_graph=True)
            loss = loss + settings.penalty / 2 * settings.penalty_steps * slope.square().sum((1, 2, 3)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.judge.step()
        judge.requires_grad_(False)


def train_textir(recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains TextIR, yielding each step; see `training.train.train`. By one process: the judge is not shared.

    Raises:
        SettingsError: the network is another one, is told another encoder's vectors, or the crops are not of its size.
        DataError: no photographs, or pairs.
    """
    check_places(recipe)
    settings = recipe.textir
    assert settings is not None
    torch.manual_seed(recipe.train.seed)
    training, held_out = split_sources(recipe.data)
    network = build_network(recipe.network.name, recipe.network.settings)
    if not isinstance(network, TextIR):
        raise SettingsError(f"network.name: this recipe trains textir, not {recipe.network.name!r}")
    size = int(network.settings["size"])
    if recipe.data.crop != size:
        raise SettingsError(f"data.crop: must be the network's size, {size}, got {recipe.data.crop}")
    encoder = sentence_encoder(settings.encoder or "")
    if encoder.width != network.words:
        raise SettingsError(
            f"network.settings.words: {encoder.name} gives vectors of {encoder.width} numbers, and the network reads "
            f"{network.words}"
        )
    if recipe.network.weights:
        load_network_weights(network, recipe.network.weights)
    pair = TextIRPair(network, TextIRDiscriminator(size, settings.narrow))
    weights = recipe.train.perceptual_weights
    optimizer = Adversaries(pair, recipe.train.learning_rate, settings.penalty_steps)
    objective = TextIRObjective(settings, optimizer, encoder, Perceptual(weights) if weights else None)
    batches, kept = (
        TextIRBatches(source, network.task, size, recipe.train.batch, seed, settings, encoder)
        for source, seed in ((training, recipe.train.seed), (held_out, 10_000 + recipe.train.seed))
    )
    torch.manual_seed(recipe.train.seed)
    run = Run(pair, objective, batches, recipe.train, folder / "checkpoint.pt")
    run.optimizer, objective.run = optimizer, run
    start(run, recipe.as_tree(), resume=resume)

    def scores(step: Step) -> dict[str, Any]:
        return _validated(run, pair, kept) if is_due(run, step) else {}

    yield from logged_steps(run, scores)
    if is_main_process():
        with run.average.applied():
            save_model(
                network,
                folder / "model.safetensors",
                recipe=recipe.as_tree(travelling=True),
                card=card(recipe, run),
                policy=Policy(**recipe.policy.as_tree()),
                dtype=torch.float16,
            )


@torch.no_grad()
def _validated(run: Run, pair: TextIRPair, held_out: TextIRBatches) -> dict[str, Any]:
    """By the averaged weights, PSNR in dB of held-out pictures, told what the encoder sees of them, and of mean grey in
    the place of what the generator makes."""
    network = pair.generator
    scores: list[float] = []
    grey: list[float] = []
    network.eval()
    with run.average.applied():
        for number in range(VALIDATION):
            batch = held_out.at(number)
            found = network.generate(batch.given, batch.vector, batch.factor, seed=number)
            light = lab_of(batch.clean)[:, :1]
            for made, values in (
                (found, scores),
                (torch.zeros_like(found) if network.task == "colour" else torch.full_like(found, 0.5), grey),
            ):
                if network.task == "colour":
                    made = rgb_of(torch.cat([light, made], 1))
                elif network.task == "inpainting":
                    made = torch.lerp(batch.clean, made, batch.missing)
                values += [
                    float(psnr(one[None].clamp(0, 1), two[None])) for one, two in zip(made, batch.clean, strict=True)
                ]
    to_training(pair)
    return {"psnr": round(sum(scores) / len(scores), 4), "psnr_grey": round(sum(grey) / len(grey), 4)}
