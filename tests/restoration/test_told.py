"""Numbers that users tell networks: how they are read, who takes them, and what they change."""

import pytest
import torch

import pellucid
from pellucid.errors import SettingsError
from pellucid.evaluation.candidates import Candidate, informing
from pellucid.guidance import Guidance
from pellucid.networks import DRUNet, Experts, FFDNet, UNet, URetinexNet
from pellucid.restoration.options import RestoreOptions
from pellucid.restoration.restorer import Restorer


@pytest.mark.parametrize("given", [{"sigma": 25}, ["sigma=25"], "sigma=25.0", (" sigma =25",)])
def test_numbers_are_read(given):
    assert RestoreOptions.of(tell=given).tell == {"sigma": 25.0}


@pytest.mark.parametrize(
    "given", ["sigma", "sigma=", "sigma=much", "sigma=-1", "sigma=nan", "a=1=2", {"sigma": True}, [3]]
)
def test_what_is_no_number_is_refused(given):
    with pytest.raises(SettingsError, match=r"^tell"):
        RestoreOptions.of(tell=given)


@pytest.mark.parametrize("kind", [FFDNet, DRUNet])
def test_what_is_told_counts_before_the_settings_and_these_before_an_estimate(kind):
    torch.manual_seed(0)
    network = kind.tiny().eval()
    image = 0.5 + 25 / 255 * torch.randn(1, 3, 64, 64)
    assert network.look(image).own["sigma"].item() == pytest.approx(25, rel=0.1)
    told = Guidance(told={"sigma": 40.0})
    assert network.look(image, told).own["sigma"].item() == 40
    fixed = kind(**network.settings | {"sigma": 15.0}).eval()
    fixed.load_state_dict(network.state_dict())
    assert fixed.look(image).own["sigma"].item() == 15
    assert fixed.look(image, told).own["sigma"].item() == 40
    with torch.no_grad():
        asked = [network(image, Guidance(told={"sigma": sigma})) for sigma in (15.0, 40.0)]
        assert not torch.allclose(*asked)
        torch.testing.assert_close(fixed(image), asked[0])
        tiny_picture = network(torch.rand(1, 3, *[network.contract.multiple] * 2))
    assert tiny_picture.isfinite().all()


def test_a_restorer_tells_its_network(tmp_path):
    network, image = URetinexNet.tiny(), torch.rand(1, 3, 20, 20)
    plain, told = Restorer(network, precision="float32"), Restorer(network, precision="float32", tell={"ratio": 8})
    with torch.no_grad():
        torch.testing.assert_close(
            told.restore_image(image), network(image, Guidance(told={"ratio": 8.0})).clamp(0, 1), atol=1e-5, rtol=0
        )
        assert torch.equal(plain.restore_image(image, known=Guidance(told={"ratio": 8.0})), told.restore_image(image))
    with pytest.raises(SettingsError, match="tell sigma=5: URetinexNet can be told ratio"):
        Restorer(network, tell={"sigma": 5})
    with pytest.raises(SettingsError, match="tell sigma=5: UNet can be told no numbers"):
        Restorer(UNet.tiny(), tell={"sigma": 5})
    with pytest.raises(SettingsError, match="ratio must be positive"):
        Restorer(network, tell={"ratio": 0}).restore_image(image)


def test_a_boosted_network_and_experts_pass_on_what_they_are_told():
    experts = Experts([FFDNet.tiny(), UNet.tiny()], [None, None], prior_width=4)
    assert experts.contract.numbers == ("sigma",)
    assert pellucid.boost(FFDNet.tiny(), "statistics").contract.numbers == ("sigma",)
    known = Guidance(told={"sigma": 9.0}, parts={"one": Guidance(seed=1)})
    assert known.part("one", torch.tensor([0])) == Guidance(seed=1, told={"sigma": 9.0})


def test_evaluation_tells_what_it_knows_of_a_picture_and_no_more():
    seen = []

    def restore(degraded, known=None):
        seen.append({} if known is None else dict(known.told))
        return degraded

    image, network = torch.rand(1, 3, 4, 4), FFDNet.tiny()
    for restorer in (Restorer(network), Restorer(network, tell={"sigma": 5}), Restorer(UNet.tiny())):
        candidate = Candidate("told", restore, inform=informing(restorer))
        candidate.restored(image, image, {"sigma": 25.0, "other": 1.0})
    assert seen == [{"sigma": 25.0}, {}, {}]
