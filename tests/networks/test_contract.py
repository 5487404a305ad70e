"""The contract: two verbs for every network, ours or not, and what a network says of itself as data."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid.errors import ModelError
from pellucid.guidance import NOTHING, Guidance
from pellucid.models.tables import NETWORKS
from pellucid.networks import Contract, Experts, External, Guided, Network, SamplingNetwork, contract_of, verbs_of
from pellucid.networks.contract import Plain
from pellucid.priors import Zeros
from pellucid.refinement import Boosted
from pellucid.restoration.restorer import Restorer

KINDS = {**NETWORKS, "experts": Experts, "guided": Guided}
OURS = sorted(set(NETWORKS) - {"external", "results"})


class Offset(Network):
    """Adds the whole picture's mean, and traces it."""

    def __init__(self):
        super().__init__()
        self.contract = Contract(looks=True)
        self.settings = {}

    def look(self, image, known=NOTHING, *, cut=True):
        return known.knowing(own={"mean": image.mean((1, 2, 3))})

    def restore(self, tile, guidance):
        return self.traced(tile, guidance)[0]

    def traced(self, tile, guidance):
        mean = guidance.own["mean"] if guidance.own else tile.mean((1, 2, 3))
        return tile + mean[:, None, None, None], mean


class Steps(SamplingNetwork):
    """Walks from noise to the picture: in each of three steps by what is left of the way over the steps that are
    left."""

    def __init__(self):
        super().__init__()
        self.contract = Contract(multiple=2, samples=True)
        self.settings = {}
        self.log = []

    def times(self):
        return [3, 2, 1]

    def start(self, degraded, guidance):
        generator = torch.Generator().manual_seed(guidance.seed or 0)
        self.noise = torch.randn(degraded.shape, generator=generator)
        return self.noise

    def predict(self, state, degraded, time, guidance):
        self.log.append(("predict", time))
        return (degraded - state) / time

    def advance(self, state, prediction, time):
        self.log.append(("advance", time))
        return state + prediction

    def decode(self, state, degraded, guidance):
        self.log.append(("decode", len(guidance.words or ())))
        return state


def test_a_contract_is_of_the_simplest_network_where_nothing_is_said():
    assert Contract() == Contract(
        multiple=1, scale=1, channels=3, vector=None, words=False, looks=False, samples=False, experts=False
    )


@pytest.mark.parametrize("name", OURS)
def test_every_network_of_ours_keeps_its_contract(name):
    network = KINDS[name].tiny().eval()
    contract = network.contract
    assert contract_of(network) is contract
    assert verbs_of(network) is network
    told = Guidance(vector=None if contract.vector is None else torch.randn(1, contract.vector), seed=3)
    side = contract.multiple
    whole = torch.rand(1, 3, 3 * side + 1, 2 * side + 1)
    with torch.no_grad():
        guidance = network.look(whole, told)
        looked = bool(guidance.own or guidance.parts)
        restored = network.restore(whole[..., :side, : 2 * side], guidance)
        given = network(whole[..., :side, : 2 * side], guidance)
    assert looked == contract.looks
    assert restored.shape == (1, 3, side * contract.scale, 2 * side * contract.scale)
    assert torch.equal(given, restored)
    assert guidance.seed == 3
    assert guidance.vector is told.vector
    assert torch.equal(network.refine(restored, whole[..., :side, : 2 * side], guidance), restored)


@pytest.mark.parametrize("name", OURS)
def test_what_is_not_known_is_taken_from_the_tile(name):
    network = KINDS[name].tiny().eval()
    width, side = network.contract.vector, 2 * network.contract.multiple
    known = NOTHING if width is None else Guidance(vector=torch.randn(1, width))
    tile = torch.rand(1, 3, side, side)
    with torch.no_grad():
        network.restore(torch.rand(1, 3, side, side), network.look(torch.rand(1, 3, 40, 40), known))
        found = network.restore(tile, known)
        assert torch.equal(found, network(tile, known))
        torch.testing.assert_close(found, network.restore(tile, network.look(tile, known)), atol=1e-5, rtol=1e-5)


def test_a_network_that_is_called_restores_and_traces():
    network, image = Offset(), torch.rand(2, 3, 6, 6)
    means = image.mean((1, 2, 3))
    torch.testing.assert_close(network(image), image + means[:, None, None, None])
    guidance = network.look(image)
    restored, trace = network(image[..., :3], guidance, trace=True)
    torch.testing.assert_close(trace, means)
    torch.testing.assert_close(restored, image[..., :3] + means[:, None, None, None])
    torch.testing.assert_close(network(image[..., :3], guidance), restored)
    plain = NETWORKS["unet"].tiny()
    assert plain(image, trace=True)[1] is None
    with pytest.raises(NotImplementedError):
        Network()(image)


def test_a_module_of_somebody_elses_is_given_the_verbs():
    module = nn.Conv2d(3, 3, 3, padding=1)
    verbs, image = verbs_of(module), torch.rand(1, 3, 5, 7)
    known = Guidance(vector=torch.rand(1, 4), own={"mean": torch.rand(1)})
    assert isinstance(verbs, Plain)
    assert verbs.contract == Contract()
    assert verbs.look(image, known) is known
    assert verbs.look(image, cut=False) is NOTHING
    assert torch.equal(verbs(image, known), module(image))
    assert verbs.refine(image, image, known, memory=1) is image


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"multiple": 8}, Contract(multiple=8)),
        ({"scale": 2, "multiple": 4}, Contract(multiple=4, scale=2)),
        ({"multiple": 0, "scale": -1}, Contract()),
        ({"multiple": 2.5, "scale": nn.Parameter(torch.ones(1))}, Contract()),
        ({"scale": "two", "multiple": None}, Contract()),
    ],
)
def test_it_may_say_by_whole_numbers_what_it_takes(said, meant):
    module = nn.Identity()
    for name, value in said.items():
        setattr(module, name, value)
    assert contract_of(module) == meant


def test_a_compiled_network_of_ours_keeps_its_contract():
    network = NETWORKS["unet"].tiny().eval()
    assert contract_of(torch.compile(network, backend="eager")) == network.contract


def test_a_boosted_network_says_what_both_of_its_parts_need():
    boosted = pellucid.boost(NETWORKS["unet"].tiny(), Zeros(8))
    assert contract_of(boosted).looks
    assert contract_of(boosted).multiple % contract_of(boosted.network).multiple == 0
    experts = Boosted(Experts.tiny(), Zeros(8), None)
    assert (experts.contract.experts, experts.contract.vector) == (True, None)  # it knows the prior that tells them


def test_sampling_takes_all_steps_on_what_it_is_given():
    network, image = Steps(), torch.rand(1, 3, 4, 6)
    restored = network.restore(image, Guidance(seed=5, words=("sharper",)))
    torch.testing.assert_close(restored, image, atol=1e-6, rtol=0)  # a third, a half and all of what was left
    steps = [(verb, time) for time in (3, 2, 1) for verb in ("predict", "advance")]
    assert network.log == [*steps, ("decode", 1)]
    first = network.noise
    network.restore(image, Guidance(seed=6))
    assert not torch.equal(network.noise, first)
    network(image, Guidance(seed=5))
    assert torch.equal(network.noise, first)


@pytest.mark.parametrize("tile", [0, 64])
def test_the_restorer_takes_the_same_steps_in_tiles(tile):
    network, image = Steps(), torch.rand(1, 3, 71, 90)
    restored = Restorer(network, tile=tile, precision="float32").restore_image(image)
    torch.testing.assert_close(restored, image, atol=1e-5, rtol=0)
    assert [time for verb, time in network.log if verb == "advance"][-3:] == [3, 2, 1]
    assert network.noise.shape == (1, 3, 72, 90)  # one field of noise for the whole picture


def test_a_compiled_boost_is_refused_since_only_part_of_it_would_run_for_each_tile():
    boosted = pellucid.boost(NETWORKS["unet"].tiny(), Zeros(8))
    for whole in (boosted, Steps()):
        compiled = torch.compile(whole, backend="eager")
        with pytest.raises(ModelError, match=r"compile the network within it instead.*boost\(torch\.compile"):
            Restorer(compiled)
        with pytest.raises(ModelError):
            verbs_of(compiled)
    within = pellucid.boost(torch.compile(boosted.network, backend="eager"), Zeros(8))
    image = torch.rand(1, 3, 24, 24)
    torch.testing.assert_close(Restorer(within).restore_image(image), Restorer(boosted).restore_image(image))


def test_what_refines_wholes_or_samples_is_not_adapted():
    for whole in (pellucid.boost(NETWORKS["unet"].tiny(), Zeros(8)), Steps()):
        with pytest.raises(ModelError, match="no External around it"):
            External(whole)


def test_a_looking_network_within_a_module_is_spoken_of():
    hidden = nn.Sequential(Offset())
    with pytest.warns(UserWarning, match="contains Offset, which looks at whole pictures.*tile=0"):
        Restorer(hidden, tile=64)
    image = torch.rand(1, 3, 40, 24) / 4
    torch.testing.assert_close(Restorer(hidden, tile=0).restore_image(image), Restorer(Offset()).restore_image(image))


def test_each_picture_of_a_batch_is_told_of_itself():
    images = torch.rand(2, 3, 20, 20) / 2
    own = Guidance(own={"mean": torch.tensor([0.1, 0.3])})

    class Told(Offset):
        def look(self, image, known=NOTHING, *, cut=True):
            return known

    restored = Restorer(Told()).restore_image(images, known=own)
    torch.testing.assert_close(restored, images + torch.tensor([0.1, 0.3]).view(2, 1, 1, 1))
