"""Teaching the gate of `networks.Experts` which expert is for what, before experts and refinement learn together.

Left to the restoration's loss alone, the gate and an expert that still learns settle on a blend: half of one answer,
half of another, for photographs that call for one. What a training photograph suffers from is known, so the gate is
told.

To know which expert is asked for is not yet to know how much to believe it where one is not sure: light let into a
bright photograph does more harm than a little noise left. Where all experts have learnt already, the gate is then shown
what each blend of theirs would have cost. With the errors e of the experts on a photograph, a blend w errs by sum_i w_i
e_i, and its mean squared error is w' C w with C = <e e'>: so C is found once for each photograph, and the gate learns
to make the mean of 10 log10(w' C w), a decibel for a decibel, small.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from pellucid.data.graphics import graphic_sample
from pellucid.data.plain import plain_sample
from pellucid.data.sources import Pairs, Sample, Source
from pellucid.degradations import KINDS
from pellucid.diagnosis import DiagnosisPrior, Heads
from pellucid.diagnosis.blocks import from_first_block
from pellucid.errors import SettingsError, unknown_name
from pellucid.files import written_whole
from pellucid.images import quantise
from pellucid.networks import Experts, verbs_of
from pellucid.priors import Prior
from pellucid.training.encoder.batches import Labels, generator_of, labelled, seen_photograph
from pellucid.training.encoder.heads import HeadsSettings, fit_heads
from pellucid.training.section import Section

__all__ = [
    "CostSettings",
    "GateSettings",
    "blend_costs",
    "blend_decibels",
    "check_gate",
    "expert_of",
    "gather_pieces",
    "split_output",
    "teach_gate",
    "teach_judges",
]

PIECE = 100
"""Pictures of a file of `gather_pieces`."""

CLEAN = "clean"
"""What an expert that is for photographs with which nothing is wrong has among its kinds."""


STEEPNESS = 20.0
"""Of the comparison in `split_output`: what a logit falls by for each unit of the prior's vector."""
KNEE = 1.386
"""In logits: two slopes of a half that begin so far on both sides make log(1/2) where two kinds are alike."""


class CostSettings(Section):
    """The second lesson of a gate, from what each blend of experts that have learnt already would have cost."""

    every: Annotated[int, Field(ge=1)] = 8
    """Of every so many photographs one is shown with its costs."""
    side: Annotated[int, Field(ge=8)] = 128
    """Of the crop that costs are found on, in pixels; rounded up to what the experts take."""
    floor: Annotated[float, Field(gt=0)] = 1e-4
    """Mean squared errors are told apart from here on: what is above 40 dB is as good as clean."""
    steps: Annotated[int, Field(ge=0)] = 200
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4


class GateSettings(Section):
    """What the gate of experts is taught by: vectors of the prior, found once, and all of them shown at every step."""

    examples: Annotated[int, Field(ge=1)] = 16_000
    """Photographs of the recipe's data, degraded as it says."""
    plain: Annotated[int, Field(ge=0)] = 600
    """Pictures that show nothing, beside those: a white page must not be taken for a haze."""
    graphics: Annotated[int, Field(ge=0)] = 2200
    """Pages and screens: they are like no photograph, and a dark screen must not be taken for the night."""
    steps: Annotated[int, Field(ge=0)] = 400
    """Of AdamW, each on all of the examples."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """By which part of itself, times the learning rate, a weight shrinks with each step."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Part of the numbers of each vector that is left out, anew at every step."""
    cost: CostSettings = CostSettings()


def check_gate(experts: Experts, source: Source) -> None:
    """Raises SettingsError where a gate could not be taught: see `teach_gate`."""
    check_kinds(experts)
    for one in source.parts():
        if isinstance(one, Pairs) and one.kind is None:
            raise SettingsError("data: a gate must know what pairs suffer from; give their kind")


def check_kinds(experts: Experts) -> None:
    """Raises SettingsError where not exactly one expert is for the rest, or one is for a kind that there is not."""
    rest = experts.kinds.count(None)
    if rest != 1:
        raise SettingsError(f"network.settings.experts: one of them must be without kinds, for the rest; got {rest}")
    named = {kind for kinds in experts.kinds for kind in kinds or ()}
    known = [*KINDS, CLEAN]
    if unknown := sorted(named.difference(known)):
        raise SettingsError(f"network.settings.experts: {unknown_name('kind of degradation', unknown[0], known)}")


def expert_of(experts: Experts, labels: Labels) -> Tensor:
    """The expert that each photograph should be given to, (B,): the first for a kind that it has, or that for the rest.

    A photograph with which nothing is wrong goes to the first that is for the clean, where there is one.

    Raises SettingsError as `check_kinds` does.
    """
    check_kinds(experts)
    asked = torch.full((len(labels.present),), experts.kinds.index(None))
    for place in reversed(range(len(experts.kinds))):
        kinds = experts.kinds[place]
        if kinds is not None:
            columns = [KINDS.index(kind) for kind in kinds if kind != CLEAN]
            theirs = labels.present[:, columns].any(1)
            if CLEAN in kinds:
                theirs |= ~labels.present.any(1)
            asked[theirs] = place
    return asked


def teach_gate(
    experts: Experts,
    prior: Prior,
    source: Source,
    settings: GateSettings,
    *,
    seed: int = 0,
    by_cost: bool = False,
    pieces: Path | None = None,
    show: Callable[[float, str], None] | None = None,
) -> None:
    """Fits the gate, by cross-entropy, to photographs of a source whose degradations are known, and leaves it frozen.

    What is there too faintly to be seen (`Labels.certain`) counts as absent.

    Args:
        experts: each for some kinds of degradations, one of them for the rest.
        prior: whose vectors open the gate.
        source: of photographs. They are seen whole, without a window: in a part of one the prior sees other things, and
            a gate that has learnt from parts is sure and wrong about photographs that are shaken.
        settings: how many photographs, how many steps, ...
        seed: of the draws.
        by_cost: then also by what each blend of the experts would have cost; for experts that have learnt already.
        pieces: a folder for what is gathered, as `gather_pieces` makes it; what lies there is not drawn again.
        show: told how far it is: the part that is done, and what is being done.

    Raises:
        SettingsError: not exactly one expert is for the rest, or it is not known what a photograph suffers from.
    """
    drawing = _Drawing(lambda image: (prior(image).float(),), experts, source, settings, seed, by_cost)
    gathered = drawing.gathered(pieces, show)
    _lessons(experts, gathered.seen[0], gathered, settings, seed)


def teach_judges(
    experts: Experts,
    prior: DiagnosisPrior,
    source: Source,
    held_out: Source,
    settings: GateSettings,
    heads: HeadsSettings,
    *,
    calibration: int,
    seed: int = 0,
    pieces: Path | None = None,
    show: Callable[[float, str], None] | None = None,
) -> None:
    """Fits the heads of a prior that diagnoses, and then the gate that it opens, to the same pictures.

    Args:
        experts: as for `teach_gate`, which have learnt already.
        prior: whose encoder stays, and whose heads learn; without gradients before and after.
        source: of photographs that are learnt from.
        held_out: of others, by which probabilities and intervals are made to hold.
        settings: of the gate, and of how many pictures.
        heads: how the heads are fitted; they keep their size.
        calibration: how many draws of held-out photographs calibrate.
        seed: of the draws, and of what the heads begin from.
        pieces: a folder for what is gathered, as `gather_pieces` makes it; what lies there is not drawn again.
        show: told how far it is: the part that is done, and what is being done.

    Raises:
        SettingsError: as `teach_gate`.
    """
    drawing = _Drawing(lambda image: _seen(prior, image), experts, source, settings, seed, True)
    gathered = drawing.gathered(pieces, show)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = Heads(**prior.heads.settings).to(gathered.seen[1].device)
    fit_heads(fresh, gathered.seen[1], gathered.labels, heads, presence=5.0, severity=10.0, seed=seed)

    def calibrating() -> _Gathered:
        whole = held_out.seen_whole()
        drawn = (seen_photograph(whole, None, generator_of(seed, 1, number, 3)) for number in range(calibration))
        return _Gathered.of([(_seen(prior, image[None]), known) for image, known in drawn])

    told = _kept(pieces and pieces / "calibration.pt", calibrating)
    fresh.calibrate(told.seen[1], told.labels.present, told.labels.severity)
    prior.heads.load_state_dict(fresh.state_dict())
    _lessons(experts, prior.encode(prior.concluded(*gathered.seen)), gathered, settings, seed)


def gather_pieces(
    experts: Experts,
    prior: DiagnosisPrior,
    source: Source,
    settings: GateSettings,
    pieces: Path,
    *,
    seed: int = 0,
    part: tuple[int, int] = (0, 1),
    show: Callable[[float, str], None] | None = None,
) -> None:
    """Draws what `teach_judges` learns from, or a part of it, into a folder: so several processes share the work.

    Drawing takes most of the time. Picture `number` is the same whoever draws it. Do not use a folder again when the
    data, the experts or the encoder have changed: what lies there is believed.

    Args:
        experts, prior, source, settings, seed: as for `teach_judges`.
        pieces: the folder, which is made; each file holds what is known of `PIECE` pictures.
        part: (k, n): only every nth piece, from the kth on, 0 <= k < n.
        show: told how far it is: the part that is done, and what is being done.

    Raises:
        SettingsError: as `teach_gate`.
    """
    drawing = _Drawing(lambda image: _seen(prior, image), experts, source, settings, seed, True)
    check_gate(experts, source)
    for number in range(part[0], drawing.pieces, part[1]):
        drawing.piece(number, pieces, show)


def _seen(prior: DiagnosisPrior, image: Tensor) -> tuple[Tensor, ...]:
    """What a prior that diagnoses sees of a picture (1, 3, H, W), before its heads."""
    return prior.seen([from_first_block(image)])


@dataclass(frozen=True)
class _Gathered:
    """Pictures that are learnt from: what is seen of them, what is known, and of `costed`, by number, the costs."""

    seen: tuple[Tensor, ...]
    labels: Labels
    costed: list[int]
    costs: list[Tensor]

    @staticmethod
    def of(
        pictures: Sequence[tuple[tuple[Tensor, ...], Labels]],
        costed: Sequence[int] = (),
        costs: Sequence[Tensor] = (),
    ) -> "_Gathered":
        """Of what is seen and known of each."""
        seen, labels = zip(*pictures, strict=True)
        return _Gathered(tuple(map(torch.cat, zip(*seen, strict=True))), Labels.join(labels), [*costed], [*costs])


def _kept(file: Path | None, draw: Callable[[], _Gathered]) -> _Gathered:
    """What a file holds; where there is none, it is drawn and written."""
    if file is not None and file.exists():
        read = torch.load(file, weights_only=True)
        return _Gathered(tuple(read["seen"]), Labels(**read["labels"]), read["costed"], read["costs"])
    drawn = draw()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        labels = {field.name: getattr(drawn.labels, field.name) for field in fields(Labels)}
        with written_whole(file) as partial:
            torch.save({"seen": [*drawn.seen], "labels": labels, "costed": drawn.costed, "costs": drawn.costs}, partial)
    return drawn


@dataclass(frozen=True)
class _Drawing:
    """How the pictures that a gate is taught by are drawn; `look` gives of each, (1, 3, H, W), what is kept, (1, n)."""

    look: Callable[[Tensor], tuple[Tensor, ...]]
    experts: Experts
    source: Source
    settings: GateSettings
    seed: int
    by_cost: bool

    @property
    def total(self) -> int:
        return self.settings.examples + self.settings.plain + self.settings.graphics

    @property
    def pieces(self) -> int:
        return -(-self.total // PIECE)

    def gathered(self, folder: Path | None, show: Callable[[float, str], None] | None) -> _Gathered:
        """All of them, and where a folder is given, what lies there of them from it."""
        check_gate(self.experts, self.source)
        found = [self.piece(number, folder, show) for number in range(self.pieces)]
        told = _Gathered.of(
            [(one.seen, one.labels) for one in found],
            [number for one in found for number in one.costed],
            [costs for one in found for costs in one.costs],
        )
        return replace(told, labels=told.labels.certain)

    def piece(self, number: int, folder: Path | None, show: Callable[[float, str], None] | None) -> _Gathered:
        """Pictures number * PIECE and on, read from the folder or written to it; their labels are not `certain` yet."""
        numbers = range(number * PIECE, min((number + 1) * PIECE, self.total))
        return _kept(folder and folder / f"{number:04d}.pt", lambda: self._drawn(numbers, show))

    def _drawn(self, numbers: range, show: Callable[[float, str], None] | None) -> _Gathered:
        settings, source = self.settings, self.source.seen_whole()
        device = next(self.experts.gate.parameters()).device
        multiple = self.experts.contract.multiple
        side = -(-settings.cost.side // multiple) * multiple if self.by_cost else 1
        pictures, costed, costs = [], [], []
        for number in numbers:  # one picture at a time: a thousand of them would fill any memory
            generator = generator_of(self.seed, 0, number, 4)
            if number < settings.examples:
                index = int(torch.randint(len(source), (), generator=generator))
                sample = source.sample(index, side, generator, "whole")
            else:
                sample = (plain_sample if number < settings.examples + settings.plain else graphic_sample)(generator)
            image, known = labelled(sample, generator)
            pictures.append((self.look(image[None].to(device)), known))
            if self.by_cost and number % settings.cost.every == 0 and sample.clean is not None:
                costed.append(number)
                costs.append(blend_costs(self.experts, image[None], sample, side))
            if show is not None:
                show((number + 1) / self.total, f"teaching the gate, photograph {number + 1}")
        return _Gathered.of(pictures, costed, costs)


def _lessons(experts: Experts, vectors: Tensor, gathered: _Gathered, settings: GateSettings, seed: int) -> None:
    """What each picture is for, and then what each blend of the experts costs."""
    asked = expert_of(experts, gathered.labels).to(vectors.device)
    generator = generator_of(seed, 0, len(vectors), 4)
    _fit(experts, vectors, lambda opened: F.cross_entropy(opened, asked), settings, settings, generator)
    if gathered.costs:
        cost, products = settings.cost, torch.stack(gathered.costs)
        _fit(
            experts,
            vectors[gathered.costed],
            lambda opened: blend_decibels(opened, products, cost.floor),
            settings,
            cost,
            generator,
        )


def _fit(
    experts: Experts,
    vectors: Tensor,
    loss_of: Callable[[Tensor], Tensor],
    settings: GateSettings,
    pace: GateSettings | CostSettings,
    generator: torch.Generator,
) -> None:
    """Lowers a loss of what the gate makes of a prior's vectors (N, prior_width), and leaves the gate frozen.

    `pace` has the steps and the learning rate of this lesson.
    """
    experts.gate.requires_grad_(True)
    optimizer = torch.optim.AdamW(experts.gate.parameters(), pace.learning_rate, weight_decay=settings.weight_decay)
    for _ in range(pace.steps):
        kept = (torch.rand(vectors.shape, generator=generator) >= settings.dropout).to(vectors)
        loss = loss_of(experts.gate(vectors * kept / (1 - settings.dropout)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    experts.gate.requires_grad_(False)


@torch.no_grad()
def blend_costs(experts: Experts, image: Tensor, sample: Sample, side: int) -> Tensor:
    """The mean products of the experts' errors on a crop of a sample, (experts, experts).

    Args:
        experts: as they are.
        image: the whole photograph as it is seen, (1, 3, H, W), of which some experts ask something.
        sample: whose crop, (3, h, w), is at least of that side.
        side: of what is looked at, in pixels.
    """
    assert sample.clean is not None
    device = next(experts.gate.parameters()).device
    place = (slice(None), slice(side), slice(side))
    crop, clean = quantise(sample.degraded[place], 8)[None].to(device), sample.clean[place].to(device)
    errors = []
    for module in experts.experts:
        expert = verbs_of(module)
        restored = expert(crop, expert.look(image.to(device)))
        errors.append((restored.float() - clean).flatten())
    flat = torch.stack(errors)
    return flat @ flat.T / flat.shape[1]


def blend_decibels(opened: Tensor, costs: Tensor, floor: float) -> Tensor:
    """The mean error, in decibels, of blends by what the gate gives (N, experts); costs (N, experts, experts).

    To every mean squared error `floor` is added: how far it lies below that does not count.
    """
    weights = opened.softmax(1)
    return 10 * torch.log10(torch.einsum("bi,bij,bj->b", weights, costs, weights).clamp_min(0) + floor).mean()


def split_output(gate: Mapping[str, Tensor], expert: int, old: int, new: int) -> dict[str, Tensor]:
    """A gate with one output more, the last, which shares with an expert what that had, by two kinds' probabilities.

    The new logits are l + log σ(t) and l + log σ(-t) of the old one, l, and t = `STEEPNESS` times how much more of the
    old kind the vector has; log σ by straight lines, which four hidden units compute. So the two have together what the
    one had, to 3 hundredths where the kinds are about as probable, to a thousandth elsewhere; no other output changes.

    Args:
        gate: `0.weight` (hidden, width), `0.bias`, `2.weight` (experts, hidden) and `2.bias`, float32.
        expert: whose output is shared.
        old: where in the prior's vector the probability of the kind stands that the expert keeps.
        new: where that of the kind stands that the new one is for.
    """
    compare = torch.zeros(4, gate["0.weight"].shape[1])
    compare[:2, old], compare[:2, new] = -STEEPNESS, STEEPNESS
    compare[2:] = -compare[:2]
    knees = torch.tensor([KNEE, -KNEE, KNEE, -KNEE])
    taken = torch.zeros(len(gate["2.bias"]) + 1, 4)
    taken[expert, :2] = taken[-1, 2:] = -0.5
    outputs = torch.cat([gate["2.weight"], gate["2.weight"][expert : expert + 1]])
    return {
        "0.weight": torch.cat([gate["0.weight"], compare]),
        "0.bias": torch.cat([gate["0.bias"], knees]),
        "2.weight": torch.cat([outputs, taken], 1),
        "2.bias": torch.cat([gate["2.bias"], gate["2.bias"][expert : expert + 1]]),
    }
