"""Every host of the documents' tables can be boosted, inside and outside, and learns."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid.models.tables import NETWORKS
from pellucid.priors import Student

HOSTS = (
    *("aod_net", "dncnn", "drsformer", "drunet", "ffdnet", "grid_dehaze_net", "iat", "llformer", "maxim", "mprnet"),
    *("nafnet", "pairlie", "prenet", "restormer", "ruas", "sci", "sfnet", "snr_aware", "swinir", "uformer"),
    *("uretinex_net", "zero_dce"),
)
SHALLOW = ("aod_net", "prenet", "sci")
"""Their maps have three channels, as images have, or come several times: there is nothing deeper to refine."""
INSIDE = tuple(name for name in HOSTS if name not in SHALLOW)
ENOUGH = {"pairlie": 0.99}
"""How much of the first losses may be left; a product of sigmoids has not far to go here. Of others 0.95."""


def prior():
    return Student(8, 32, (4,), (4,)).freeze()


@pytest.mark.parametrize(
    ("name", "refinement"), [*((name, "ptgrm") for name in HOSTS), *((name, "ptgrm-features") for name in INSIDE)]
)
def test_a_boosted_host_starts_at_its_own_output_and_r_at_work_changes_it(name, refinement):
    torch.manual_seed(0)
    network = NETWORKS[name].tiny().eval()
    with torch.no_grad():
        for value in network.parameters():  # what begins at zero would hide the layers behind it
            value.add_(0.05 * torch.randn_like(value))
    boosted = pellucid.boost(network, prior(), refinement=refinement).eval()
    image = torch.rand(1, 3, 32, 32)
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
    assert sum(losses[-10:]) < ENOUGH.get(name, 0.95) * sum(losses[:10])
