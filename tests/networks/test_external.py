"""Networks of somebody else: which of their outputs counts, how many channels they take, and what they say when they
fail."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid.errors import ModelError, SettingsError
from pellucid.models.tables import build_network
from pellucid.networks import External
from pellucid.priors import Zeros


class Several(nn.Module):
    """The image, half as bright, and what was taken away; as `made` lays them out."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, image):
        return self.made(image / 2, -image / 2)


class Particular(nn.Module):
    """Takes sides that divide by 8, and three channels."""

    def forward(self, image):
        assert image.shape[1] == 3, "three channels, please"
        if image.shape[2] % 8:
            raise RuntimeError("sides of tensors\nmust match")
        return image


class Failing(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, image):
        raise self.error


@pytest.mark.parametrize(
    ("made", "output", "factor"),
    [
        (lambda image, residual: (image, residual), None, -0.5),  # the last of the right size
        (lambda image, residual: (image, residual), 0, 0.5),
        (lambda image, residual: [residual, image], -1, 0.5),
        (lambda image, residual: {"image": image, "residual": residual}, None, -0.5),
        (lambda image, residual: {"image": image, "residual": residual}, "image", 0.5),
        (
            lambda image, residual: ([image[:, :, ::2, ::2], image], residual),
            0,
            0.5,
        ),  # of what counts, that of the size
    ],
)
def test_the_output_that_counts(made, output, factor):
    image = torch.rand(2, 3, 6, 8)
    torch.testing.assert_close(External(Several(made), output=output)(image), image * factor)


@pytest.mark.parametrize(
    ("made", "output", "message"),
    [
        (lambda image, residual: (image, residual), 2, "Several: has no output 2, for it returns a tuple of 2"),
        (lambda image, residual: (image, residual), "image", "has no output 'image', for it returns a tuple of 2"),
        (lambda image, residual: {"a": image}, "image", "has no output 'image', for it returns a dict with 'a'"),
        (lambda image, residual: image, 0, "has no output 0, for it returns a Tensor"),  # not its first picture
    ],
)
def test_an_output_that_there_is_not(made, output, message):
    with pytest.raises(ModelError, match=message):
        External(Several(made), output=output)(torch.rand(2, 3, 6, 8))


def test_two_views_of_a_dual_pixel_sensor_become_one_image():
    class Mean(nn.Module):
        def forward(self, views):
            assert views.shape[1] == 6
            assert views.max() > 2
            return (views[:, :3] + views[:, 3:]) / 2

    network = External(Mean(), channels=6, high=255)
    views = torch.rand(2, 6, 6, 8)
    mean = (views[:, :3] + views[:, 3:]) / 2
    torch.testing.assert_close(network(views), mean)
    torch.testing.assert_close(pellucid.boost(network, Zeros(8))(views), mean)


def test_a_network_that_fails_says_on_what_and_what_may_help():
    network = External(Particular())
    with pytest.raises(
        ModelError, match=r"Particular: fails on an image of shape \(1, 3, 12, 8\) \(sides of tensors\); .*multiple="
    ):
        network(torch.rand(1, 3, 12, 8))
    with pytest.raises(ModelError, match=r"\(three channels, please\); .*channels="):
        network(torch.rand(1, 1, 8, 8))
    for error in (torch.OutOfMemoryError("no room"), MemoryError("no room"), KeyboardInterrupt(), ModelError("ours")):
        with pytest.raises(type(error)) as raised:
            External(Failing(error))(torch.rand(1, 3, 8, 8))
        assert raised.value is error


def test_settings_that_there_are_not_are_refused_with_the_way_out():
    whole = r"--set 'network=\{name: external, settings: \{target: torch\.nn:Identity\}\}'"
    with pytest.raises(SettingsError, match=f"unknown setting 'widths'; .*{whole}"):
        build_network("external", {"widths": [8, 8], "target": "torch.nn:Identity"})
    with pytest.raises(SettingsError, match="did you mean 'channels'"):
        External(nn.Identity(), chanels=1)
    with pytest.raises(SettingsError, match="channels must be 1, 3 or 6"):
        External(nn.Identity(), channels=4)
    with pytest.raises(SettingsError, match="output must be"):
        External(nn.Identity(), output=[0])


def test_a_module_that_is_not_found_must_be_on_the_path(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match=r"cannot import 'no_such\.package' .*must be on PYTHONPATH"):
        External("no_such.package:Network")
    # One that is found, and fails itself, is another matter.
    (tmp_path / "needing_more.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match="no_such_dependency") as raised:
        External("needing_more:Network")
    assert "PYTHONPATH" not in str(raised.value)
