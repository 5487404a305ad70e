"""Training the encoder of sentences: text against what it states, then pictures against text."""

import json
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.data.sources import Source
from pellucid.errors import MissingExtraError, SettingsError, one_line
from pellucid.files import written_whole
from pellucid.priors.degradation_encoder import DEVIATION, MEAN, ImageTower, TowerSettings, degradation_encoder
from pellucid.training.data import describe_data, split_sources
from pellucid.training.encoder.train import LARGEST_LOGIT_SCALE, contrastive_loss
from pellucid.training.loop import Step, to_training
from pellucid.training.places import check_places
from pellucid.training.run import Run
from pellucid.training.run_folder import is_due, is_main_process, logged_steps, start
from pellucid.training.sentences.batches import (
    SeenBatch,
    SentenceBatch,
    SentenceBatches,
    SentenceExample,
    SentenceExamples,
)
from pellucid.training.sentences.settings import SentencesSettings
from pellucid.training.settings import Recipe
from pellucid.words.encoder import COMPOSITE, SentenceEncoder, TextSettings, TextTower, sentence_encoder
from pellucid.words.sentences import STATEMENTS, words_of_templates
from pellucid.words.vocabulary import Vocabulary

__all__ = ["SentenceLearner", "retrieval", "train_sentences"]


class SentenceLearner(nn.Module):
    """Both towers, and what only training needs: what statements mean as vectors, and a reader of them.

    Args:
        image: shape of the tower of pictures.
        text: of the tower of text.
    """

    def __init__(self, image: TowerSettings, text: TextSettings) -> None:
        super().__init__()
        self.tower = ImageTower(image)
        self.text = TextTower(text)
        width = text.projection_dim
        self.meaning = nn.Sequential(nn.Linear(len(STATEMENTS), 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.reader = nn.Linear(width, len(STATEMENTS))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.seen_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, batch: SentenceBatch | SeenBatch) -> Tensor:
        """The loss of a batch, a scalar."""
        if isinstance(batch, SentenceBatch):
            written = self.text(batch.tokens)
            scale = self.logit_scale.clamp(max=LARGEST_LOGIT_SCALE).exp()
            contrast = contrastive_loss(self.meaning(batch.stated), written, batch.meaning, scale)
            # Cosines of vectors of unit root-mean-square: the reader reads what users of the encoder are given.
            unit = F.normalize(written.float(), dim=1) * math.sqrt(written.shape[1])
            read = F.binary_cross_entropy_with_logits(self.reader(unit), batch.stated, reduction="none").sum(1).mean()
            return contrast + 0.3 * read
        with torch.no_grad():
            written = F.normalize(self.text(batch.said.tokens).float(), dim=1)
        seen = F.normalize(self.tower((batch.views - MEAN) / DEVIATION)[0].float(), dim=1)
        logits = self.seen_scale.clamp(max=LARGEST_LOGIT_SCALE).exp() * seen @ written.mT
        # A sentence may be true of several pictures of a batch: none of them is a wrong answer.
        target = batch.true.float()
        return (_shared(logits, target) + _shared(logits.mT, target.mT)) / 2


def _shared(logits: Tensor, true: Tensor) -> Tensor:
    """Cross-entropy with every true answer right: the own one is the target, the other true ones are left out."""
    others = (true > 0) & ~torch.eye(len(true), dtype=torch.bool, device=true.device)
    logits = logits.masked_fill(others, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def train_sentences(recipe: Recipe, folder: Path, *, resume: bool = False) -> Iterator[Step]:
    """Trains the encoder of a recipe in a run folder, yielding each step; at the end the folder is an encoder's.

    Raises:
        SettingsError: the recipe asks for what cannot be, or the run folder holds another recipe.
        DataError: a folder of photographs is missing, or too small to hold any out.
        MissingExtraError: transformers is not installed, whose files are written.
    """
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("transformers", "priors") from error
    settings = recipe.sentences
    assert settings is not None
    check_places(recipe)
    torch.manual_seed(recipe.train.seed)
    training, held_out = split_sources(recipe.data)
    vocabulary = Vocabulary.of(words_of_templates())
    learner = _learner(settings, len(vocabulary))
    run = _run(recipe, settings, learner, vocabulary, training, folder)
    start(run, recipe.as_tree(), resume=resume)
    scored: dict[str, Any] = {}

    def scores(step: Step) -> dict[str, Any]:
        if step.number == settings.text_steps and is_main_process():
            with run.average.applied():
                save_encoder(learner, settings, vocabulary, folder, {"about": "the tower of text alone has learnt"})
                read = {key: value.clone() for key, value in learner.text.state_dict().items()}
            learner.text.load_state_dict(read)  # from here on it stays: what pictures are taught is what is kept
        due = is_due(run, step) and (step.number > settings.text_steps or step.last)
        if due:
            learner.eval()
            with run.average.applied():
                scored.update(retrieval(learner, vocabulary, held_out, settings, recipe.train.seed))
            to_training(learner)
        return dict(scored) if due else {}

    yield from logged_steps(run, scores)
    if is_main_process():
        with run.average.applied():
            save_encoder(learner, settings, vocabulary, folder, _card(recipe, run, scored))


def _learner(settings: SentencesSettings, words: int) -> SentenceLearner:
    try:
        image = TowerSettings(**{**settings.tower, "projection_dim": settings.width})
        text = TextSettings(
            vocab_size=words,
            hidden_size=settings.text_width,
            intermediate_size=4 * settings.text_width,
            num_hidden_layers=settings.text_layers,
            num_attention_heads=settings.text_heads,
            projection_dim=settings.width,
        )
        learner = SentenceLearner(image, text)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"sentences: {one_line(error)}") from error
    if settings.begins_as is not None:
        weights = degradation_encoder().tower.state_dict()
        own = learner.tower.state_dict()
        fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
        unfit = set(own) - set(fitting) - {"visual_projection.weight"}
        if unfit:
            raise SettingsError(
                "sentences.begins_as: the tower is not shaped as that of the encoder of degradations "
                f"({sorted(unfit)[0]}); give its sizes, or begins_as: null"
            )
        learner.tower.load_state_dict(own | fitting)
    return learner


def _run(
    recipe: Recipe,
    settings: SentencesSettings,
    learner: SentenceLearner,
    vocabulary: Vocabulary,
    training: Source,
    folder: Path,
) -> Run:
    view = SentenceEncoder(_image_settings(learner), _text_settings(learner), vocabulary).prepare
    make = SentenceExamples(training, view, recipe.train.seed, settings.recoloured)
    kept: OrderedDict[int, SentenceExample] = OrderedDict()

    def last(step: int) -> int:
        return settings.first + step * settings.fresh

    def window(step: int) -> int:
        return min(last(step), settings.pool)

    def examples(step: int, places: Sequence[int]) -> list[SentenceExample]:
        begin = last(step) - window(step)
        for number in list(kept):
            if number < begin:
                del kept[number]
        numbers = [begin + place for place in places]
        for number in numbers:
            if number not in kept:
                kept[number] = make(number)
        return [kept[number] for number in numbers]

    batches = SentenceBatches(training, recipe.train.batch, recipe.train.seed, settings, vocabulary, window, examples)
    torch.manual_seed(recipe.train.seed)

    def objective(module: nn.Module, batch: SentenceBatch | SeenBatch) -> Tensor:
        loss: Tensor = module(batch)
        return loss

    return Run(learner, objective, batches, recipe.train, folder / "checkpoint.pt")


def _image_settings(learner: SentenceLearner) -> TowerSettings:
    tower = learner.tower.vision_model
    settings: TowerSettings = tower.settings
    return settings


def _text_settings(learner: SentenceLearner) -> TextSettings:
    settings: TextSettings = learner.text.settings
    return settings


@torch.no_grad()
def retrieval(
    learner: SentenceLearner, vocabulary: Vocabulary, held_out: Source, settings: SentencesSettings, seed: int
) -> dict[str, Any]:
    """How often, of 64 pictures of held-out photographs, the one that a sentence was made of is among the nearest one
    and the nearest five, where others of which it is true as well do not count; chance is 1/64 and 5/64."""
    view = SentenceEncoder(_image_settings(learner), _text_settings(learner), vocabulary).prepare
    make = SentenceExamples(held_out, view, 10_000 + seed, settings.recoloured)
    found: list[int] = []
    for part in range(settings.scored // 64):
        numbers = list(range(64 * part, 64 * (part + 1)))
        examples = [make(number) for number in numbers]
        batches = SentenceBatches(
            held_out, 64, 20_000 + seed, settings, vocabulary, lambda _: 64, partial(_these, examples)
        )
        batch = batches.at(settings.text_steps + part)
        assert isinstance(batch, SeenBatch)
        written = F.normalize(learner.text(batch.said.tokens).float(), dim=1)
        seen = F.normalize(learner.tower((batch.views - MEAN) / DEVIATION)[0].float(), dim=1)
        near = written @ seen.mT
        others = batch.true.mT & ~torch.eye(64, dtype=torch.bool)
        near = near.masked_fill(others, -torch.inf)
        own = near.diagonal()[:, None]
        found += (near > own).sum(1).tolist()
    ranks = torch.tensor(found)
    return {
        "first_of_64": round(float((ranks == 0).float().mean()), 4),
        "among_five_of_64": round(float((ranks < 5).float().mean()), 4),
    }


def _these(examples: list[SentenceExample], step: int, places: Sequence[int]) -> list[SentenceExample]:
    """These, whatever was drawn."""
    return examples


def save_encoder(
    learner: SentenceLearner,
    settings: SentencesSettings,
    vocabulary: Vocabulary,
    folder: Path,
    card: dict[str, Any],
) -> None:
    """Writes both towers as transformers' `CLIPModel`, in half precision, with tokenizer, preprocessor and card."""
    import transformers

    image, text = _image_settings(learner), _text_settings(learner)
    config = transformers.CLIPConfig(
        text_config={**asdict(text), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
        vision_config=asdict(image),
        projection_dim=settings.width,
    )
    model = transformers.CLIPModel(config)
    model.load_state_dict(
        {**learner.tower.state_dict(), **learner.text.state_dict(), "logit_scale": learner.seen_scale.data}
    )
    logging = transformers.utils.logging
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.half().save_pretrained(folder)
        vocabulary.save(folder)
    finally:
        if bars:
            logging.enable_progress_bar()
    side = {"height": image.image_size, "width": image.image_size}
    pixels = {
        "image_mean": [MEAN] * 3,
        "image_std": [DEVIATION] * 3,
        "size": side,
        "crop_size": side,
        "view": COMPOSITE,
    }
    for name, tree in (("preprocessor_config.json", pixels), ("card.json", card)):
        with written_whole(folder / name) as partial:
            partial.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    sentence_encoder(folder)  # what was written must be readable


def _card(recipe: Recipe, run: Run, scored: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "licence": "Apache-2.0",
        "trained": {
            "steps": run.step,
            "minutes": round(run.seconds / 60, 1),
            "photographs": len(run.batches.source),
            "degradations": describe_data(recipe.data),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        },
        "held_out": {"protocol": "64 pictures of held-out photographs, one true sentence each", **scored},
    }
