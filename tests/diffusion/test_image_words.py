"""Words of images: sizes and vectors of the authors' networks, where words stand, what each stage changes, and what the
pipeline makes of them, against diffusers' own pipeline."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from pellucid.diffusion.captions import captioner, without_degradations
from pellucid.diffusion.guidance_files import check_guidance, hash_of, key_of, read_guidance, write_guidance
from pellucid.diffusion.guidance_image import GuidanceMaker, load_guidance_maker, middle_square, save_guidance_maker
from pellucid.diffusion.image_words import WordCleaner, WordMapper, words_place
from pellucid.errors import ImageError, ModelError, SettingsError
from pellucid.restoration.guides import Maker
from support.parity import rule
from support.pipelines import WORDS, save_captioner, save_pipeline, save_vision, tokenizer_of

STEPS = {"steps": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    save_pipeline(folder / "pipeline")
    save_vision(folder / "vision")
    return folder


def maker_of(folders, count=3):
    torch.manual_seed(0)
    return GuidanceMaker(str(folders / "pipeline"), str(folders / "vision"), count=count, hidden=8)


@pytest.fixture(scope="module")
def maker(folders):
    return maker_of(folders)


@pytest.mark.parametrize(("name", "kind"), [("tdr_mapper", WordMapper), ("tdr_clean_mapper", WordCleaner)])
def test_vectors_of_the_authors_code(shared, name, kind):
    vector = np.load(shared / f"parity/{name}.npz")
    settings, keys = json.loads(str(vector["settings"])), json.loads(str(vector["keys"]))
    plus_one = set(json.loads(str(vector["plus_one"])))
    mapped = kind is WordMapper
    network = (WordMapper(16, 8, 2) if mapped else WordCleaner(8, 2)).eval()
    assert sum(value.numel() for value in network.parameters()) == settings["_params"]
    for case, gain, salt in (("", 1, ""), ("_B", settings["_ruleB"]["gain"], settings["_ruleB"]["salt"])):
        weights = {name: rule(name, shape, gain, salt, plus_one) for name, shape in keys.items()}
        first = "of_class." if mapped else "of_words."
        state = {
            key.replace("mapping_patch_", "of_patches.").replace("mapping_", first): one for key, one in weights.items()
        }
        network.load_state_dict(state)
        with torch.no_grad():
            found = network(torch.from_numpy(vector["input_a"]))
        np.testing.assert_allclose(found, vector[f"output_a{case}"], atol=1e-4)


def test_sizes_are_the_published_ones():
    def count(module):
        return sum(value.numel() for value in module.parameters())

    with torch.device("meta"):
        assert count(WordMapper(1280, 1024, 1)) == 2 * 6_238_464
        assert count(WordMapper(1280, 1024)) / 1e6 == pytest.approx(249.5, abs=0.05)
        assert count(WordCleaner(1024)) / 1e6 == pytest.approx(118.2, abs=0.05)


def test_a_word_depends_on_its_own_networks_and_a_cleaned_one_on_its_word_alone():
    torch.manual_seed(0)
    mapper, tokens = WordMapper(6, 4, 3, 8), torch.randn(2, 5, 6)
    words = mapper(tokens)
    expected = mapper.of_class[1](tokens[:, 0]) + mapper.of_patches[1](tokens[:, 1:].reshape(-1, 6)).view(2, 4, 4).mean(
        1
    )
    torch.testing.assert_close(words[:, 1], expected)
    cleaner = WordCleaner(4, 3, 8)
    changed = words.clone()
    changed[:, 0] += 1
    difference = (cleaner(changed) - cleaner(words)).abs().amax((0, 2))
    assert difference[0] > 0
    assert not difference[1:].any()


@pytest.mark.parametrize(("width", "hidden"), [(4, 11), (1024, 2050)])
def test_cleaning_can_begin_by_leaving_words_as_they_are(width, hidden):
    torch.manual_seed(0)
    cleaner, words = WordCleaner(width, 2, hidden), 0.3 * torch.randn(50, 2, width) + 0.1
    cleaner.leave(0.3)
    cleaned = cleaner(words)
    assert (1 - torch.cosine_similarity(cleaned, words, dim=2)).abs().max() < 1e-6
    torch.testing.assert_close(cleaned.norm(dim=2), words.norm(dim=2), rtol=0.3 if width == 4 else 0.03, atol=0)
    # Every unit can learn: of the last layer those that were not needed as well, and they are no plain sums.
    cleaned.square().sum().backward()
    last = cleaner.of_words[0][-1].weight
    assert (last.grad.abs().amax(0) > 0).float().mean() > 0.7  # but for the one that carries no number
    with pytest.raises(SettingsError, match=r"by 10 units, not by 9"):
        WordCleaner(4, 1, 9).leave(1.0)


@pytest.mark.parametrize("count", [1, 5, 10])
def test_words_stand_where_the_prompt_has_its_place_and_the_rest_is_shifted(folders, count):
    """Words that are the embeddings of tokens say what the text encoder says of these tokens."""
    maker = maker_of(folders, count)
    assert maker.place == 5  # as in the published tokenizer
    ids = maker.tokenizer("a photo of a s", padding="max_length", max_length=24).input_ids
    tokens = [maker.tokenizer(word).input_ids[1] for word in (WORDS * 2)[:count]]
    spliced = torch.tensor([ids[:5] + tokens + ids[6:]])[:, :24]
    words = maker.text_encoder.get_input_embeddings()(torch.tensor([tokens]))
    with torch.no_grad():
        torch.testing.assert_close(maker.said(words), maker.text_encoder(spliced).last_hidden_state)
        plain = maker.text_encoder(maker.ids).last_hidden_state
        torch.testing.assert_close(maker.text_encoder(maker.ids).last_hidden_state, plain)  # the hook is gone
    assert maker.words(torch.rand(2, 3, 40, 50)).shape == (2, count, 16)
    assert len(maker.to_words.of_class) == len(maker.clean.of_words) == count


def test_as_many_words_as_the_paper_tries_fit_its_text_encoder():
    for count in (5, 10, 20, 30, 40):
        ids, place = words_place(tokenizer_of(77), 77, count)
        assert ids.shape == (1, 77)
        assert place == 5
    with pytest.raises(SettingsError, match="72 words: the text encoder reads 77 tokens"):
        words_place(tokenizer_of(77), 77, 72)
    # Where "photo" is five tokens, words stand later; where the letter is two, one stands for both.
    assert words_place(lambda text, **_: tokenizer_of()(text.replace("photo", "image"), **_), 24, 3)[1] == 9


def hashes(module):
    return {
        name: hashlib.sha256(value.detach().numpy().tobytes()).hexdigest() for name, value in module.named_parameters()
    }


@pytest.mark.parametrize("stage", ["image-to-words", "clean"])
def test_a_stage_trains_what_it_should_and_nothing_else(folders, stage):
    maker = maker_of(folders)
    maker.learns(stage)
    before, seen, target = hashes(maker), torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    optimiser = torch.optim.AdamW([value for value in maker.parameters() if value.requires_grad], 1e-2)
    noise, times = torch.randn(2, 4, 8, 8), torch.tensor([100, 700])
    losses = []
    for _ in range(12):
        words = maker.words(seen)
        words = maker.clean(words) if stage == "clean" else words
        loss = maker.error(words, maker.codec.encode(target), times, noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    changed = {name for name, value in hashes(maker).items() if before[name] != value}
    parts = ("to_words.", ".attn2.to_k.", ".attn2.to_v.") if stage == "image-to-words" else ("clean.",)
    assert changed == {name for name in before if any(part in name for part in parts)}
    assert losses[-1] < losses[0]
    assert set(maker.state_dict()) == {
        name for name in before if any(part in name for part in ("to_words.", ".attn2.to_k.", ".attn2.to_v.", "clean."))
    }


def test_guidance_is_what_the_pipeline_makes_of_the_same_words(folders, maker):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folders / "pipeline", safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    with torch.no_grad():
        told = maker.said(maker.words(torch.rand(1, 3, 64, 64)))
        made = maker.make(told, steps=4, guidance=5.0, seed=42)
        state = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(42))
        expected = pipeline(
            prompt_embeds=told, negative_prompt_embeds=maker.told(""), latents=state, num_inference_steps=4,
            guidance_scale=5.0, output_type="pt", height=64, width=64,
        ).images  # fmt: skip
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)
    assert not torch.equal(maker.make(told, steps=4, guidance=1.0), made)
    assert not torch.equal(maker.make(told, steps=4, seed=1), made)


def test_words_are_kept_in_a_file_and_fit_no_other_pipeline(folders, maker, tmp_path):
    save_guidance_maker(maker, tmp_path / "words.safetensors")
    again = load_guidance_maker(tmp_path / "words.safetensors")
    image = torch.rand(1, 3, 40, 60)
    assert torch.equal(again.words(image), maker.words(image))
    with pytest.raises(SettingsError, match="have not learnt to be cleaned"):
        again.guidance_of(image, **STEPS)
    save_pipeline(tmp_path / "wide", width=24)
    with pytest.raises(ModelError, match=r"was learnt for a text encoder of width 16, and that of .* has 24"):
        load_guidance_maker(tmp_path / "words.safetensors", pipeline=str(tmp_path / "wide"))
    save_pipeline(tmp_path / "velocity", prediction="v_prediction")
    with pytest.raises(ModelError, match=r"predicts 'v_prediction'.*take a pipeline that predicts 'epsilon'"):
        GuidanceMaker(str(tmp_path / "velocity"), str(folders / "vision"))
    shutil.copytree(folders / "pipeline", tmp_path / "mute")
    for file in (tmp_path / "mute" / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(ModelError, match=r"tokenizer/tokenizer_config\.json missing"):
        GuidanceMaker(str(tmp_path / "mute"), str(folders / "vision"))
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ModelError, match="not a file of words"):
        load_guidance_maker(tmp_path / "text.safetensors")


def test_guidance_is_made_once_and_never_sees_a_clean_picture(folders, tmp_path, monkeypatch):
    maker = maker_of(folders)
    maker.cleaned = True
    save_guidance_maker(maker, tmp_path / "words.safetensors")
    clean = torch.rand(1, 3, 40, 64)
    degraded = (clean + 0.1).clamp(0, 1)
    seen = []
    real = GuidanceMaker.words
    monkeypatch.setattr(GuidanceMaker, "words", lambda self, image: seen.append(image) or real(self, image))
    first = Maker(tmp_path / "words.safetensors", settings=STEPS).made(degraded)
    assert seen
    assert all(torch.equal(image, middle_square(degraded)) for image in seen)
    seen.clear()
    second = Maker(tmp_path / "words.safetensors", settings=STEPS).made(degraded)
    assert (first.found, second.found, seen) == (False, True, [])
    assert torch.equal(first.picture, second.picture)
    assert second.said == first.said
    for other in ({"seed": 1}, {"clean": False}, {"guidance": 2.0}, {"steps": 4}):
        made = Maker(tmp_path / "words.safetensors", settings={**STEPS, **other}).made(degraded)
        assert made.path != first.path
    assert not Maker(tmp_path / "words.safetensors", settings=STEPS).made(clean).found
    with torch.no_grad():
        for value in maker.clean.parameters():
            value.mul_(1.5)
    save_guidance_maker(maker, tmp_path / "words.safetensors")
    assert not Maker(tmp_path / "words.safetensors", settings=STEPS).made(degraded).found


def test_a_file_of_guidance_says_of_which_picture_it_is(tmp_path):
    one, other = torch.rand(1, 3, 9, 8), torch.rand(1, 3, 9, 8)
    guidance = (torch.rand(1, 3, 6, 6) * 255).round() / 255
    write_guidance(tmp_path / "a.png", guidance, one, {"settings": {"steps": 3}})
    picture, record = read_guidance(tmp_path / "a.png")
    torch.testing.assert_close(picture, guidance)
    assert record["settings"] == {"steps": 3}
    check_guidance(tmp_path / "a.png", record, one[0])
    with pytest.raises(ImageError, match="is the guidance of another picture"):
        check_guidance(tmp_path / "a.png", record, other)
    assert hash_of(one) == hash_of(one[0]) != hash_of(one.mT)
    assert len({key_of(one, "w", {}), key_of(other, "w", {}), key_of(one, "v", {}), key_of(one, "w", {"s": 1})}) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("a blurry and noisy photo of a dog in the rain", "a photo of a dog"),
        ("A dark, grainy picture of two boats", "a picture of two boats"),
        ("a street with fog and a red car", "a street and a red car"),
        ("a dog on the beach", "a dog on the beach"),
        ("noise", ""),
        ("", ""),
    ],
)
def test_words_for_degradations_are_dropped_from_captions(sentence, kept):
    assert without_degradations(sentence) == kept


def test_the_explicit_way_goes_by_a_caption(folders, maker, tmp_path):
    save_captioner(tmp_path / "captioner")
    save_guidance_maker(maker, tmp_path / "words.safetensors")
    speaker = captioner(str(tmp_path / "captioner"))
    image = torch.rand(1, 3, 50, 40)
    assert speaker(image) == speaker(image)
    speaker.tokenizer.decode = lambda *_args, **_more: "a noisy photo of a fox"
    made = Maker(tmp_path / "words.safetensors", captioner=speaker, settings=STEPS).made(image)
    assert made.said == {"caption": "a noisy photo of a fox", "kept": "a photo of a fox"}
    with torch.no_grad():
        expected = maker.make(maker.told("a photo of a fox"), **STEPS)
    assert (made.picture - expected).abs().max() <= 0.5 / 255 + 1e-6
    with pytest.raises(ModelError, match="lacks"):
        captioner(str(tmp_path))
