"""The data section of a recipe, and from it to what is trained on and what is held out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from pellucid.data.benchmarks.layouts import natural
from pellucid.data.checked import check_photographs
from pellucid.data.folders import Photographs, by_name, list_pairs, list_photographs, partner_name
from pellucid.data.reduced import Reduced, Turns
from pellucid.data.sources import Mixture, Pairs, PriorInput, Source, Synthetic
from pellucid.degradations import KINDS, Family, parse_drawn
from pellucid.errors import DataError, unknown_name
from pellucid.training.places import Place, check_places
from pellucid.training.references import GuidancePictures
from pellucid.training.section import Section, Weight

__all__ = [
    "DataSettings",
    "PairSettings",
    "SourceSettings",
    "WeightedSource",
    "describe_data",
    "restored_files",
    "split_sources",
    "with_results",
]


class PairSettings(Section):
    """Folders of photographs as they were taken; partners have the same name, or `1400_2` and `1400_5` share `1400`."""

    degraded: Place
    clean: Place | None = None
    """May be left out where the loss needs no clean photographs."""
    restored: Place | None = None
    """What another program, or a network that is not at hand, made of the degraded ones, by the same names and of the
    same sizes: R is trained on it, and F is not run."""
    guidance: Place | None = None
    """What a guided network is shown beside the degraded ones, by the same names, of one size: pictures made from
    words, say (`pellucid words`). See `reference`."""
    right: Place | None = None
    """The right views of a dual-pixel sensor, by the same names, of the same sizes; `degraded` holds the left ones, and
    `clean` one picture for both. The network takes both: six channels, the left view first."""


class SourceSettings(Section):
    """Either clean photographs (`folder`) and the `degradations` drawn for them, or real `pairs`.

    To pairs more may be done.
    """

    folder: Place | None = None
    degradations: (
        Annotated[list[str], Field(min_length=1)] | Annotated[dict[str, Weight], Field(min_length=1)] | None
    ) = None
    """Each crop draws one; as a mapping, as often as its weight says. To `pairs` it is done besides what they have."""
    window: Annotated[int, Field(ge=64)] | None = None
    """Take parts of the photographs of `folder`, of this side in pixels, for whole ones: degrading them is cheaper."""
    grey: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the crops that are made grey: noise in grey photographs is the same in all channels."""
    enlarged: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the crops that are made up to twice as large first: photographs of full size are softer than small
    ones."""
    photographed: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the crops that pass through a camera without noise first: its demosaicking is not to be undone."""
    pairs: PairSettings | None = None
    whole: Place | None = None
    """Where the degraded files of `pairs` are crops: the photographs that they are from, perhaps averaged down."""
    match_exposure: bool = False
    """Bring the dark photographs of `pairs` to the exposure of their clean partners: what is left of the dark is noise.
    """
    kind: str | None = None
    """What `pairs` suffer from, of `degradations.KINDS`: for what learns to tell."""
    optional: bool = False
    """Go on without this source where the folder of clean photographs is not there."""
    validation: Annotated[int, Field(ge=0)] = 8
    """Photographs held out of training, the last by name, to watch progress on; of pairs, clean ones with all of
    theirs."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if getattr(self, "sources", None) is not None:
            return self
        if (self.pairs is None) == (self.folder is None):
            raise ValueError("give either folder with degradations, or pairs")
        if self.folder is not None and self.degradations is None:
            raise ValueError("folder and degradations go together: clean photographs, and what is done to them")
        misplaced = ("grey", "enlarged", "photographed", "window", "optional")
        for name in misplaced if self.folder is None else ("whole", "kind", "match_exposure"):
            if getattr(self, name):
                raise ValueError(_MISPLACED[name])
        if self.whole is not None and self.degradations is not None:
            raise ValueError("whole: degradations are done to crops, not to the photographs that they are from")
        if self.match_exposure and (self.whole is not None or (self.pairs is not None and self.pairs.clean is None)):
            raise ValueError("match_exposure: needs clean partners, and photographs that are whole themselves")
        fixed = self.degradations is None and not self.match_exposure
        if self.pairs is not None and self.pairs.restored is not None and not fixed:
            raise ValueError("pairs.restored: what was restored of photographs is not known of what is made of them")
        others = (self.whole, self.pairs and self.pairs.restored, self.pairs and self.pairs.guidance)
        if self.pairs is not None and self.pairs.right is not None and (not fixed or any(others)):
            raise ValueError("pairs.right: two views are taken as they are, whole: nothing else goes with them")
        if self.kind is not None and self.kind not in KINDS:
            raise ValueError(unknown_name("kind of degradation", self.kind, KINDS))
        return self


_MISPLACED = {
    "whole": "whole is for pairs; the photographs of folder are whole themselves",
    "kind": "kind is for pairs; the degradations of folder say theirs",
    "match_exposure": "match_exposure is for pairs; the photographs of folder are clean",
    "enlarged": "enlarged is for folder with degradations; pairs keep their size",
    "photographed": "photographed is for folder with degradations; pairs were taken by a camera",
    "grey": "grey is for folder with degradations; pairs keep their colours",
    "window": "window is for folder with degradations; pairs are whole, or have `whole`",
    "optional": "optional is for folder with degradations",
}


class WeightedSource(SourceSettings):
    """One of several sources."""

    weight: Weight = 1.0
    """How often a crop is from this source, in proportion."""


class DataSettings(SourceSettings):
    """What is trained on: one source, or several in `sources`."""

    sources: Annotated[list[WeightedSource], Field(min_length=1)] | None = None
    view: PriorInput = "whole"
    """What the prior is shown in training: the whole photograph, as when it restores, or the training crop."""
    degrade_whole: bool = False
    """Degrade whole photographs where no prior sees them, too: so all arms of an ablation train on the same pixels."""
    crop: Annotated[int, Field(ge=8, le=4096)] = 96
    """Side of a training crop, in pixels; of the degraded one, where it is smaller."""
    scales: tuple[Annotated[int, Field(ge=2, le=8)], ...] = ()
    """How many times smaller the degraded photographs are, before their degradations, by the bicubic kernel: for a
    network that enlarges. Each batch has one of the scales, in turn."""

    @field_validator("sources")
    @classmethod
    def _there(cls, sources: list[WeightedSource] | None) -> list[WeightedSource] | None:
        """The sources without those that may be missing, and are."""
        if sources is None:
            return None
        kept = [source for source in sources if not source.optional or (source.folder and source.folder.is_dir())]
        if not kept:
            raise ValueError("all sources are optional, and none is there")
        return kept

    @model_validator(mode="after")
    def _alone(self) -> Self:
        # By value, not by what was written: a resolved recipe, read back, has every key.
        given = [name for name, key in SourceSettings.model_fields.items() if getattr(self, name) != key.default]
        if self.sources is not None and given:
            raise ValueError(f"{', '.join(given)}: with sources, each of them says it for itself")
        if self.optional:
            raise ValueError("optional: without the only source there is nothing to train on")
        if self.scales:
            self._check_that_all_can_be_small()
        return self

    def _check_that_all_can_be_small(self) -> None:
        if len(set(self.scales)) != len(self.scales):
            raise ValueError(f"scales: each once, got {list(self.scales)}")
        if self.degrade_whole:
            raise ValueError("degrade_whole: with scales, crops are made small, not whole photographs")
        for part in self.parts():
            if part.pairs is not None:
                raise ValueError("scales are for folder with degradations; pairs keep their sizes")
            for name in ("grey", "enlarged", "photographed", "window"):
                if getattr(part, name):
                    raise ValueError(f"{name}: not with scales, of which photographs are made small as they are")

    def parts(self) -> Sequence[SourceSettings]:
        """The sources: this one, or the several."""
        return self.sources or (self,)


def split_sources(data: DataSettings) -> tuple[Source, Source]:
    """What to train on, and the last photographs by name, which are held out.

    Pairs are ordered as people count, `9` before `10`, since in sets of pairs neighbours often show one scene; pairs
    that share a clean photograph are never parted. No source trains on a file that any holds out, nor on a part of one.

    Raises:
        DataError: a folder is missing or empty, files lack partners or cannot be read, all of which are named, or
            nothing would be left to train on.
        SettingsError: a degradation does not parse.
    """
    check_places(data)
    sources: Sequence[SourceSettings] = [data] if data.sources is None else data.sources
    if data.scales:
        return _of_all_scales(sources, data.scales)
    halves = [_split(source) for source in sources]
    check_photographs(path for half in halves for source in half for path in source.files())
    kept_out = {path.resolve() for _, held_out in halves for path in held_out.files()}
    training = [_without(kept_out, half[0], source) for half, source in zip(halves, sources, strict=True)]
    if data.sources is None:
        return training[0], halves[0][1]
    weights = [source.weight for source in data.sources]
    return Mixture(training, weights), Mixture([half[1] for half in halves], weights)


def _of_all_scales(sources: Sequence[SourceSettings], scales: Sequence[int]) -> tuple[Turns, Turns]:
    """As `split_sources`, of photographs made small; each is decoded once for all scales."""
    halves = []
    for source in sources:
        assert source.folder is not None
        paths = list_photographs(source.folder)
        kept = _kept(len(paths), source.validation, source.folder)
        halves.append(((Photographs(paths[:kept]), Photographs(paths[kept:])), *_drawn(source)))
    weights = [source.weight if isinstance(source, WeightedSource) else 1.0 for source in sources]
    training, held_out = (
        Turns(
            [
                Mixture(
                    [Reduced(photographs[part], drawn, scale, chance) for photographs, drawn, chance in halves], weights
                )
                for scale in scales
            ]
        )
        for part in (0, 1)
    )
    return training, held_out


def describe_data(data: DataSettings) -> list[str]:
    """What a model card says of how the pictures were degraded, and of how many of each kind there were."""
    return [line for part in data.parts() for line in _described(part)]


def _described(source: SourceSettings) -> list[str]:
    share = f"{source.weight:g} x " if isinstance(source, WeightedSource) else ""
    if source.pairs is not None:
        kind = f" ({source.kind})" if source.kind else ""
        share += "real photographs" + (", paired" if source.pairs.clean else "") + kind
        share += ", at the exposure of their clean partners" if source.match_exposure else ""
        if not source.degradations:
            return [share]
        share += ", and "
    if isinstance(source.degradations, dict):
        return [f"{share}{weight:g} {text}" for text, weight in source.degradations.items()]
    return [share + text for text in source.degradations or []]


def _split(source: SourceSettings) -> tuple[Synthetic | Pairs, Synthetic | Pairs]:
    if source.pairs is not None:
        return _split_pairs(source.pairs, source)
    assert source.folder is not None
    drawn, weights = _drawn(source)
    paths = list_photographs(source.folder)
    kept = _kept(len(paths), source.validation, source.folder)
    training, held_out = (
        Synthetic(Photographs(part), drawn, source.grey, weights, source.window, source.enlarged, source.photographed)
        for part in (paths[:kept], paths[kept:])
    )
    return training, held_out


def _drawn(source: SourceSettings) -> tuple[list[Family], list[float] | None]:
    """The degradations of a source, and their weights, where it gives any."""
    texts = source.degradations or []
    return [parse_drawn(text) for text in texts], list(texts.values()) if isinstance(texts, dict) else None


def _without(kept_out: set[Path], training: Synthetic | Pairs, source: SourceSettings) -> Synthetic | Pairs:
    """What a source trains on, without files that are held out: by another source, or as the whole of other crops."""
    if not kept_out.intersection(path.resolve() for path in training.files()):
        return training
    smaller = training.without(kept_out)
    if not len(smaller):
        folder = source.folder or (source.pairs and source.pairs.degraded)
        raise DataError(f"{folder}: all of its photographs are held out, and none is left to train on")
    return smaller


def _split_pairs(pairs: PairSettings, source: SourceSettings) -> tuple[Pairs, Pairs]:
    if pairs.clean is None:
        found: list[tuple[Path, Path | None]] = [(path, None) for path in list_photographs(pairs.degraded)]
    else:
        found = list(list_pairs(pairs.degraded, pairs.clean))
    found.sort(key=lambda pair: natural(pair[0].relative_to(pairs.degraded).as_posix()))
    scenes = list(dict.fromkeys(clean or degraded for degraded, clean in found))
    held_out = set(scenes[_kept(len(scenes), source.validation, pairs.clean or pairs.degraded) :])
    parts: list[list[tuple[Path, Path | None]]] = [[], []]
    for degraded, clean in found:
        parts[(clean or degraded) in held_out].append((degraded, clean))
    training, validation = (_pairs(part, pairs, source) for part in parts)
    return training, validation


def _pairs(found: Sequence[tuple[Path, Path | None]], pairs: PairSettings, source: SourceSettings) -> Pairs:
    degraded = [path for path, _ in found]
    clean = None if pairs.clean is None else [path for _, path in found if path is not None]
    restored = None
    if pairs.restored is not None:
        restored = Photographs(restored_files(degraded, pairs.degraded, pairs.restored))
    references = None
    if pairs.guidance is not None:
        guidance = restored_files(degraded, pairs.degraded, pairs.guidance)
        references = GuidancePictures(guidance, Photographs(degraded, memory=0))
    wholes = None if source.whole is None else _wholes(degraded, pairs.degraded, source.whole)
    right = None
    if pairs.right is not None:
        views = dict(list_pairs(pairs.degraded, pairs.right, exact=True))
        right = [views[path] for path in degraded]
    drawn, weights = _drawn(source)
    return Pairs(
        degraded,
        clean,
        wholes,
        kind=source.kind,
        degradations=drawn,
        weights=weights,
        match_exposure=source.match_exposure,
        restored=restored,
        references=references,
        right=right,
    )


def with_results(source: Source, degraded: Path, restored: Path) -> Source:
    """Pairs with what a network made of each degraded photograph of a folder, in another. Raises DataError, as
    `restored_files` does."""
    assert isinstance(source, Pairs)
    return source.with_restored(Photographs(restored_files(source.degraded.paths, degraded, restored)))


def restored_files(degraded: Sequence[Path], folder: Path, restored: Path) -> list[Path]:
    """The result of each degraded file, by its name.

    Raises:
        DataError: some have none; each is named.
    """
    known = by_name(restored)
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in degraded]
    missing = [str(path) for path, name in zip(degraded, names, strict=True) if name not in known]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise DataError(f"{len(missing)} files without a result of the same name in {restored}: {shown}")
    return [known[name] for name in names]


def _wholes(degraded: Sequence[Path], folder: Path, whole: Path) -> list[Path]:
    """The whole photograph of each degraded file, by its name as partners are found.

    Raises:
        DataError: some have none; each is named.
    """
    known = by_name(whole)
    names = [partner_name(path.relative_to(folder).with_suffix("").as_posix(), known) for path in degraded]
    alone = [str(path) for path, name in zip(degraded, names, strict=True) if name is None]
    if alone:
        shown = ", ".join(alone[:5]) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
        raise DataError(f"{len(alone)} files without a whole photograph in {whole}: {shown}")
    return [known[name] for name in names if name is not None]


def _kept(count: int, held_out: int, folder: Path) -> int:
    """How many of the photographs of a folder are left to train on."""
    if count <= held_out:
        raise DataError(f"{folder}: {count} photographs, of which data.validation holds out {held_out}")
    return count - held_out
