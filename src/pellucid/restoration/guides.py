"""Where the guidance of a picture comes from: a picture, a folder of such as `pellucid words` made, or words that make
one, kept under a hash of all that it depends on."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.diffusion.captions import Captioner, without_degradations
from pellucid.diffusion.guidance_files import (
    check_guidance,
    guidance_cache,
    hash_of,
    key_of,
    read_guidance,
    write_guidance,
)
from pellucid.diffusion.guidance_image import GuidanceMaker, load_guidance_maker, middle_square
from pellucid.errors import ImageError, SettingsError
from pellucid.files import sha256_of

__all__ = ["MadeGuidance", "Maker", "guide_of"]

SETTINGS: Mapping[str, Any] = {"steps": 100, "guidance": 5.0, "seed": 42, "clean": True}
"""How guidance is made where nobody says otherwise: as published."""


@dataclass(frozen=True)
class MadeGuidance:
    """The guidance of one picture.

    Attributes:
        picture: (1, 3, side, side) in [0, 1].
        said: the tokens nearest to each word, as they were found and cleaned; or the caption, and what is left of it.
        path: the file that it is kept in.
        found: whether it was there already.
    """

    picture: Tensor
    said: Mapping[str, Any]
    path: Path
    found: bool


@dataclass
class Maker:
    """Makes guidance by words, and keeps it.

    Args:
        words: the file that a training of words has left.
        pipeline: instead of the pipeline that it names.
        vision: instead of the vision tower that it names.
        captioner: of the explicit way: then no words are learnt, and a sentence is said.
        settings: `steps`, `guidance`, `seed` and `clean` of `GuidanceMaker`.
    """

    words: Path
    pipeline: str | None = None
    vision: str | None = None
    captioner: Captioner | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def model(self) -> GuidanceMaker:
        """The words and their folders, loaded when they are needed first."""
        return load_guidance_maker(self.words, pipeline=self.pipeline, vision=self.vision)

    @cached_property
    def weights(self) -> str:
        """The hash of all weights that guidance depends on."""
        said = [sha256_of(self.words)]
        names = [str(self.model.settings[part]) for part in ("pipeline", "vision")]
        for name in [*names, *([self.captioner.name] if self.captioner else [])]:
            files = sorted(Path(name).rglob("*.safetensors")) if Path(name).is_dir() else []
            said += [sha256_of(file) for file in files] or [name]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    def made(self, image: Tensor) -> MadeGuidance:
        """The guidance of a degraded picture (1, 3, H, W), from the cache where it is there.

        Raises:
            SettingsError: words are to be cleaned that have not learnt it.
            ModelError: a part cannot be loaded.
            ImageError: what is made cannot be written.
        """
        settings = {**SETTINGS, **self.settings}
        path = guidance_cache() / f"{key_of(image, self.weights, settings)}.png"
        if path.is_file():
            picture, record = read_guidance(path)
            if record.get("of") == hash_of(image):
                return MadeGuidance(picture, record.get("said", {}), path, found=True)
        picture, said = self._make(image, settings)
        write_guidance(path, picture, image, {"settings": settings, "weights": self.weights, "said": said})
        return MadeGuidance(read_guidance(path)[0], said, path, found=False)

    def _make(self, image: Tensor, settings: Mapping[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        sampling = {name: value for name, value in settings.items() if name != "clean"}
        if self.captioner is not None:
            caption = self.captioner(image)
            kept = without_degradations(caption)
            said: dict[str, Any] = {"caption": caption, "kept": kept}
            return self.model.make(self.model.told(kept), **sampling), said
        words = self.model.words(middle_square(image))
        said = {"words": self.model.nearest(words)}
        if self.model.cleaned:
            said["cleaned"] = self.model.nearest(self.model.clean(words))
        return self.model.guidance_of(image, clean=settings["clean"], **sampling), said


@dataclass
class _Given:
    """Guidance that lies in a file, or in one of a folder's."""

    path: Path

    def __call__(self, image: Tensor) -> Tensor:
        if not self.path.is_dir():
            picture, record = read_guidance(self.path)
            check_guidance(self.path, record, image)
            return picture
        wanted = hash_of(image)
        found = self._known.get(wanted)
        if found is None:
            raise ImageError(f"{self.path}: no guidance of this picture is there; `pellucid words -o` makes it")
        return read_guidance(found)[0]

    @cached_property
    def _known(self) -> dict[str, Path]:
        """The files by the pictures that they are of."""
        files = ((path, read_guidance(path)[1].get("of")) for path in sorted(self.path.glob("*.png")))
        return {of: path for path, of in files if of is not None}


def guide_of(given: str) -> Callable[[Tensor], Tensor]:
    """From a degraded picture (1, 3, H, W) to its guidance (1, 3, h, w).

    Args:
        given: a picture; a folder of guidance that `pellucid words` made; or a file of words, that make it.

    Raises:
        SettingsError: there is no such file or folder.
        ImageError: when it is called, a picture is the guidance of another one.
    """
    path = Path(given)
    if not path.exists():
        raise SettingsError(f"guided: {given} is not there: give a picture, a folder of guidance, or a file of words")
    if path.suffix.lower() == ".safetensors":
        maker = Maker(path)
        return lambda image: maker.made(image).picture
    return _Given(path)
