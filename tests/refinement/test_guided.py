"""Networks that a prior guides: the experts' sum against a loop, one glance at the whole picture, files, recipes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pellucid.checkpoints import read_weights
from pellucid.errors import ModelError, SettingsError
from pellucid.evaluation.candidates import candidates_of
from pellucid.guidance import NOTHING, Guidance
from pellucid.models.file import describe_model
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.refinements import refinement_for
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.networks import IAT, Experts, External, UNet
from pellucid.priors import DegradationEncoder, RandomVectors, Student, Zeros
from pellucid.refinement import PTGRM, Boosted
from pellucid.restoration.memory import bytes_per_pixel
from pellucid.restoration.restorer import Restorer


def student():
    return Student(8, size=32, channels=(4,), texture=(4,))


def boosted(prior=None):
    module = Boosted(Experts.tiny(), prior or student(), PTGRM(8, width=4, blocks=1))
    nn.init.normal_(module.network.gate[2].weight, std=2)
    nn.init.normal_(module.refinement.decoder.out.weight, std=0.1)
    return module.eval()


@pytest.mark.parametrize("training", [True, False])
def test_the_result_is_the_experts_weighted_sum(training):
    experts = Experts.tiny().train(training)
    nn.init.normal_(experts.gate[2].weight, std=4)
    image, guide = torch.rand(6, 3, 16, 8), torch.randn(6, 8)
    weights = torch.softmax(experts.gate(guide), 1)
    if not training:
        weights = torch.where(weights < 0.05, 0.0, weights)
        weights = weights / weights.sum(1, keepdim=True)
    one_by_one = [
        sum(share * expert(image[row : row + 1]) for share, expert in zip(weights[row], experts.experts, strict=True))
        for row in range(6)
    ]
    found = experts.restore(image, Guidance(vector=guide))
    torch.testing.assert_close(found, torch.cat(one_by_one), atol=1e-6, rtol=1e-5)


def test_an_expert_that_is_not_believed_is_not_asked():
    experts = Experts.tiny().eval()
    nn.init.zeros_(experts.gate[2].weight)
    experts.gate[2].bias.data = torch.tensor([0.0, 20.0])
    asked = []
    for place, expert in enumerate(experts.experts):
        expert.head.register_forward_hook(lambda *_, place=place: asked.append(place))
    image = torch.rand(2, 3, 16, 16)
    guidance = Guidance(vector=torch.randn(1, 8))
    assert experts.weights(guidance.vector).tolist() == [[0.0, 1.0]]
    restored = experts.restore(image, guidance)
    assert asked == [1]
    assert torch.equal(restored, experts.experts[1](image))


def test_an_expert_that_looks_is_told_what_it_saw_of_each_picture(monkeypatch):
    """Each picture of a batch has its own expert, and each expert is told of its pictures alone."""
    experts = Experts([IAT.tiny(), IAT.tiny(), IAT.tiny()], [None] * 3, prior_width=2, hidden=2).eval()
    for expert in experts.experts:
        for layer in (expert.global_branch.value, expert.global_branch.to_matrix, expert.global_branch.to_exponent):
            nn.init.normal_(layer.weight)
    for layer in (experts.gate[0], experts.gate[2]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    experts.gate[0].weight.data = torch.eye(2)
    experts.gate[2].weight.data = torch.tensor([[9.0, 0.0], [0.0, 9.0], [-99.0, -99.0]])
    monkeypatch.setattr(experts.experts[2], "look", lambda *_, **__: pytest.fail("asked"))
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    images = torch.rand(3, 3, 24, 24) * torch.tensor([0.1, 0.5, 1.0])[:, None, None, None]
    tiles = images[..., 4:12, 4:12]
    with torch.no_grad():
        guidance = experts.look(images, Guidance(vector=vectors))
        found = experts.restore(tiles, guidance)
        expected = [
            expert.restore(tiles[row : row + 1], expert.look(images[row : row + 1]))
            for row, expert in enumerate((experts.experts[0], experts.experts[1], experts.experts[0]))
        ]
        alone = experts.restore(tiles, Guidance(vector=vectors))
    assert set(guidance.parts) == {"0", "1"}
    torch.testing.assert_close(found, torch.cat(expected))
    assert (found - alone).abs().amax((1, 2, 3)).min() > 1e-3


def test_the_gate_learns_to_ask_the_better_expert():
    """One expert adds light and one takes it away; which is right follows from the guide's first number."""
    torch.manual_seed(0)
    expert = {"name": "unet", "settings": {"widths": [4], "blocks": [1], "bias": True}}
    experts = build_network("experts", {"experts": [expert] * 2, "prior_width": 2, "hidden": 8})
    for expert, light in zip(experts.experts, (0.5, -0.5), strict=True):
        nn.init.zeros_(expert.tail.weight)
        nn.init.constant_(expert.tail.bias, light)
    experts.experts.requires_grad_(False)
    optimizer = torch.optim.Adam(experts.gate.parameters(), 0.05)
    for _ in range(60):
        guide = torch.randn(32, 2).sign()
        target = 0.5 * guide[:, :1, None, None]
        loss = (experts(torch.zeros(32, 3, 2, 2), Guidance(vector=guide)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = experts.eval().weights(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]))
    assert weights.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    "settings",
    [
        {"experts": [{"name": "unet"}]},
        {"experts": [{"name": "unet"}, {"name": "unet", "widths": [4]}]},
        {"experts": [{"name": "unet"}, {"name": "no-such"}]},
        {"experts": [{"name": "unet"}, "unet"]},
        {"experts": [{"name": "unet"}, {"name": "external", "settings": {"target": "torch.nn:Identity"}}]},
        {"experts": [{"name": "unet"}, {"name": "unet", "kinds": "haze"}]},
        {"experts": [{"name": "unet"}, {"name": "unet"}], "prior_width": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(SettingsError):
        build_network("experts", settings)


def test_while_experts_learn_under_a_settled_gate_only_those_asked_run():
    experts = Experts.tiny().train()
    nn.init.zeros_(experts.gate[2].weight)
    experts.gate[2].bias.data = torch.tensor([0.0, 20.0])
    guide = torch.randn(1, 8)
    assert (experts.weights(guide) > 0).all()
    experts.gate.requires_grad_(False)
    assert experts.weights(guide).tolist() == [[0, 1]]


def test_of_many_experts_the_likeliest_is_asked():
    """With twenty and one that are all alike, none is believed as much as what counts as negligible."""
    shape = {"name": "unet", "settings": {"widths": [2], "blocks": [1]}}
    experts = build_network("experts", {"experts": [shape] * 21, "prior_width": 4, "hidden": 2}).eval()
    nn.init.zeros_(experts.gate[2].weight)
    nn.init.zeros_(experts.gate[2].bias)
    torch.testing.assert_close(experts.weights(torch.rand(3, 4)), torch.full((3, 21), 1 / 21))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_gate_works_in_the_precision_of_its_weights(dtype):
    experts = Experts.tiny().eval().to(dtype)
    assert experts.weights(torch.rand(2, 8)).sum(1).tolist() == pytest.approx([1, 1])


def test_r_inside_experts_is_refused():
    with pytest.raises(SettingsError, match="use 'ptgrm'"):
        refinement_for(Experts.tiny(), Zeros(8), "ptgrm-features")


def test_a_guide_of_another_width_is_refused():
    with pytest.raises(ModelError, match=r"\(B, 8\)"):
        Experts.tiny().restore(torch.rand(1, 3, 8, 8), Guidance(vector=torch.rand(1, 4)))
    with pytest.raises(ModelError, match=r"\(B, 8\), got None"):
        Experts.tiny()(torch.rand(1, 3, 8, 8))
    with pytest.raises(ModelError, match=r"\(B, 8\), got None"):
        Experts.tiny().look(torch.rand(1, 3, 8, 8))
    for refinement in (None, PTGRM(4, width=4, blocks=1)):
        with pytest.raises(SettingsError, match="prior_width=4"):
            Boosted(Experts.tiny(), Zeros(4), refinement)


@pytest.mark.parametrize("expert", [Experts.tiny, lambda: External(nn.Identity(), scale=2)])
def test_experts_that_cannot_be_are_refused(expert):
    with pytest.raises(ValueError, match="keep the size of the image, and need no prior"):
        Experts([UNet.tiny(), expert()], [None, None])


def test_the_prior_looks_once_and_at_the_whole_picture():
    module = boosted()
    image = torch.rand(1, 3, 200, 136)
    whole = Restorer(module, tile=0, precision="float32").restore_image(image)
    seen = []
    views = []
    prepare, encode = module.prior.prepare, module.prior.encode
    module.prior.prepare = lambda picture: views.append(tuple(picture.shape)) or prepare(picture)
    module.prior.encode = lambda view: seen.append(1) or encode(view)
    tiled = Restorer(module, tile=64, precision="float32").restore_image(image)
    assert set(views) == {(1, 3, 200, 136)}
    assert (whole - tiled).abs().max() < 0.02
    assert len(views) == len(seen) == 1
    alone = Restorer(module.unrefined(), tile=64, precision="float32").restore_image(image)
    assert len(views) == len(seen) == 2
    direct = module.unrefined()(image)[..., :200, :136].clamp(0, 1)
    assert (alone - direct).abs().max() < 0.02


@pytest.mark.parametrize("size", [(37, 53), (1, 1), (200, 136)])
def test_a_guided_network_alone_is_shown_the_picture_and_not_its_padding(size):
    module, image = boosted(), torch.rand(1, 3, *size)
    views = []
    prepare = module.prior.prepare
    module.prior.prepare = lambda picture: views.append(tuple(picture.shape[2:])) or prepare(picture)
    Restorer(module.unrefined(), tile=64, precision="float32").restore_image(image)
    assert views == [size]


def test_two_threads_may_show_one_network_their_pictures():
    module = boosted()
    pictures = [torch.rand(1, 3, 200, 136, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    restorer = Restorer(module.unrefined(), tile=64, precision="float32")
    alone = [restorer.restore_image(picture) for picture in pictures]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(3):
            together = list(threads.map(restorer.restore_image, pictures))
            assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_crops_are_guided_by_the_photographs_they_are_from():
    module = boosted().train()
    crops, photographs = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 64, 64)
    view = module.prior.prepare(photographs)
    _, restored = module(crops, Guidance(view=view), both=True)
    told = Guidance(vector=module.prior(photographs))
    torch.testing.assert_close(restored, module.network.restore(crops, told))
    assert not torch.allclose(restored, module.unrefined()(crops), atol=1e-4)


def test_r_that_is_fed_another_vector_leaves_that_of_the_network_alone():
    module, image, other = boosted(), torch.rand(2, 3, 24, 40), torch.randn(2, 8)
    with torch.no_grad():
        guidance = module.look(image)
        kept = guidance.vector.clone()
        restored = module.restore(image, guidance)
        refined = module.refine(restored, image, guidance.knowing(vector=other))
        expected = module.refinement(restored, image, other)
        plain = module(image)
    torch.testing.assert_close(refined, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(refined, plain, atol=1e-5)
    assert torch.equal(guidance.vector, kept)
    torch.testing.assert_close(restored, module.network.restore(image, Guidance(vector=kept)))
    assert torch.equal(module(image), plain)  # nothing of it is left behind
    assert torch.equal(module.restore(image, guidance), restored)


def test_where_r_takes_maps_the_network_is_told_the_vector_all_the_same():
    class Mapped(Student):
        def maps(self, image):
            return self.prepare(image)[:, :3]

    prior = Mapped(8, size=32, channels=(4,), texture=(4,)).freeze()
    module = Boosted(Experts.tiny(), prior, PTGRM(3, width=4, blocks=1, guidance="concatenated-maps")).eval()
    nn.init.normal_(module.network.gate[2].weight, std=2)
    image = torch.rand(2, 3, 24, 40)
    with torch.no_grad():
        guidance = module.look(image)
        _, restored = module(image, both=True)
        torch.testing.assert_close(restored, module.network.restore(image, Guidance(vector=prior(image))))
    torch.testing.assert_close(guidance.maps, prior.prepare(image)[:, :3])
    torch.testing.assert_close(guidance.vector, prior(image))


def test_what_is_known_is_not_asked_again(monkeypatch):
    module, image = boosted(), torch.rand(1, 3, 24, 40)
    guidance = module.look(image)
    for verb in ("prepare", "encode", "forward"):
        monkeypatch.setattr(module.prior, verb, lambda *_: pytest.fail("asked"))
    assert module.told(image, guidance) is guidance
    torch.testing.assert_close(module.look(image, guidance).vector, guidance.vector)
    module(image, guidance)
    module.restore(image[..., :8], guidance)


def test_an_empty_guidance_tells_the_network_nothing():
    """What was seen of another picture before is not kept anywhere."""
    module, images = boosted(), torch.rand(2, 3, 24, 40)
    module(images[:1])
    with pytest.raises(ModelError, match=r"expected a prior's vector \(B, 8\), got None"):
        module.restore(images[1:], NOTHING)


@pytest.mark.parametrize("prior", [student, lambda: RandomVectors(8)])
def test_files_come_back(prior, tmp_path):
    module, path = boosted(prior()), tmp_path / "model.safetensors"
    save_model(module, path, recipe={}, card={})
    loaded = load_model(path).module
    image = torch.rand(1, 3, 24, 40)
    assert torch.equal(loaded(image), module(image))
    alone = module.unrefined()
    assert (alone.network, alone.prior, alone.refinement) == (module.network, module.prior, None)
    save_model(alone, path, recipe={}, card={})
    assert describe_model(path).refinement is None
    assert describe_model(path).prior is not None
    assert torch.equal(load_model(path).module(image), alone(image))


def test_a_file_holds_one_prior(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(ModelError, match=r"Experts must be told a prior's vector; store it with its prior"):
        save_model(Experts.tiny(), path, recipe={}, card={})
    assert not path.exists()
    module = boosted()
    save_model(module, path, recipe={}, card={})
    stored = {key for key in read_weights(path) if key.startswith("prior.")}
    assert stored == {f"prior.{key}" for key in module.prior.state_dict()}


def test_weights_come_in_parts(tmp_path):
    expert, path = UNet((4, 8), (1, 1)), tmp_path / "expert.safetensors"
    save_model(expert, path, recipe={}, card={})
    experts = Experts.tiny()
    load_network_weights(experts, {"experts.1": path})
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(experts.experts[1](image), expert(image))
    assert not torch.equal(experts.experts[0](image), expert(image))
    with pytest.raises(SettingsError, match=r"experts\.1"):
        load_network_weights(experts, {"experts.2": path})


def test_memory_counts_the_largest_expert_whichever_is_asked():
    experts = Experts([UNet([4], [1]), UNet([32], [1])], [None, None], prior_width=8)
    nn.init.zeros_(experts.gate[2].weight)
    experts.gate[2].bias.data = torch.tensor([20.0, 0.0])
    assert experts.eval().weights(torch.zeros(1, 8)).tolist() == [[1, 0]]
    assert bytes_per_pixel(experts, torch.device("cpu")) == 4 * 32


def test_a_prior_counts_neither_for_the_network_that_it_guides_nor_for_the_boost(tmp_path):
    prior = DegradationEncoder({"image_size": 64, "hidden_size": 8, "num_hidden_layers": 1, "projection_dim": 8})
    module, path = boosted(prior), tmp_path / "model.safetensors"
    save_model(module, path, recipe={}, card={})
    alone, whole = candidates_of([str(path)], alone=True)
    experts, refinement = (
        sum(value.numel() for value in part.parameters()) for part in (module.network, module.refinement)
    )
    assert (alone.details["parameters"], alone.details["parameters_added"]) == (experts, 0)
    assert (whole.details["parameters"], whole.details["parameters_added"]) == (experts + refinement, refinement)
