"""Layout in memory: kernels become channels-last, and what has another rank is left alone. Precision: by stand-in
timings."""

import json
from itertools import pairwise

import pytest
import torch
from torch import nn

from pellucid import devices
from pellucid.devices import channels_last, fast_bfloat16, kept_answer, one_thread, processor, quicker_in_bfloat16
from pellucid.restoration.restorer import Restorer


class Prompted(nn.Module):
    """A network with a parameter of five dimensions, as prompts have in published code."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.prompt = nn.Parameter(torch.rand(1, 2, 3, 4, 4))

    def forward(self, image):
        return self.convolution(image) + self.prompt.mean()


def test_kernels_are_laid_out_and_nothing_changes():
    network, image = Prompted(), torch.rand(1, 3, 8, 8)
    before = network(image)
    assert channels_last(network) is network
    assert network.convolution.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(image), before)


def test_a_network_with_parameters_of_five_dimensions_restores():
    assert Restorer(Prompted())(torch.rand(1, 3, 9, 7)).shape == (1, 3, 9, 7)


def quickness(**milliseconds):
    """Stand-in timings by precision, and who was asked."""
    asked = []

    def seconds(dtype, channels, side):
        asked.append((dtype, channels, side))
        of = milliseconds[str(dtype).removeprefix("torch.")]
        return (of(len(asked)) if callable(of) else of) / 1000

    return seconds, asked


@pytest.mark.parametrize(
    ("float32", "bfloat16", "quicker"), [(1, 2, False), (2, 1, True), (1, 1, False), (1.1, 1, False)]
)
def test_bfloat16_is_taken_where_it_wins_clearly(float32, bfloat16, quicker):
    seconds, asked = quickness(float32=float32, bfloat16=bfloat16)
    assert quicker_in_bfloat16(seconds) is quicker
    assert asked[0][0] == torch.float32
    assert all(one[0] != other[0] for one, other in pairwise(asked))  # in turn, or a busy moment would decide


def test_disturbances_do_not_decide():
    """bfloat16 is quicker whenever nothing else runs, and most of the time something does."""
    seconds, _ = quickness(float32=2, bfloat16=lambda number: 1 if number > 30 else 9)
    assert quicker_in_bfloat16(seconds)
    seconds, _ = quickness(float32=lambda number: 1 if number > 30 else 9, bfloat16=2)
    assert not quicker_in_bfloat16(seconds)


def test_an_answer_is_kept_under_its_key(tmp_path):
    file, asked = tmp_path / "new" / "folder" / "answers.json", []

    def find(answer):
        asked.append(answer)
        return answer

    assert kept_answer(lambda: find(True), "one machine", file, bool)
    assert not kept_answer(lambda: find(False), "another", file, bool)
    assert kept_answer(lambda: find(False), "one machine", file, bool)
    assert not kept_answer(lambda: find(True), "another", file, bool)
    assert asked == [True, False]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[true]", b'{"here": "yes"}', b'{"here": 1}', b"\xff\xfe", b"[" * 99999]
)
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path, content):
    file = tmp_path / "answers.json"
    file.write_bytes(content)
    assert kept_answer(lambda: True, "here", file, bool)
    assert kept_answer(lambda: False, "here", file, bool)


def test_a_file_that_cannot_be_written_is_left(tmp_path):
    (tmp_path / "no folder").write_text("")
    for _ in range(2):
        assert kept_answer(lambda: True, "here", tmp_path / "no folder" / "answers.json", bool)
    (tmp_path / "folder").mkdir()
    assert kept_answer(lambda: True, "here", tmp_path / "folder", bool)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "no folder"]


def test_a_device_is_asked_once(monkeypatch, tmp_path):
    """Whatever it answers: the second time the file in the cache does, or the memory."""
    seconds, asked = quickness(float32=2, bfloat16=1)
    monkeypatch.setattr(devices, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(devices, "_convolution_seconds", seconds)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    devices._proves_quicker.cache_clear()
    cpu = torch.device("cpu")
    assert fast_bfloat16(cpu)
    count = len(asked)
    assert fast_bfloat16(cpu)
    devices._proves_quicker.cache_clear()
    assert fast_bfloat16(cpu)
    assert len(asked) == count > 0
    (key,) = json.loads((tmp_path / "bfloat16.json").read_text())
    assert processor() in key
    assert torch.__version__ in key
    devices._proves_quicker.cache_clear()
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not fast_bfloat16(cpu)


def test_threads_come_back_with_the_last_of_those_who_asked_for_one():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        first, second = one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        assert torch.get_num_threads() == 1
        first.__exit__(None, None, None)
        assert torch.get_num_threads() == 1
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), one_thread():
            _ = 1 / 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
