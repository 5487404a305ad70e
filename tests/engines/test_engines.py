"""Engines against torch, graphs against networks, 8 bits against rounding written out."""

import json
import math
from copy import deepcopy

import numpy as np
import pytest
import torch

from pellucid.degradations import KINDS
from pellucid.diagnosis.prior import diagnosis_prior
from pellucid.diagnosis.traces import block_places
from pellucid.engines import (
    NetworkOnEngine,
    calibrate,
    choice,
    chosen_engine,
    eight_bits,
    known_ranges,
    on_engine,
    parts_of,
    sessions,
)
from pellucid.engines.calibrate import calibrate_model, calibrated
from pellucid.engines.folder import export
from pellucid.engines.graphs import graph_file, kept_graph, weights_key
from pellucid.engines.int8 import Rounding, load_ranges, quantised, save_ranges
from pellucid.engines.noise import ROUGH, noise_floor
from pellucid.engines.parity import parity
from pellucid.engines.parity import test_picture as picture
from pellucid.errors import MissingExtraError, ModelError, SettingsError
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_to
from pellucid.models.header import Policy
from pellucid.networks import Experts, Identity, UNet
from pellucid.priors.student import Student
from pellucid.refinement import PTGRM, Boosted
from pellucid.restoration.decision import Chooser, Wish, rules_of
from pellucid.restoration.restorer import Restorer

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    """Graphs of these tests go to a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        sessions._core.cache_clear()
        yield
    sessions._core.cache_clear()


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet(widths=(8, 16), blocks=(1, 1)).eval()


@pytest.fixture(scope="module")
def ranges(unet):
    return calibrated(unet, [picture(64, 96), picture(96, 64)], exact=("head", "tail"))


@pytest.fixture(scope="module")
def boosted(unet):
    """Experts of which one does nothing, a student that opens the gate, and an R that changes something."""
    torch.manual_seed(1)
    student = Student(8, 32, (4, 8), (4, 8)).freeze()
    refinement = PTGRM(8, width=4, blocks=1)
    torch.nn.init.normal_(refinement.decoder.out.weight, std=0.05)
    return Boosted(Experts([unet, Identity()], [None, ["clean"]], prior_width=8, hidden=4), student, refinement).eval()


def distance(one, other):
    return float((one - other).abs().max())


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_a_network_gives_what_torch_gives_at_any_size(unet, engine):
    part = NetworkOnEngine(unet, engine)
    for height, width in ((16, 16), (30, 62), (98, 50)):
        image = torch.rand(2, 3, height, width)
        with torch.no_grad():
            assert distance(part(image), unet(image)) < 1e-5


def test_bfloat16_is_asked_for_by_autocast_alone(unet):
    part, image = NetworkOnEngine(unet, "openvino"), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        exact = unet(image)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = part(image)
    assert rounded.dtype == torch.float32
    assert distance(part(image), exact) < 1e-5
    if torch.cpu._is_avx512_bf16_supported():
        assert 1e-5 < distance(rounded, exact) < 0.05


def written_out(network, layers):
    """The network with rounded weights, and with rounding before each of the layers."""
    network = deepcopy(network)
    for name, layer in layers.items():
        module = network.get_submodule(name)
        exact = module.weight.detach().clone()
        scale = exact.abs().amax((1, 2, 3), keepdim=True) / 127
        module.weight.data = (exact / scale).round() * scale
        shift = ((exact - module.weight.data).sum((2, 3)) * layer.mean).sum(1)

        def rounded(_, given, layer=layer):
            step, least = (layer.high / 127, -128) if layer.low < 0 else (layer.high / 255, 0)
            return ((given[0] / step).round().clamp(least, least + 255) * step,)

        module.register_forward_pre_hook(rounded)
        module.register_forward_hook(lambda _, given, result, shift=shift: result + shift[:, None, None])
    return network


def test_8_bits_are_the_rounding_that_is_written_out(unet, ranges):
    part, image = NetworkOnEngine(unet, "onnx", Rounding(ranges), "always"), picture(64, 128)
    with torch.no_grad():
        ours, theirs, exact = part(image), written_out(unet, ranges)(image), unet(image)
    assert distance(ours, exact) > 1e-3
    assert float((ours - theirs).abs().mean()) < float((ours - exact).abs().mean()) / 20


def test_engines_agree_in_8_bits_and_shapes_are_fixed(unet, ranges):
    ours, theirs = (NetworkOnEngine(unet, engine, Rounding(ranges), "always") for engine in ("openvino", "onnx"))
    for height, width in ((64, 64), (66, 120), (70, 126)):
        image = picture(height, width)
        with torch.no_grad():
            exact = unet(pad_to(image, -(-height // 32) * 32, -(-width // 32) * 32))[:, :, :height, :width]
            assert distance(ours(image), exact) < 6 / 255
            assert float((ours(image) - theirs(image)).abs().mean()) < 0.1 / 255
    assert len(ours._fixed) == 2  # the last two are padded to one shape


def test_the_mean_that_rounding_of_weights_moves_comes_back(unet, ranges):
    # Weights that all round downwards move the mean of a constant picture; what is taken back is that, exactly.
    import onnx

    graph = NetworkOnEngine(unet, "onnx").graph()
    values = {one.name: one for one in onnx.ModelProto.FromString(quantised(graph, ranges)).graph.initializer}
    name = next(key for key in values if key.endswith("encoders.0.0.first.weight/8"))
    base = name.removesuffix("/8")
    whole, scales = (onnx.numpy_helper.to_array(values[f"{base}/{kind}"]) for kind in ("8", "scale"))
    lost = unet.encoders[0][0].first.weight.detach().numpy() - whole * scales[:, None, None, None]
    mean = ranges["encoders.0.0.first"].mean.numpy()
    assert np.allclose(
        onnx.numpy_helper.to_array(values[f"{base}/bias"]), np.einsum("oikl,i->o", lost, mean), atol=1e-6
    )


def test_ranges_cut_what_is_rare_and_keep_signs(unet, ranges):
    assert set(ranges) == {name for name, module in unet.named_modules() if isinstance(module, torch.nn.Conv2d)} - {
        "head",
        "tail",
    }
    behind_relu = ranges["encoders.0.0.second"]
    assert behind_relu.low == 0 < behind_relu.high
    assert ranges["encoders.0.0.first"].low < 0


def test_ranges_are_written_and_read(ranges, tmp_path):
    save_ranges({"key": Rounding(ranges, 0.0), "other": Rounding(ranges)}, tmp_path / "int8.safetensors")
    again = load_ranges(tmp_path / "int8.safetensors")
    assert again["key"].layers.keys() == ranges.keys()
    assert all(torch.equal(again["key"].layers[name].mean, layer.mean) for name, layer in ranges.items())
    assert again["key"].floor == 0
    assert again["other"].floor == pytest.approx(ROUGH)
    assert load_ranges(tmp_path / "nothing.safetensors") == {}


@pytest.mark.parametrize("sigma", [0, 3, 12, 40])
def test_the_noise_of_a_slope_is_found(sigma):
    slope = torch.linspace(0.3, 0.7, 400).expand(1, 3, 300, 400)
    noisy = slope + sigma / 255 * torch.randn(1, 3, 300, 400)
    assert noise_floor(noisy) * 255 == pytest.approx(sigma, rel=0.15, abs=0.05)


def test_smooth_parts_decide_how_much_noise_there_is():
    half = torch.cat([torch.rand(1, 3, 128, 128), torch.full((1, 3, 128, 128), 0.5)], 3)
    assert noise_floor(half) < ROUGH
    assert noise_floor(torch.rand(1, 3, 20, 400)) == 0


def test_8_bits_are_for_pictures_whose_noise_hides_them(unet, ranges):
    part = NetworkOnEngine(unet, "openvino", Rounding(ranges), "auto")
    smooth = torch.linspace(0, 1, 96).expand(1, 3, 64, 96).contiguous()
    noisy = (smooth * 0.5 + 0.25 + 30 / 255 * torch.randn(1, 3, 64, 96)).clamp(0, 1)
    with torch.no_grad():
        assert distance(part(smooth, part.look(smooth)), unet(smooth)) < 1e-5
        assert distance(part(noisy, part.look(noisy)), unet(noisy)) > 1e-4
        assert distance(part(noisy), unet(noisy)) < 1e-5  # of which nothing is known
    anywhere = NetworkOnEngine(unet, "openvino", Rounding(ranges, 0.0), "auto")
    assert not anywhere.contract.looks
    with torch.no_grad():
        assert distance(anywhere(smooth), unet(smooth)) > 1e-4
    never = NetworkOnEngine(unet, "openvino", Rounding(ranges, 0.0), "never")
    with torch.no_grad():
        assert distance(never(smooth), unet(smooth)) < 1e-5


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_a_boosted_model_gives_the_same_pictures(boosted, engine):
    image = picture(90, 130)
    exact = Restorer(deepcopy(boosted), precision="float32", engine="torch", tile=64).restore_image(image)
    restorer = Restorer(deepcopy(boosted), precision="float32", engine=engine, tile=64)
    assert len(parts_of(restorer.model)) == 2
    assert distance(restorer.restore_image(image), exact) < 1e-4
    assert distance(exact, image) > 1e-2
    assert restorer.precision == f"float32 by {engine}"
    assert all(row.largest < 0.05 for row in parity(restorer.model))
    # R without the memory for one piece is torch's, in windows
    small = Restorer(deepcopy(boosted), precision="float32", engine=engine, tile=64, memory=16 << 20)
    assert distance(small.restore_image(image), exact) < 1e-4


def test_auto_takes_openvino_once_its_graphs_are_there(boosted, monkeypatch):
    assert chosen_engine("auto", boosted, CPU) == "openvino"  # made by the test above
    torch.manual_seed(5)
    assert chosen_engine("auto", UNet.tiny(), CPU) == "torch"
    assert chosen_engine("auto", boosted, torch.device("meta")) == "torch"
    monkeypatch.setattr(choice, "installed", lambda _: False)
    assert chosen_engine("auto", boosted, CPU) == "torch"
    with pytest.raises(MissingExtraError, match=r"pellucid\[openvino\]"):
        chosen_engine("openvino", boosted, CPU)
    with pytest.raises(MissingExtraError, match=r"pellucid\[onnx\]"):
        chosen_engine("onnx", boosted, CPU)


def test_what_cannot_be_is_said():
    with pytest.raises(SettingsError, match="--engine openvino"):
        eight_bits("torch", "int8")
    with pytest.raises(SettingsError, match="bfloat16 is for openvino"):
        eight_bits("onnx", "bfloat16")
    with pytest.raises(ModelError, match="no network that openvino could run"):
        on_engine(Identity(), "openvino")
    with pytest.raises(SettingsError, match="engine must be"):
        Restorer(UNet.tiny(), engine="tensorrt")


def test_a_graph_is_kept_and_made_anew_where_it_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept_graph("k", lambda: b"made") == b"made"
    assert kept_graph("k", lambda: b"again") == b"made"
    graph_file("k").unlink()
    assert kept_graph("k", lambda: b"again") == b"again"


def test_a_graph_of_8_bits_is_kept_for_the_ranges_that_it_has(unet, ranges, monkeypatch):
    from pellucid.engines import parts

    image = picture(64, 64)
    with torch.no_grad():
        first = NetworkOnEngine(unet, "onnx", Rounding(ranges), "always")(image)
        with monkeypatch.context() as patch:
            patch.setattr(parts, "quantised", lambda *_: pytest.fail("it is there already"))
            assert torch.equal(NetworkOnEngine(unet, "onnx", Rounding(ranges), "always")(image), first)
        fewer = {name: layer for name, layer in ranges.items() if "encoders" not in name}
        assert distance(NetworkOnEngine(unet, "onnx", Rounding(fewer), "always")(image), first) > 1e-4


def test_weights_make_the_key():
    one, other = UNet.tiny(), UNet.tiny()
    assert weights_key(one) != weights_key(other)
    other.load_state_dict(one.state_dict())
    assert weights_key(one) == weights_key(other)


def test_calibrating_learns_from_photographs_and_says_what_it_costs(unet, small_photographs):
    (row,) = calibrate_model(unet, small_photographs, ["noise sigma=20..40"], count=6)
    assert row.key == weights_key(unet)
    assert row.shift is None
    assert row.rounding.floor == pytest.approx(ROUGH)
    assert abs(row.loss) < 0.05
    assert row.exact == ("head", "tail")
    assert row.ranges.keys() == {name for name in row.ranges if not name.startswith(("head", "tail"))}
    assert json.dumps(row.as_dict())
    with pytest.raises(ModelError, match="no network of this model is for"):
        calibrate_model(Identity(), small_photographs, ["noise sigma=20"], count=6)


def test_8_bits_that_no_noise_hides_must_leave_smooth_pictures_alone(unet, small_photographs, monkeypatch):
    texts = ["jpeg quality=20..60"]
    (row,) = calibrate_model(unet, small_photographs, texts, count=6)
    assert 0 < row.shift <= calibrate.SHIFT
    assert row.rounding.floor == 0
    monkeypatch.setattr(calibrate, "SHIFT", row.shift / 100)
    (row,) = calibrate_model(unet, small_photographs, texts, count=6)
    assert row.rounding is None
    assert "stays as it is" in row.words()


def test_what_stays_as_it_is_grows_from_the_ends_to_what_reads_the_picture(unet):
    sets = calibrate._exact_layers(unet)
    assert sets[0] == ("head", "tail")
    assert set(sets[1]) == {"head", "tail", "encoders.0.0.first", "encoders.0.0.second", "downsamples.0"}
    assert set(sets[2]) == set(sets[1]) | {"decoders.0.0.first", "decoders.0.0.second"}


@pytest.fixture
def small_photographs(tmp_path):
    from pellucid import images

    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        images.write(images.Photograph(picture(150, 200).roll(20 * number, 3)), path)
    return paths


def test_an_exported_folder_restores_with_onnxruntime_alone(boosted, tmp_path):
    import restore_with_onnx

    done = export(deepcopy(boosted), tmp_path, name="tiny", licence="MIT")
    assert {file.name for file in done.files} == {"look.onnx", "restore-0.onnx", "refine.onnx", "model.json"}
    page = json.loads((tmp_path / "model.json").read_text())
    assert page["opset"] == 18
    assert all(value < 1e-4 for value in page["parity"]["largest difference from torch, of 1"].values())
    image = picture(76, 100)
    expected = Restorer(deepcopy(boosted), precision="float32", engine="torch", tile=0).restore_image(image)
    restored = restore_with_onnx.restore(tmp_path, image[0].permute(1, 2, 0).numpy())
    assert np.abs(restored - expected[0].permute(1, 2, 0).numpy()).max() < 1e-4
    assert np.abs(restored - image[0].permute(1, 2, 0).numpy()).max() > 0.02
    assert restore_with_onnx.restore(tmp_path, np.zeros((71, 65, 3), np.float32)).shape == (71, 65, 3)


@pytest.fixture(scope="module")
def diagnosing():
    """Experts whose gate the embedded diagnosis opens, one of them for haze, and one that changes every picture."""
    torch.manual_seed(2)
    unet = UNet(widths=(8, 16), blocks=(1, 1))
    torch.nn.init.normal_(unet.tail.weight, std=0.05)
    prior = diagnosis_prior()
    experts = Experts([UNet.tiny(), unet, Identity()], [["haze"], None, ["clean"]], prior_width=prior.width, hidden=4)
    return Boosted(experts, prior, None).eval()


POLICY = Policy(tones={"haze": (0.9, 0.4)}, second_probability=0.8, second_share=0.2, refined=("haze",))


@torch.no_grad()
def test_a_folder_of_a_model_that_diagnoses_says_who_is_asked(diagnosing, tmp_path):
    import restore_with_onnx

    page = export(deepcopy(diagnosing), tmp_path, name="tiny", rules=rules_of(POLICY)).page
    assert page["look"]["inputs"] == ["image", "rows", "columns"]
    assert page["parity"]["largest difference from torch, of 1"]["look.onnx"] < 1e-3
    flat = torch.full((1, 3, 96, 80), 0.5)  # whose spectrum is zero
    for image in (picture(90, 130), flat):
        prior, experts = diagnosing.prior, diagnosing.network
        view = prior.view(image, block_places(*image.shape[2:]))
        trust = experts.trust(prior.encode(view))
        session = sessions.OnnxRuntimeSession((tmp_path / "look.onnx").read_bytes(), "float32")
        assert distance(session(image, *block_places(*image.shape[2:])), prior.encode(view)) < 1e-3
        said = {kind: probability for kind, (probability, _) in prior.conclusions(view).items()}
        plan = Chooser(experts, POLICY, Wish(), said).first(trust[0].tolist())
        expected = image
        if plan.weights is not None:
            padded = pad_to(image, -(-image.shape[2] // 2) * 2, -(-image.shape[3] // 2) * 2)
            told = NOTHING.knowing(own={"weights": torch.tensor([plan.weights])})
            made = torch.lerp(padded, experts.restore(padded, told), plan.strength)
            expected = made[:, :, : image.shape[2], : image.shape[3]].clamp(0, 1)
        restored = restore_with_onnx.restore(tmp_path, image[0].permute(1, 2, 0).numpy())
        assert np.abs(restored - expected[0].permute(1, 2, 0).numpy()).max() < 1e-3


def test_the_example_chooses_as_the_program_does(diagnosing):
    import restore_with_onnx

    experts = diagnosing.network
    page = {
        "look": {"rules": rules_of(POLICY), "kinds": list(KINDS)},
        "restore": [{"expert": 1, "for": "the rest"}, {"expert": 2, "for": ["clean"]}],
        "left_out": {"0": {"expert": 0, "for": ["haze"]}},
    }
    generator = torch.Generator().manual_seed(0)
    chosen = []
    for _ in range(400):
        trust = (2.5 * torch.randn(3, generator=generator)).softmax(0).tolist()
        said = torch.rand(len(KINDS), generator=generator).pow(torch.rand((), generator=generator) * 4).tolist()
        plan = Chooser(experts, POLICY, Wish(), dict(zip(KINDS, said, strict=True))).first(trust)
        weights, strength, refined = restore_with_onnx.chosen(page, trust, said)
        if plan.weights is None:
            assert not weights
        else:
            total = sum(weights.values())
            ours = [weights.get(number, 0.0) / total for number in range(3)]
            assert ours == pytest.approx(list(plan.weights))
            assert strength == pytest.approx(plan.strength)
            assert refined == (max(range(3), key=plan.weights.__getitem__) == 0)
        chosen.append(None if plan.weights is None else tuple(weight > 0 for weight in plan.weights))
    assert len(set(chosen)) > 3


def test_the_embedded_models_are_calibrated():
    from pellucid.models.hub import find_model
    from pellucid.models.load import load_model
    from pellucid.refinement import network_of

    known = known_ranges()
    assert weights_key(network_of(load_model(find_model("denoise")).module)) in known
    experts = network_of(load_model(find_model("default")).module)
    noise, compression = (
        next(number for number in range(len(experts.kinds)) if experts.is_for(number, (kind,)))
        for kind in ("noise", "jpeg")
    )
    assert known[weights_key(experts.experts[noise])].floor == pytest.approx(ROUGH)
    assert known[weights_key(experts.experts[compression])].floor == 0
    for one in known.values():
        assert all(math.isfinite(layer.high) and layer.high > 0 for layer in one.layers.values())


def test_guidance_says_the_noise_to_experts(boosted, ranges, unet):
    model = on_engine(deepcopy(boosted), "openvino", ranges={weights_key(unet): Rounding(ranges)}, int8="auto")
    assert model.network.contract.looks
    told = model.look(picture(64, 96), Guidance(own={"weights": torch.tensor([[1.0, 0.0]])}))
    assert float(told.parts["0"].own["noise"]) == pytest.approx(noise_floor(picture(64, 96)))
    assert model.restore(picture(64, 96), NOTHING.knowing(vector=told.vector)).shape == (1, 3, 64, 96)
