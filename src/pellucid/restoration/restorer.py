"""The restorer: what users hold. A picture of any kind and size in, the same kind and size out."""

import math
import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from pellucid import images
from pellucid.devices import channels_last, fast_bfloat16, find_device
from pellucid.diagnosis import SMALLEST, Diagnosis, block_offset, load_diagnoser
from pellucid.diagnosis import Diagnoser as OwnDiagnoser
from pellucid.diffusion.network import Generative
from pellucid.diffusion.prompts import ALL
from pellucid.diffusion.regions import Regions
from pellucid.engines import NetworkOnEngine, chosen_engine, eight_bits, known_ranges, on_engine, parts_of
from pellucid.errors import ImageError, ModelError, SettingsError
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.jpeg_blocks import JPEG_BLOCK
from pellucid.images.padding import pad_before, pad_to_multiple
from pellucid.images.resizing import bicubic
from pellucid.models.header import ONE_PASS, Policy
from pellucid.models.hub import find_model
from pellucid.models.load import load_model
from pellucid.networks import Experts, Network, SamplingNetwork, contract_of, verbs_of
from pellucid.networks.contract import Plain
from pellucid.networks.orientations import Orientations
from pellucid.refinement import Boosted
from pellucid.restoration.asking import Sampled, asked_of, prompt_for, with_asked, with_what
from pellucid.restoration.decision import Decision
from pellucid.restoration.enlarging import sides_of, steps_to
from pellucid.restoration.guides import guide_of
from pellucid.restoration.memory import available_memory, bytes_per_pixel, tiles_within
from pellucid.restoration.once import (
    Restoration,
    check_controls,
    mixed_picture,
    mixed_pixels,
    needed_place,
    over_pages,
    require_fit,
)
from pellucid.restoration.options import SMALLEST_MEMORY, RestoreOptions
from pellucid.restoration.passes import NOTHING_WRONG, Passes, is_diagnosing, left_alone, wish_of
from pellucid.restoration.repairs import Repairs, repaired
from pellucid.restoration.sampling import sample_in_tiles
from pellucid.restoration.shortage import Working, attempted
from pellucid.restoration.tiles import Tiles, over_tiles
from pellucid.scratch import bands, belongs_on_disk, everywhere, extremes, mapped, on_disk, release
from pellucid.words.wishes import wishes_in

__all__ = ["ENLARGER", "Diagnoser", "Restorer"]

Picture = TypeVar("Picture")

ENLARGER = "upscale"
"""The embedded model that enlarges what others have restored."""
NOTHING_TO_ASK = (
    "the diagnosis finds nothing that the model has learnt to take away; --prompt says what to do all the same"
)
BYTES_OF_PIXEL = 36
"""What a pixel of a large result takes: three values in float32, three times, as it is joined, clamped and written."""


class Diagnoser(Protocol):
    """Says what is wrong with one image (3, H, W) or (1, 3, H, W) in [0, 1], and whether to leave it alone."""

    def __call__(self, image: Tensor) -> Diagnosis:
        """The diagnosis."""
        ...


class Restorer:
    """Restores pictures with any model.

    The model looks at the whole picture once. The network then runs over overlapping tiles that fit the memory; the
    refinement, whose statistics are those of the whole picture, runs over windows without changing its result.

    Args:
        model: a network or a `Boosted`, images (B, 3, H, W) in [0, 1] to images; it is moved to the device and put in
            evaluation mode.
        name: of the model, for the record of what was done; without one, the class of its network.
        policy: what the model's file says of how it restores.
        diagnoser: asked first what is wrong with a picture, where the policy says to leave some alone; None takes the
            embedded one, for a model that does not diagnose by itself.
        options: of `RestoreOptions`, by name; prompt, seed, control, region and strength_map are for models that
            sample.

    Raises:
        SettingsError: an option that cannot be, or that the model cannot follow.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str = "",
        policy: Policy = ONE_PASS,
        diagnoser: Diagnoser | None = None,
        **options: Any,
    ) -> None:
        self.options = RestoreOptions.of(**options)
        self.device = find_device(self.options.device)
        model = channels_last(model.eval().to(self.device))
        if self.options.orientations:
            model = _in_orientations(model)
        self.engine = chosen_engine(self.options.engine, model, self.device)
        int8 = eight_bits(self.engine, self.options.precision)
        if self.engine != "torch":
            model = on_engine(model, self.engine, ranges=known_ranges() if int8 != "never" else None, int8=int8)
        self.model = model
        self.network: nn.Module = model.network if isinstance(model, Boosted) else model
        if isinstance(model, Boosted):
            self._restore = model.restore  # type: ignore[method-assign]
        self.name = name or type(self.network).__name__
        contract = contract_of(model)
        self.scale = contract.scale
        self._check_numbers(contract.numbers)
        self._scales: tuple[int, ...] = ()
        self._enlarger: Restorer | None = None
        if self.options.scale is not None:
            if self.scale == 1:
                self._enlarger = _embedded_enlarger(self.options)
            else:
                self._scales = steps_to(self.options.scale, contract.scales or (self.scale,))
        if self._enlarger is not None and contract.samples and self.options.mask is not None:
            raise SettingsError(
                "--mask is of the small picture: with --scale, a model that samples takes regions that its prompt names"
            )
        text = None if self._enlarger is None else self.options.text
        self._only_enlarges = text is not None and not wishes_in(text).restore
        _warn_of_looking_parts(self.network, self.options.tile)
        self.policy = policy
        self.passes = self.options.passes or self.policy.passes
        check_controls(self.options, self.scale)
        self.diagnoser = diagnoser
        self.wish = wish_of(self.options, model)
        if self.diagnoser is None and self.policy.leave_alone and not self.options.always and not is_diagnosing(model):
            self.diagnoser = load_diagnoser()
        if self.diagnoser is not None and self.scale != 1:
            raise SettingsError(
                f"a network that enlarges, here by {self.scale}, leaves no picture as it is: no diagnoser"
            )
        self.asked = asked_of(self.options, self.network)
        if self.options.guided is not None and not contract.reference:
            raise SettingsError(f"guided is for guided models, and {self.name} is not shown other pictures")
        self._guide = None if self.options.guided is None else guide_of(self.options.guided)
        self._first = _first_model(self.options, self.network)
        wanted = self.options.precision
        lower = wanted in ("auto", "int8") and self.engine != "onnx"
        self.bfloat16 = wanted == "bfloat16" or (lower and fast_bfloat16(self.device))

    def __call__(
        self, picture: Picture, *, strength: float | None = None, text: str | None = None, known: Guidance = NOTHING
    ) -> Picture:
        """Restores a picture.

        Args:
            picture: a path; a PIL image; a numpy array (H, W, 3 or 1), uint8, uint16, or float in [0, 1]; a tensor
                (B, 3, H, W) in [0, 1]; or a `Photograph`.
            strength: instead of the restorer's own.
            text: what is wanted, in English, as in "remove the noise but keep the grain" (`pellucid.wishes`).
            known: what the model is told of the picture beside what it sees: words, a seed.

        Returns:
            The same kind; the picture itself, where it is left alone. For a path, the path of a new file beside it:
            `night.jpg` becomes `night-restored.jpg`.

        Raises:
            ImageError: the picture cannot be read or understood, or the new file exists already.
            SettingsError: a text that is not understood, or says what the restorer's options say.
        """
        if text is not None:
            return self.asked_for(text)(picture, strength=strength, known=known)
        if isinstance(picture, str | Path):
            return cast(Picture, type(picture)(self._restored_file(Path(picture), strength, known)))
        options = self.options if strength is None else replace(self.options, strength=strength)
        check_controls(options, self.scale)
        if isinstance(picture, images.Photograph) and picture.others:
            return cast(Picture, self._every_page(picture, strength, known))
        pixels, alpha = images.to_tensor(picture), images.alpha_of(picture)
        results = [
            self._make(image[None].float(), options, known.of(torch.tensor([number])), alpha, may_leave=True)
            for number, image in enumerate(pixels)
        ]
        decision = next((decision for _, decision in results if not decision.unchanged), results[0][1])
        restored = [result for result, _ in results]
        whole = restored[0] if len(restored) == 1 else torch.cat(restored)
        return mixed_picture(picture, whole, decision, options, self.name, pixels)

    def asked_for(self, text: str) -> "Restorer":
        """A restorer of the same model that does what a text wants.

        Raises:
            SettingsError: the text is not understood, or says what the options say.
        """
        other = copy(self)
        other.options = replace(self.options, text=text).saying(wishes_in(text))
        if other.options.scale != self.options.scale:
            raise SettingsError("a text that enlarges is for a new restorer: pellucid.load(..., text=...)")
        other.wish = wish_of(other.options, self.model)
        return other

    def _every_page(self, photograph: images.Photograph, strength: float | None, known: Guidance) -> images.Photograph:
        pages = replace(photograph, others=(), motion=None), *photograph.others
        first, *others = (self(page, strength=strength, known=known) for page in pages)
        return replace(first, others=tuple(others), motion=photograph.motion)

    def once(self, picture: Picture, *, known: Guidance = NOTHING) -> Restoration[Picture]:
        """Restores one picture at full strength, to be mixed with what it was in any number of ways.

            once = restorer.once(photograph)
            mild, strong = once.mixed(strength=0.4, detail=0.2), once.mixed()

        Args:
            picture: of a kind that `__call__` takes, but no path.
            known: what the model is told of the picture beside what it sees.

        Raises:
            ImageError: the picture cannot be understood, or there are several in a batch.
            SettingsError: the picture is to be enlarged: then it is another one for each strength.
        """
        if self.options.scale is not None:
            raise SettingsError("a picture that is enlarged by scale= is mixed before that: restore it once for each")
        pixels = _single(images.to_tensor(picture))
        options = replace(self.options, strength=1.0, crop=None)
        restored, decision = self._restored(pixels.float(), options, known, images.alpha_of(picture), may_leave=True)
        return Restoration(picture, restored, decision, self.options, self.name)

    def restore_and_explain(self, picture: Picture) -> tuple[Picture, Decision]:
        """Restores one picture, and says what was found in it, what was done, and what was left alone and why.

        Args:
            picture: of a kind that `__call__` takes, but no path.

        Returns:
            The same kind, or the picture itself where it is left alone; and the record.

        Raises:
            ImageError: the picture cannot be understood, or there are several in a batch.
        """
        if isinstance(picture, images.Photograph) and picture.others:
            return cast(tuple[Picture, Decision], over_pages(self.restore_and_explain, picture))
        pixels, alpha = _single(images.to_tensor(picture)), images.alpha_of(picture)
        restored, decision = self._make(pixels.float(), self.options, NOTHING, alpha, may_leave=True)
        return mixed_picture(picture, restored, decision, self.options, self.name, pixels), decision

    def explain(self, picture: object) -> Decision:
        """What is found in a picture, what would be done first, and what would be left alone and why; nothing is
        restored.

        What a model of experts does after its first pass depends on what that leaves, so it is not known before.

        Args:
            picture: a path, or one picture of a kind that `__call__` takes.

        Raises:
            ImageError: the picture cannot be read or understood, or there are several in a batch.
        """
        if isinstance(picture, str | Path):
            picture = images.read(Path(picture), memory=self.memory_for_pictures)
        pixels = _single(images.to_tensor(picture)).float()
        return self._make(pixels, self.options, NOTHING, images.alpha_of(picture), may_leave=True, plan=True)[1]

    @staticmethod
    def diagnose(picture: object) -> Diagnosis:
        """What is wrong with a picture, and how much; whatever the restorer's own model is for.

        Args:
            picture: a path, or one picture of a kind that `__call__` takes.

        Raises:
            ImageError: the picture cannot be read or understood, or there are several in a batch.
        """
        if isinstance(picture, str | Path):
            picture = images.read(Path(picture), memory=available_memory())
        pixels, alpha = _single(images.to_tensor(picture)), images.alpha_of(picture)
        visible = None if alpha is None else images.visible_part(alpha)
        return load_diagnoser()(pixels if visible is None else pixels[..., *visible])

    def restore_image(self, degraded: Tensor, *, strength: float | None = None, known: Guidance = NOTHING) -> Tensor:
        """Degraded (B, 3, H, W) in [0, 1], any size, to restored (B, 3, H * scale, W * scale) in [0, 1], float32, CPU.

        The sides are rounded where the scale is not whole.

        Args:
            degraded: the pictures.
            strength: instead of the restorer's own.
            known: what the model is told of each picture beside what it sees: words, a seed.

        Raises:
            SettingsError: a strength outside 0..1.
            ModelError: the network gives values that are not finite even in float32, or another size.
        """
        options = self.options if strength is None else replace(self.options, strength=strength)
        check_controls(options, self.scale)
        results = []
        for number, image in enumerate(degraded.float()):
            restored, _ = self._make(image[None], options, known.of(torch.tensor([number])))
            mixed = mixed_pixels(image[None], restored, options)
            results.append(mixed if on_disk(mixed) else mixed.contiguous())
        return results[0] if len(results) == 1 else torch.cat(results)

    @torch.no_grad()
    def look(
        self, image: Tensor, known: Guidance = NOTHING, *, bfloat16: bool = False, cut: bool | None = None
    ) -> Guidance:
        """What the model knows of a whole picture (1, 3, H, W) that lies on its device.

        Args:
            image: the picture.
            known: what is known already.
            bfloat16: whether to compute in it where that is safe.
            cut: whether the network sees it in tiles, or sees more than this; None looks at its size.

        Raises:
            ModelError: the network takes two views of a dual-pixel sensor.
        """
        if contract_of(self.model).channels == 6 and image.shape[1] != 6:
            raise ModelError(
                f"{self.name} takes the two views of a dual-pixel sensor, six channels, and this is one picture; in "
                "Python its module takes both: load_model(FILE).module(views)"
            )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            cut = self._is_cut(image) if cut is None else cut
            known = known.to(self.device)
            found = attempted(lambda: verbs_of(self.model).look(image, known, cut=cut).to(self.device))
            if found is None:
                self._go_to_cpu()
                found = verbs_of(self.model).look(image.cpu(), known.to(self.device), cut=cut)
            release(image)
            return found

    @property
    def _make(self) -> Callable[..., tuple[Tensor, Decision]]:
        """From a picture to the one that people get: as large as the model makes it, or as they ask."""
        return self._restored if self.options.scale is None else self._enlarged

    def _enlarged(
        self, degraded: Tensor, options: RestoreOptions, known: Guidance, alpha: Tensor | None = None, **how: bool
    ) -> tuple[Tensor, Decision]:
        """As `_restored`, mixed as the options ask, and then as large."""
        scale = self.options.scale
        assert scale is not None
        height, width = sides_of(degraded.shape[2], degraded.shape[3], scale)
        _require_memory(height, width)
        if self._scales:
            known = known.knowing(scale=self._scales[0])
        if self._sampling is not None and self._enlarger is not None and not how.get("plan"):
            return self._sampled_large(degraded, options, known, alpha, **how)
        restored, decision = self._restored(degraded, options, known, alpha, **how)
        decision = replace(decision, scale=scale, unchanged=False)
        if how.get("plan"):
            return restored, decision
        if self._enlarger is not None:
            mixed = mixed_pixels(degraded, restored, replace(options, crop=None, scale=None))
            return self._enlarger.restore_image(mixed), decision
        for further in self._scales[1:]:
            restored, _ = self._restored(restored, replace(options, crop=None), known.knowing(scale=further))
        return bicubic(restored, height, width).clamp(0, 1), decision

    def _sampled_large(
        self, degraded: Tensor, options: RestoreOptions, known: Guidance, alpha: Tensor | None, **how: bool
    ) -> tuple[Tensor, Decision]:
        """A picture enlarged, and then sampled: what is drawn is as fine as the large picture, and what a network that
        samples does to a small one would be enlarged with it."""
        assert self._enlarger is not None
        large, known = self._enlarger.restore_image(degraded), with_asked(known, self.asked)
        height, width = large.shape[2:]
        if isinstance(known.regions, Regions):
            known = known.knowing(regions=known.regions.resized(degraded.shape[2:], large.shape[2:]))
        alpha = None if alpha is None else bicubic(alpha, height, width).clamp_(0, 1)
        options = replace(options, crop=None, scale=None)
        restored, decision = self._restored(large, options, known, alpha, **how)
        return mixed_pixels(large, restored, options), replace(decision, scale=self.options.scale, unchanged=False)

    @torch.no_grad()
    def unrefined(self, degraded: Tensor) -> Tensor:
        """What the network alone makes of a picture (1, 3, H, W) in [0, 1], any size: float32, CPU, not clamped."""
        image = degraded.float().to(self.device, memory_format=torch.channels_last)
        joined = over_tiles(self._restore, image, self.look(image), self.tiles(image), scale=self.scale)
        return joined.contiguous().cpu()

    @torch.no_grad()
    def refined(self, restored: Tensor, degraded: Tensor) -> Tensor:
        """What R alone makes of a result that is there already, such as another program's.

        Args:
            restored: (1, 3, H, W) in [0, 1].
            degraded: what it was restored from, the same shape.

        Returns:
            The same shape, in [0, 1], float32, CPU.

        Raises:
            ModelError: the values are not finite.
        """
        one, other = (
            image.float().to(self.device, memory_format=torch.channels_last) for image in (restored, degraded)
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            result = verbs_of(self.model).refine(one, other, self.look(other, cut=False), memory=self.memory)
        result = result.float()
        return self._finished(result, other, extremes(result)).contiguous().cpu()

    @torch.no_grad()
    def _restored(
        self,
        degraded: Tensor,
        options: RestoreOptions,
        known: Guidance,
        alpha: Tensor | None = None,
        *,
        may_leave: bool = False,
        plan: bool = False,
    ) -> tuple[Tensor, Decision]:
        """(1, 3, H, W) float32 to the restored picture, at full strength, in as many passes as the policy asks for, and
        to the record.

        Args:
            degraded: the picture.
            options: of what is made of the result; at strength 0 nothing is done, and beyond the part that is wanted
                nothing need be right.
            known: what is known of it already.
            alpha: (1, 1, H, W); where it is 0 a pixel has no say in what is decided.
            may_leave: whether the picture may be left alone as a whole.
            plan: stop before the first pass; the record then says what that would do.
        """
        if options.strength == 0:
            return _clamped(degraded), left_alone(self.name, "the strength is 0")
        if self._only_enlarges:
            return _clamped(degraded), left_alone(self.name, "the text asks for size alone")
        if self.options.tell:
            known = known.knowing(told={**self.options.tell, **known.told})
        require_fit(options, degraded)
        why = self._reason_to_leave(degraded, alpha) if may_leave else ""
        if why:
            return _clamped(degraded), left_alone(self.name, why)
        scale = known.scale or self.scale
        whole, repairs = degraded, Repairs()
        if is_diagnosing(self.model):
            whole, repairs = repaired(degraded, self.wish, self._visible(degraded, alpha)[0])
        if self._guide is not None and known.reference is None:
            known = known.knowing(reference=self._guide(degraded))
        image, top, left = self._placed(whole)
        known, sampled = with_asked(known, self.asked), Sampled(image)
        if isinstance(self.network, Generative) and known.words is None:
            words = self._words_for(degraded, alpha)
            if not words:
                return _clamped(degraded), left_alone(self.name, NOTHING_TO_ASK)
            known = known.knowing(words=(words,))
        if self._first is not None and known.restored is None:
            known = known.knowing(restored=self._first.restore_image(image.cpu()).to(image.device))
        visible, partly = self._visible(image, None if alpha is None else pad_before(alpha, top, left))
        wish = self.wish.of_networks()
        passes = Passes(
            self.model, name=self.name, policy=self.policy, most=self.passes, wish=wish or self.wish,
            always=self.options.always, strength=options.strength, may_leave=may_leave,
        )  # fmt: skip
        # Where nothing is judged by the whole result, only what is wanted of it is made.
        judged = passes.choosing or (isinstance(self.model, Boosted) and self.model.refinement is not None)
        wanted = None if judged or options.scale else needed_place(options, degraded, top, left)
        while wish is not None:
            shown = image[..., *visible]
            told = passes.begins(shown, self._told(shown, known) if passes.choosing else known)
            if told is None:
                break
            if plan:
                passes.note_plan()
                break
            guidance = self.look(shown, told, bfloat16=self.bfloat16, cut=partly or self._is_cut(image))
            # Once more in float32 where bfloat16 gives no picture. Inline: no frame more between a picture and its
            # network.
            for half in (True, False) if self.bfloat16 else (False,):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                    if half != self.bfloat16:
                        guidance = self.look(shown, known.knowing(own=told.own), cut=partly or self._is_cut(image))
                    if self._sampling is not None:
                        joined = sample_in_tiles(self._sampling, image, guidance, self.tiles(image))
                        sampled.note(
                            self._sampling, guidance, tile=self.tiles(image).side,
                            precision="bfloat16" if half else "float32", **with_what(self.options),
                        )  # fmt: skip
                    else:
                        working = Working(self.device, contract_of(self.network).multiple, self._left_for_cpu)
                        joined = over_tiles(
                            self._restore, image, guidance, self.tiles(image),
                            scale=scale, working=working, wanted=wanted,
                        )  # fmt: skip
                    restored = self._refined(joined, image, guidance) if passes.refines else joined
                    del joined
                ends = extremes(restored)
                if not half or not _is_broken(ends, image):
                    break
                warnings.warn("the result at bfloat16 was not usable; it was computed again in float32", stacklevel=4)
            image = passes.accepted(image, self._finished(restored, image, ends), visible)
            if passes.ended():
                break
        decision = replace(repairs.added_to(passes.decision, options.strength), sampling=sampled.record)
        if plan or decision.unchanged:
            return _clamped(degraded), decision
        restored = image[..., top * scale :, left * scale :].cpu()
        return restored, decision

    def _told(self, shown: Tensor, known: Guidance) -> Guidance:
        """What the prior of a model of experts says of a picture, from which it is chosen who restores it."""
        assert isinstance(self.model, Boosted)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            found = self.model.told(shown, known.to(self.device))
            release(shown)
            return found

    def _reason_to_leave(self, degraded: Tensor, alpha: Tensor | None) -> str:
        """Why a picture is left alone as a whole, before its experts are asked; empty where it is not."""
        height, width = degraded.shape[2:]
        if min(height, width) < SMALLEST and not self.wish.only and (self.diagnoser or is_diagnosing(self.model)):
            return f"of {width} x {height} pixels nothing can be told; it takes {SMALLEST} a side"
        if self.diagnoser is None:
            return ""
        (rows, columns), _ = self._visible(degraded, alpha)
        shown = degraded[0, :, rows, columns]
        if isinstance(self.diagnoser, OwnDiagnoser):
            leave = self.diagnoser.leaves_alone(shown)
        else:
            leave = self.diagnoser(shown).leave_alone
        return NOTHING_WRONG if leave else ""

    def _words_for(self, degraded: Tensor, alpha: Tensor | None) -> str:
        """What a network that samples is asked where nobody says anything: what the diagnosis finds; and everything
        where a picture is too small for one."""
        assert isinstance(self.network, Generative)
        if len(degraded) > 1 or min(degraded.shape[2:]) < SMALLEST:
            return ALL
        (rows, columns), _ = self._visible(degraded, alpha)
        diagnose = self.diagnoser or load_diagnoser()
        return prompt_for(diagnose(degraded[0, :, rows, columns]), self.network)

    def _visible(self, image: Tensor, alpha: Tensor | None) -> tuple[tuple[slice, slice], bool]:
        """Rows and columns of an image by which it is judged, and whether those are a part of it: nothing hidden is
        there."""
        whole = slice(0, image.shape[2]), slice(0, image.shape[3])
        if alpha is None or (isinstance(self.model, Boosted) and self.model.takes_maps):
            return whole, False
        part = images.visible_part(alpha)
        if part is None or min(side.stop - side.start for side in part) < SMALLEST:
            return whole, False
        return part, True

    def _restored_file(self, source: Path, strength: float | None, known: Guidance) -> Path:
        """Restores a file into a new one beside it, whose path it gives."""
        if not source.name:
            raise ImageError(f"{str(source)!r}: not the name of a file")
        name = f"{source.stem}-restored{source.suffix}"
        target = source.with_name(
            name + images.READ_ONLY.get(source.suffix.lower(), "")
        )  # what is only read: .heic.png
        if target.exists():
            raise ImageError(f"{target}: exists already; pellucid.restore(input, output) writes where you say")
        photograph = images.read(source, memory=self.memory_for_pictures)
        restored = self(photograph, strength=strength, known=known)
        images.write_change(restored, target, photograph, source, overwrite=False)
        return target

    def _check_numbers(self, numbers: tuple[str, ...]) -> None:
        for name in self.options.tell:
            if name not in numbers:
                can = f"can be told {' and '.join(numbers)}" if numbers else "can be told no numbers"
                raise SettingsError(f"tell {name}={self.options.tell[name]:g}: {self.name} {can}")

    def _placed(self, degraded: Tensor) -> tuple[Tensor, int, int]:
        """On the device, with so many rows and columns mirrored before it that the blocks of a JPEG begin in the
        corner.

        That is where a model knows them that has learnt from whole JPEGs.
        """
        offset = block_offset(degraded) if self.policy.align_blocks else (0, 0)
        top, left = (-length % JPEG_BLOCK for length in offset)
        image = pad_before(degraded, top, left)
        if self._sampling is not None:  # its state is a whole as well
            image = image.to(self.device)
        elif not on_disk(image) and (
            self.device.type == "cpu" or not belongs_on_disk(image.shape[2], image.shape[3], self.memory)
        ):
            image = image.to(self.device, memory_format=torch.channels_last)
        return image, top, left

    def _finished(self, restored: Tensor, image: Tensor, ends: tuple[float, float]) -> Tensor:
        """The result of a pass, whose smallest and largest value these are, in [0, 1], without colour where the picture
        has none."""
        if not math.isfinite(sum(ends)):
            raise ModelError(f"{type(self.network).__name__}: its output is not finite")
        if ends[0] < 0 or ends[1] > 1:
            for rows in bands(restored):
                restored[..., rows, :].clamp_(0, 1)
        if everywhere(lambda part: part == part[:, :1], image):
            restored = mapped(lambda part: part.mean(1, keepdim=True), restored).expand(-1, 3, -1, -1)
        return restored

    def _left_for_cpu(self) -> torch.device | None:
        return self.device if self._go_to_cpu() else None

    def _refined(self, joined: Tensor, image: Tensor, guidance: Guidance) -> Tensor:
        """What R makes of the whole, in smaller windows where memory runs out, and on the CPU at last."""
        memory, verbs = self.memory, verbs_of(self.model)
        while True:
            told = guidance.to(self.device)
            refined = attempted(partial(verbs.refine, joined, image, told, memory=memory))
            if refined is not None:
                return refined
            memory //= 2
            if memory >= SMALLEST_MEMORY:
                warnings.warn(f"memory ran out for the refinement; going on with {memory >> 20} MB", stacklevel=5)
            elif self._go_to_cpu():
                memory, joined, image = self.memory, joined.cpu(), image.cpu()
            else:
                raise ModelError("memory ran out even for the smallest windows; close other programs")

    def _go_to_cpu(self) -> bool:
        """Leaves an accelerator whose memory does not suffice; whether there was one to leave."""
        if self.device.type == "cpu":
            return False
        self.device = torch.device("cpu")
        self.model.to(self.device)
        self.bfloat16 = self.bfloat16 and fast_bfloat16(self.device)
        return True

    def _restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """One tile of any size by a network that is not boosted; a boosted one pads and checks by itself."""
        network = verbs_of(self.network)
        multiple, scale = network.contract.multiple, guidance.scale or self.scale
        # A copy, for a network may work in place.
        padded = pad_to_multiple(tile, multiple).clone(memory_format=torch.channels_last)
        restored: object = network(padded, guidance)
        expected = (*padded.shape[:2], padded.shape[2] * scale, padded.shape[3] * scale)
        if not isinstance(restored, Tensor) or restored.shape != expected:
            got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
            raise ModelError(f"{type(self.network).__name__}: expected an image of shape {expected}, got {got}")
        return restored[:, :, : tile.shape[2] * scale, : tile.shape[3] * scale]

    @property
    def _sampling(self) -> SamplingNetwork | None:
        """The network, where it is one that samples."""
        return self.network if isinstance(self.network, SamplingNetwork) else None

    @property
    def precision(self) -> str:
        """What the network computes in, and by which engine where that is not torch."""
        precision = "bfloat16" if self.bfloat16 else "float32"
        if self.engine == "torch":
            return precision
        if any(part.int8 != "never" for part in parts_of(self.model) if isinstance(part, NetworkOnEngine)):
            where = "calibrated" if self.options.precision == "int8" else "it does not show"
            precision = f"{precision}, int8 where {where},"
        return f"{precision} by {self.engine}"

    @property
    def memory(self) -> int:
        """Bytes for intermediate maps."""
        return self.options.memory or available_memory(self.device)

    @property
    def memory_for_pictures(self) -> int:
        """Bytes that a picture may take, with the copies made of it; one that needs more lies on the disk."""
        return self.options.memory or available_memory()

    def tiles(self, image: Tensor) -> Tiles:
        """How an image is cut."""
        tile, multiple = self.options.tile, contract_of(self.network).multiple
        if tile == 0:
            return Tiles(max(16, *image.shape[2:]) + multiple, 0, multiple)
        if tile is not None:
            return Tiles.of_side(tile, multiple)
        engine = bool(parts_of(self.network))
        return tiles_within(
            self.memory, self._bytes_per_pixel, multiple, self.device, bfloat16=self.bfloat16, engine=engine
        )

    def _is_cut(self, image: Tensor) -> bool:
        """Whether the network sees more than one tile of an image."""
        return max(image.shape[2:]) > self.tiles(image).side

    @cached_property
    def _bytes_per_pixel(self) -> float:
        return bytes_per_pixel(self.network, self.device)


def _warn_of_looking_parts(network: nn.Module, tile: int | None) -> None:
    """Says it where a module of somebody else's contains a network of ours that should look at the whole picture."""
    if tile == 0 or not isinstance(verbs_of(network), Plain):
        return
    for part in network.modules():
        if isinstance(part, Network) and part.contract.looks:
            kind = type(part).__name__
            warnings.warn(
                f"{type(network).__name__} contains {kind}, which looks at whole pictures; within another module it "
                f"sees tiles one by one: restore with tile=0, or give pellucid the {kind} itself",
                stacklevel=3,
            )
            return


def _in_orientations(model: nn.Module) -> Orientations:
    """The model, asked about all orientations of each tile."""
    if not isinstance(model, Network) or isinstance(model, Boosted | Experts | SamplingNetwork) or model.contract.looks:
        raise SettingsError(
            f"orientations are for models that are one network of pellucid's, which looks at nothing but the picture; "
            f"{type(model).__name__} is not"
        )
    return Orientations(model).eval()


def _embedded_enlarger(options: RestoreOptions) -> Restorer:
    """What enlarges the results of a model that keeps the size."""
    like = {name: getattr(options, name) for name in ("scale", "tile", "memory", "device")}
    like["precision"] = "auto" if options.precision == "int8" else options.precision
    return Restorer(load_model(find_model(ENLARGER)).module, name=ENLARGER, **like)


def _first_model(options: RestoreOptions, network: nn.Module) -> Restorer | None:
    """What restores before a network that samples: as people ask, or as the network has learnt."""
    learnt = network.first if isinstance(network, Generative) else None
    name = options.first or learnt
    if name is None:
        return None
    like = {key: getattr(options, key) for key in ("tile", "memory", "device")}
    loaded = load_model(find_model(name))
    first = Restorer(loaded.module, name=name, policy=loaded.header.policy, **like)
    if first.scale != 1:
        raise SettingsError(f"--first {name}: it enlarges; what restores first keeps the size")
    return first


def _require_memory(height: int, width: int) -> None:
    """Raises ImageError for a picture that no memory would hold: a system may let it be begun, and end the process."""
    needed, free = BYTES_OF_PIXEL * height * width, 4 * available_memory(torch.device("cpu"))
    if needed > free:
        raise ImageError(
            f"enlarged, the picture would have {width} x {height} pixels, which take {needed / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} are free: choose a smaller scale"
        )


def _is_broken(ends: tuple[float, float], degraded: Tensor) -> bool:
    """Whether a result with this smallest and largest value is not finite, or black where the picture is not."""
    return not math.isfinite(sum(ends)) or (ends[1] <= 0.002 and extremes(degraded)[1] > 0.02)


def _clamped(image: Tensor) -> Tensor:
    """An image in [0, 1], on the CPU; itself where it lies on the disk, for what is read from a file is."""
    return image if on_disk(image) else image.clamp(0, 1).cpu()


def _single(pixels: Tensor) -> Tensor:
    if len(pixels) != 1:
        raise ImageError(f"one picture is diagnosed at a time, got a batch of {len(pixels)}")
    return pixels
