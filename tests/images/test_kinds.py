"""Pictures in memory: numpy arrays, tensors, Pillow images and photographs, there and back."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.errors import ImageError
from pellucid.images import Photograph, like, to_tensor
from support.pictures import SIZE, encoded, integers, noise, smooth


@pytest.mark.parametrize("shape", [SIZE, (*SIZE, 1), (*SIZE, 2), (*SIZE, 3), (*SIZE, 4), (1, 1, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float16", "float32", "float64"])
def test_numpy_round_trip(shape, dtype):
    array = noise(*shape, dtype=np.uint16 if dtype in ("uint16", ">u2") else np.uint8)
    if dtype.startswith("float"):
        array = array / 255
    array = array.astype(dtype)
    if array.ndim == 3 and shape[2] in (2, 4):
        array[..., -1] = np.maximum(array[..., -1], array.dtype.type(1 / 8 if dtype.startswith("float") else 1))
    tensor = to_tensor(array)
    scale = 1 if dtype.startswith("float") else np.iinfo(array.dtype).max
    assert tensor.dtype == torch.float32
    assert tensor.shape == (1, 3, *shape[:2])
    green = array if array.ndim == 2 else array[..., 1 if shape[2] > 2 else 0]
    np.testing.assert_allclose(tensor[0, 1].numpy(), green.astype(np.float64) / scale, rtol=1e-6)
    back = like(tensor, array)
    assert back.dtype == array.dtype
    np.testing.assert_allclose(back, array, rtol=1e-6 if dtype.startswith("float") else 0)


def test_numpy_views_integers_and_alpha():
    array = noise(*SIZE, 3)
    np.testing.assert_array_equal(to_tensor(array[::-1, ::2]), to_tensor(np.ascontiguousarray(array[::-1, ::2])))
    out = like(torch.tensor([-1.0, 0.4999 / 255, 254.6 / 255, 9]).view(1, 1, 2, 2).repeat(1, 3, 1, 1), array)
    np.testing.assert_array_equal(out[..., 0], [[0, 0], [255, 255]])
    rgba = noise(*SIZE, 4)
    rgba[..., 3] = 77
    double = like(torch.rand(1, 3, 74, 106), rgba)
    assert double.shape == (74, 106, 4)
    assert (double[..., 3] == 77).all()


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((0, 5, 3)), "expected shape"),
        (np.zeros((3, 20, 30)), "transpose"),
        (np.zeros((1, 20, 30, 3)), "expected shape"),
        (np.zeros((5, 5), bool), "bool"),
        (np.zeros((5, 5), complex), "complex"),
        (np.zeros((5, 5), np.int32), "int32"),
        (np.full((5, 5), 255.0), "255"),
        (np.full((5, 5), np.nan), "NaN"),
        (torch.zeros(3, 5, 5), r"x\[None\]"),
        (torch.zeros(1, 4, 5, 5), r"\(1, 4, 5, 5\)"),
        (torch.zeros(1, 3, 0, 5), "none of them 0"),
        (torch.zeros(1, 3, 5, 5, dtype=torch.uint8), "/ 255"),
        (torch.full((1, 3, 5, 5), 200.0), "expected"),
        (torch.full((1, 3, 5, 5), torch.inf), "infinity"),
        (Image.new("F", (5, 5)), "mode F"),
        (Image.new("YCbCr", (5, 5)), "mode YCbCr"),
        ("picture.png", "str"),
        (None, "NoneType"),
    ],
)
def test_what_to_tensor_refuses(picture, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        to_tensor(picture)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_keep_dtype_range_and_batch(dtype):
    noisy = (torch.rand(2, 3, 7, 9) * 1.6 - 0.3).to(dtype)
    tensor = to_tensor(noisy)
    assert tensor.dtype == torch.float32
    assert torch.equal(like(tensor, noisy), noisy)
    grey = torch.rand(2, 1, 7, 9).to(dtype)
    assert to_tensor(grey).shape == (2, 3, 7, 9)
    torch.testing.assert_close(like(to_tensor(grey), grey), grey)
    assert like(to_tensor(grey), grey).dtype == dtype


def test_tensors_pass_gradients():
    image = torch.rand(1, 1, 4, 4, requires_grad=True)
    like(to_tensor(image) * 2, image).sum().backward()
    assert torch.equal(image.grad, torch.full((1, 1, 4, 4), 2.0))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "CMYK", "P", "1"])
def test_pillow_round_trip(mode):
    colours, sixteen_bits = Image.fromarray(smooth()), Image.fromarray(noise(*SIZE, dtype=np.uint16))
    picture = sixteen_bits if mode == "I;16" else colours.convert(mode)
    picture.info = {"icc_profile": b"profile", "dpi": (300, 300)}
    back = like(to_tensor(picture), picture)
    assert back.mode == {"P": "RGB", "1": "L"}.get(mode, mode)
    assert back.info == picture.info
    np.testing.assert_array_equal(np.asarray(back), np.asarray(picture.convert(back.mode)))
    if mode != "I;16":
        np.testing.assert_array_equal(integers(to_tensor(picture)), np.asarray(picture.convert("RGB")))


def test_pillow_palette_with_a_hole_and_a_truncated_file():
    picture = Image.fromarray(smooth()).quantize(8)
    picture.info["transparency"] = 0
    back = like(to_tensor(picture), picture)
    truth = np.asarray(picture.convert("RGBA"))
    assert back.mode == "RGBA"
    assert "transparency" not in back.info
    np.testing.assert_array_equal(np.asarray(back)[..., 3], truth[..., 3])
    np.testing.assert_array_equal(np.asarray(back)[truth[..., 3] > 0], truth[truth[..., 3] > 0])
    with pytest.raises(ImageError, match="truncated"):
        to_tensor(Image.open(io.BytesIO(encoded("jpeg")[:2000])))


def test_photographs_are_pictures_too():
    photograph = Photograph(torch.rand(1, 3, 4, 5), bits=16)
    assert to_tensor(photograph) is photograph.pixels
    other = torch.rand(1, 3, 8, 10)
    back = like(other, photograph)
    assert back.pixels is other
    assert back.bits == 16
    with pytest.raises(ImageError, match="NaN"):
        like(other * torch.nan, photograph)
    with pytest.raises(ImageError, match=r"\(1, 3, H, W\)"):
        like(torch.rand(2, 3, 4, 5), photograph)
