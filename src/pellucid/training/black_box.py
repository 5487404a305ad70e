"""Boosting what is known by its results alone: R is trained on a folder of them, and applied to them.

inputs/      what the black box was given
restored/    what it made of them, by the same names and of the same sizes
clean/       what should have come out, for those to learn from
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid import images
from pellucid.data.folders import by_name
from pellucid.errors import DataError, ModelError, PellucidError, SettingsError
from pellucid.models.load import load_model
from pellucid.networks import Results
from pellucid.refinement import Boosted
from pellucid.restoration.restorer import Restorer
from pellucid.training.settings import Recipe, read_recipe

__all__ = ["Refined", "black_box_recipe", "check_results", "load_refiner", "refine_folder"]

NAMED = 5
"""Files that an error names, at most."""


def black_box_recipe(
    inputs: Path,
    restored: Path,
    clean: Path,
    *,
    prior: str = "degradations",
    weights: Path | None = None,
    refinement: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe that trains R on results.

    Args:
        inputs: what the black box was given.
        restored: what it made of it.
        clean: what it should have made.
        prior: by name; the embedded encoder of degradations where nothing is said.
        weights: of the prior.
        refinement: settings of R.
        data: `data.crop` and `data.validation`, where they should differ from 96 pixels, and an eighth of the pictures
            but eight at most.
        train: of `train`; 1,000 steps of 4 crops where nothing is said.

    Raises:
        DataError: a folder is missing or empty, or pictures lack a partner or have another size; they are named.
        SettingsError: a setting that there is not, or that cannot be.
    """
    count = check_results(inputs, restored, clean)
    tree: dict[str, Any] = {
        "name": "black-box",
        "summary": "R on the results of a black box",
        "network": {"name": "results"},
        "prior": {"name": prior, "weights": None if weights is None else str(weights)},
        "refinement": {"name": "ptgrm", "settings": dict(refinement or {})},
        "data": {
            "pairs": {"degraded": str(inputs), "clean": str(clean), "restored": str(restored)},
            "crop": 96,
            "validation": min(8, count // 8),
        }
        | dict(data or {}),
        "train": {
            "steps": 1000,
            "batch": 4,
            "learning_rate": 1e-3,
            "warmup_steps": 50,
            "average": 0.99,
            "loss": "charbonnier + 0.1 ssim",
            "validate_steps": 250,
            "freeze_network": True,
        }
        | dict(train or {}),
    }
    return read_recipe(tree, "boost")


def check_results(inputs: Path, restored: Path, clean: Path | None = None) -> int:
    """How many inputs there are, once it is known that each has a result, and a clean picture, of its size.

    Raises:
        DataError: a folder is missing or empty, or pictures are missing, have another size or cannot be read; they are
            named.
    """
    given = by_name(inputs)
    others = {folder: by_name(folder) for folder in (restored, clean) if folder is not None}
    wrong: list[str] = []
    for name, path in given.items():
        size: tuple[int, int] | None = None
        for folder, known in others.items():
            if name not in known:
                wrong.append(f"{path.name} is missing in {folder}")
                continue
            try:
                size = size or _size(path)
                other = _size(known[name])
            except PellucidError as error:
                wrong.append(str(error))
                continue
            if other != size:
                wrong.append(f"{known[name]} is {other[0]} x {other[1]}, its input {size[0]} x {size[1]}")
    if wrong:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise DataError("; ".join(wrong[:NAMED]) + more)
    return len(given)


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, upright."""
    height, width = images.read(path).pixels.shape[2:]
    return width, height


def load_refiner(path: Path) -> Boosted:
    """The model that `black_box_recipe` trained.

    Raises:
        ModelError: no such file, or a model with a network of its own.
    """
    model = load_model(path).module
    if not isinstance(model, Boosted) or not isinstance(model.network, Results):
        raise ModelError(f"{path}: restores by itself (pellucid restore); it does not refine another program's results")
    return model


@dataclass(frozen=True)
class Refined:
    """What became of one input: the file that was written, or why there is none."""

    source: Path
    output: Path | None
    error: str = ""
    losses: Sequence[str] = ()
    """What of the input's file could not be kept."""


def refine_folder(
    model: Boosted, inputs: Path, restored: Path, out: Path, *, overwrite: bool = False, **options: Any
) -> Iterator[Refined]:
    """Applies R to results; each input is written refined into `out`, by its name, with its own metadata.

    One that has no result, or one of another size, is a failure, and the others go on.

    Args:
        model: of `load_refiner`.
        inputs: what the black box was given.
        restored: what it made of it.
        out: the folder to write to; made.
        overwrite: replace files that are there.
        options: of `RestoreOptions`.

    Raises:
        DataError: a folder is missing or empty.
        SettingsError: an option that cannot be, or `out` is the folder of inputs.
    """
    if out.resolve() in (inputs.resolve(), restored.resolve()):
        raise SettingsError(f"{out}: holds what is refined; write to another folder")
    given, results = by_name(inputs), by_name(restored)
    restorer = Restorer(model, **options)
    for name, source in given.items():
        target = out / source.relative_to(inputs)
        target = target.with_name(target.name + images.READ_ONLY.get(target.suffix.lower(), ""))
        try:
            if name not in results:
                raise DataError(f"{source}: has no result of its name in {restored}")
            photograph, result = images.read(source), images.read(results[name])
            if photograph.pixels.shape != result.pixels.shape:
                sizes = " and ".join(f"{one.pixels.shape[3]} x {one.pixels.shape[2]}" for one in (result, photograph))
                raise DataError(f"{results[name]}: of another size than its input ({sizes})")
            refined = restorer.refined(result.pixels.float(), photograph.pixels.float())
            target.parent.mkdir(parents=True, exist_ok=True)
            changed = images.like(refined, photograph)
            losses = images.write_change(changed, target, photograph, source, overwrite=overwrite)
            yield Refined(source, target, losses=losses)
        except (PellucidError, OSError) as error:
            yield Refined(source, None, str(error))
