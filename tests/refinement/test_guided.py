"""Networks that a prior guides: the experts' sum against a loop, one glance at the whole picture, files, recipes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pellucid.errors import ModelError, SettingsError
from pellucid.evaluation.candidates import candidates_of
from pellucid.models.file import describe_model
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.refinements import refinement_for
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.networks import Experts, UNet
from pellucid.priors import DegradationEncoder, RandomVectors, Student, Zeros
from pellucid.refinement import PTGRM, Boosted, Guided
from pellucid.restoration.memory import bytes_per_pixel
from pellucid.restoration.restorer import Restorer


def student():
    return Student(8, size=32, channels=(4,), texture=(4,))


def boosted(prior=None):
    prior = prior or student()
    module = Boosted(Guided(Experts.tiny(), prior), prior, PTGRM(8, width=4, blocks=1))
    nn.init.normal_(module.network.network.gate[2].weight, std=2)
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
    torch.testing.assert_close(experts(image, guide), torch.cat(one_by_one), atol=1e-6, rtol=1e-5)


def test_an_expert_that_is_not_believed_is_not_asked():
    experts = Experts.tiny().eval()
    nn.init.zeros_(experts.gate[2].weight)
    experts.gate[2].bias.data = torch.tensor([0.0, 20.0])
    asked = []
    for place, expert in enumerate(experts.experts):
        expert.register_forward_hook(lambda *_, place=place: asked.append(place))
    image = torch.rand(2, 3, 16, 16)
    assert torch.equal(experts(image, torch.randn(1, 8)), experts.experts[1](image))
    assert asked[0] == 1
    assert 0 not in asked


def test_the_gate_learns_to_ask_the_better_expert():
    """One expert adds light and one takes it away; which is right follows from the guide's first number."""
    torch.manual_seed(0)
    experts = Experts([{"name": "unet", "settings": {"widths": [4], "blocks": [1], "bias": True}}] * 2, 2, 8)
    for expert, light in zip(experts.experts, (0.5, -0.5), strict=True):
        nn.init.zeros_(expert.tail.weight)
        nn.init.constant_(expert.tail.bias, light)
    experts.experts.requires_grad_(False)
    optimizer = torch.optim.Adam(experts.gate.parameters(), 0.05)
    for _ in range(60):
        guide = torch.randn(32, 2).sign()
        target = 0.5 * guide[:, :1, None, None]
        loss = (experts(torch.zeros(32, 3, 2, 2), guide) - target).square().mean()
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
    experts = Experts([shape] * 21, 4, 2).eval()
    nn.init.zeros_(experts.gate[2].weight)
    nn.init.zeros_(experts.gate[2].bias)
    torch.testing.assert_close(experts.weights(torch.rand(3, 4)), torch.full((3, 21), 1 / 21))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_gate_works_in_the_precision_of_its_weights(dtype):
    experts = Experts.tiny().eval().to(dtype)
    assert experts.weights(torch.rand(2, 8)).sum(1).tolist() == pytest.approx([1, 1])


def test_r_inside_experts_is_refused():
    with pytest.raises(SettingsError, match="use 'ptgrm'"):
        refinement_for(Guided(Experts.tiny(), Zeros(8)), Zeros(8), "ptgrm-features")


def test_a_guide_of_another_width_is_refused():
    with pytest.raises(ModelError, match=r"\(B, 8\)"):
        Experts.tiny()(torch.rand(1, 3, 8, 8), torch.rand(1, 4))
    with pytest.raises(SettingsError, match="prior_width=4"):
        Guided(Experts.tiny(), Zeros(4))


def test_the_prior_looks_once_and_at_the_whole_picture():
    module = boosted()
    image = torch.rand(1, 3, 200, 136)
    whole = Restorer(module, tile=0, precision="float32").restore_image(image)
    seen = []
    module.prior.register_forward_hook(lambda *_: seen.append(1))
    views = []
    prepare = module.prior.prepare
    module.prior.prepare = lambda picture: views.append(tuple(picture.shape)) or prepare(picture)
    tiled = Restorer(module, tile=64, precision="float32").restore_image(image)
    assert set(views) == {(1, 3, 200, 136)}
    assert (whole - tiled).abs().max() < 0.02
    alone = Restorer(module.network, tile=64, precision="float32").restore_image(image)
    direct = module.network(image)[..., :200, :136].clamp(0, 1)
    assert (alone - direct).abs().max() < 0.02


@pytest.mark.parametrize("size", [(37, 53), (1, 1), (200, 136)])
def test_a_guided_network_alone_is_shown_the_picture_and_not_its_padding(size):
    module, image = boosted(), torch.rand(1, 3, *size)
    views = []
    prepare = module.prior.prepare
    module.prior.prepare = lambda picture: views.append(tuple(picture.shape[2:])) or prepare(picture)
    Restorer(module.network, tile=64, precision="float32").restore_image(image)
    assert set(views) == {size}


def test_two_threads_may_show_one_network_their_pictures():
    module = boosted()
    pictures = [torch.rand(1, 3, 200, 136, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    restorer = Restorer(module.network, tile=64, precision="float32")
    alone = [restorer.restore_image(picture) for picture in pictures]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(3):
            together = list(threads.map(restorer.restore_image, pictures))
            assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_crops_are_guided_by_the_photographs_they_are_from():
    module = boosted().train()
    crops, photographs = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 64, 64)
    view = module.prior.prepare(photographs)
    _, restored = module(crops, both=True, view=view)
    torch.testing.assert_close(restored, module.network.network(crops, module.prior(photographs)))
    assert not torch.allclose(restored, module.network(crops), atol=1e-4)


@pytest.mark.parametrize("prior", [student, lambda: RandomVectors(8)])
def test_files_come_back(prior, tmp_path):
    module, path = boosted(prior()), tmp_path / "model.safetensors"
    save_model(module, path, recipe={}, card={})
    loaded = load_model(path).module
    image = torch.rand(1, 3, 24, 40)
    assert torch.equal(loaded(image), module(image))
    assert loaded.network.prior is loaded.prior
    save_model(module.network, path, recipe={}, card={})
    assert describe_model(path)["refinement"] is None
    assert torch.equal(load_model(path).module(image), module.network(image))


def test_a_file_holds_one_prior(tmp_path):
    with pytest.raises(ModelError, match="Guided"):
        save_model(Experts.tiny(), tmp_path / "model.safetensors", recipe={}, card={})
    module = Boosted(Guided(Experts.tiny(), student()), student(), PTGRM(8, width=4, blocks=1))
    with pytest.raises(ModelError, match="different priors"):
        save_model(module, tmp_path / "model.safetensors", recipe={}, card={})


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
    experts = Experts(
        [
            {"name": "unet", "settings": {"widths": [4] * 1, "blocks": [1]}},
            {"name": "unet", "settings": {"widths": [32], "blocks": [1]}},
        ],
        8,
    )
    nn.init.zeros_(experts.gate[2].weight)
    experts.gate[2].bias.data = torch.tensor([20.0, 0.0])
    assert bytes_per_pixel(Guided(experts.eval(), Zeros(8)), torch.device("cpu")) == 4 * 32


def test_a_prior_counts_neither_for_the_network_that_it_guides_nor_for_the_boost(tmp_path):
    prior = DegradationEncoder({"image_size": 64, "hidden_size": 8, "num_hidden_layers": 1, "projection_dim": 8})
    module, path = boosted(prior), tmp_path / "model.safetensors"
    save_model(module, path, recipe={}, card={})
    alone, whole = candidates_of([str(path)], alone=True)
    experts, refinement = (
        sum(value.numel() for value in part.parameters()) for part in (module.network.network, module.refinement)
    )
    assert (alone.details["parameters"], alone.details["parameters_added"]) == (experts, 0)
    assert (whole.details["parameters"], whole.details["parameters_added"]) == (experts + refinement, refinement)
