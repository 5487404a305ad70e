"""R with vectors that are not the picture's own: what it is fed, and that nothing else is changed."""

import pytest
import torch

from pellucid import boost
from pellucid.evaluation.candidates import DEGRADED
from pellucid.evaluation.sets import find_set
from pellucid.metrics import NoiseStream, find_protocol
from pellucid.priors import ModuleFeatures
from pellucid.refinement import Boosted
from pellucid.restoration.restorer import Restorer
from pellucid.studies.explanation.differences import columns_of
from pellucid.studies.explanation.feeding import (
    ANOTHER,
    BOOSTED,
    FED,
    NETWORK,
    RANDOM,
    ZEROS,
    Subject,
    partner,
    random_like,
)
from pellucid.studies.explanation.measurement import Measurement
from pellucid.studies.explanation.verdict import verdict_on
from support.explained import Identity, Known, MeanPrior, seeded, write_folder


@pytest.mark.parametrize("inside", [False, True])
def test_with_its_own_vector_it_is_what_the_restorer_makes_bit_for_bit(boosted, inside):
    model = boosted()
    if inside:
        model = boost(model.network, "random:12", refinement="ptgrm-features", width=4)
        torch.nn.init.normal_(model.refinement.decoder.weight)
    image = torch.rand(1, 3, 37, 53)
    subject = Subject(model)
    feature = subject.feature(image)
    found = subject.results(image, {BOOSTED: feature, "other": random_like(feature, "x")})
    assert torch.equal(found[BOOSTED], Restorer(model, precision="float32").restore_image(image))
    assert torch.equal(found[NETWORK], Restorer(model.network, precision="float32").restore_image(image))
    assert not torch.equal(found["other"], found[BOOSTED])


@pytest.mark.parametrize("count", [2, 3, 4, 7, 24])
def test_everybody_is_fed_somebody_elses(count):
    partners = [partner(index, count) for index in range(count)]
    assert sorted(partners) == list(range(count))
    assert all(other != index for index, other in enumerate(partners))


def test_one_picture_has_no_other():
    with pytest.raises(ValueError, match="two pictures"):
        partner(0, 1)


def test_random_vectors_are_as_large_and_the_same_for_the_same_picture():
    feature = torch.rand(1, 500) * 7
    first = random_like(feature, "set", "noise", "a.png")
    assert torch.equal(first, random_like(feature, "set", "noise", "a.png"))
    assert not torch.equal(first, random_like(feature, "set", "noise", "b.png"))
    assert float(first.square().mean()) == pytest.approx(float(feature.square().mean()), rel=1e-5)
    assert abs(float(torch.cosine_similarity(first, feature))) < 0.2
    assert not random_like(torch.zeros(1, 5), "a").any()


OFFSETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


@pytest.fixture
def offsets(tmp_path):
    """Photographs whose degraded version is lighter by an offset of their own; the mean of every clean one is 0.4."""
    pattern = (torch.arange(24 * 24).reshape(1, 1, 24, 24) % 2 - 0.5).expand(1, 3, 24, 24) * 0.2 + 0.4
    quantised = lambda image: (image * 255).round() / 255  # noqa: E731
    clean = write_folder(tmp_path / "clean", {f"{index}.png": pattern for index in range(len(OFFSETS))})
    degraded = {f"{index}.png": quantised(pattern) + round(offset * 255) / 255 for index, offset in enumerate(OFFSETS)}
    write_folder(tmp_path / "degraded", degraded)
    return find_set(str(clean), degraded=tmp_path / "degraded")


def measured(photographs, refinement):
    subject = Subject(Boosted(Identity(), MeanPrior(), refinement))
    return list(Measurement(subject, photographs, find_protocol("defocus-rgb")).run())


def test_a_refinement_that_hears_only_the_vector_shows_it(offsets):
    # With the mean of its own picture it takes the offset away; with another's it leaves the difference of the two.
    results = measured(offsets, Known(lambda restored, feature: restored - feature[:, :1, None, None] + 0.4))
    exact = [round(offset * 255) / 255 for offset in OFFSETS]
    for index, result in enumerate(results):
        assert result.psnr[BOOSTED] > 45
        other = exact[(index + 3) % 6]
        expected = -20 * torch.tensor(abs(exact[index] - other)).log10()
        assert result.psnr[ANOTHER] == pytest.approx(float(expected), abs=0.3)
        assert result.psnr[NETWORK] == result.psnr[DEGRADED]
        assert result.changes[ANOTHER] == pytest.approx(abs(exact[index] - other) * 255, rel=0.02)
    [column] = columns_of(results)
    assert all(column.comparison(BOOSTED, fed).shown == 1 for fed in FED)
    assert verdict_on([column]).answer.startswith("In part")


def test_a_refinement_that_does_not_hear_differs_by_exactly_nothing(offsets):
    results = measured(offsets, Known(lambda restored, feature: restored - 0.04))
    for result in results:
        assert {result.psnr[name] for name in (BOOSTED, *FED)} == {result.psnr[BOOSTED]}
        assert result.changes == dict.fromkeys(FED, 0.0)
        assert result.bands[ZEROS] == result.bands[BOOSTED]
    [column] = columns_of(results)
    for fed in FED:
        one = column.comparison(BOOSTED, fed)
        assert (one.mean, one.low, one.high, one.p, one.shown) == (0, 0, 0, 1, 0)
    verdict = verdict_on([column])
    assert verdict.answer == "No: R gains, but it does not look at the prior at all."
    assert any("bit for bit" in sentence for sentence in verdict.columns[0].sentences)


def test_noise_that_is_one_stream_is_drawn_the_same_each_time(clean, boosted):
    photographs = find_set(str(clean))
    subject = Subject(boosted())
    measurement = Measurement(subject, photographs, find_protocol("all-in-one"), [15, 25], seed=3)
    results = list(measurement.run())
    assert [result.condition for result in results] == ["noise sigma=15"] * 6 + ["noise sigma=25"] * 6
    stream = NoiseStream(measurement.protocol, 3)
    for case, result in zip(measurement.cases(), results, strict=True):
        degraded, truth = case.load()
        expected = stream.degrade(truth, float(case.condition.rpartition("=")[2]))
        assert torch.equal(degraded, expected)
        assert result.psnr[DEGRADED] == float(measurement.protocol.score(expected, truth).psnr)
        feature = subject.feature(expected)
        fed = subject.results(expected, {RANDOM: random_like(feature, case.data, case.condition, case.photograph)})
        assert result.psnr[RANDOM] == float(measurement.protocol.score(fed[RANDOM], truth).psnr)


def test_several_versions_of_one_photograph_are_told_apart(tmp_path, boosted):
    picture = torch.rand(1, 3, 24, 24, generator=seeded(0))
    write_folder(tmp_path / "clean", {"1.png": picture, "2.png": picture})
    write_folder(tmp_path / "hazy", {"1_a.png": picture * 0.5, "1_b.png": picture * 0.7, "2_a.png": picture * 0.6})
    photographs = find_set(str(tmp_path / "clean"), degraded=tmp_path / "hazy")
    results = list(Measurement(Subject(boosted()), photographs, find_protocol("pairs-rgb")).run())
    assert [result.photograph for result in results] == ["1_a.png", "1_b.png", "2_a.png"]
    assert len({result.psnr[DEGRADED] for result in results}) == 3


def test_maps_are_fed_like_vectors(clean, boosted):
    network = boosted().network
    prior = ModuleFeatures(network, name="features", size=(32, 32))
    model = boost(network, prior, guidance="concatenated-maps", width=4)
    torch.nn.init.normal_(model.refinement.decoder.out.weight)
    results = list(Measurement(Subject(model), find_set(str(clean)), find_protocol("gaussian-colour"), [25]).run())
    assert all(result.changes[fed] > 0 for result in results for fed in FED)
