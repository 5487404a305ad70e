"""The restorer: what users hold. A picture of any kind and size in, the same kind and size out."""

import warnings
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid import images
from pellucid.diagnosis import BLOCK, Diagnoser, Diagnosis, DiagnosisPrior, block_offset, load_diagnoser
from pellucid.errors import ImageError, ModelError, SettingsError
from pellucid.networks import Experts, input_multiple, output_scale, seeing_whole
from pellucid.padding import pad_to_multiple
from pellucid.precision import channels_last, fast_bfloat16
from pellucid.refinement import Boosted, Guided
from pellucid.restoration.memory import available_memory, bytes_per_pixel, checked_memory, parse_memory, tiles_within
from pellucid.restoration.tiling import Tiles, restore_in_tiles

__all__ = ["Precision", "Restorer"]

Precision = Literal["auto", "float32", "bfloat16"]
Picture = TypeVar("Picture")


class Restorer:
    """Restores pictures with a network, boosted or not.

    The prior sees the whole picture once. The network runs over overlapping tiles that fit the memory; the refinement, whose
    statistics are those of the whole picture, runs over windows without changing its result.

    Args:
        model: a network or a `Boosted`, images (B, 3, H, W) in [0, 1] to images; it is moved to the device and put in
            evaluation mode.
        strength: 0 gives the degraded picture back, 1 the restored one; between them it mixes. Networks that enlarge
            take 1 only.
        tile: side of a tile in pixels; None takes the largest that fits the memory; 0 never cuts.
        memory: bytes, or a text such as "1GB", for intermediate maps, beside the picture itself and a few copies of it;
            None takes a quarter of what is free.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps".
        precision: "bfloat16", "float32", or "auto" for bfloat16 where the device is faster with it.
        passes: how often at most a model of several experts whom the diagnosis guides, such as `default`, restores a picture: of
            the result it is asked again, and goes on while another expert is wanted, as for haze in a picture that was noisy,
            too. Only what the diagnosis finds in the picture as it came is undone so.
        diagnoser: asked first what is wrong with a picture; one to be left alone (`Diagnosis.leave_alone`) comes back as it is.

    Raises:
        SettingsError: an option that cannot be.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        strength: float = 1.0,
        tile: int | None = None,
        memory: int | str | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        passes: int = 3,
        diagnoser: Diagnoser | None = None,
    ) -> None:
        if tile is not None and (type(tile) is not int or (tile != 0 and tile < 64)):
            raise SettingsError(f"tile must be 0 (never cut) or at least 64 pixels, got {tile!r}")
        if precision not in ("auto", "float32", "bfloat16"):
            raise SettingsError(f"precision must be auto, float32 or bfloat16, got {precision!r}")
        self.device = _device(device)
        self.model = channels_last(model.eval().to(self.device))
        self.network: nn.Module = model.network if isinstance(model, Boosted) else model
        self.scale = output_scale(self.network)
        if type(passes) is not int or passes < 1:
            raise SettingsError(f"passes must be a whole number, 1 or more, got {passes!r}")
        self.passes = passes
        self.strength, self.tile = self._checked(strength), tile
        if diagnoser is not None and self.scale != 1:
            raise SettingsError(
                f"a network that enlarges, here by {self.scale}, leaves no picture as it is: no diagnoser"
            )
        self.diagnoser = diagnoser
        self.memory = None if memory is None else _bytes(memory)
        self.bfloat16 = precision == "bfloat16" or (precision == "auto" and fast_bfloat16(self.device))

    def __call__(self, picture: Picture, *, strength: float | None = None) -> Picture:
        """Restores a picture.

        Args:
            picture: a path; a PIL image; a numpy array (H, W, 3 or 1), uint8, uint16, or float in [0, 1]; a tensor
                (B, 3, H, W) in [0, 1]; or a `Photograph`.
            strength: instead of the restorer's own.

        Returns:
            The same kind; the picture itself, where the diagnoser says to leave it alone. For a path, the path of a new
            file beside it: `night.jpg` becomes `night-restored.jpg`.

        Raises:
            ImageError: the picture cannot be read or understood, or the new file exists already.
        """
        if isinstance(picture, str | Path):
            source = Path(picture)
            if not source.name:
                raise ImageError(f"{str(picture)!r}: not the name of a file")
            target = source.with_stem(f"{source.stem}-restored")
            if target.exists():
                raise ImageError(f"{target}: exists already; pellucid.restore(input, output) writes where you say")
            photograph = images.read(source)
            images.write_change(self(photograph, strength=strength), target, photograph, source, overwrite=False)
            return cast(Picture, type(picture)(target))
        strength = self.strength if strength is None else self._checked(strength)
        pixels = images.to_tensor(picture)
        alone = [self.diagnoser is not None and self.diagnoser(image).leave_alone for image in pixels]
        if all(alone):
            return picture
        restored = [
            image[None] if left else self.restore_image(image[None], strength=strength)
            for image, left in zip(pixels, alone, strict=True)
        ]
        return images.like(restored[0] if len(restored) == 1 else torch.cat(restored), picture)

    @staticmethod
    def diagnose(picture: object) -> Diagnosis:
        """What is wrong with a picture, and how much; whatever the restorer's own model is for.

        Args:
            picture: a path, or one picture of a kind that `__call__` takes.

        Raises:
            ImageError: the picture cannot be read or understood, or there are several in a batch.
        """
        pixels = images.to_tensor(images.read(Path(picture)) if isinstance(picture, str | Path) else picture)
        if len(pixels) != 1:
            raise ImageError(f"one picture is diagnosed at a time, got a batch of {len(pixels)}")
        return load_diagnoser()(pixels)

    @torch.no_grad()
    def restore_image(self, degraded: Tensor, *, strength: float | None = None) -> Tensor:
        """Degraded (B, 3, H, W) in [0, 1], any size, to restored (B, 3, H * scale, W * scale) in [0, 1], float32, CPU.

        Raises:
            SettingsError: a strength outside 0..1.
            ModelError: the network gives values that are not finite even in float32, or another size.
        """
        strength = self.strength if strength is None else self._checked(strength)
        if strength == 0:
            return degraded.float().clamp(0, 1).cpu()
        results = [self._restore_one(image[None], strength) for image in degraded.float()]
        return results[0] if len(results) == 1 else torch.cat(results)

    def _checked(self, strength: float) -> float:
        if not isinstance(strength, int | float) or not 0 <= strength <= 1:
            raise SettingsError(f"strength must be a number in 0..1, got {strength!r}")
        if strength < 1 and self.scale != 1:
            raise SettingsError(f"strength mixes images of one size; this network enlarges by {self.scale}")
        return strength

    def _restore_one(self, degraded: Tensor, strength: float) -> Tensor:
        # Who the diagnosis guides has learnt from JPEGs whose blocks begin in the corner.
        offset = block_offset(degraded) if isinstance(getattr(self.model, "prior", None), DiagnosisPrior) else (0, 0)
        top, left = (-length % BLOCK for length in offset)
        restored = self._restore_in_passes(self._placed(degraded, top, left))[
            ..., top * self.scale :, left * self.scale :
        ]
        if strength < 1:
            restored = torch.lerp(degraded.to(self.device), restored, strength)
        return restored.contiguous().cpu()

    def _placed(self, image: Tensor, top: int, left: int) -> Tensor:
        """On the device, with so many rows and columns mirrored before it."""
        if top or left:
            image = F.pad(image, (left, 0, top, 0), mode="reflect")
        return image.to(self.device, memory_format=torch.channels_last)

    def _restore_in_passes(self, restored: Tensor) -> Tensor:
        """Begins with the degraded image; what one expert leaves, another goes on with.

        None is asked twice, and after the first none for what the diagnosis has not found in the degraded image: a restored one
        may look blurred or hazy to a gate, which knows degraded ones.
        """
        guided = self.network
        if not (
            isinstance(guided, Guided) and isinstance(guided.network, Experts) and hasattr(guided.prior, "kinds_found")
        ):
            return self._pass(restored, self._feature(restored, self.bfloat16))
        experts = guided.network
        shared = getattr(self.model, "prior", None) is guided.prior
        asked: list[int] = []
        found: Collection[str] = ()
        while True:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                view = guided.prior.prepare(restored)
                expert = experts.most_believed(guided.prior.encode(view))
            if not asked:
                found = guided.prior.kinds_found(view)
            elif expert in asked or not experts.is_for(expert, found):
                return restored
            restored = self._pass(restored, self._feature(restored, self.bfloat16, view if shared else None))
            asked.append(expert)
            others = (other for other in range(len(experts.kinds)) if other not in asked)
            if len(asked) == self.passes or not any(experts.is_for(other, found) for other in others):
                return restored

    def _pass(self, image: Tensor, feature: Tensor | None) -> Tensor:
        """(1, 3, H, W) in [0, 1] to the same, restored once."""
        restored = self._run(image, feature, self.bfloat16)
        if _broken(restored, image) and self.bfloat16:
            warnings.warn("the result at bfloat16 was not usable; it was computed again in float32", stacklevel=6)
            restored = self._run(image, self._feature(image, False), False)
        if not restored.isfinite().all():
            raise ModelError(f"{type(self.network).__name__}: its output is not finite")
        restored = restored.clamp_(0, 1)
        if bool((image == image[:, :1]).all()):  # a picture without colour gets none
            restored = restored.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        return restored

    def _feature(self, image: Tensor, bfloat16: bool, view: Tensor | None = None) -> Tensor | None:
        if not isinstance(self.model, Boosted):
            return None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            return self.model.feature(image, view)

    def _run(self, image: Tensor, feature: Tensor | None, bfloat16: bool) -> Tensor:
        memory = self.memory or available_memory(self.device)
        tiles = self._tiles(memory, image)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16), seeing_whole(self.network, image):
            if not isinstance(self.model, Boosted) or feature is None:
                return restore_in_tiles(self._restore_tile, image, tiles, scale=self.scale)
            boosted = self.model
            restored = restore_in_tiles(lambda tile, grid: boosted.restore(tile, feature, grid=grid), image, tiles)
            return boosted.refine(restored, image, feature, memory=memory)

    def _restore_tile(self, tile: Tensor, _grid: Tensor | None) -> Tensor:
        height, width = tile.shape[2:]
        # A copy, for a network may work in place.
        padded = pad_to_multiple(tile, input_multiple(self.network)).clone(memory_format=torch.channels_last)
        restored = self.network(padded)
        expected = (*padded.shape[:2], padded.shape[2] * self.scale, padded.shape[3] * self.scale)
        if not isinstance(restored, Tensor) or restored.shape != expected:
            got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
            raise ModelError(f"{type(self.network).__name__}: expected an image of shape {expected}, got {got}")
        return restored[:, :, : height * self.scale, : width * self.scale]

    def _tiles(self, memory: int, image: Tensor) -> Tiles:
        if self.tile == 0:
            return Tiles(max(16, *image.shape[2:]) + input_multiple(self.network), 0, input_multiple(self.network))
        if self.tile is not None:
            return Tiles.of_side(self.tile, input_multiple(self.network))
        return tiles_within(memory, self._bytes_per_pixel, input_multiple(self.network), self.device)

    @cached_property
    def _bytes_per_pixel(self) -> float:
        return bytes_per_pixel(self.network, self.device)


def _bytes(memory: int | str) -> int:
    return parse_memory(memory) if isinstance(memory, str) else checked_memory(memory)


def _broken(restored: Tensor, degraded: Tensor) -> bool:
    """Whether a result has values that are not finite, or is black where the picture is not."""
    return not restored.isfinite().all() or bool(restored.amax() <= 0.002 and degraded.amax() > 0.02)


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]})") from error
    return device
