"""Every host of the documents' tables can be boosted, inside and outside, and learns."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid.models.tables import NETWORKS
from pellucid.priors import Student

HOSTS = (
    *("drsformer", "drunet", "ffdnet", "grid_dehaze_net", "llformer", "mprnet", "nafnet", "restormer", "sfnet"),
    *("snr_aware", "swinir", "uformer", "uretinex_net"),
)


def prior():
    return Student(8, 32, (4,), (4,)).freeze()


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("refinement", ["ptgrm", "ptgrm-features"])
def test_a_boosted_host_starts_at_its_own_output_and_r_at_work_changes_it(name, refinement):
    torch.manual_seed(0)
    network = NETWORKS[name].tiny().eval()
    boosted = pellucid.boost(network, prior(), refinement=refinement).eval()
    multiple = boosted.contract.multiple
    image = torch.rand(1, 3, 2 * multiple, 2 * multiple) if multiple < 16 else torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(boosted(image), network(image), atol=1e-6, rtol=0)
        for value in boosted.refinement.parameters():
            nn.init.normal_(value, std=0.2)
        assert not torch.allclose(boosted(image), network(image), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTS)
def test_a_host_learns(name):
    """Fifty steps on pairs that differ in contrast and noise: the mean loss of the last ten is below that of the first
    ten."""
    torch.manual_seed(0)
    network = NETWORKS[name].tiny().train()
    clean = torch.nn.functional.interpolate(torch.rand(8, 3, 8, 8), size=(32, 32), mode="bilinear")
    degraded = clean * 0.7 + 0.05 * torch.randn_like(clean)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for step in range(50):
        some = slice(step % 2 * 4, step % 2 * 4 + 4)
        loss = (network(degraded[some]) - clean[some]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])
