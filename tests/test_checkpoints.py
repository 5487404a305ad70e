"""Weights as other people wrap them, and files that are none."""

import argparse
import os
import pickle
import zipfile
from collections import Counter, defaultdict, deque
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pellucid.checkpoints import load_weights, read_weights, without_subnormals
from pellucid.errors import ModelError


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


WEIGHTS = network().state_dict()


def prefixed(prefix):
    return {prefix + key: value for key, value in WEIGHTS.items()}


WRAPPED = {
    "plain": WEIGHTS,
    "compiled": prefixed("_orig_mod."),
    "parallel": prefixed("module."),
    "compiled and parallel": {"state_dict": prefixed("module._orig_mod.")},
    "the other way round": {"model": {"state_dict": prefixed("_orig_mod.module.model.")}},
    "Lightning": {"state_dict": prefixed("model."), "epoch": 3, "hyper_parameters": {"lr": 0.1}},
    "GAN": {"netG": prefixed("netG."), "netD": {"weight": torch.zeros(1)}},
    "average first": {"params": {key: value + 1 for key, value in WEIGHTS.items()}, "params_ema": WEIGHTS},
    "NumPy scalars": {"state_dict": WEIGHTS, "best": np.float64(31.5), "step": np.int64(7), "curve": np.zeros(3)},
    "argparse": {"model": WEIGHTS, "args": argparse.Namespace(lr=0.1, folder=Path("a"), scores=[np.float32(1)])},
    "both halves of a GAN": {**prefixed("netG."), "netD.weight": torch.zeros(1)},
    "a network and its loss": {"state_dict": {**prefixed("model."), "loss.vgg.0.weight": torch.zeros(1)}},
    "an average of torch": {**prefixed("module."), "n_averaged": torch.tensor(7)},
    "arrays of NumPy": {"params": {key: value.numpy() for key, value in WEIGHTS.items()}},
    "a diary": {"params": WEIGHTS, "log": defaultdict(list, {"psnr": [1]}), "at": datetime(2024, 5, 6)},
    "settings": {"g_ema": WEIGHTS, "args": SimpleNamespace(lr=0.1), "seen": {1, 2}, "count": Counter("ab")},
    "a score among the tensors": {**WEIGHTS, "epoch": 4},
    "an average beside the last step": {"net_g": prefixed("x."), "net_g_ema": WEIGHTS},
    "an average under its prefix": {"state_dict": {**prefixed("generator."), **prefixed("generator_ema.")}},
    "an average of ema-pytorch": {
        **prefixed("online_model."),
        **prefixed("ema_model.module."),
        "initted": torch.tensor(True),
        "step": torch.tensor(9),
    },
    "all sorts of plain data": {
        "model": WEIGHTS,
        "log": deque([Decimal("0.1"), Fraction(1, 3), frozenset("ab"), slice(1, 2), np.complex64(1j), np.str_("x")]),
        "from": PureWindowsPath("C:/weights"),
        "names": np.array(["a", 1], dtype=object),
    },
}


@pytest.mark.parametrize("wrapping", WRAPPED)
@pytest.mark.parametrize("suffix", [".pth", ".PTH", ".ckpt"])
def test_every_wrapping_is_taken_off(tmp_path, wrapping, suffix):
    torch.save(WRAPPED[wrapping], tmp_path / f"w{suffix}")
    found = read_weights(tmp_path / f"w{suffix}")
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[key], value) for key, value in WEIGHTS.items())


def test_safetensors_are_known_by_what_is_in_them(tmp_path):
    save_file({key: value.clone() for key, value in prefixed("module.").items()}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").keys() == WEIGHTS.keys()


def test_a_module_with_a_part_that_is_called_like_a_wrapper_is_filled(tmp_path):
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = network()

        def forward(self, image):
            return self.model(image)

    holder = Holder()
    torch.save(holder.state_dict(), tmp_path / "w.pth")
    other = Holder()
    nn.init.zeros_(other.model[0].weight)
    load_weights(other, tmp_path / "w.pth")
    assert torch.equal(other.model[0].weight, holder.model[0].weight)
    assert torch.equal(other.model[1].running_var, holder.model[1].running_var)


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize("extra", [Evil(), {"deep": [Evil()]}, argparse.Namespace(inner=Evil())])
def test_no_code_is_run(tmp_path, monkeypatch, extra):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": WEIGHTS, "extra": extra}, "w.pth")
    with pytest.raises(ModelError, match="more than tensors") as caught:
        read_weights("w.pth")
    assert "system" in str(caught.value)
    assert os.listdir(tmp_path) == ["w.pth"]


def test_a_bare_pickle_is_refused_in_one_line(tmp_path, recwarn):
    with (tmp_path / "w.pth").open("wb") as file:
        pickle.dump({"weight": Evil()}, file, protocol=4)
    with pytest.raises(ModelError, match=r"w\.pth: not a readable weights file, or holds more than tensors"):
        read_weights(tmp_path / "w.pth")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html><title>Virus scan warning</title></html>", "a web page"),
        (b"\n <HTML>", "a web page"),
        (b'{"error":"Repository not found"}', "error message of a server"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08\0\0", "packed archive"),
        (b"\xef\xbb\xbf<!doctype html>", "a web page"),
        (b"PK\x03\x04 damaged", "not a readable weights file, for its end is missing; fetch it again"),
        (b"\x80\x02}q\0.", "not a readable weights file"),
    ],
)
def test_what_is_no_weights_is_said(tmp_path, content, reason):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ModelError, match=reason) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_archives_that_hold_no_tensors_of_torch(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("inner/model.pth", b"weights")
    with pytest.raises(ModelError, match="a packed archive; unpack it first"):
        read_weights(tmp_path / "w.pth")
    torch.jit.trace(network().eval(), torch.zeros(1, 3, 8, 8)).save(tmp_path / "w.pth")
    with pytest.raises(ModelError, match="a TorchScript archive"):
        read_weights(tmp_path / "w.pth")


def test_paths_of_newer_pythons_and_other_systems(tmp_path):
    """Python 3.13 and Windows call them by names that are not known here."""
    for name in ("pathlib._local.PosixPath", "pathlib.WindowsPath", "pathlib._local.WindowsPath"):
        module, _, kind = name.rpartition(".")
        torch.save({"model": WEIGHTS, "at": Path("a")}, tmp_path / "a.pth")
        old, new = b"cpathlib\nPosixPath\n", f"c{module}\n{kind}\n".encode()
        with zipfile.ZipFile(tmp_path / "a.pth") as before, zipfile.ZipFile(tmp_path / "b.pth", "w") as after:
            for one in before.namelist():
                after.writestr(one, before.read(one).replace(old, new))
        assert new in (tmp_path / "b.pth").read_bytes()
        assert read_weights(tmp_path / "b.pth").keys() == WEIGHTS.keys()


def test_an_unknown_file_lists_its_top_keys(tmp_path):
    torch.save({"optimizer": {"state": {}}, "step": 4, "foo": {"a": {"b": torch.zeros(1)}}}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"at its top: 'optimizer', 'step', 'foo'"):
        read_weights(tmp_path / "w.pth")
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"at its top: a list"):
        read_weights(tmp_path / "w.pth")


def test_the_wrappings_of_shared_weights(shared):
    folder = shared / "cases/weights"
    if not folder.is_dir():
        pytest.skip("no cases of weights in the shared folder")
    for name in ("torch-compile.pth", "numpy-scalar.pth", "netG.pth", "PLAIN.PTH"):
        assert "e_conv1.weight" in read_weights(folder / name)
    for name in ("git-lfs-pointer.pth", "html-from-drive.pth"):
        with pytest.raises(ModelError, match="not the weights"):
            read_weights(folder / name)


def test_numbers_too_small_to_be_normal_are_zeros_once_a_network_has_them(tmp_path):
    smallest = float(np.finfo(np.float32).tiny)
    numbers = torch.tensor([smallest, -smallest, smallest / 2, -smallest / 3, 0.0, -0.3])
    expected = torch.tensor([smallest, -smallest, 0.0, 0.0, 0.0, -0.3])
    assert torch.equal(without_subnormals(numbers), expected)
    assert torch.equal(without_subnormals(torch.tensor([1, 0])), torch.tensor([1, 0]))
    save_file({"weight": numbers[None]}, tmp_path / "weights.safetensors")
    module = nn.Linear(6, 1, bias=False)
    load_weights(module, tmp_path / "weights.safetensors")
    assert torch.equal(module.weight.detach()[0], expected)
