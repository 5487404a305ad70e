"""What is made of a picture that was restored once: masks, parts, provenance, any kind of picture."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pellucid import images
from pellucid.errors import ImageError, SettingsError
from pellucid.networks import UNet
from pellucid.priors import Student
from pellucid.refinement import PTGRM, Boosted
from pellucid.restoration.restorer import Restorer
from support.pictures import exiftool


class Brighten(nn.Module):
    """Adds a tenth."""

    def forward(self, image):
        return image + 0.1


class Blur(nn.Module):
    """A local filter with a reach of 4 pixels."""

    def forward(self, image):
        return nn.functional.avg_pool2d(nn.functional.pad(image, (4, 4, 4, 4), mode="replicate"), 9, stride=1)


def boosted():
    torch.manual_seed(0)
    return Boosted(UNet.tiny(), Student(8, size=32, channels=(4,), texture=(4,)).freeze(), PTGRM(8)).eval()


class Counting(Blur):
    """Blurs, and counts the pixels that it was given."""

    def __init__(self):
        super().__init__()
        self.pixels = 0

    def forward(self, image):
        self.pixels += image.shape[2] * image.shape[3]
        return super().forward(image)


def picture(height=96, width=120):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 0.8


def test_several_strengths_from_one_run():
    network = Counting()
    once = Restorer(network).once(picture())
    run = network.pixels
    mild, strong, grainy = once.mixed(strength=0.25), once.mixed(), once.mixed(detail=1)
    assert network.pixels == run
    torch.testing.assert_close(mild, torch.lerp(picture(), strong, 0.25))
    assert torch.equal(strong, Restorer(Counting())(picture()))
    assert (grainy - picture()).abs().mean() < (strong - picture()).abs().mean() / 2
    assert torch.equal(mild, Restorer(Counting(), strength=0.25)(picture()))
    with pytest.raises(SettingsError, match="did you mean"):
        once.mixed(strenght=1)


@pytest.mark.parametrize("make", [Blur, boosted])
@pytest.mark.parametrize("more", [{}, {"detail": 0.5}, {"luminance": 0.2}, {"faithful": 3.0}])
def test_a_part_is_that_of_the_whole_result(make, more):
    image = picture(150, 170)
    whole = Restorer(make(), tile=64, **more)(image)
    part = Restorer(make(), tile=64, crop="100,20,30,50", **more)(image)
    assert torch.equal(part, whole[..., 20:70, 100:130])


def test_a_part_costs_its_tiles_alone_where_nothing_is_judged_by_the_whole():
    few, all_ = Counting(), Counting()
    Restorer(few, tile=64, crop=(0, 0, 20, 20))(picture(400, 400))
    Restorer(all_, tile=64)(picture(400, 400))
    assert few.pixels < all_.pixels / 20


def test_a_part_of_every_kind_of_picture():
    restorer = Restorer(Brighten(), crop=(3, 1, 5, 4))
    array = np.random.default_rng(0).integers(0, 200, (9, 12, 4), np.uint8)
    whole = Restorer(Brighten())(array)
    np.testing.assert_array_equal(restorer(array), whole[1:5, 3:8])
    np.testing.assert_array_equal(np.asarray(restorer(Image.fromarray(array))), whole[1:5, 3:8])
    with pytest.raises(ImageError, match="reaches beyond the picture of 12 x 9"):
        Restorer(Brighten(), crop=(8, 0, 5, 4))(array)


def test_a_part_of_a_photograph_keeps_what_belongs_to_it():
    hidden = torch.ones(1, 1, 20, 30)
    hidden[..., :3, :3] = 0
    beyond = images.Photograph(torch.zeros(1, 3, 1, 1)).beyond
    assert beyond is None
    photograph = images.Photograph(picture(20, 30), alpha=hidden, planes=torch.rand(1, 2, 20, 30), bits=16)
    part = photograph.part(slice(1, 9), slice(2, 12))
    assert part.pixels.shape[2:] == part.alpha.shape[2:] == part.planes.shape[2:] == (8, 10)
    assert torch.equal(part.planes, photograph.planes[..., 1:9, 2:12])


def test_values_beyond_the_pixels_stay_in_their_place_in_a_part(tmp_path):
    import tifffile

    array = np.random.default_rng(0).random((20, 30, 3), np.float32)
    array[4, 5], array[10, 20], array[6, 7] = 2.5, 3.5, np.nan
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    photograph = images.read(tmp_path / "a.tif")
    images.write(photograph.part(slice(2, 12), slice(3, 15)), tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), array[2:12, 3:15])


def mask(path, height=96, width=120, value=255):
    array = np.zeros((height, width), np.uint8)
    array[20:70, 30:90] = value
    Image.fromarray(array).save(path)
    return array


def test_outside_of_a_mask_pixels_are_the_same(tmp_path):
    array = mask(tmp_path / "mask.png")
    image = picture()
    for given in (tmp_path / "mask.png", str(tmp_path / "mask.png"), Image.fromarray(array), array):
        result = Restorer(Brighten(), mask=given, feather=6)(image)
        outside = torch.from_numpy(array == 0).expand(1, 3, -1, -1)
        assert torch.equal(result[outside], image[outside])
        torch.testing.assert_close(result[..., 30:60, 40:80], image[..., 30:60, 40:80] + 0.1)
    sharp = Restorer(Brighten(), mask=array, feather=0)(image)
    torch.testing.assert_close(sharp[..., 20:70, 30:90], image[..., 20:70, 30:90] + 0.1)


def test_a_mask_that_does_not_fit_is_an_error(tmp_path):
    mask(tmp_path / "mask.png", 50, 70)
    with pytest.raises(ImageError, match=r"mask.png: a mask of 70 x 50 pixels for a picture of 120 x 96"):
        Restorer(Brighten(), mask=tmp_path / "mask.png")(picture())
    network = Counting()
    with pytest.raises(ImageError, match="for a picture of 120 x 96"):
        Restorer(network, mask=tmp_path / "mask.png")(picture())
    assert network.pixels == 0  # it is seen before anything is restored
    with pytest.raises(ImageError, match="No such file"):
        Restorer(Brighten(), mask=tmp_path / "none.png")(picture())


class Double(nn.Module):
    multiple, scale = 1, 2

    def forward(self, image):
        return nn.functional.interpolate(image, scale_factor=2, mode="nearest")


def test_what_is_enlarged_cannot_be_mixed():
    for wrong in ({"detail": 0.5}, {"faithful": 2.0}, {"mask": "m.png"}, {"chroma": 0.0}):
        with pytest.raises(SettingsError, match="mixes images of one size"):
            Restorer(Double(), **wrong)
    part = Restorer(Double(), crop=(2, 3, 4, 5))(picture())
    assert torch.equal(part, Double()(picture())[..., 6:16, 4:12])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_what_restored_a_photograph_stands_in_it_once(tmp_path, suffix):
    images.write(images.Photograph(picture()), tmp_path / f"a{suffix}")
    for name, source in (("b", "a"), ("c", "b")):
        photograph = images.read(tmp_path / f"{source}{suffix}")
        result = Restorer(Brighten(), name="/home/zoe/best.pth", strength=0.5, detail=0.25)(photograph)
        images.write(result, tmp_path / f"{name}{suffix}")
    found = {name: value for name, value in exiftool(tmp_path / f"c{suffix}").items() if "pellucid" in name}
    assert found["XMP-pellucid:Model"] == "best.pth"
    assert found["XMP-pellucid:Settings"] == "strength=0.5, detail=0.25"
    assert len(found) == 4
    for off in ({"provenance": False}, {"strength": 0.0}):
        result = Restorer(Brighten(), **off)(images.read(tmp_path / f"a{suffix}"))
        assert result.metadata.xmp == b""
