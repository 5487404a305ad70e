"""The encoder of sentences against transformers' CLIPModel, and the one in the package on what it should know."""

import json
import shutil

import pytest
import torch
from torch.nn import functional as F

from pellucid.errors import ModelError
from pellucid.priors.degradation_encoder import TowerSettings
from pellucid.training.sentences.settings import SentencesSettings
from pellucid.training.sentences.train import SentenceLearner, save_encoder
from pellucid.words.encoder import EMBEDDED_SENTENCES, ClipSentences, SentenceEncoder, TextSettings, sentence_encoder
from pellucid.words.vocabulary import Vocabulary

TEXTS = ["green field, blue sky", "noise", "", "a word nobodyknows", " ".join(["blue"] * 60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny encoder as training leaves it."""
    place = tmp_path_factory.mktemp("encoder")
    vocabulary = Vocabulary.of(["green", "field", "blue", "sky", "noise", "a", "word", "the", "is", "red"])
    torch.manual_seed(0)
    image = TowerSettings(32, 8, 16, 32, 1, 2, 8)
    learner = SentenceLearner(image, TextSettings(len(vocabulary), 16, 32, 2, 2, projection_dim=8))
    save_encoder(learner, SentencesSettings(width=8), vocabulary, place, {"name": "tiny"})
    return place


def test_both_towers_are_those_of_transformers(folder):
    transformers = pytest.importorskip("transformers")
    ours, theirs = sentence_encoder(folder), transformers.CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(TEXTS, padding=True, truncation=True, max_length=40, return_tensors="pt")
    image = torch.rand(2, 3, 50, 70)
    with torch.no_grad():
        read = theirs.text_projection(theirs.text_model(input_ids=tokens["input_ids"]).pooler_output)
        pixels = ours.normalise(ours.prepare(image))
        seen = theirs.visual_projection(theirs.vision_model(pixel_values=pixels).pooler_output)
    for found, wanted in ((ours.texts(TEXTS), read), (ours(image), seen)):
        torch.testing.assert_close(found, F.normalize(wanted, dim=1) * 8**0.5, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.square().mean(1), torch.ones(len(found)))
    assert ours.unknown("a green Nobody") == ["nobody"]


def test_any_clip_takes_its_place(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    torch.manual_seed(0)
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {"<|startoftext|>": 0, "<|endoftext|>": 1, "blue": 2, "green": 3}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = transformers.CLIPConfig(
        text_config={**text, **ends, "vocab_size": 4, "max_position_embeddings": 12},
        vision_config={**text, "image_size": 16, "patch_size": 8},
        projection_dim=6,
    )
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=[("<|startoftext|>", 0), ("<|endoftext|>", 1)]
    )
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|endoftext|>")
    fast.save_pretrained(tmp_path)
    pixels = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(pixels))
    encoder = sentence_encoder(tmp_path)
    assert isinstance(encoder, ClipSentences)
    assert encoder.width == 6
    assert encoder(torch.rand(2, 3, 20, 30)).shape == (2, 6)
    both = encoder.texts(["blue", "green green green"])
    torch.testing.assert_close(both[:1], encoder.texts(["blue"]))  # padding changes nothing
    assert not torch.equal(both[0], both[1])
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="lacks tokenizer"):
        sentence_encoder(tmp_path)


def damaged(folder, tmp_path, change):
    place = tmp_path / "copy"
    shutil.copytree(folder, place)
    change(place)
    return place


def another_width(place):
    config = json.loads((place / "config.json").read_text())
    config["text_config"]["projection_dim"] = 12
    (place / "config.json").write_text(json.dumps(config))


def fewer_words(place):
    Vocabulary.of(["blue"]).save(place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda place: (place / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda place: (place / "tokenizer.json").write_text("{}"), "not a tokenizer of words"),
        (lambda place: (place / "config.json").unlink(), "config.json cannot be read"),
        (lambda place: (place / "config.json").write_text("[1"), "damaged"),
        (lambda place: (place / "model.safetensors").write_bytes(b"no"), "model.safetensors"),
        (another_width, "not of one model"),
        (fewer_words, "its tokenizer has 5 words"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(folder, tmp_path, change, message):
    place = damaged(folder, tmp_path, change)
    with pytest.raises(ModelError, match=message):
        sentence_encoder(place)


def test_no_folder_is_no_encoder(tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        sentence_encoder(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def embedded():
    assert EMBEDDED_SENTENCES.is_dir()
    encoder = sentence_encoder()
    assert isinstance(encoder, SentenceEncoder)
    return encoder


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("denoise", "get rid of the grain", "keep the grain"),
        ("blue sky", "the sky should be azure", "the sky is orange"),
        ("make it sharper", "remove the blur", "remove the rain"),
        ("very noisy", "a lot of grain", "nothing wrong"),
        ("a dark picture", "gloomy", "bright"),
        ("green meadow", "the lawn is lush green", "brown earth"),
        ("remove the haze", "clear the air", "denoise"),
        ("brighten it", "more light", "deblur"),
    ],
)
def test_paraphrases_are_near_and_opposites_far(embedded, one, same, other):
    first, near, far = embedded.texts([one, same, other]) / embedded.width**0.5
    assert float(first @ near) > float(first @ far) + 0.2


def test_a_painted_picture_is_nearest_to_its_sentence(embedded):
    sky, grass = (torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 60, 160) for c in ((0.25, 0.45, 0.9), (0.2, 0.5, 0.15)))
    picture = torch.cat([sky, grass], 2) + 0.01 * torch.randn(1, 3, 120, 160)
    said = embedded.texts(["blue sky, green grass", "orange sky, white snow", "a red thing in the middle, night"])
    near = (embedded(picture) @ said.mT)[0]
    assert int(near.argmax()) == 0
