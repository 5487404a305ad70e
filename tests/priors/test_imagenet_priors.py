"""MobileNetV2 and SqueezeNet: against transformers, and against what is in the pictures."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from pellucid.errors import ModelError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors.imagenet import MobileNetV2, SqueezeNet
from support.weights import scrambled

CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
COFFEE = {504, 967, 968}  # mug, espresso, cup
ROCKETS = {657, 744, 812}  # missile, projectile, space shuttle


def photograph(name):
    pixels = getattr(pytest.importorskip("skimage.data"), name)()
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def classes(prior, image, count=1):
    with torch.no_grad():
        return set(prior.module(prior.normalise(prior.prepare(image)))[0].topk(count).indices.tolist())


@pytest.fixture(scope="module")
def mobilenet(shared):
    return find_prior("mobilenet_v2", weights=shared / "weights/prior_mobilenet_v2_imagenet.safetensors")


@pytest.fixture(scope="module")
def squeezenet(shared):
    return find_prior("squeezenet1_0", weights=shared / "weights/prior_squeezenet1_0_imagenet.safetensors")


def test_mobilenet_knows_what_is_in_a_picture(mobilenet):
    assert classes(mobilenet, photograph("chelsea"), 3) == CATS
    assert classes(mobilenet, photograph("coffee")) <= COFFEE
    assert classes(mobilenet, photograph("rocket"), 3) == ROCKETS


def test_squeezenet_knows_what_is_in_a_picture(squeezenet):
    assert classes(squeezenet, photograph("chelsea"), 3) == CATS
    assert classes(squeezenet, photograph("coffee")) <= COFFEE


@pytest.mark.parametrize(
    ("name", "width", "maps"), [("mobilenet", 1280, (1280, 7, 7)), ("squeezenet", 512, (512, 13, 13))]
)
def test_vectors_and_maps_of_real_photographs(request, name, width, maps):
    prior = request.getfixturevalue(name)
    image = photograph("chelsea")
    vector = prior(image)
    assert (vector.shape, vector.dtype) == ((1, width), torch.float32)
    assert vector.square().mean().item() == pytest.approx(1, abs=1e-4)
    features = prior.maps(image)
    assert features.shape == (1, *maps)
    torch.testing.assert_close(F.normalize(features.mean((2, 3))) * width**0.5, vector)
    noisy = image + torch.randn(image.shape) * 0.05
    same, other = F.cosine_similarity(vector, prior(noisy)), F.cosine_similarity(vector, prior(photograph("rocket")))
    assert same > other + 0.2
    assert prior(torch.rand(1, 3, 1, 1)).isfinite().all()


@pytest.mark.parametrize("pad_end", [True, False])
def test_mobilenet_computes_what_transformers_mobilenet_computes(pad_end):
    transformers = pytest.importorskip("transformers")
    config = transformers.MobileNetV2Config(num_labels=1000, layer_norm_eps=1e-5, tf_padding=pad_end)
    theirs, ours = (
        transformers.MobileNetV2ForImageClassification(config).eval(),
        scrambled(MobileNetV2(pad_end=pad_end)),
    )
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    pairs = zip(
        [layer for layer in theirs.modules() if isinstance(layer, kinds)],
        [layer for layer in ours.modules() if isinstance(layer, kinds)],
        strict=True,
    )
    for their, our in pairs:
        their.load_state_dict(our.state_dict())
    pixels = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = theirs(pixel_values=pixels).logits
        torch.testing.assert_close(ours(pixels), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.01


@pytest.mark.parametrize(("name", "own"), [("mobilenet_v2", MobileNetV2), ("squeezenet1_0", SqueezeNet)])
def test_networks_compute_what_torchvisions_compute(name, own):
    models = pytest.importorskip("torchvision.models")
    theirs, ours = models.get_model(name, weights=None).eval(), scrambled(own())
    theirs.load_state_dict(ours.state_dict())
    pixels = torch.randn(1, 3, 66, 97)
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), theirs(pixels))


@pytest.fixture(scope="module")
def own_files(tmp_path_factory):
    """Weights as torchvision's training would leave them."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(scrambled(MobileNetV2()).state_dict(), folder / "mobilenet.safetensors")
    torch.save(scrambled(SqueezeNet()).state_dict(), folder / "squeezenet.pth")
    return folder


def test_torchvisions_files_load_under_their_own_names(own_files):
    mobilenet = find_prior("mobilenet_v2:torchvision", weights=own_files / "mobilenet.safetensors")
    squeezenet = find_prior("squeezenet1_0:torchvision", weights=str(own_files / "squeezenet.pth"))
    assert (mobilenet.name, mobilenet.width) == ("mobilenet_v2:torchvision", 1280)
    assert (squeezenet.name, squeezenet.width) == ("squeezenet1_0:torchvision", 512)
    grey = torch.full((1, 3, 5, 5), 0.5)
    expected = (0.5 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(squeezenet.normalise(squeezenet.prepare(grey))[0, :, 3, 3], expected)


def test_caffes_pixels(squeezenet):
    colour = torch.tensor([10.0, 20.0, 30.0]).view(1, 3, 1, 1) / 255
    expected = torch.tensor([30.0 - 104, 20.0 - 117, 10.0 - 123])
    torch.testing.assert_close(squeezenet.normalise(colour)[0, :, 0, 0], expected, rtol=1e-5, atol=1e-4)


def test_a_file_of_the_other_convention_is_refused(own_files, shared):
    with pytest.raises(ModelError, match=r"mobilenet\.safetensors.*ask for the prior mobilenet_v2:torchvision"):
        find_prior("mobilenet_v2", weights=own_files / "mobilenet.safetensors")
    with pytest.raises(ModelError, match=r"ask for the prior mobilenet_v2$"):
        find_prior("mobilenet_v2:torchvision", weights=shared / "weights/prior_mobilenet_v2_imagenet.safetensors")


def test_files_that_are_not_these_weights_are_named(own_files, tmp_path):
    with pytest.raises(ModelError, match=r"squeezenet\.pth: does not fit MobileNetV2: \d+ missing"):
        find_prior("mobilenet_v2", weights=own_files / "squeezenet.pth")
    tensors = SqueezeNet().state_dict()
    tensors["classifier.1.bias"] = torch.zeros(10)
    save_file(tensors, tmp_path / "ten.safetensors")
    with pytest.raises(ModelError, match=r"ten\.safetensors: .*classifier\.1\.bias is \(10,\), expected \(1000,\)"):
        find_prior("squeezenet1_0", weights=tmp_path / "ten.safetensors")
    whole = (own_files / "mobilenet.safetensors").read_bytes()
    for name, content in {
        "cut.safetensors": whole[:-50],
        "empty.safetensors": b"",
        "empty.pth": b"",
        "noise.pth": b"no",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=f"{name}: not a readable weights file"):
            find_prior("mobilenet_v2", weights=tmp_path / name)
    torch.save({"epoch": 3, "model": {}}, tmp_path / "checkpoint.pth")
    with pytest.raises(ModelError, match=r"checkpoint\.pth: does not fit MobileNetV2"):
        find_prior("mobilenet_v2", weights=tmp_path / "checkpoint.pth")
    with pytest.raises(ModelError, match="no such weights file"):
        find_prior("mobilenet_v2", weights=tmp_path / "gone.safetensors")
    with pytest.raises(SettingsError, match="unknown convention of mobilenet_v2 'keras'"):
        find_prior("mobilenet_v2:keras", weights=own_files / "mobilenet.safetensors")


def test_a_file_that_runs_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({"features.0.0.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ModelError, match=r"trap\.pth"):
        find_prior("mobilenet_v2", weights=tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
