"""Model files: round trips, what is embedded and what is not, and damage."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pellucid.errors import ModelError, SettingsError
from pellucid.models.file import describe_model
from pellucid.models.header import Header, Policy
from pellucid.models.hub import find_model
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.priors import find_prior
from pellucid.models.save import save_model
from pellucid.networks import NAFNet, UNet
from pellucid.priors import DegradationEncoder, RandomVectors, Shuffled, Student, Zeros
from pellucid.refinement import PTGRM, Boosted
from pellucid.training.settings import read_recipe


def boosted(network=None, prior=None):
    prior = prior or Student(8, size=32, channels=(4,), texture=(4,))
    module = Boosted(network or UNet.tiny(), prior, PTGRM(8, width=4, blocks=1))
    nn.init.normal_(module.refinement.decoder.out.weight, std=0.1)
    return module.eval()


def saved(module, path, **options):
    save_model(module, path, recipe={"name": "test"}, card={"licence": "Apache-2.0"}, **options)
    return path


@pytest.mark.parametrize("make", [UNet.tiny, NAFNet.tiny, boosted])
def test_round_trip(make, tmp_path):
    module = make().eval()
    loaded = load_model(saved(module, tmp_path / "model.safetensors"))
    image = torch.rand(1, 3, 16, 24)
    assert torch.equal(loaded.module(image), module(image))
    assert loaded.header.card["licence"] == "Apache-2.0"
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    (tmp_path / "other").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_numbers_too_small_to_be_normal_load_as_zeros(tmp_path):
    network = UNet.tiny()
    with torch.no_grad():
        next(network.parameters()).fill_(1e-40)
    loaded = load_model(saved(network, tmp_path / "model.safetensors")).module
    assert not next(loaded.parameters()).any()


def test_half_size_files_are_close_and_load_as_float32(tmp_path):
    module = boosted()
    full, half = (
        saved(module, tmp_path / "a.safetensors"),
        saved(module, tmp_path / "b.safetensors", dtype=torch.float16),
    )
    assert half.stat().st_size < 0.7 * full.stat().st_size
    loaded = load_model(half).module
    image = torch.rand(1, 3, 16, 16)
    assert next(loaded.parameters()).dtype == torch.float32
    torch.testing.assert_close(loaded(image), module(image), atol=5e-3, rtol=0)


def test_the_header_is_plain_json_that_names_all_parts(tmp_path):
    header = describe_model(saved(boosted(), tmp_path / "m.safetensors")).as_dict()
    assert json.loads(json.dumps(header)) == header
    assert header["network"]["name"] == "unet"
    assert header["refinement"]["settings"]["width"] == 4
    assert header["prior"]["student"]["width"] == 8


def test_our_own_encoder_travels_in_the_file(tmp_path, monkeypatch):
    """Nothing is asked of the package's encoder, which another version may have another of."""
    encoder = DegradationEncoder(
        {"image_size": 64, "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 1, "projection_dim": 8}
    )
    module = boosted(prior=encoder)
    path = saved(module, tmp_path / "m.safetensors")
    assert describe_model(path).as_dict()["prior"]["encoder"]["projection_dim"] == 8
    monkeypatch.setattr("pellucid.priors.degradation_encoder.EMBEDDED_ENCODER", tmp_path / "nowhere")
    loaded, image = load_model(path).module, torch.rand(1, 3, 20, 30)
    assert torch.equal(loaded.look(image).vector, module.look(image).vector)
    assert torch.equal(loaded(image), module(image))
    assert not any(value.requires_grad for value in loaded.prior.parameters())


def test_a_prior_from_elsewhere_is_named_and_found_again(tmp_path):
    path = saved(boosted(prior=Zeros(8)), tmp_path / "m.safetensors")
    assert describe_model(path).as_dict()["prior"] == {"name": "zeros:8"}
    assert isinstance(load_model(path).module.prior, Zeros)


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_prior_from_elsewhere_with_other_weights_is_refused(tmp_path, shuffled):
    other = saved(UNet.tiny(), tmp_path / "other.safetensors")
    prior = find_prior(f"restorer:{other}")
    guide = Shuffled(prior, torch.randn(5, prior.width)) if shuffled else prior
    module = Boosted(UNet.tiny(), guide, PTGRM(prior.width, width=4, blocks=1)).eval()
    path = saved(module, tmp_path / "m.safetensors")
    assert set(describe_model(path).as_dict()["prior"]) == {"name", "sha256"} | ({"shuffled"} if shuffled else set())
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(load_model(path).module(image), module(image))
    saved(UNet.tiny(), other)
    with pytest.raises(ModelError, match="made with other weights of the prior"):
        load_model(path)


def test_a_shuffled_control_keeps_its_bank(tmp_path):
    module = boosted(prior=Shuffled(RandomVectors(8), torch.randn(5, 8)))
    path = saved(module, tmp_path / "m.safetensors")
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(load_model(path).module(image), module(image))


def test_a_network_of_ones_own_is_not_stored_but_recognised(tmp_path):
    torch.manual_seed(0)
    network = nn.Conv2d(3, 3, 3, padding=1)
    module = boosted(network)
    path = saved(module, tmp_path / "refiner.safetensors")
    with pytest.raises(ModelError, match="network of your own"):
        load_model(path)
    with pytest.raises(ModelError, match="other weights"):
        load_model(path, network=nn.Conv2d(3, 3, 3, padding=1))
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(load_model(path, network=network).module(image), module(image))


def test_a_network_takes_its_weights_from_any_model_file(tmp_path):
    module = boosted()
    path = saved(module, tmp_path / "m.safetensors")
    network = UNet.tiny()
    load_network_weights(network, path)
    assert torch.equal(network.head.weight, module.network.head.weight)
    save_file(UNet.tiny().state_dict(), tmp_path / "plain.safetensors")
    load_network_weights(network, tmp_path / "plain.safetensors")
    with pytest.raises(ModelError, match="another kind"):
        load_network_weights(NAFNet.tiny(), path)


def test_damage_is_explained(tmp_path):
    good = saved(boosted(), tmp_path / "m.safetensors")
    cases = {"empty": b"", "text": b"hello world", "cut": good.read_bytes()[:-100], "header": good.read_bytes()[:50]}
    for name, data in cases.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        with pytest.raises(ModelError, match=f"{name}.safetensors: not a readable"):
            load_model(path)
    with pytest.raises(ModelError, match="no such model file"):
        load_model(tmp_path / "missing.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="not a pellucid model file"):
        load_model(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"network": {"name": "os.system", "settings": {}}}, "unknown network 'os.system'"),
        ({"network": {"name": "unet", "settings": {"widths": [4], "blocks": [1]}}}, "network do not fit"),
        ({"refinement": {"name": "ptgrm"}}, "does not describe a model"),
        ({"prior": None}, "does not describe a model"),
        ({"prior": {"name": 3}}, "does not describe a model"),
        ({"recipe": None}, "recipe is missing or of a wrong kind"),
        ({"card": [1]}, "card is missing or of a wrong kind"),
        ({"network": ["x"]}, "network is missing or of a wrong kind"),
        ({"network": {"name": "unet", "settings": {"widths": [10**7, 10**7], "blocks": [1, 1]}}}, "network do not fit"),
        ({"network": {"name": "unet", "settings": {"widths": [-8, 16], "blocks": [1, 1]}}}, "must be positive"),
        ({"prior": {"student": {"width": 8, "channels": [-4]}}}, "does not describe a model"),
    ],
)
def test_a_wrong_header_is_explained(tmp_path, change, message):
    module = boosted()
    path = saved(module, tmp_path / "m.safetensors")
    header = describe_model(path).as_dict() | change
    tensors = {f"network.{key}": value for key, value in module.network.state_dict().items()}
    tensors |= {f"refinement.{key}": value for key, value in module.refinement.state_dict().items()}
    save_file(tensors, path, metadata={"pellucid": json.dumps(header)})
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    network = UNet.tiny()
    path = saved(network, tmp_path / "m.safetensors")
    header = describe_model(path).as_dict()
    nn.init.constant_(network.head.weight, float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        saved(network, tmp_path / "n.safetensors")
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    save_file(tensors, path, metadata={"pellucid": json.dumps(header)})
    with pytest.raises(ModelError, match="not finite"):
        load_model(path)


def test_a_header_cannot_run_code(tmp_path):
    """A class named in a header must not be imported, let alone called."""
    path = saved(UNet.tiny(), tmp_path / "m.safetensors")
    proof = tmp_path / "proof"
    settings = {"target": "subprocess:check_output", "arguments": {"args": ["touch", str(proof)]}}
    header = describe_model(path).as_dict() | {"network": {"name": "external", "settings": settings}}
    save_file({"a": torch.zeros(1)}, path, metadata={"pellucid": json.dumps(header)})
    with pytest.raises(ModelError, match="not pellucid's own"):
        load_model(path)
    with pytest.raises(ModelError):
        load_network_weights(UNet.tiny(), path)
    assert not proof.exists()


def test_a_prior_in_a_header_gets_no_file_that_is_not_weights(tmp_path):
    path = saved(boosted(prior=Zeros(8)), tmp_path / "m.safetensors")
    (tmp_path / "secret").write_text("x")
    header = describe_model(path).as_dict() | {"prior": {"name": "mobilenet_v2"}}
    header["recipe"] = {"prior": {"weights": str(tmp_path / "secret")}}
    network = {f"network.{key}": value for key, value in load_model(path).module.network.state_dict().items()}
    refinement = {f"refinement.{key}": value for key, value in load_model(path).module.refinement.state_dict().items()}
    save_file(network | refinement, path, metadata={"pellucid": json.dumps(header)})
    with pytest.raises(ModelError, match="needs the prior 'mobilenet_v2'"):
        load_model(path)


def test_a_prior_of_another_width_than_the_refinement_takes_is_refused(tmp_path):
    """As where the prior's own file holds another network now: not at the first picture."""
    save_model(UNet((4, 8), (1, 1)), tmp_path / "prior.safetensors")
    boosted = Boosted(
        UNet.tiny(), find_prior(f"restorer:{tmp_path / 'prior.safetensors'}"), PTGRM(8, width=4, blocks=1)
    )
    save_model(boosted, tmp_path / "model.safetensors")
    header = describe_model(tmp_path / "model.safetensors").as_dict()
    del header["prior"]["sha256"]  # as in older files
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"pellucid": json.dumps(header)})
    load_model(tmp_path / "model.safetensors")
    save_model(UNet((4, 12), (1, 1)), tmp_path / "prior.safetensors")
    with pytest.raises(ModelError, match=r"takes 8 numbers of the prior 'restorer:.*', which gives 12"):
        load_model(tmp_path / "model.safetensors")


def test_a_recipe_whose_network_enlarges_leaves_nothing_alone():
    tree = {
        "name": "test",
        "network": {"name": "external", "settings": {"target": "torch.nn:Upsample", "scale": 2}},
        "data": {"folder": "photographs", "degradations": ["noise sigma=5"]},
        "train": {"steps": 1},
    }
    read_recipe(tree, "test")
    with pytest.raises(SettingsError, match=r"policy\.leave_alone: a network that enlarges"):
        read_recipe(tree | {"policy": {"leave_alone": True}}, "test")


def test_a_policy_has_defaults_for_what_older_files_do_not_say():
    policy = Policy(
        passes=3,
        align_blocks=True,
        leave_alone=True,
        refined=("haze",),
        measured_noise={"any": (5, 0.9)},
        mistaken=("ringing",),
        drawn=(0.65, 0.2),
    )
    assert policy.tones["low-light"] == (0.98, 0.82)
    assert policy.monotone == ("low-light",)
    # As JSON gives it back.
    again = Policy(**json.loads(json.dumps(Header({"name": "unet"}, policy=policy).as_dict()))["policy"])
    assert again == policy


@pytest.mark.parametrize(
    "wrong",
    [
        {"tones": {"haze": 0.9}},
        {"tones": {"haze": [0.9, 1.1]}},
        {"tones": {"haze": [True, 0.5]}},
        {"tone_shift": -1},
        {"refined": "haze"},
        {"mistaken": [1]},
        {"measured_noise": 5},
        {"drawn": 0.5},
        {"drawn": [300, 0.2]},
        {"drawn": [0.5, 2]},
        {"measured_noise": {"any": [300, 0.5]}},
        {"measured_noise": {"any": [5, 2]}},
        {"monotone": "haze"},
        {"second_share": "much"},
        {"second_probability": 2},
    ],
)
def test_a_policy_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Policy(**wrong)


def test_a_folder_is_no_model_and_says_what_was_meant(tmp_path):
    with pytest.raises(ModelError, match=r"a folder, not a model file$"):
        find_model(str(tmp_path))
    saved(UNet.tiny(), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"it holds .*model\.safetensors"):
        find_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelError, match="family: sd"):
        find_model(str(tmp_path))
