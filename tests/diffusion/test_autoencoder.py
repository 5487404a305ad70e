"""The autoencoder in parts: statistics of the whole, features of the degraded picture."""

import pytest
import torch

from pellucid.diffusion import autoencoder
from pellucid.diffusion.autoencoder import Fusion, decoded, encoded, is_plain


@pytest.fixture(scope="module")
def vae():
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    made = AutoencoderKL(
        block_out_channels=(8, 16, 16), norm_num_groups=4, latent_channels=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for name, value in made.named_parameters():
            value.add_(0.1 * torch.randn_like(value) if "norm" in name else 0)
    return made


@pytest.fixture(scope="module")
def image():
    """A picture whose parts differ: statistics of one are not those of the whole."""
    ramp = torch.linspace(-1, 1, 124)[None, None, None] * torch.linspace(0.2, 1, 92)[None, None, :, None]
    return (ramp + 0.3 * torch.randn(1, 3, 92, 124, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)


@torch.no_grad()
@pytest.mark.parametrize("side", [16, 30, 63, 512])
def test_parts_are_the_whole(vae, image, side):
    whole = vae.encode(image).latent_dist.mode()
    latent, features = encoded(vae, image, side)
    torch.testing.assert_close(latent, whole, atol=1e-4, rtol=0)
    assert [tuple(one.shape[1:]) for one in features] == [(8, 92, 124), (16, 46, 62), (16, 23, 31)]
    torch.testing.assert_close(decoded(vae, whole, side), vae.decode(whole).sample, atol=1e-4, rtol=0)


@torch.no_grad()
def test_tiles_with_statistics_of_their_own_are_not(vae, image):
    """What this is for: diffusers' own tiles are far off."""
    whole = vae.encode(image).latent_dist.mode()
    vae.enable_tiling()
    vae.tile_latent_min_size, vae.tile_sample_min_size = 12, 48
    try:
        tiled = vae.decode(whole).sample
    finally:
        vae.disable_tiling()
    exact = vae.decode(whole).sample
    assert (tiled - exact).abs().max() > 100 * (decoded(vae, whole, 16) - exact).abs().max()
    assert (tiled - exact).abs().mean() > 0.01 * exact.std()


@torch.no_grad()
def test_large_maps_on_the_disk_say_the_same(vae, image, monkeypatch):
    expected = vae.decode(vae.encode(image).latent_dist.mode()).sample
    monkeypatch.setattr(autoencoder, "LARGE", 10_000)
    latent, _ = encoded(vae, image, 32)
    torch.testing.assert_close(decoded(vae, latent, 32), expected, atol=2e-4, rtol=0)


@torch.no_grad()
def test_what_the_encoder_sees_is_added_by_its_weight(vae, image):
    fusion = Fusion(vae)
    latent, features = encoded(vae, image)
    plain = decoded(vae, latent)
    assert torch.equal(decoded(vae, latent, fusion=fusion, features=features, weight=1.0), plain)
    for value in fusion.parameters():
        value.add_(0.1 * torch.randn_like(value))
    changes = [
        (decoded(vae, latent, fusion=fusion, features=features, weight=weight) - plain).abs().mean()
        for weight in (0.0, 0.5, 1.0)
    ]
    assert changes[0] == 0 < changes[1] < changes[2]
    whole = decoded(vae, latent, fusion=fusion, features=features, weight=0.7)
    cut, of_parts = encoded(vae, image, 24)
    torch.testing.assert_close(
        decoded(vae, cut, 24, fusion=fusion, features=of_parts, weight=0.7), whole, atol=2e-4, rtol=0
    )


def test_an_autoencoder_with_attention_elsewhere_is_not_cut(vae):
    from diffusers import AutoencoderKL

    assert is_plain(vae)
    other = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    )  # fmt: skip
    assert not is_plain(other)
