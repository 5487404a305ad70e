"""Blind deconvolution: kernels found from the photograph alone, against the ones that blurred it."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve as brute_force
from skimage import data
from torch import nn

from pellucid.degradations import parse
from pellucid.degradations.kernels import convolve, shake_kernel
from pellucid.errors import SettingsError
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.models.tables import build_network
from pellucid.networks import Deconvolution, Experts, UNet
from pellucid.networks.blur_kernels import blur_kernels, busiest_part, centres, gradient_spectra, transfer_functions
from pellucid.networks.deconvolution import deconvolved
from pellucid.priors import Zeros
from pellucid.refinement import PTGRM, Boosted
from pellucid.restoration.restorer import Restorer


def photograph(name, side=256):
    picture = torch.from_numpy(np.ascontiguousarray(getattr(data, name)()[:side, :side])).permute(2, 0, 1)
    return picture.float() / 255


def shaken(clean, seed, length=10.0):
    kernel = shake_kernel(length, 0.5, torch.Generator().manual_seed(seed))
    return (convolve(clean, [kernel])[0].clamp(0, 1) * 255).round() / 255, kernel


def decibels(image, clean):
    return -10 * math.log10(float((image.clamp(0, 1) - clean).square()[..., 16:-16, 16:-16].mean()))


@pytest.mark.parametrize(("name", "seed"), [("astronaut", 0), ("astronaut", 3), ("coffee", 3)])
def test_a_shaken_photograph_tells_how_it_was_shaken(name, seed):
    """Deconvolved with the kernel that was found it is nearer to the clean one, by decibels."""
    clean = photograph(name)
    blurred, truth = shaken(clean, seed)
    found = Deconvolution(size=25).kernels(blurred[None])
    assert found.min() >= 0
    torch.testing.assert_close(found.sum(), torch.tensor(1.0))
    assert centres(found).abs().max() <= 0.51
    reach = (25 - truth.shape[0]) // 2
    wanted = nn.functional.pad(truth, (reach,) * 4)
    likeness = max(
        float((found[0].roll(shift, (0, 1)) * wanted).sum() / (found.norm() * wanted.norm()))
        for shift in [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    )
    assert likeness > 0.75
    best = max(decibels(part, clean) for part in deconvolved(blurred[None], found)[0].split(3))
    assert best > decibels(blurred, clean) + 2


def test_halves_agree_where_a_photograph_is_blurred_alike_and_not_where_it_is_not():
    network, clean = Deconvolution(size=13), photograph("astronaut", 192)
    blurred = parse("blur sigma=2")(clean, torch.Generator().manual_seed(0))
    assert network.certainty(blurred[None]) > 0.85
    torn = torch.cat([blurred[..., :96], shaken(clean, 3)[0][..., 96:]], 2)
    assert network.certainty(torn[None]) < 0.75
    down = torch.linspace(0.2, 0.8, 128)[:, None].expand(1, 3, -1, 160)
    assert network.certainty(down) < 0.5  # a sky shows no kernel
    assert network.certainty(torch.rand(1, 3, 20, 30)) == pytest.approx(1)  # nothing is estimated of small pictures


def test_the_true_kernel_brings_the_photograph_back():
    clean = photograph("astronaut")
    blurred, kernel = shaken(clean, 3)
    assert decibels(deconvolved(blurred[None], kernel[None])[0, :3], clean) > decibels(blurred, clean) + 8


def test_the_filter_solves_its_equation():
    """Where the gradient of |k * x - y|² + ε (|∇x|² + c |x|²) vanishes: by SciPy, on a picture that is periodic."""
    torch.manual_seed(1)
    kernel = torch.rand(1, 3, 3)
    kernel = (kernel + kernel.flip(1, 2)) / 2  # its centre of mass is its middle
    kernel /= kernel.sum()
    picture = torch.rand(16, 20)
    transfer, level = transfer_functions(kernel, (16, 20))[0], 0.01
    noise = gradient_spectra((16, 20), picture.device) + 0.01
    found = torch.fft.irfft2(
        torch.fft.rfft2(picture) * transfer.conj() / (transfer.abs() ** 2 + level * noise), s=(16, 20)
    ).numpy()
    stencil = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=np.float32)
    weights = kernel[0].numpy()
    residual = brute_force(brute_force(found, weights, mode="wrap") - picture.numpy(), weights[::-1, ::-1], mode="wrap")
    residual += level * (brute_force(found, stencil, mode="wrap") + 0.01 * found)
    assert np.abs(residual).max() < 1e-5


def test_a_kernel_beside_its_middle_moves_nothing():
    clean = photograph("chelsea", 64)[None]
    middle, beside = torch.zeros(2, 1, 9, 9)
    middle[0, 4, 4] = beside[0, 3, 6] = 1
    torch.testing.assert_close(deconvolved(clean, beside), deconvolved(clean, middle), atol=1e-5, rtol=0)


def test_one_kernel_is_for_all_and_each_has_its_own():
    images = torch.stack([photograph("chelsea", 64), photograph("coffee", 64)])
    kernels = torch.rand(2, 5, 5)
    kernels /= kernels.sum((1, 2), keepdim=True)
    apart = torch.cat([deconvolved(image[None], kernel[None]) for image, kernel in zip(images, kernels, strict=True)])
    torch.testing.assert_close(deconvolved(images, kernels), apart, atol=1e-5, rtol=0)
    same = deconvolved(images, kernels[:1].expand(2, -1, -1))
    torch.testing.assert_close(deconvolved(images, kernels[:1]), same, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sides", [(1, 1), (31, 200)])
def test_small_pictures_count_as_sharp(sides):
    point = torch.zeros(2, 9, 9)
    point[:, 4, 4] = 1
    assert torch.equal(blur_kernels(torch.rand(2, *sides), 9), point)


@pytest.mark.parametrize("sides", [(32, 33), (37, 53)])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_plain_pictures_have_a_kernel_of_sum_one_that_leaves_them_plain(sides, value):
    kernels = blur_kernels(torch.full((1, *sides), value), 9)
    assert (kernels >= 0).all()
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(1))
    plain = torch.full((1, 3, *sides), value)
    torch.testing.assert_close(deconvolved(plain, kernels), plain.repeat(1, 3, 1, 1), atol=1e-3, rtol=0)


def test_a_photograph_in_a_batch_has_the_kernel_that_it_has_alone():
    network = Deconvolution.tiny()
    batch = torch.stack([photograph(name, 96) for name in ("chelsea", "coffee", "astronaut")])
    alone = torch.cat([network.kernels(image[None]) for image in batch])
    assert torch.equal(network.kernels(batch), alone)
    assert torch.equal(network.look(batch).own["kernels"], alone)


@pytest.mark.parametrize("size", [4, 3, 7.0, "9", None])
def test_the_kernel_s_side_is_an_odd_number(size):
    with pytest.raises(ValueError, match="size must be odd"):
        Deconvolution((8,), (1,), size=size)


@pytest.mark.parametrize("sides", [(2, 2), (8, 40), (34, 38)])
def test_any_size_is_restored(sides):
    network = Deconvolution.tiny().eval()
    image = torch.rand(2, 3, *sides)
    with torch.no_grad():
        assert network(image).shape == image.shape
        assert network(image).isfinite().all()


@pytest.mark.parametrize(("scale", "side"), [(1, 128), (8, 1024), (8, 200)])
def test_the_busiest_part_is_where_the_edges_are(scale, side):
    image = torch.zeros(1, 3, 200 * scale, 301 * scale)
    image[..., 120 * scale : 180 * scale, 200 * scale : 290 * scale] = torch.rand(60 * scale, 90 * scale)
    part = busiest_part(image, side)
    assert part.shape == (1, 3, side, side)
    assert (part > 0).sum() > 0.9 * min((image > 0).sum(), part.numel())
    assert busiest_part(image, 301 * scale) is image


def test_tiles_are_deconvolved_with_the_kernel_of_the_whole():
    network, whole = Deconvolution.tiny().eval(), parse("shake length=5")(photograph("chelsea", 128), torch.Generator())
    asked = []
    network.unet.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    tile = whole[None, :, :64, :64]
    # As an expert, it is not the network that the restorer knows.
    experts = Experts([network, UNet((8, 16), (1, 1))], [None, None], prior_width=4).eval()
    nn.init.zeros_(experts.gate[2].weight)
    experts.gate[2].bias.data = torch.tensor([9.0, 0.0])
    known = Guidance(vector=torch.rand(1, 4))
    kernel = network.kernels(whole[None])
    with torch.no_grad():
        guidance = experts.look(whole[None], known)
        assert torch.equal(guidance.part("0", torch.tensor([0])).own["kernels"], kernel)
        experts.restore(tile, guidance)
        experts.restore(whole[None], guidance)
        network.restore(tile, network.look(whole[None]))
        network.restore(tile, NOTHING)
    assert not torch.allclose(kernel, network.kernels(tile))
    torch.testing.assert_close(asked[0][:, 3:], deconvolved(tile, kernel))
    assert asked[1].shape == (1, 12, 128, 128)
    torch.testing.assert_close(asked[1][:, 3:], deconvolved(whole[None], kernel))
    assert torch.equal(asked[2], asked[0])
    # Nothing of the whole is left behind in the network: who is told nothing has the kernel of the tile.
    torch.testing.assert_close(asked[3][:, 3:], deconvolved(tile, network.kernels(tile)))


@pytest.mark.parametrize("refinement", [None, PTGRM(4, width=4, blocks=1)])
@pytest.mark.parametrize("tile", [0, 64])
def test_the_kernel_is_that_of_the_picture_and_not_of_its_padding(refinement, tile):
    """Mirrored pixels are no photograph: whoever pads the picture has had it looked at before."""
    picture = parse("shake length=5")(photograph("chelsea", 128), torch.Generator())[None, :, :101, :93]
    network = Deconvolution((8, 16, 16), (1, 1, 1), size=9).eval()
    padded = pad_to_multiple(picture, network.contract.multiple)
    assert padded.shape != picture.shape
    kernel = network.kernels(picture)
    assert not torch.allclose(kernel, network.kernels(padded))
    asked = []
    network.unet.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    model = network if refinement is None else Boosted(network, Zeros(4), refinement)
    Restorer(model, tile=tile, precision="float32").restore_image(picture)
    run = [one for one in asked if one[:, :3].any()]  # what is run to learn how much memory it takes is black
    assert len(run) == (4 if tile else 1)
    for one in run:
        torch.testing.assert_close(one[:, 3:], deconvolved(one[:, :3], kernel))


def test_a_network_of_images_alone_is_the_start_of_one_with_planes_beside():
    plain, image = UNet((8, 16), (1, 1), bias=True).eval(), torch.rand(1, 3, 16, 16)
    beside = UNet((8, 16), (1, 1), bias=True, beside=9).eval()
    beside.load_state_dict(plain.state_dict())
    assert torch.equal(beside(torch.cat([image, torch.rand(1, 9, 16, 16)], 1)), plain(image))
    beside.head.weight.data[:, 3:] = 1
    assert not torch.equal(beside(torch.cat([image, torch.rand(1, 9, 16, 16)], 1)), plain(image))
    again = build_network("unet", beside.settings)
    again.load_state_dict(beside.state_dict())
    assert torch.equal(again.head.weight, beside.head.weight)
    with pytest.raises(RuntimeError, match="size mismatch"):
        UNet((8, 16), (1, 1), bias=True).load_state_dict(beside.state_dict())


@pytest.mark.parametrize("size", [4, 3, 12])
def test_sizes_that_have_no_middle_are_refused(size):
    with pytest.raises(SettingsError, match="odd"):
        build_network("deconvolution", {"size": size})
