"""The kinds of pictures in memory: photographs, Pillow images, numpy arrays and tensors, to one tensor and back."""

import sys
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import ImageError
from pellucid.images.alpha import colours_and_alpha, resized
from pellucid.images.messages import reason
from pellucid.images.photograph import Photograph
from pellucid.images.values import array_of_planes, check_pixels, check_range, planes_of_array
from pellucid.scratch import on_disk

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["alpha_of", "like", "part_of", "to_tensor"]

Picture = TypeVar("Picture")


def to_tensor(picture: object) -> Tensor:
    """`picture` as float32 RGB (B, 3, H, W); `like` goes back. Grey becomes three equal channels, alpha is left out.

    - a `Photograph`: its pixels;
    - a Pillow image of mode L, LA, RGB, RGBA, I;16, CMYK, P or 1, as it lies (its EXIF orientation is not applied);
    - a numpy array (H, W) or (H, W, C), with C = 1, 2 (grey, alpha), 3 or 4 (RGB, alpha), of uint8, uint16, or float in
      [0, 1];
    - a floating torch tensor (B, 3, H, W) or (B, 1, H, W) in [0, 1], on any device.

    Raises `ImageError` for another type, shape or range, and for NaN.
    """
    if isinstance(picture, Photograph):
        return picture.pixels
    if isinstance(picture, Tensor):
        return _tensor_in(picture)
    if isinstance(picture, np.ndarray):
        pixels, _ = colours_and_alpha(planes_of_array(picture, "the array"))
        return pixels
    if _is_pillow(picture):
        return to_tensor(_pillow_array(picture))
    raise ImageError(
        f"cannot take a picture from {type(picture).__name__}; known: Photograph, PIL image, numpy array, torch tensor"
    )


def alpha_of(picture: object) -> Tensor | None:
    """The alpha (1, 1, H, W) in [0, 1] of a picture that `to_tensor` takes; None where it has none."""
    if isinstance(picture, Photograph):
        return picture.alpha
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] not in (2, 4):
            return None
        return planes_of_array(picture[..., -1], "the array")
    return alpha_of(_pillow_array(picture)) if _is_pillow(picture) else None


def like(tensor: Tensor, picture: Picture) -> Picture:
    """`tensor` (B, 3, H, W) as the same kind as `picture`: type, dtype, device, mode and number of channels.

    What `to_tensor` took from `picture` comes back exactly, but for colours hidden under alpha 0. Integers are clipped
    and rounded to nearest; floats are neither. The alpha is that of `picture`, resized where the size changed. Pillow
    images of mode P and 1 come back as RGB(A) and L, since neither a palette nor one bit can hold a restored picture;
    Pillow's `info` is kept.
    """
    back: Any
    if isinstance(picture, Photograph):
        back = picture.with_pixels(tensor if on_disk(tensor) else tensor.contiguous())
    elif isinstance(picture, Tensor):
        back = (tensor.mean(1, keepdim=True) if picture.shape[1] == 1 else tensor.contiguous()).to(picture)
    elif isinstance(picture, np.ndarray):
        back = _array_out(tensor, picture)
    elif _is_pillow(picture):
        back = _pillow_out(tensor, picture)
    else:
        raise ImageError(f"cannot give a picture back as {type(picture).__name__}")
    return cast(Picture, back)


def part_of(picture: Picture, rows: slice, columns: slice) -> Picture:
    """These rows and columns of a picture that `to_tensor` takes, as the same kind."""
    part: Any
    if isinstance(picture, Photograph):
        part = picture.part(rows, columns)
    elif isinstance(picture, Tensor):
        part = picture[..., rows, columns]
    elif isinstance(picture, np.ndarray):
        part = picture[rows, columns]
    elif _is_pillow(picture):
        part = picture.crop((columns.start, rows.start, columns.stop, rows.stop))
    else:
        raise ImageError(f"cannot take a part of {type(picture).__name__}")
    return cast(Picture, part)


def _tensor_in(image: Tensor) -> Tensor:
    """A tensor from outside as float32 (B, 3, H, W)."""
    shape = tuple(image.shape)
    if image.ndim == 3 and shape[0] in (1, 3):
        raise ImageError(
            f"expected a tensor (B, 3, H, W), got {shape}; for a single image add a batch axis with x[None]"
        )
    if image.ndim != 4 or shape[1] not in (1, 3) or image.numel() == 0:
        raise ImageError(f"expected a tensor of shape (B, 3, H, W) or (B, 1, H, W), none of them 0, got {shape}")
    if not image.is_floating_point():
        raise ImageError(f"expected a floating tensor in [0, 1], got {image.dtype}; for 8 bits use x.float() / 255")
    check_range(image, "the tensor")
    image = image.float()
    return image.repeat(1, 3, 1, 1) if shape[1] == 1 else image


def _array_out(tensor: Tensor, picture: NDArray[Any]) -> NDArray[Any]:
    """`tensor` (1, 3, H, W) with the dtype, the channels and the alpha of the array `picture`."""
    check_pixels(tensor, "the tensor")
    pixels = tensor[0].detach().to("cpu", torch.float32)
    count = picture.shape[2] if picture.ndim == 3 else 1
    planes = list(pixels) if count > 2 else [pixels.mean(0)]
    if count in (2, 4):
        alpha = resized(planes_of_array(picture[..., -1], "the alpha"), *pixels.shape[1:])
        planes.append(alpha[0, 0])
    bits = 32 if picture.dtype.kind == "f" else 8 * picture.dtype.itemsize
    array = array_of_planes(planes, bits).astype(picture.dtype, copy=False)
    return array if picture.ndim == 3 else array[..., 0]


def _is_pillow(picture: object) -> "TypeGuard[Image.Image]":
    """Whether `picture` is a Pillow image; Pillow is not imported for that: who has an image has imported it."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(picture, pillow.Image)


def _pillow_array(picture: "Image.Image") -> NDArray[Any]:
    """A Pillow image as an array of one to four channels."""
    mode = picture.mode
    clear = mode in ("P", "PA") and (mode == "PA" or "transparency" in picture.info)
    working = {"1": "L", "P": "RGBA" if clear else "RGB", "PA": "RGBA", "CMYK": "RGB"}.get(mode, mode)
    if working not in ("L", "LA", "RGB", "RGBA", "I;16"):
        raise ImageError(f"cannot take a Pillow image of mode {mode}; convert it first: picture.convert('RGB')")
    try:
        return np.asarray(picture if working == mode else picture.convert(working))
    except OSError as error:  # Pillow decodes on first use
        raise ImageError(f"the Pillow image is truncated or damaged ({reason(error)})") from error


def _pillow_out(tensor: Tensor, picture: "Image.Image") -> "Image.Image":
    """`tensor` (1, 3, H, W) with the mode, the alpha and the info of the Pillow image `picture`."""
    from PIL import Image

    array = _array_out(tensor, _pillow_array(picture))
    image = Image.fromarray(array)
    if picture.mode == "CMYK":
        image = image.convert("CMYK")
    # A transparent colour key would make holes wherever a restored colour hits it.
    image.info = {key: value for key, value in picture.info.items() if key != "transparency"}
    return image
