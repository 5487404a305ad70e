"""`Generative`: a network that restores by sampling, on the house's sampling loop, whatever its family and codec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.diffusion.codecs import Autoencoder, build_codec
from pellucid.diffusion.colour import adain, low_pass, wavelet
from pellucid.diffusion.controls import Controls
from pellucid.diffusion.noising import Noising
from pellucid.diffusion.prompts import ALL, Prompt, read_prompt
from pellucid.diffusion.regions import Branch, branches_of
from pellucid.diffusion.schedulers import scheduler_for, times_of
from pellucid.diffusion.small import OPERATIONS_OF_SMALL, THUMB, SmallDenoiser
from pellucid.diffusion.stable_diffusion import StableDiffusionDenoiser, load_pipeline
from pellucid.diffusion.words import OCTAVES
from pellucid.errors import SettingsError, unknown_name
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.networks.contract import Contract, SamplingNetwork

__all__ = ["ENTRIES", "Generative"]

ENTRIES = ("none", "concat", "controlnet", "sft")
FAMILIES = ("small", "sd")
FLAT_LEVELS = 3
"""Levels of `colour.low_pass` that are coarse, for guidance by frequency."""


@dataclass
class Course:
    """One sampling under way: what must be remembered from step to step of a whole picture.

    Attributes:
        controls: how it is sampled.
        scheduler: of diffusers, with its history.
        times: of the steps.
        generator: of the noise that steps add.
        degraded: what the network sees of the whole picture, as a state: the degraded one, and for a network that
            learnt beside another model, what that made of it.
        first: what another model has made of the whole picture, (B, 3, H, W), padded; None where none did.
        expected: what is expected of the whole picture, as a state: by that model, or else by the first step, which
            says the mean of what could be sampled.
        flat: where that is flat, 0 to 1 at each place of the state; None where nobody asks.
        scale: of what an entry adds, in the part that is seen; a number, or one for each place.
        context: what the denoiser is told of the whole picture and of the place of the part that it sees.
        evaluations: how often the denoiser was asked, of one picture's part each.
        places: of the parts that were seen.
    """

    controls: Controls
    scheduler: Any
    times: list[int]
    generator: torch.Generator
    degraded: Tensor
    first: Tensor | None = None
    expected: Tensor | None = None
    flat: Tensor | None = None
    scale: float | Tensor = 1.0
    context: Tensor | None = None
    evaluations: int = 0
    places: set[tuple[float, ...]] = field(default_factory=set)


class Generative(SamplingNetwork):
    """Degraded pictures (B, 3, H, W) in [0, 1] to restored ones, in steps from noise, as words say.

    What it is told: `guidance.words` are prompts (`prompts`), nothing said asks for everything; `guidance.controls` a
    `Controls`; `guidance.seed` decides what is drawn. While a picture is sampled its `Course` lies in the network, so
    one network samples one picture at a time.

    Args:
        codec: its name and settings, `{"name": "pixel-unshuffle", "factor": 4}`.
        entry: how the degraded picture enters, of ENTRIES; `none` makes a prior of clean patches.
        unet: of the family `small`: widths, blocks and embedding.
        operations: verbs of prompts that it can be told.
        prediction: what it says of a state, of `noising.PREDICTIONS`; v where nothing is said, and in the family `sd`
            what the pipeline's scheduler says, which must not be contradicted.
        schedule: of the noise, see `Noising`; of the family `sd`, the pipeline's.
        family: `small`, built from these settings, or `sd`, loaded from `source`.
        source: a folder in the layout of Stable Diffusion 1.5 or 2.1, or a repository of the hub.
        context: what it is told of the whole picture, of `small.CONTEXTS`.
        first: the model that restores first, by its name, for a network that sees its result beside the degraded
            picture. Told of none, such a network sees the degraded picture twice.
        octaves: of the family `small`, of the numbers of prompts; see `words.WordEncoder`.
        fidelity: of the family `sd`, whether there is a fidelity decoder; of the family `small`, the codec says so.

    Raises:
        SettingsError: settings that there are not, or that contradict each other or a pipeline.
        ModelError: the source is no such pipeline.
    """

    def __init__(
        self,
        codec: Mapping[str, Any] | None = None,
        entry: str = "concat",
        unet: Mapping[str, Any] | None = None,
        operations: Sequence[str] = OPERATIONS_OF_SMALL,
        prediction: str | None = None,
        schedule: Mapping[str, Any] | None = None,
        family: str = "small",
        source: str | None = None,
        context: str = "none",
        first: str | None = None,
        fidelity: bool = False,
        octaves: int = OCTAVES,
    ) -> None:
        super().__init__()
        self.first = first
        for what, value, known in (("entry", entry, ENTRIES), ("family", family, FAMILIES)):
            if value not in known:
                raise SettingsError(unknown_name(what, value, known))
        self.codec: Any
        self.denoiser: Any
        settings: dict[str, Any]
        if family == "sd":
            prediction, schedule = self._of_pipeline(source, entry, context, prediction, schedule, fidelity)
            settings = {"family": family, "source": source, "entry": entry}
            settings |= {"fidelity": True} if fidelity else {}
        else:
            if fidelity:
                raise SettingsError("fidelity of the family small is a setting of its codec, autoencoder-kl")
            if source is not None:
                raise SettingsError("source is for the family sd; the family small is built from its settings")
            prediction, codec = prediction or "v_prediction", dict(codec or {"name": "pixel-unshuffle", "factor": 4})
            self.codec = build_codec(codec["name"], {key: value for key, value in codec.items() if key != "name"})
            self.denoiser = SmallDenoiser(
                self.codec.channels, entry, unet, operations, context, 1 if first is None else 2, octaves
            )
            settings = {
                "codec": codec,
                "entry": entry,
                "unet": dict(unet or {}),
                "operations": list(operations),
                "prediction": prediction,
                "schedule": dict(schedule or {}),
                **({} if context == "none" else {"context": context}),
                **({} if octaves == OCTAVES else {"octaves": octaves}),
            }
        self.settings = settings | ({} if first is None else {"first": first})
        self.noising = Noising(prediction, schedule)
        self.stride, self.decodes_whole = self.codec.stride, self.codec.goes_over_all
        self.contract = Contract(multiple=self.stride * self.denoiser.multiple, words=True, looks=True, samples=True)
        self.course: Course | None = None

    def _of_pipeline(
        self,
        source: str | None,
        entry: str,
        context: str,
        prediction: str | None,
        schedule: Mapping[str, Any] | None,
        fidelity: bool,
    ) -> tuple[str, Mapping[str, Any]]:
        """Takes codec and denoiser from a pipeline; what its network says, and its schedule."""
        if source is None:
            raise SettingsError("the family sd needs a source: the folder of a pipeline, or owner/repository")
        if entry not in ("none", "concat") or context != "none":
            raise SettingsError("the family sd sees the degraded picture by the entry concat, and no context")
        parts = load_pipeline(source)
        said: str = parts["prediction"]
        if prediction is not None and prediction != said:
            raise SettingsError(f"{source}: its network predicts {said!r} by its scheduler, not {prediction!r}")
        self.codec = Autoencoder(parts["vae"], fidelity=fidelity)
        self.denoiser = StableDiffusionDenoiser(
            parts["unet"], parts["text_encoder"], parts["tokenizer"], entry, 1 if self.first is None else 2
        )
        return said, {**parts["schedule"], **(schedule or {})}

    @property
    def adds(self) -> bool:
        """Whether the degraded picture enters by an entry that adds to what the denoiser says without it."""
        return self.settings["entry"] in ("controlnet", "sft")

    @classmethod
    def tiny(cls) -> "Generative":
        """The smallest useful one, for tests."""
        return cls(unet={"widths": [16, 16], "blocks": [1, 1], "embedding": 16})

    def check(self, words: str | None, controls: Controls) -> None:
        """Refuses a prompt that does not parse or that the network has not learnt, and controls that it cannot follow.

        Raises:
            SettingsError: says what.
        """
        self.denoiser.told([read_prompt(words or ALL), read_prompt(controls.negative)])
        if controls.control_scale != 1 and not self.adds:
            raise SettingsError("control_scale: of the entries controlnet and sft, and this model has neither")
        if controls.fidelity and not self.codec.has_fidelity:
            raise SettingsError("fidelity: this model has no fidelity decoder")
        scheduler_for(controls, self.noising)

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Reads the words and draws the regions: `told` has a row of numbers for each prompt, `kept` says which rows
        keep the picture, `weights` how much each counts where, over the padded picture."""
        height, width = image.shape[2:]
        prompt = read_prompt((known.words or (ALL,))[0])
        branches = branches_of(prompt, known.regions, height, width)
        prompts = [branch.prompt or Prompt() for branch in branches]
        told = self.denoiser.told(prompts).to(image.device)
        own = {
            "told": told[None],
            "kept": torch.tensor([[branch.prompt is None for branch in branches]], device=image.device),
        }
        if prompt.sentence and _controls(known).semantic_guidance is not None:
            own["tasks"] = self.denoiser.told([replace(one, sentence="") for one in prompts]).to(image.device)[None]
        if known.restored is not None:
            own["first"] = known.restored.to(image.device)
        control = None if known.regions is None else known.regions.control_of(height, width)
        if control is not None:
            if not self.adds:
                raise SettingsError("a map of control is of the entries controlnet and sft; this model has neither")
            own["control"] = pad_to_multiple(control.float().to(image.device), self.contract.multiple)
        if self.denoiser.sees_whole:
            own["thumb"] = F.interpolate(image, (THUMB, THUMB), mode="bilinear", antialias=True)
        if branches[0].weight is not None:
            weights = torch.cat([_weight(branch) for branch in branches], 1).to(image.device)
            own["weights"] = pad_to_multiple(weights, self.contract.multiple)
        return known.knowing(own={**known.own, **own}, restored=None)

    def times(self) -> Sequence[int]:
        """The steps' times of the picture that was started."""
        assert self.course is not None
        return self.course.times

    def start(self, degraded: Tensor, guidance: Guidance) -> Tensor:
        """See `SamplingNetwork`: noise, or the degraded picture under as much of it as `start` says."""
        controls = _controls(guidance)
        scheduler = scheduler_for(controls, self.noising)
        times = times_of(scheduler, controls)
        seed = guidance.seed or 0
        first = self._first_of(guidance, degraded, controls.up)
        latent = expected = self.codec.encode(degraded.float())
        if first is not None:
            expected = self.codec.encode(first)
        seen = [expected if controls.first_as == "seen" else latent]
        seen += [] if self.first is None else [expected]
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed)).to(latent)
        later = torch.Generator().manual_seed((seed + 1) * 7919 % 2**63)
        before, self.course = self.course, Course(controls, scheduler, times, later, torch.cat(seen, 1), first)
        # Tiles that are sampled by themselves are of one picture, and count together.
        if before is not None and guidance.grid is not None:
            self.course.evaluations, self.course.places = before.evaluations, before.places
        if first is not None:
            self.course.expected = expected
            self.course.flat = _flatness(self.codec, expected) if controls.restoration_guidance else None
        if controls.start == 1:
            return noise
        begun = expected if controls.first_as == "start" else latent
        return self.noising.noised(begun, noise, _all(times[0], latent))

    def predict(self, state: Tensor, degraded: Tensor, time: int, guidance: Guidance) -> Tensor:
        """See `SamplingNetwork`: of each prompt, guided by the difference that words and picture make; blended."""
        assert self.course is not None
        self.course.places.add(() if guidance.grid is None else tuple(guidance.grid[0].tolist()))
        latent = _part_of(self.course.degraded, guidance.grid, state)
        self.course.scale = self.course.controls.control_scale
        if "control" in guidance.own:
            drawn = F.avg_pool2d(guidance.own["control"], self.stride)
            self.course.scale = self.course.scale * _part_of(drawn, guidance.grid, state)
        self.course.context = self.denoiser.context(guidance.own.get("thumb"), guidance.grid, len(state), state.device)
        told, kept, weights = self._branches(guidance, state)
        tasks = guidance.own.get("tasks")
        if weights is None:
            return self._guided(state, latent, time, told[:, 0], None if tasks is None else tasks[:, 0])
        total = torch.zeros_like(state, dtype=torch.float32)
        for number in range(told.shape[1]):
            weight = weights[:, number : number + 1]
            if not bool(weight.any()):
                continue
            if bool(kept[0, number]):
                said = self.noising.said_of(state, latent[:, : state.shape[1]], _all(time, state))
            else:
                task = None if tasks is None else tasks[:, number]
                said = self._guided(state, latent, time, told[:, number], task)
            total += weight * said.float()
        return total

    def advance(self, state: Tensor, prediction: Tensor, time: int) -> Tensor:
        """See `SamplingNetwork`: one step of the scheduler, with the picture drawn to what is expected where asked."""
        course = self.course
        assert course is not None
        prediction, times = prediction.float(), _all(time, state)
        pull = course.controls.restoration_guidance
        if course.expected is None:
            course.expected = self.noising.clean(state, prediction, times)
            course.flat = _flatness(self.codec, course.expected) if pull else None
        elif course.flat is not None:
            clean = self.noising.clean(state, prediction, times)
            clean = clean + pull * course.flat * (course.expected - clean)
            prediction = self.noising.said_of(state, clean, times)
        # Just below 1: at 1, from nothing but noise, diffusers takes the root of a zero that may be rounded below it.
        more = {"eta": min(course.controls.eta, 0.999)} if course.controls.sampler == "ddim" else {}
        stepped: Tensor = course.scheduler.step(
            prediction, time, state.float(), generator=course.generator, **more
        ).prev_sample
        scale, place = course.controls.noise_scale, course.times.index(time) + 1
        if scale != 1 and place < len(course.times):  # S_noise (Karras et al., 2022, arXiv 2206.00364), of all noise
            much, _ = self.noising.amounts(_all(course.times[place], state))
            held = much * self.noising.clean(state.float(), prediction, times)
            stepped = held + scale * (stepped - held)
        return stepped

    def decode(self, state: Tensor, degraded: Tensor, guidance: Guidance) -> Tensor:
        """See `SamplingNetwork`."""
        fidelity = _controls(guidance).fidelity
        decoded: Tensor = (
            self.codec.decode_beside(state.float(), degraded.float(), fidelity)
            if fidelity
            else self.codec.decode(state.float())
        )
        return decoded

    def refine(self, restored: Tensor, degraded: Tensor, guidance: Guidance, *, memory: int | None = None) -> Tensor:
        """Tones of the cleaned picture, the bound of a sample, and the degraded picture where nothing is asked
        for."""
        controls, course = _controls(guidance), self.course
        height, width = restored.shape[2:]
        if (
            course is not None
            and course.expected is not None
            and (controls.colour != "off" or controls.bound is not None)
        ):
            expected = self.codec.decode(course.expected) if course.first is None else course.first
            expected = expected[:, :, :height, :width]
            if controls.colour != "off":
                restored = (adain if controls.colour == "adain" else wavelet)(restored, expected)
            if controls.bound is not None:
                most = controls.bound / 255
                restored = expected + (restored - expected).clamp(-most, most)
        own = guidance.own
        if "weights" in own:
            kept = (own["weights"] * own["kept"][:, :, None, None]).sum(1, keepdim=True)[:, :, :height, :width]
            # Where all is kept, to the last bit.
            restored = torch.where(
                kept >= 1 - 1e-6, degraded.to(restored), torch.lerp(restored, degraded.to(restored), kept)
            )
        return restored

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """See `SamplingNetwork`."""
        if "told" not in guidance.own and (guidance.words is None or len(guidance.words) == 1):
            guidance = self.look(tile, guidance, cut=False)
        return super().restore(tile, guidance)

    def _branches(self, guidance: Guidance, state: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rows of numbers (1 or B, R, ...), which of them keep the picture (1, R), and their weights (1, R, h, w)."""
        own = guidance.own
        if "told" not in own:
            rows = self.denoiser.told([read_prompt(text) for text in guidance.words or (ALL,)]).to(state.device)
            return rows[:, None], torch.zeros(1, 1, dtype=torch.bool), None
        if "weights" not in own:
            return own["told"], own["kept"], None
        weights = _part_of(F.avg_pool2d(own["weights"], self.stride), guidance.grid, state)
        return own["told"], own["kept"], weights

    def _first_of(self, guidance: Guidance, degraded: Tensor, up: float) -> Tensor | None:
        """What another model made of the picture, as large and as padded as what is sampled; of a tile, its part."""
        first = guidance.own.get("first")
        if first is None:
            return None
        if up != 1:
            larger = [round(side * up) for side in first.shape[2:]]
            first = F.interpolate(first, larger, mode="bicubic", align_corners=False).clamp(0, 1)
        return _part_of(pad_to_multiple(first.float(), self.contract.multiple), guidance.grid, degraded)

    def _guided(self, state: Tensor, latent: Tensor, time: int, told: Tensor, tasks: Tensor | None = None) -> Tensor:
        """What the network says of one prompt, led by w_r away from what it says of none, by w_s away from what it says
        of the tasks without the sentence, and by the image's weight away from what it says of no picture (Brooks et
        al., CVPR 2023, arXiv 2211.09800, equation 3)."""
        assert self.course is not None
        controls = self.course.controls
        told = told.expand(len(state), *told.shape[1:])
        said = self._asked(state, latent, time, told)
        words = controls.text_guidance * max(controls.coarse_guidance, controls.fine_guidance)
        led = words != 1 or controls.coarse_guidance != controls.fine_guidance or bool(controls.negative)
        meaning: Tensor | float = 0.0
        if tasks is not None:
            whole, said = said, self._asked(state, latent, time, tasks.expand(len(state), *tasks.shape[1:]))
            meaning = (controls.semantic_guidance or 0.0) * (whole - said)
        if not led and controls.image_guidance == 1:
            return said + meaning
        away = self.denoiser.told([read_prompt(controls.negative)]).to(told).expand_as(told)
        unsaid = self._asked(state, latent, time, away)
        guided = unsaid + self._weighted(said - unsaid, controls) + meaning
        if controls.image_guidance != 1:
            blind = self.denoiser.told([Prompt()]).to(told).expand_as(told)
            unseen = self._asked(state, torch.zeros_like(latent), time, blind)
            guided = guided + (controls.image_guidance - 1) * (unsaid - unseen)
        if controls.rescale:
            spread = said.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True).clamp_min(1e-6)
            guided = torch.lerp(guided, guided * spread, controls.rescale)
        return guided

    def _asked(self, state: Tensor, latent: Tensor, time: int, told: Tensor) -> Tensor:
        assert self.course is not None
        self.course.evaluations += len(state)
        said: Tensor = self.denoiser(state, latent, _all(time, state), told, self.course.scale, self.course.context)
        return said

    def _weighted(self, difference: Tensor, controls: Controls) -> Tensor:
        """What words change, times their weight: one for what is coarse, one for what is fine."""
        coarse, fine = (controls.text_guidance * part for part in (controls.coarse_guidance, controls.fine_guidance))
        if coarse == fine:
            return fine * difference
        spread = self.codec.spread(difference.float())
        low = low_pass(spread, FLAT_LEVELS)
        gathered: Tensor = self.codec.gather(coarse * low + fine * (spread - low))
        return gathered


def _controls(guidance: Guidance) -> Controls:
    return guidance.controls if isinstance(guidance.controls, Controls) else Controls()


def _all(time: int, state: Tensor) -> Tensor:
    return torch.full((len(state),), time, device=state.device)


def _part_of(whole: Tensor, grid: Tensor | None, state: Tensor) -> Tensor:
    """The part of a whole state, or of what lies as it does, that belongs to a part of the state: where the grid says,
    unless the part is the whole."""
    if grid is None or whole.shape[2:] == state.shape[2:]:
        return whole
    rows, columns = whole.shape[2:]
    scale = torch.tensor([rows, columns, rows, columns])
    top, left, bottom, right = (grid[0].cpu() * scale).round().int().tolist()
    return whole[:, :, top:bottom, left:right]


def _weight(branch: Branch) -> Tensor:
    assert branch.weight is not None
    return branch.weight


def _flatness(codec: Any, expected: Tensor) -> Tensor:
    """1 where what is expected is flat, 0 where it has edges, one number for each place of the state: 1 - tanh of twice
    the mean gradient there (the weight of DiffBIR's restoration guidance, Lin et al., ECCV 2024, arXiv 2308.15070,
    whose sum over 2 x 2 pixels is a sum over the state's places here)."""
    image = codec.decode(expected).mean(1, keepdim=True)
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=image.device) / 4
    both = torch.stack([kernel, kernel.T])[:, None]
    gradient = F.conv2d(F.pad(image, [1] * 4, "replicate"), both).square().sum(1, keepdim=True).sqrt()
    return 1 - torch.tanh(2 * 4 * F.avg_pool2d(gradient, codec.stride))
