"""Black boxes in files: TorchScript, torch.export and ONNX behind `External`, boosted, saved, refused."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid.errors import ModelError, SettingsError
from pellucid.models.tables import build_network
from pellucid.networks import External
from pellucid.priors import Zeros
from pellucid.restoration.restorer import Restorer


class Blur(nn.Module):
    """A convolution and a dropout, which shows the mode."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1, padding_mode="zeros")
        self.dropout = nn.Dropout(0.5)

    def forward(self, image):
        return self.dropout(self.convolution(image))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Blur().eval()


def onnx_file(network, path, sides=("h", "w")):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    convolution = network.convolution
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])],
        "blur",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, *sides])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3, *sides])],
        [
            numpy_helper.from_array(convolution.weight.detach().numpy(), "w"),
            numpy_helper.from_array(convolution.bias.detach().numpy(), "b"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """The network in a file of each kind; of ONNX only where it is installed."""
    folder = tmp_path_factory.mktemp("graphs")
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.jit.trace(network, image).save(folder / "blur.ts")
        height, width = torch.export.Dim("height", min=2), torch.export.Dim("width", min=2)
        program = torch.export.export(network, (image,), dynamic_shapes=({2: height, 3: width},))
    torch.export.save(program, folder / "blur.pt2")
    return folder


KINDS = ["blur.ts", "blur.pt2", "blur.onnx"]


def file_of(files, network, kind):
    return onnx_file(network, files / kind) if kind.endswith(".onnx") else files / kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_restores_as_the_network_in_it(files, network, kind):
    external = build_network("external", {"target": str(file_of(files, network, kind))})
    picture = torch.rand(1, 3, 70, 90)
    with torch.no_grad():
        expected = network(picture)
    external.train()
    external.eval()
    with torch.no_grad():
        torch.testing.assert_close(external(picture), expected, atol=1e-5, rtol=0)
    tiled = Restorer(external, tile=64, precision="float32")(picture)
    torch.testing.assert_close(tiled, expected.clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_is_boosted_trained_on_saved_and_loaded(files, network, kind, tmp_path, small_pictures):
    file = file_of(files, network, kind)
    boosted = pellucid.boost(External(str(file)), Zeros(4), freeze_network=True, width=4, blocks=1)
    clean = small_pictures(3)
    pellucid.fit(boosted, clean, degradations=["noise sigma=25"], steps=2, batch=1, crop=16, precision="float32")
    assert boosted.refinement.decoder.out.weight.abs().max() > 0
    path = tmp_path / "boosted.safetensors"
    pellucid.save(boosted, path)
    picture = torch.rand(1, 3, 24, 32)
    loaded = pellucid.load(path, network=External(str(file)), precision="float32")
    torch.testing.assert_close(loaded(picture), Restorer(boosted, precision="float32")(picture))


def test_another_graph_is_another_network(files, network, tmp_path):
    boosted = pellucid.boost(External(str(onnx_file(network, tmp_path / "one.onnx"))), Zeros(4), width=4, blocks=1)
    pellucid.save(boosted, tmp_path / "one.safetensors")
    torch.manual_seed(5)
    other = External(str(onnx_file(Blur().eval(), tmp_path / "other.onnx")))
    with pytest.raises(ModelError, match="another ONNX file"):
        pellucid.load(tmp_path / "one.safetensors", network=other)


def test_a_graph_for_one_size_says_so(network, tmp_path):
    fixed = External(str(onnx_file(network, tmp_path / "fixed.onnx", sides=(16, 16))))
    assert fixed(torch.rand(2, 3, 16, 16)).shape == (2, 3, 16, 16)
    with pytest.raises(ModelError, match=r"takes images of \['n', 3, 16, 16\] only"):
        fixed(torch.rand(1, 3, 16, 24))


@pytest.mark.parametrize("suffix", [".ts", ".pt", ".pt2", ".onnx"])
def test_what_is_no_graph_is_refused_in_a_line(suffix, tmp_path):
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    for name, content in (("empty", b""), ("text", b"hello"), ("zip", b"PK\x03\x04 not a zip")):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=f"{name}{suffix}: not a readable file of") as caught:
            External(str(path))
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no such file"):
        External(str(tmp_path / f"nothing{suffix}"))
    torch.save({"a": torch.zeros(2)}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=r"network\.weights"):
        External(str(tmp_path / "weights.pt"))
    with pytest.raises(SettingsError, match="no arguments"):
        External(str(tmp_path / f"nothing{suffix}"), {"width": 3})
