"""Files of guidance images: PNGs that say of which picture they are, and a folder of them that is a cache.

A guidance image belongs to one degraded picture. Its file holds the hash of that picture's pixels, so that the guidance
of another one, or of its clean twin, is never taken for it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid import images
from pellucid.errors import ImageError
from pellucid.files import cache_folder, written_whole
from pellucid.images.png import chunk, into_png, parts_of_png, texts_of

__all__ = ["check_guidance", "guidance_cache", "hash_of", "key_of", "read_guidance", "write_guidance"]

KEYWORD = "pellucid guidance"


def hash_of(image: Tensor) -> str:
    """Of a picture's pixels (3, H, W) or (1, 3, H, W) in [0, 1], to 16 bits: SHA-256 in hexadecimal."""
    image = image.reshape(-1, *image.shape[-2:])
    stored = (image.detach().float().cpu().clamp(0, 1) * 65535).round().to(torch.int32).contiguous()
    return hashlib.sha256(f"{tuple(stored.shape)} ".encode() + stored.numpy().tobytes()).hexdigest()


def key_of(image: Tensor, weights: str, settings: Mapping[str, Any]) -> str:
    """Under which the guidance of a picture is kept: by its pixels, the hash of all weights, and the settings."""
    said = json.dumps([hash_of(image), weights, dict(settings)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def guidance_cache() -> Path:
    """The folder where guidance images are kept; made where it is not there."""
    folder = cache_folder() / "guidance"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_guidance(path: Path, picture: Tensor, of: Tensor, record: Mapping[str, Any]) -> None:
    """Writes a guidance image (1, 3, h, w) as a PNG that says of which picture it is, and how it was made.

    Raises:
        ImageError: it cannot be written.
    """
    said = json.dumps({"of": hash_of(of), **record})
    temporary = path.with_name(f".{path.stem}.plain.png")
    try:
        images.write(images.Photograph(picture.cpu()), temporary)
        whole = into_png(temporary.read_bytes(), chunk(b"tEXt", KEYWORD.encode() + b"\0" + said.encode("latin-1")))
        with written_whole(path) as partial:
            partial.write_bytes(whole)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_guidance(path: Path) -> tuple[Tensor, dict[str, Any]]:
    """A guidance image, (1, 3, h, w), and what its file says of it; of a picture from elsewhere that is nothing.

    Raises:
        ImageError: it cannot be read.
    """
    photograph = images.read(path)
    record: dict[str, Any] = {}
    if photograph.format == "png":
        texts = dict(texts_of(parts_of_png(path.read_bytes()).chunks))
        try:
            found = json.loads(texts.get(KEYWORD, b"{}"))
        except ValueError:
            found = {}
        record = found if isinstance(found, dict) else {}
    return photograph.pixels, record


def check_guidance(path: Path, record: Mapping[str, Any], image: Tensor) -> None:
    """Refuses the guidance of another picture than this one (3, H, W) or (1, 3, H, W).

    Raises:
        ImageError: its file says that it is of another one.
    """
    if "of" in record and record["of"] != hash_of(image):
        raise ImageError(f"{path}: is the guidance of another picture; `pellucid words` makes that of this one")
