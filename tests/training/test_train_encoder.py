"""Training the degradation encoder: captions and labels, the pool, the losses, exact resume, and the folder that is left."""

import json

import pytest
import torch
from torch.nn import functional as F

from pellucid import images
from pellucid.data.folders import Photographs
from pellucid.data.sources import Pairs, Synthetic
from pellucid.degradations import KINDS, parse, parse_drawn, severities
from pellucid.diagnosis import load_diagnoser
from pellucid.errors import DataError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors import DegradationEncoder
from pellucid.priors.composite import split_tiles
from pellucid.priors.degradation_encoder import ImageTower, TowerSettings, join_features
from pellucid.training.encoder.batches import UNSAID, Labels, Mosaics, Pool, rearranged, seen_photograph
from pellucid.training.encoder.captions import LENGTH, NUMBERS, VOCABULARY, caption, meaning, save_tokenizer, tokens
from pellucid.training.encoder.train import contrastive_loss, frequency_filters, start_as_spectrum
from pellucid.training.settings import read_recipe
from pellucid.training.train import train

transformers = pytest.importorskip("transformers")

SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 8,
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Five small pictures with structure, and two that are hazy."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(56.0), indexing="ij")
    for index in range(7):
        a, b, c = torch.rand(3, generator=generator)
        plane = torch.stack(
            [(a * rows / 40 + b * columns / 56) / 2, (rows > 40 * c).float(), (columns * a).sin() / 2 + 0.5]
        )
        place = folder / ("clean" if index < 5 else "hazy")
        place.mkdir(exist_ok=True)
        images.write(images.Photograph(plane[None].clamp(0, 1)), place / f"{index}.png")
    return folder


def tree(photographs, **changes):
    return {
        "name": "test",
        "encoder": {
            "tower": SMALL,
            "text_width": 8,
            "text_layers": 1,
            "text_heads": 2,
            "hidden": 8,
            "first": 6,
            "fresh": 2,
            "examples": 30,
            "pool": 8,
        }
        | changes.pop("encoder", {}),
        "data": {
            "sources": [
                {
                    "folder": str(photographs / "clean"),
                    "degradations": ["noise sigma=5..50 bits=8", "jpeg quality=10..60", "clean"],
                    "validation": 2,
                }
                | changes.pop("clean", {}),
                {"pairs": {"degraded": str(photographs / "hazy")}, "kind": "haze", "validation": 0, "weight": 0.4}
                | changes.pop("pairs", {}),
            ]
        },
        "train": {"steps": 6, "batch": 4, "warmup_steps": 1, "precision": "float32", "checkpoint_minutes": 1e-9},
    } | changes


def run(recipe, folder, *, resume=False, stop_at=None):
    losses = {}
    steps = train(read_recipe(recipe, "test"), folder, resume=resume)
    for step in steps:
        losses[step.number] = step.loss
        if step.number == stop_at:
            steps.close()
            break
    return losses


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("pellucid.training.encoder.train.CALIBRATIONS", 6)


def test_resumed_equals_uninterrupted_and_the_folder_is_a_diagnosers(photographs, tmp_path):
    whole = run(tree(photographs), tmp_path / "whole")
    run(tree(photographs), tmp_path / "cut", stop_at=3)
    resumed = run(tree(photographs), tmp_path / "cut", resume=True)
    assert sorted(resumed) == [4, 5, 6]
    assert all(resumed[number] == whole[number] for number in resumed)
    image = torch.rand(1, 3, 37, 53)
    first, second = (load_diagnoser(tmp_path / name) for name in ("whole", "cut"))
    assert first(image) == second(image)

    card = json.loads((tmp_path / "whole/card.json").read_text())
    assert card["trained"]["photographs"] == 3 + 2
    assert card["trained"]["degradations"][-1] == "0.4 x real photographs (haze)"
    assert card["score"]["trials"] == len(KINDS) + 1
    assert card["calibration"]["photographs"] == 1
    assert first.card == card

    view = torch.rand(2, 3, 32, 32)
    vectors = find_prior(f"degradations:{tmp_path / 'whole'}").encode(view)
    torch.testing.assert_close(vectors, find_prior(f"clip:{tmp_path / 'whole'}").encode(view), rtol=1e-4, atol=1e-4)

    model = transformers.CLIPModel.from_pretrained(tmp_path / "whole", dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "whole")
    text = tokenizer(["strong noise and light blur", "nothing wrong"], padding=True, return_tensors="pt")
    with torch.no_grad():
        embedded = model.get_text_features(**text).pooler_output
        padded = torch.stack([tokens("strong noise and light blur"), tokens("nothing wrong")])
        expected = model.get_text_features(input_ids=padded).pooler_output
    torch.testing.assert_close(embedded, expected, rtol=1e-4, atol=1e-5)
    assert model.config.text_config.vocab_size == len(VOCABULARY)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"encoder": {"tower": {"image_size": 40}}}, SettingsError, "encoder: a tower needs"),
        ({"encoder": {"tower": {"image_sice": 64}}}, SettingsError, "encoder: .*image_sice"),
        ({"encoder": {"text_heads": 3}}, SettingsError, "encoder: text_width must be a multiple"),
        ({"pairs": {"kind": "hase"}}, SettingsError, "did you mean 'haze'"),
        ({"pairs": {"kind": None}}, SettingsError, "give their kind"),
        ({"encoder": {"frech": 1}}, SettingsError, "did you mean 'fresh'"),
        ({"clean": {"validation": 1}}, SettingsError, "data.validation: .* two clean photographs"),
        ({"clean": {"folder": "/nowhere/at/all"}}, DataError, "no such folder"),
        ({"distill": {"steps": 1}}, SettingsError, "encoder stands alone"),
    ],
)
def test_wrong_recipes_are_one_line_and_write_nothing(photographs, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        run(tree(photographs, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_captions_have_their_words_in_the_vocabulary_and_differ(tmp_path):
    generator = torch.Generator().manual_seed(0)
    found = severities(parse("blur sigma=2, noise sigma=25 bits=8, jpeg quality=20"))
    said = {caption(found, generator) for _ in range(300)}
    everything = {kind: 10.0 * place + 5 for place, kind in enumerate(KINDS)}
    said_all = [caption(everything, generator) for _ in range(300)]
    clean = {caption({}, generator) for _ in range(50)}
    assert len(said) > 100
    assert clean == {"nothing wrong", "a clean photograph", "a good photograph", "no degradation"}
    for text in [*said, *said_all, *clean]:
        assert set(text.split()) <= set(VOCABULARY)
        assert len(text.split()) + 2 <= 2 * LENGTH
    assert all(any(word in text for word in ("noise", "grain")) for text in said)
    save_tokenizer(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*list(said)[:50], "Strong NOISE", "unheard of"]:
        ours = tokens(text)
        assert tokenizer(text).input_ids == ours[ours != NUMBERS["<pad>"]].tolist()


def test_captions_mean_the_same_where_kinds_and_grades_are_the_same():
    assert meaning({}) == 0
    assert meaning({"noise": 31, "jpeg": 71}) == meaning({"jpeg": 99, "noise": 44.9})
    assert meaning({"noise": 31}) != meaning({"noise": 45})
    assert meaning({"noise": 31}) != meaning({"blur": 31})
    largest = meaning(dict.fromkeys(KINDS, 100.0))
    assert largest == sum(5 * 6**place for place in range(len(KINDS)))
    assert largest == int(torch.tensor(float(largest), dtype=torch.float32))


def test_labels_say_what_was_drawn_and_travel_unchanged(photographs):
    paths = sorted((photographs / "clean").iterdir())
    source = Synthetic(Photographs(paths), [parse_drawn("noise sigma=20..40 bits=8")])
    image, labels = seen_photograph(source, 2, torch.Generator().manual_seed(1))
    assert sorted(image.shape) == [3, 40, 56]
    assert torch.equal(image, images.quantise(image, 8))
    again = Labels.unpack(labels.pack())
    for name in Labels.__dataclass_fields__:
        assert torch.equal(getattr(again, name), getattr(labels, name))
    assert labels.present[0].tolist() == [kind == "noise" for kind in KINDS]
    assert labels.known.all()
    assert labels.severity[0, 0] > 30
    assert labels.severity[0, 1:].sum() == 0
    assert labels.meaning.item() == meaning({"noise": float(labels.severity[0, 0])})


def test_of_photographs_as_they_were_taken_only_their_kind_is_known(photographs):
    source = Pairs(sorted((photographs / "hazy").iterdir()), kind="haze")
    labels = Labels.unpack(Mosaics(source, DegradationEncoder(SMALL).prepare)(0).labels)
    assert labels.known[0].tolist() == labels.present[0].tolist() == [kind == "haze" for kind in KINDS]
    assert not labels.measured.any()
    assert labels.meaning.item() == UNSAID


def test_what_is_done_to_a_real_photograph_is_known_beside_its_kind(photographs):
    drawn = [parse_drawn("noise sigma=20..40, haze amount=30")]
    source = Pairs(sorted((photographs / "hazy").iterdir()), kind="haze", degradations=drawn)
    _, labels = seen_photograph(source, 0, torch.Generator().manual_seed(1))
    assert labels.known[0].tolist() == labels.present[0].tolist() == [kind in ("noise", "haze") for kind in KINDS]
    assert labels.measured[0].tolist() == [kind == "noise" for kind in KINDS]  # haze on haze: nobody knows how strong
    assert labels.severity[0, KINDS.index("noise")] > 0
    assert labels.severity.count_nonzero() == 1
    assert labels.meaning.item() == UNSAID


def test_the_pool_grows_forgets_and_makes_nothing_twice():
    made = []

    def make(number):
        made.append(number)
        return number

    pool = Pool(make, first=4, fresh=2, size=7)
    assert [pool.window(step) for step in (0, 1, 2, 9)] == [range(4), range(6), range(1, 8), range(15, 22)]
    assert pool.at(0, [0, 3, 3]) == [0, 3, 3]
    assert pool.at(2, [0, 6]) == [1, 7]
    assert pool.at(3, [0, 6]) == [3, 9]
    assert len(made) == len(set(made))
    resumed = Pool(lambda number: number, first=4, fresh=2, size=7)
    assert resumed.at(3, [0, 6]) == [3, 9]


def test_an_error_in_the_thread_is_raised_where_the_batch_is_made():
    def make(number):
        raise DataError("gone")

    with pytest.raises(DataError, match="gone"):
        Pool(make, first=2, fresh=1, size=4).at(0, [0])


def test_rearranging_moves_tiles_and_mirrors_each_by_itself():
    mosaics = torch.rand(2, 3, 32, 32)
    order = torch.stack([torch.randperm(12) for _ in range(2)])
    changed = rearranged(mosaics, order, torch.tensor([False, True]))
    (whole, tiles), (new_whole, new_tiles) = split_tiles(mosaics), split_tiles(changed)
    assert torch.equal(new_whole[0], whole[0])
    assert torch.equal(new_whole[1], whole[1].flip(2))
    for place in range(12):
        assert torch.equal(new_tiles[0, place], tiles[0, order[0, place]])
        assert torch.equal(new_tiles[1, place], tiles[1, order[1, place]].flip(2))


def test_the_contrastive_loss_is_clips_where_all_meanings_differ_and_shares_targets_else():
    image, text = torch.randn(5, 8), torch.randn(5, 8)
    scale = torch.tensor(7.0)
    logits = 7 * F.normalize(image, dim=1) @ F.normalize(text, dim=1).T
    own = torch.arange(5)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(contrastive_loss(image, text, own, scale), expected)
    shared = contrastive_loss(image, text, torch.tensor([4, 1, 4, 2, 3]), scale)
    by_hand = 0.0
    for one in (logits, logits.T):
        logs = one.log_softmax(1)
        by_hand -= float(
            (logs[0, 0] + logs[0, 2]) / 2 + (logs[2, 0] + logs[2, 2]) / 2 + logs[1, 1] + logs[3, 3] + logs[4, 4]
        )
    assert float(shared) == pytest.approx(by_hand / 10)
    assert float(contrastive_loss(image[:0], text[:0], own[:0], scale)) == 0


def test_the_first_filters_are_waves():
    filters = frequency_filters(8, 24)
    assert filters.shape == (24, 3, 8, 8)
    flat = filters.flatten(1)
    gram = flat @ flat.T
    torch.testing.assert_close(gram - gram.diag().diag(), torch.zeros(24, 24), atol=1e-5, rtol=0)
    assert float(filters[0].std()) < 1e-6  # the mean
    assert filters[20:].sum(1).abs().max() < 1e-5  # colour differences see no grey
    frequencies = (gram.diag()[:20].sqrt() * 25).sqrt() - 1
    assert float(frequencies[0]) == pytest.approx(0, abs=1e-4)
    assert float(frequencies.max()) > 8


def test_a_new_tower_tells_noise_by_the_mean_of_its_tokens():
    shape = TowerSettings()
    tower = ImageTower(shape)
    start_as_spectrum(tower, shape)
    smooth = torch.linspace(-1, 1, 128).expand(6, 3, 128, 128)
    noise = torch.randn(6, 3, 128, 128) * torch.tensor([0.05, 0.1, 0.2]).repeat(2).view(6, 1, 1, 1)
    with torch.no_grad():
        features = join_features(*tower(smooth + noise)[1:])[:, 2 * 96 :]
    energy = features[:, 24:80].mean(1).view(2, 3)  # the brightness at all but its lowest frequencies
    assert (energy.diff(dim=1) > 5 * energy.std(0).max()).all()


def test_joined_features_are_means_over_their_places():
    whole, patches = torch.rand(2, 5), torch.rand(2, 16, 5)
    features = join_features(whole, patches)
    resized, native = [0, 1, 4, 5], [2, 3, 6, 7, *range(8, 16)]
    assert torch.equal(features[:, :5], whole)
    torch.testing.assert_close(features[:, 5:10], patches[:, resized].mean(1))
    torch.testing.assert_close(features[:, 10:], patches[:, native].mean(1))
