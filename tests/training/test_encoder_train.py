"""Training the degradation encoder: exact resume, the folder that is left, the contrastive loss."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from small_runs import encoder_tree, run

from pellucid.degradations import KINDS
from pellucid.diagnosis import load_diagnoser
from pellucid.errors import DataError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors.degradation_encoder import join_features
from pellucid.training.encoder.captions import VOCABULARY, tokens
from pellucid.training.encoder.train import contrastive_loss

transformers = pytest.importorskip("transformers")


def test_resumed_equals_uninterrupted_and_the_folder_is_a_diagnosers(pictures, tmp_path):
    whole = run(encoder_tree(pictures), tmp_path / "whole")
    run(encoder_tree(pictures), tmp_path / "cut", stop_at=3)
    resumed = run(encoder_tree(pictures), tmp_path / "cut", resume=True)
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
    ("section", "shapes_the_tower"),
    [
        ({"spectrum": {"constant": 3.0}}, True),
        ({"spectrum": {"steepness": 9.0}}, True),
        ({"spectrum": {"amplitude": 5.0}}, True),
        ({"heads": {"hidden": 8, "examples": 30, "epochs": 2}}, False),
        ({"heads": {"hidden": 8, "examples": 20}}, False),
        ({"heads": {"hidden": 8, "examples": 30, "dropout": 0.4}}, False),
        ({"calibration": {"draws": 2}}, False),
    ],
    ids=lambda value: "-".join([*value, list(next(iter(value.values())))[-1]]) if isinstance(value, dict) else "",
)
def test_every_setting_reaches_what_it_sets(pictures, tmp_path, section, shapes_the_tower):
    """The tower's for the tower; those of the heads and of their calibration for what is fitted when it is done."""
    usual = encoder_tree(pictures)
    usual["train"]["steps"] = 1
    changed = usual | {"encoder": usual["encoder"] | section}
    files = []
    for name, recipe in (("usual", usual), ("changed", changed)):
        run(recipe, tmp_path / name)
        files.append([load_file(tmp_path / name / f"{part}.safetensors") for part in ("model", "heads")])
    (tower, heads), (other_tower, other_heads) = files
    same = all(torch.equal(value, other_tower[key]) for key, value in tower.items())
    assert same != shapes_the_tower
    assert not all(torch.equal(value, other_heads[key]) for key, value in heads.items())
    if "calibration" in section:
        card = json.loads((tmp_path / "changed/card.json").read_text())
        assert card["calibration"]["draws_of_each"] == 2


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
def test_wrong_recipes_are_one_line_and_write_nothing(pictures, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        run(encoder_tree(pictures, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


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


def test_joined_features_are_means_over_their_places():
    whole, patches = torch.rand(2, 5), torch.rand(2, 16, 5)
    features = join_features(whole, patches)
    resized, native = [0, 1, 4, 5], [2, 3, 6, 7, *range(8, 16)]
    assert torch.equal(features[:, :5], whole)
    torch.testing.assert_close(features[:, 5:10], patches[:, resized].mean(1))
    torch.testing.assert_close(features[:, 10:], patches[:, native].mean(1))
