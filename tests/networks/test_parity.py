"""The published networks against outputs of their authors' code, under weights that a rule fills.

The vectors lie in the shared folder; without it these tests are skipped. Of each the keys are the authors': so what is
tested is recognition, names, shapes and arithmetic at once.
"""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from authors_keys import OF_VECTORS

from pellucid.checkpoints import read_weights
from pellucid.guidance import Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.models.published import recognise
from pellucid.models.tables import build_network
from pellucid.networks.snr_aware import LEAST, signal_to_noise
from support.parity import filled

SMALL = {
    "drsformer_mefc": {},
    "drsformer_nomefc": {},
    "ffdnet_color": {"sigma": 25.0},
    "ffdnet_gray": {"sigma": 25.0},
    "grid_dehaze_net": {"symmetric": False},
    "llformer_skip": {"residual": True},
    "mprnet_deraining": {},
    "nafnet_local_tiny": {"window": 48},
    "restormer_biasfree": {},
    "restormer_dual_pixel": {},
    "restormer_withbias": {},
    "sfnet_gopro": {"window": 80},
    "sfnet_its": {"window": 246},
    "sfnet_rain": {},
    "sfnet_train": {},
    "swinir_dn": {},
    "swinir_jpeg": {},
    "swinir_light_x3": {},
    "swinir_real_x4_3conv": {},
    "swinir_sr_x4": {},
    "uformer_t": {},
    "uformer_t64": {},
    "uretinex_net": {},
}
"""Vectors, and what of the network's settings no shape says."""
LARGE = {
    "drunet_color": {"sigma": 25.0},
    "drunet_gray": {"sigma": 25.0},
    "llformer": {},
    "mprnet_deblurring": {},
    "mprnet_denoising": {},
    "nafnet_sidd_w32": {},
    "snr_aware": {},
    "uformer_b": {},
    "uformer_s": {},
}
BY_ZEROS = ("nafnet",)
"""Networks whose authors pad with zeros; the others reflect."""


def outputs_of(network, name, image, vector):
    """All outputs of the network, in its authors' order, cropped to what is the image's."""
    multiple, scale = network.contract.multiple, network.contract.scale
    height, width = image.shape[2:]
    if name.startswith(BY_ZEROS):
        padded = F.pad(image, (0, -width % multiple, 0, -height % multiple))
    else:
        padded = pad_to_multiple(image, multiple)
    with torch.no_grad():
        if name == "snr_aware":
            return [network.masked(image, torch.from_numpy(vector["mask_synth"]))]
        restored, further = network(padded, Guidance(), trace=True)
    found = [restored, *(further or [])]
    if name.startswith("sfnet"):  # coarse to fine, there
        found.reverse()
    return [one[:, :, : height * scale, : width * scale] for one in found]


def compare(shared, name, told):
    vector = np.load(shared / f"parity/{name}.npz")
    settings, keys = json.loads(str(vector["settings"])), json.loads(str(vector["keys"]))
    plus_one = set(json.loads(str(vector["plus_one"])))
    compared = 0
    for case, gain, salt in (("", 1, ""), ("_B", settings["_ruleB"]["gain"], settings["_ruleB"]["salt"])):
        weights = filled(keys, settings, plus_one, gain, salt)
        if name.startswith("ffdnet"):
            weights = {key.removeprefix("model."): value for key, value in weights.items()}
        found = recognise(weights)
        assert found is not None
        network = build_network(found[0], found[1] | told)
        if name == "sfnet_train":
            network.window = None
        network.load_state_dict(found[2])
        network.eval()
        for key in vector.files:
            if not key.startswith("input_"):
                continue
            image = torch.from_numpy(vector[key])
            image = image.float() / 255 if image.dtype == torch.uint8 else image
            label = key.removeprefix("input_").removeprefix("u8_")
            stem = f"output_{label}{case}"
            if stem not in vector.files:
                continue
            for number, output in enumerate(outputs_of(network, name, image, vector)):
                expected = torch.from_numpy(vector[stem if not number else f"{stem}_out{number}"])
                stride = settings["_output_stride"]
                torch.testing.assert_close(output[:, :, ::stride, ::stride], expected, atol=1e-4, rtol=0)
                compared += 1
    assert compared
    return network, settings


@pytest.mark.parametrize("name", SMALL)
def test_vectors_of_the_authors_code(shared, name):
    network, settings = compare(shared, name, SMALL[name])
    assert sum(value.numel() for value in network.parameters()) <= settings["_params"]


@pytest.mark.parametrize("name", OF_VECTORS)
def test_keys_are_those_of_the_authors_files(shared, name):
    keys = json.loads(str(np.load(shared / f"parity/{name}.npz")["keys"]))
    assert {key: tuple(shape) for key, shape in keys.items()} == OF_VECTORS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_vectors_of_large_networks(shared, name):
    compare(shared, name, LARGE[name])


def test_the_signal_to_noise_ratio_is_the_authors(shared):
    vector = np.load(shared / "parity/snr_aware.npz")
    ratio = signal_to_noise(torch.from_numpy(vector["input_a"]))
    mask = (ratio / (ratio.amax() + LEAST)).clamp(0, 1)
    # Where grey and blurred are nearly equal, their rounding shows beside the 1e-4 that is added to their distance.
    torch.testing.assert_close(mask, torch.from_numpy(vector["snr_mask_a"]), atol=5e-4, rtol=0)


def real(shared, name, file, **told):
    vector = np.load(shared / f"parity/{name}_real.npz")
    kind, settings, weights = recognise(read_weights(shared / f"weights/{file}.safetensors"))
    network = build_network(kind, settings | told)
    network.load_state_dict(weights)
    return network.eval(), {key: torch.from_numpy(vector[key]) for key in vector.files if key != "settings"}


@torch.no_grad()
def test_real_weights_give_what_they_gave_their_authors(shared):
    network, vector = real(shared, "ffdnet_color", "ffdnet_color")
    close(network(vector["input"], Guidance(told={"sigma": 25.0})), vector["output"])
    network, vector = real(shared, "grid_dehaze_net", "grid_dehaze_net_indoor")
    close(network(vector["input"]), vector["output_normalised"])
    close(network(vector["input_normalised"] / 2 + 0.5), vector["output_normalised"])
    network, vector = real(shared, "grid_dehaze_net", "grid_dehaze_net_indoor", symmetric=False)
    close(network(vector["input"]), vector["output"])
    network, vector = real(shared, "uretinex_net", "uretinex_net_lol")
    close(network(vector["input"]), vector["output_ratio5"])
    close(network(vector["input"], Guidance(told={"ratio": 3.0})), vector["output_ratio3"])
    for one, expected in zip(network.split(vector["input"]), (vector["R_final"], vector["L_final"]), strict=True):
        close(one, expected)


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
