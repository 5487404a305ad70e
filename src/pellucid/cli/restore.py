"""`pellucid restore`."""

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pellucid.cli.options import (
    DEFAULTS,
    Always,
    Amount,
    Chroma,
    Control,
    ControlMap,
    Crop,
    Detail,
    Device,
    Engine,
    Faithful,
    Feather,
    First,
    Guided,
    ImportNetwork,
    Json,
    Luminance,
    Mask,
    Memory,
    Only,
    Orientations,
    Passes,
    Precision,
    Prompt,
    Provenance,
    Region,
    Scale,
    Seed,
    Skip,
    Strength,
    StrengthMap,
    Tell,
    Text,
    Tile,
)
from pellucid.cli.restore_output import foretell, summary, told
from pellucid.cli.terminal import print_json, say, warn
from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from pellucid import Restorer
    from pellucid.batch.change import FileResult
    from pellucid.batch.plan import Job

__all__ = ["restore"]

Pages = Literal["first", "all"]


def restore(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Photographs, folders, patterns, or - for a list on stdin.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A file for one photograph, else a folder.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A name (`pellucid models`), a model file, weights of a published network, or hf:owner/repository; "
            "default if not given, or upscale with --scale."
        ),
    ] = None,
    scale: Scale = DEFAULTS.scale,
    strength: Strength = DEFAULTS.strength,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Go into the folders of a folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist; else they are skipped.")
    ] = False,
    format: Annotated[  # noqa: A002
        str | None, typer.Option(help="Write this format (jpeg, png, tiff, webp, ...) instead of the input's own.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Names of the outputs, as {stem}-restored{suffix}; also {name}, {parent}, {number}."),
    ] = None,
    nul: Annotated[
        bool, typer.Option("--null", "-0", help="The list on stdin is separated by NUL (find -print0).")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become what, and do nothing.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep a manifest in the folder of --out, and go on from the one that is there: what it says is done "
            "with the same bytes, model and settings is not done again.",
        ),
    ] = False,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The same, with the manifest in this file or folder.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try those again that the manifest says have failed.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only this part of the photographs, as 2/5, by their names.")
    ] = None,
    keep_dates: Annotated[
        bool, typer.Option("--keep-dates", help="Give the outputs the file dates of their inputs.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with what comes into the folder INPUT, until Ctrl-C.")
    ] = False,
    settle: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="With --watch: a file is complete after so long; 2 if not given."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Write a before-and-after picture beside each output.")
    ] = False,
    only: Only = None,
    skip: Skip = None,
    amount: Amount = None,
    text: Text = DEFAULTS.text,
    tell: Tell = None,
    detail: Detail = DEFAULTS.detail,
    luminance: Luminance = DEFAULTS.luminance,
    chroma: Chroma = DEFAULTS.chroma,
    faithful: Faithful = DEFAULTS.faithful,
    mask: Mask = None,
    feather: Feather = DEFAULTS.feather,
    crop: Crop = None,
    provenance: Provenance = DEFAULTS.provenance,
    always: Always = DEFAULTS.always,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF; else that of the photograph is followed."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="A photograph of which something cannot be kept is an error, not a warning."),
    ] = False,
    pages: Annotated[
        Pages, typer.Option(help="Of files with several pages or frames: the first alone, or all of them.")
    ] = "first",
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an HTML page with each photograph before and after, under a slider."),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="MODELS",
            help="Instead of the photograph write a sheet: one part of it by each of these models, as in "
            "default,fast,denoise, at each of --strengths. --crop says which part.",
        ),
    ] = None,
    strengths: Annotated[
        str | None, typer.Option(metavar="LIST", help="Of a sheet, such as 0.25,0.5,1; 0.5,1 if not given.")
    ] = None,
    import_network: ImportNetwork = False,
    tile: Tile = DEFAULTS.tile,
    memory: Memory = None,
    device: Device = DEFAULTS.device,
    precision: Precision = DEFAULTS.precision,
    engine: Engine = DEFAULTS.engine,
    orientations: Orientations = DEFAULTS.orientations,
    passes: Passes = DEFAULTS.passes,
    check: Annotated[
        bool, typer.Option("--check", help="First say how far the engine's results are from torch's, on stderr.")
    ] = False,
    prompt: Prompt = DEFAULTS.prompt,
    first: First = DEFAULTS.first,
    seed: Seed = DEFAULTS.seed,
    control: Control = None,
    region: Region = None,
    strength_map: StrengthMap = DEFAULTS.strength_map,
    control_map: ControlMap = DEFAULTS.control_map,
    guided: Guided = DEFAULTS.guided,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Sample as a document of --json says that its first photograph was; what is given counts more.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Restore photographs, and with --scale enlarge them.

    Size, but for --scale, bit depth, alpha, colour profile and metadata stay as they are.
    """
    from pellucid import images, load
    from pellucid.batch.change import foresee
    from pellucid.batch.inputs import expand
    from pellucid.batch.manifest import Manifest, manifest_for
    from pellucid.batch.pace import Pace
    from pellucid.batch.plan import Layout, plan
    from pellucid.batch.report import Report
    from pellucid.batch.restore import restore_files, settings_of
    from pellucid.batch.shards import parse_shard, shard_of
    from pellucid.batch.sheet import names_in, parse_strengths, write_sheets
    from pellucid.batch.watch import SETTLE, Watch, watch_files
    from pellucid.images.messages import name_of
    from pellucid.models.hub import find_model
    from pellucid.restoration.asking import as_before
    from pellucid.restoration.options import RestoreOptions
    from pellucid.words.wishes import wishes_in

    before = {} if like is None else as_before(like)
    _refuse_contradictions(inputs, out, watch=watch, dry_run=dry_run, settle=settle, name=name, format=format)
    if sheet is None and strengths is not None:
        raise SettingsError("--strengths are those of a --sheet; without one it is --strength")
    for option, given in (
        ("--resume", resume),
        ("--manifest", manifest),
        ("--compare", compare),
        ("--report", report),
        ("--check", check),
        ("--scale", scale),
    ):
        if sheet is not None and given:
            raise SettingsError(f"{option} is for restored photographs, and --sheet writes sheets instead")
    if mask is None and feather != DEFAULTS.feather:
        raise SettingsError("--feather says how a --mask rises, and there is none")
    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"{report}: a report is an HTML page; give it the suffix .html")
    understood = None if text is None else wishes_in(text)
    enlarging = scale is not None or (understood is not None and not understood.restore)
    model = model or before.get("model") or ("upscale" if enlarging else "default")
    if model in ("colorize", "inpaint"):  # these change what restoring keeps, or need a mask
        raise SettingsError(f"--model {model}: this model is for `pellucid {model}`")
    part = None if shard is None else parse_shard(shard)
    restoring: dict[str, Any] = {
        "strength": strength,
        "tile": tile,
        "memory": memory,
        "device": device,
        "precision": precision,
        "scale": scale,
        "engine": engine,
        "orientations": orientations,
        "passes": passes,
        "always": always,
        "only": only,
        "skip": skip,
        "amount": amount or (),
        "text": text,
        "tell": tell,
        "prompt": prompt,
        "first": first,
        "seed": seed,
        "control": control or (),
        "region": region or (),
        "strength_map": strength_map,
        "control_map": control_map,
        "guided": guided,
        "detail": detail,
        "luminance": luminance,
        "chroma": chroma,
        "faithful": faithful,
        "mask": mask,
        "feather": feather,
        "crop": crop,
        "provenance": provenance,
    }
    restoring |= {
        name: value
        for name, value in before.items()
        if name != "model" and restoring[name] in (getattr(DEFAULTS, name), None, ())
    }
    writing: dict[str, Any] = {"quality": quality, "strict": strict, "keep_dates": keep_dates}
    writing["every_page"] = pages == "all"
    inputs = expand(inputs, sys.stdin.buffer, nul=nul)
    layout = Layout(out, format, name)
    jobs: list[Job] = []
    if not watch:
        jobs = plan(inputs, out, recursive=recursive, suffix=format, compare=compare, template=name)
        jobs = jobs if part is None else shard_of(jobs, part)
    options = RestoreOptions.of(**restoring)
    if understood is not None and not json:
        say(f"understood: {understood.words()}")
    place = None if sheet else manifest_for(out, manifest, wanted=resume)
    if retry_failed and place is None:
        raise SettingsError("--retry-failed needs the manifest that says what has failed: --resume or --manifest")
    ledger = None
    if place is not None:
        ledger = Manifest(place, settings_of(model, options, compare=compare, **writing))
        ledger.refuse(jobs)
    if dry_run:
        find_model(model)
        planned = foresee(jobs, overwrite=overwrite, manifest=ledger, retry_failed=retry_failed)
        passed_over = _passed_over(inputs, recursive=recursive)
        foretell(list(planned), passed_over, understood=understood, json=json)
        return
    if sheet is None:
        restorer = load(model, import_network=import_network, **restoring)
        if check:
            _say_parity(restorer)
        change = partial(restore_files, restorer, manifest=ledger, retry_failed=retry_failed)
    else:
        model = sheet
        restorers = {one: load(one, import_network=import_network, **restoring) for one in names_in(sheet)}
        change = partial(write_sheets, restorers, parse_strengths(strengths or "0.5,1"))
    document = (
        nullcontext() if report is None else Report(report, model=model, settings=_said(restoring), crop=options.crop)
    )

    def restored(some: "Sequence[Job]") -> "Generator[FileResult, None, None]":
        some = some if part is None else shard_of(some, part)
        results = change(some, overwrite=overwrite, **writing)
        return results if page is None else page.through(results)

    pace = Pace(jobs)
    with ledger or nullcontext(), document as page:
        if ledger:
            ledger.sweep({out, *(job.target.parent for job in jobs)})
        if watch:
            seen = Watch(inputs[0], layout, recursive, compare, SETTLE if settle is None else settle)
            seen.made = ledger.made if ledger else seen.made
            if not json:
                say(f"watching {name_of(inputs[0])}; Ctrl-C ends it")
            results = told(watch_files(seen, restored), None, pace, quiet=json, endless=True)
        else:
            results = told(restored(jobs), len(jobs), pace, quiet=json)
    passed_over = _passed_over(inputs, recursive=recursive)
    if passed_over:
        warn(f"{len(passed_over)} passed over, no photographs by their names: {images.few_names(passed_over)}")
    if json:
        documents = [result.as_dict() for result in results]
        told_of = {"model": model, "photographs": documents, "passed_over": [str(path) for path in passed_over]}
        print_json(told_of if understood is None else {"understood": understood.as_dict(), **told_of})
    else:
        say(summary(results, pace))
    if not watch and any(result.status in ("failed", "quarantined") for result in results):
        raise typer.Exit(1)


def _said(restoring: dict[str, Any]) -> dict[str, Any]:
    """The options that are not the usual ones, for a report."""
    return {name: value for name, value in restoring.items() if value is not None and value != getattr(DEFAULTS, name)}


def _say_parity(restorer: "Restorer") -> None:
    from pellucid.engines.parity import parity

    rows = parity(restorer.model, bfloat16=restorer.bfloat16)
    for row in rows:
        warn(row.words())
    if not rows:
        warn("the engine is torch itself: there is nothing to compare")


def _passed_over(inputs: list[Path], *, recursive: bool) -> list[Path]:
    from pellucid import images
    from pellucid.batch.manifest import MANIFEST

    return [path for path in images.passed_over(inputs, recursive=recursive) if path.name != MANIFEST]


def _refuse_contradictions(
    inputs: list[Path],
    out: Path,
    *,
    watch: bool,
    dry_run: bool,
    settle: float | None,
    name: str | None,
    format: str | None,  # noqa: A002
) -> None:
    if not watch:
        if settle is not None:
            raise SettingsError("--settle says when a file that comes is complete, and needs --watch")
        return
    if len(inputs) != 1 or not os.path.isdir(inputs[0]):
        raise SettingsError("--watch watches one folder: give one INPUT that is a folder")
    if dry_run:
        raise SettingsError("--watch waits for what nobody knows yet, so --dry-run cannot say what becomes of it")
    if name is not None and "{number" in name:
        raise SettingsError("--watch: photographs come one by one and have no {number}; take {stem} for --name")
    if os.path.exists(out) and not os.path.isdir(out):
        raise SettingsError(f"{out}: is a file; --watch needs a folder to write to")
    if name is None and format is None and os.path.exists(out) and out.samefile(inputs[0]):
        raise SettingsError(
            "--watch: the outputs would be the inputs; choose another --out, or other names with --name"
        )
