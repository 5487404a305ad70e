"""What models cost, against sums done by hand."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid.models.catalogue import CATALOGUE, is_commercial
from pellucid.models.describe import describe, network_rows
from pellucid.models.header import Header
from pellucid.models.published import PUBLISHED
from pellucid.models.tables import build_network
from pellucid.networks import DnCNN, UNet, ZeroDCE
from pellucid.priors import Zeros
from pellucid.restoration.costs import costs_of, kept_costs, measured_seconds


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))


def test_multiply_adds_of_convolutions():
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    found = costs_of(module)
    assert found.parameters == 8 * 27 + 8 + 24 + 3
    assert found.multiply_adds == 1_000_000 * (3 * 8 * 9 + 8 * 3)
    assert found.memory == 6 * 4 * 8 * 1_000_000


def test_published_networks_are_counted_without_their_weights():
    with torch.device("meta"):
        zero_dce, dncnn = ZeroDCE(), DnCNN.tiny()
    # Seven convolutions; each of the curves' eight is of three channels.
    expected = 9 * (3 * 32 + 3 * 32 * 32 + 2 * 64 * 32 + 64 * 24)
    assert costs_of(zero_dce).multiply_adds == 1_000_000 * expected
    assert costs_of(dncnn).multiply_adds is not None  # it looks at its input, so it is counted on zeros


def test_what_is_done_once_for_a_picture_is_not_counted():
    network = UNet.tiny()
    boosted = pellucid.boost(network, Zeros(4), width=4, blocks=1)
    alone, whole = costs_of(network), costs_of(boosted)
    assert whole.multiply_adds > alone.multiply_adds
    assert whole.parameters == sum(value.numel() for value in boosted.parameters())


def test_costs_are_counted_once_and_seconds_measured_when_asked(monkeypatch):
    built = []
    first = kept_costs("a", lambda: built.append(1) or nn.Conv2d(3, 3, 1))
    assert first == {"parameters": 12, "multiply_adds": 9_000_000, "memory": 72_000_000, "seconds": None}
    assert kept_costs("a", lambda: built.append(1)) == first
    assert built == [1]
    seconds = measured_seconds(nn.Conv2d(3, 3, 1), "a", megapixels=0.01)
    assert kept_costs("a")["seconds"] == seconds > 0
    assert kept_costs("b", lambda: nn.Conv2d(3, 3, 1))["seconds"] is None


def test_every_published_network_is_in_the_catalogue():
    assert CATALOGUE.keys() == PUBLISHED.keys()
    rows = list(network_rows())
    allowed = {row["name"] for row in network_rows(commercial_ok=True)}
    assert {"maxim", "ffdnet", "uretinex_net"} <= allowed
    assert allowed.isdisjoint({"restormer", "zero_dce", "iat", "grid_dehaze_net"})
    assert allowed == {row["name"] for row in rows if row["commercial"]}
    assert is_commercial("Apache-2.0")
    assert not is_commercial("CC BY-NC 4.0")


def test_a_file_says_what_it_is():
    maxim = build_network("maxim", {"stages": 2, "width": 4, "blocks": 1, "bottlenecks": 1})
    told = describe(Header({"name": "maxim", "settings": maxim.settings}, card={"task": "deraining"}))
    assert told["licence"] == "Apache-2.0"
    assert (told["is"], told["task"], told["channels"], told["commercial"]) == ("maxim", "deraining", 3, True)
    grey = describe(Header({"name": "dncnn", "settings": DnCNN.tiny().settings}))
    assert grey["channels"] == 1
    trained = describe(Header({"name": "restormer", "settings": {}}, recipe={"name": "x"}, card={"licence": "MIT"}))
    assert (trained["licence"], trained["commercial"]) == ("MIT", True)
    assert describe(Header({"sha256": "ab"}))["licence"] == "not known: ask its authors"
