"""Training the degradation encoder, and the heads that diagnose by it.

Three objectives, added up: CLIP's symmetric contrastive loss between composite views and captions (Radford et al.,
2021, figure 3; captions that mean the same count as one, so the targets are shared among them), cross-entropy of which
kinds are there, and the pinball loss of how strong they are. The heads that these two need are left behind: those that
diagnose, which see the photograph's traces, too, are fitted when the encoder is done, calibrated on photographs that
were held out, and scored on others.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.data.folders import Photographs
from pellucid.data.sources import Source, Synthetic
from pellucid.degradations import KINDS
from pellucid.diagnosis import Diagnoser, Heads, Score, features_width, save_diagnoser, score_singles
from pellucid.errors import MissingExtraError, SettingsError, one_line
from pellucid.priors.degradation_encoder import (
    DEVIATION,
    MEAN,
    DegradationEncoder,
    ImageTower,
    TowerSettings,
    degradation_encoder,
    join_features,
)
from pellucid.training.data import describe_data, split_sources
from pellucid.training.encoder.batches import (
    UNSAID,
    EncoderBatch,
    EncoderBatches,
    Examples,
    Labels,
    Pool,
    generator_of,
    seen_photograph,
)
from pellucid.training.encoder.captions import END, LENGTH, NUMBERS, PAD, START, VOCABULARY, save_tokenizer
from pellucid.training.encoder.heads import fit_heads, heads_losses
from pellucid.training.encoder.settings import EncoderSettings
from pellucid.training.encoder.spectrum import SpectrumSettings, start_as_spectrum
from pellucid.training.loop import Step
from pellucid.training.run import Run
from pellucid.training.run_folder import is_main_process, logged_steps, start
from pellucid.training.settings import Recipe

__all__ = ["Learner", "contrastive_loss", "train_encoder"]

LARGEST_LOGIT_SCALE = math.log(100)
"""The contrastive logits are cosines times exp(logit_scale), at most 100, as in CLIP."""


class Learner(nn.Module):
    """The image tower, the text tower and heads that see nothing but what the tower sees, while they learn.

    Args:
        shape: of the image tower.
        spectrum: the weights that it starts from.
        text: of the text tower, a `CLIPTextConfig` of transformers.
        hidden: units of the heads.
    """

    def __init__(self, shape: TowerSettings, spectrum: SpectrumSettings, text: Any, hidden: int) -> None:
        import transformers

        super().__init__()
        self.tower = ImageTower(shape)
        self.text: Any = transformers.CLIPTextModelWithProjection(text)
        self.heads = Heads(3 * shape.hidden_size, hidden)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        start_as_spectrum(self.tower, shape, spectrum)

    def forward(self, views: Tensor, labels: Labels) -> tuple[Tensor, Tensor, Tensor]:
        """The contrastive, presence and severity losses of composite views (B, 3, s, s) in [0, 1], three scalars."""
        embedding, whole, patches = self.tower((views - MEAN) / DEVIATION)
        presence, severity = heads_losses(self.heads, join_features(whole, patches), labels)
        named = labels.meaning != UNSAID
        written = self.text(input_ids=labels.tokens[named]).text_embeds
        scale = self.logit_scale.clamp(max=LARGEST_LOGIT_SCALE).exp()
        return contrastive_loss(embedding[named], written, labels.meaning[named], scale), presence, severity


def contrastive_loss(images: Tensor, texts: Tensor, meaning: Tensor, scale: Tensor) -> Tensor:
    """CLIP's loss of embeddings of images (n, d) and texts (n, d), a scalar.

    Pairs whose texts have one `meaning`, int64 (n,), share the target; `scale` is what the cosines are multiplied by.
    """
    if not len(images):
        return images.sum()
    logits = scale * F.normalize(images.float(), dim=1) @ F.normalize(texts.float(), dim=1).mT
    same = (meaning[:, None] == meaning).float()
    target = same / same.sum(1, keepdim=True)
    # The relation is symmetric, so the targets of texts are those of images.
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.mT, target)) / 2


def train_encoder(recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains the encoder of a recipe in a run folder, yielding each step; at the end the folder holds a diagnoser.

    Half of the held-out photographs calibrate the heads, the other half are scored; what came out is in `card.json`.

    Raises:
        SettingsError: the recipe asks for what cannot be, or the run folder holds another recipe.
        DataError: a folder of photographs is missing, or too small to hold any out.
        MissingExtraError: transformers is not installed.
        ModelError: the checkpoint does not fit, or training diverged.
    """
    settings = recipe.encoder
    if settings is None:
        raise SettingsError(f"{recipe.name}: the recipe has no encoder section")
    run, held_out = _prepare(recipe, settings, folder)
    start(run, recipe.as_tree(), resume=resume)
    step = None
    for step in logged_steps(run, lambda _: {}):
        yield step
    if is_main_process():
        with run.average.applied():
            for done in _finish(recipe, run, held_out, folder):
                if step is not None:
                    yield replace(step, progress=done)


def _prepare(recipe: Recipe, settings: EncoderSettings, folder: Path) -> tuple[Run, Source]:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "priors") from error
    torch.manual_seed(recipe.train.seed)
    training, held_out = split_sources(recipe.data)
    if any(part.pairs is not None and part.kind is None for part in recipe.data.parts()):
        raise SettingsError("data: an encoder must know what pairs suffer from; give their kind")
    photographs = _photographs(held_out)
    if len(photographs) < 2:
        raise SettingsError(
            "data.validation: an encoder needs two clean photographs or more held out, to calibrate and to be scored on"
        )
    try:
        shape = TowerSettings(**settings.tower)
        text = transformers.CLIPTextConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=settings.text_width,
            intermediate_size=4 * settings.text_width,
            num_hidden_layers=settings.text_layers,
            num_attention_heads=settings.text_heads,
            max_position_embeddings=LENGTH,
            hidden_act=shape.hidden_act,
            projection_dim=shape.projection_dim,
            pad_token_id=NUMBERS[PAD],
            bos_token_id=NUMBERS[START],
            eos_token_id=NUMBERS[END],
        )
        learner = Learner(shape, settings.spectrum, text, settings.heads.hidden)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"encoder: {one_line(error)}") from error
    examples = Examples(training, DegradationEncoder(shape).prepare, recipe.train.seed)

    @cache
    def pool(rank: int) -> Pool:
        return Pool(
            lambda number: examples(number, rank), first=settings.first, fresh=settings.fresh, size=settings.pool
        )

    def objective(module: nn.Module, batch: EncoderBatch) -> Tensor:
        contrastive, presence, severity = module(batch.views, batch.labels)
        total: Tensor = settings.contrastive * contrastive + settings.presence * presence + settings.severity * severity
        return total

    batches = EncoderBatches(training, recipe.train.batch, recipe.train.seed, pool)
    return Run(learner, objective, batches, recipe.train, folder / "checkpoint.pt"), held_out


def _synthetic(source: Source) -> list[Synthetic]:
    """The sources of clean photographs among those of a source; whole photographs, as there are to diagnose."""
    return [part.seen_whole() for part in source.parts() if isinstance(part, Synthetic)]


def _photographs(held_out: Source) -> list[Path]:
    """The clean photographs of a source, each once."""
    return list(dict.fromkeys(path for source in _synthetic(held_out) for path in source.photographs.paths))


def _finish(recipe: Recipe, run: Run, held_out: Source, folder: Path) -> Iterator[float]:
    """Fits and calibrates the heads, and writes the folder's files: encoder, heads and card; yields how far it is."""
    learner, settings, seed = run.module, recipe.encoder, recipe.train.seed
    assert isinstance(learner, Learner)
    assert settings is not None
    learner.eval()
    _save_clip(learner, TowerSettings(**settings.tower), folder)
    # What was stored, rounded to half precision, is what the heads are fitted to, calibrated on and scored by.
    encoder = degradation_encoder(folder)
    heads = Heads(features_width(encoder), settings.heads.hidden, settings.heads.dropout)
    diagnoser = Diagnoser(encoder, heads)
    features, labels = [], []
    for number in range(settings.heads.examples):
        image, known = seen_photograph(run.batches.source, None, generator_of(seed, 0, number, 3))
        features.append(diagnoser.features(image))
        labels.append(known)
        yield (number + 1) / settings.heads.examples
    heads.requires_grad_(True)
    fit_heads(
        heads,
        torch.cat(features),
        Labels.join(labels),
        settings.heads,
        presence=settings.presence,
        severity=settings.severity,
        seed=seed,
    )
    heads.requires_grad_(False)
    photographs = _photographs(held_out)
    _calibrate(diagnoser, held_out, photographs[::2], settings.calibration.draws, seed)
    scored = Photographs(photographs[1::2], memory=0)
    trials = score_singles(diagnoser, (scored[index] for index in range(len(scored))), seed=seed)
    diagnoser.card = _card(recipe, settings, run, Score(tuple(trials)), len(photographs) - len(scored), heads)
    save_diagnoser(diagnoser, folder)
    learner.train()


def _calibrate(diagnoser: Diagnoser, held_out: Source, photographs: Sequence[Path], draws: int, seed: int) -> None:
    """Calibrates the heads on some of the held-out photographs, each degraded as in training, `draws` times."""
    features, labels = [], []
    for source in _synthetic(held_out):
        for index, path in enumerate(source.photographs.paths):
            for place in range(draws if path in photographs else 0):
                image, known = seen_photograph(source, index, generator_of(seed, index, place, 2))
                features.append(diagnoser.features(image))
                labels.append(known)
    known = Labels.join(labels)
    diagnoser.heads.calibrate(torch.cat(features), known.present, known.severity)


def _card(
    recipe: Recipe, settings: EncoderSettings, run: Run, score: Score, calibrated_on: int, heads: Heads
) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "licence": "Apache-2.0",
        "trained": {
            "steps": run.step,
            "minutes": round(run.seconds / 60, 1),
            "batch": run.settings.batch,
            "photographs": len(run.batches.source),
            "degradations": describe_data(recipe.data),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        },
        "calibration": {
            "photographs": calibrated_on,
            "draws_of_each": settings.calibration.draws,
            "temperature": dict(zip(KINDS, (round(one, 3) for one in heads.temperature.tolist()), strict=True)),
            "margin": dict(zip(KINDS, (round(one, 2) for one in heads.margin.tolist()), strict=True)),
        },
        "score": {
            "protocol": "held-out photographs, neither trained nor calibrated on; each clean and with every kind alone",
            **score.as_dict(),
        },
    }


def _save_clip(learner: Learner, shape: TowerSettings, folder: Path) -> None:
    """Writes both towers as transformers' `CLIPModel`, in half precision, the tokenizer, and how pixels are scaled."""
    import transformers

    logging = transformers.utils.logging
    vision = transformers.CLIPVisionConfig(**asdict(shape))
    config = transformers.CLIPConfig(
        text_config=learner.text.config.to_dict(), vision_config=vision.to_dict(), projection_dim=shape.projection_dim
    )
    model = transformers.CLIPModel(config)
    weights = {**learner.tower.state_dict(), **learner.text.state_dict(), "logit_scale": learner.logit_scale.data}
    model.load_state_dict(weights)
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.half().save_pretrained(folder)
        save_tokenizer(folder)
    finally:
        if bars:
            logging.enable_progress_bar()
    side = {"height": shape.image_size, "width": shape.image_size}
    pixels = {"image_mean": [MEAN] * 3, "image_std": [DEVIATION] * 3, "size": side, "crop_size": side}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels, indent=1) + "\n", encoding="utf-8")
