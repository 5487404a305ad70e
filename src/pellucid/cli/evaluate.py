"""`pellucid evaluate` and `pellucid compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli.options import (
    DEFAULTS,
    Control,
    Degraded,
    Device,
    Engine,
    First,
    ImportNetwork,
    Json,
    Memory,
    Orientations,
    Passes,
    Precision,
    Prompt,
    Sigma,
    Tell,
    Tile,
    With,
    require_clean,
)
from pellucid.cli.terminal import print_json, progress, warn, wide_console
from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pellucid.evaluation.job import EvaluationJob, EvaluationOutcome

__all__ = ["compare", "evaluate"]

Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="Further metrics, one each: ms-ssim, sharpness, noise, blockiness, "
        "lpips:NETWORK:BACKBONE_FILE:HEADS_FILE.",
    ),
]
Task = Annotated[str | None, typer.Option(help="What a folder is for, such as deraining: its usual protocol is taken.")]
ProtocolName = Annotated[
    str | None, typer.Option("--protocol", help="How the numbers are made; the default is that of each set's task.")
]
Results = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Write results.json, .csv, .md, .tex and report.html here. What is there already is not computed again.",
    ),
]


def evaluate(
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model's name or file; give it again for more. Gains are against the first."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="A published set's name (`pellucid data list`), or a folder of clean photographs; again for more."
        ),
    ] = None,
    sigma: Sigma = None,
    degradations: With = None,
    degraded: Degraded = None,
    scale: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=8,
            help="Of sets for super-resolution: with --data set5, set5_x4; with --degraded, how many times longer the "
            "sides of the clean photographs are.",
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="A published table, such as ptgrm-8: its columns are run where the sets are here, the rest is quoted."
        ),
    ] = None,
    task: Task = None,
    protocol: ProtocolName = None,
    metric: Metrics = None,
    baseline: Annotated[
        str | None, typer.Option(help="The model that gains are measured against, instead of the first.")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Score each boosted model's network alone, too.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the noise and of --with.")] = 0,
    out: Results = None,
    save_images: Annotated[
        bool, typer.Option("--save-images", help="Keep every restored picture under OUT/images, for others to score.")
    ] = False,
    share: Annotated[
        str, typer.Option(metavar="I/N", help="Be the I-th of N processes that work on one --out at the same time.")
    ] = "1/1",
    import_network: ImportNetwork = False,
    tile: Tile = DEFAULTS.tile,
    memory: Memory = None,
    device: Device = DEFAULTS.device,
    precision: Precision = DEFAULTS.precision,
    engine: Engine = DEFAULTS.engine,
    orientations: Orientations = DEFAULTS.orientations,
    passes: Passes = DEFAULTS.passes,
    tell: Tell = None,
    prompt: Prompt = DEFAULTS.prompt,
    first: First = DEFAULTS.first,
    control: Control = None,
    samples: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Of models that sample, draw so many: score the first, their mean and the best of them."
        ),
    ] = 1,
    json: Json = False,
) -> None:
    """Score models on published sets or folders: PSNR and SSIM in a named protocol, with intervals and paired gains.

    Every photograph is restored, also those that `pellucid restore` would find nothing wrong with and copy. Networks
    that can be told how much noise there is are told the --sigma of each column, unless --tell says another.
    """
    from pellucid.evaluation.candidates import INPUT, candidates_of
    from pellucid.evaluation.job import EvaluationJob
    from pellucid.evaluation.sets import find_set

    if not (data or table):
        raise SettingsError("evaluate: give --data (a set or a folder) or --table (a published table)")
    if not (model or table):
        raise SettingsError("evaluate: give --model, at least once")
    if degraded is not None and len(data or []) != 1:
        raise SettingsError("evaluate: --degraded goes with one --data, the folder of its clean photographs")
    if not data and (sigma or degradations or protocol or task or scale):
        raise SettingsError(
            "evaluate: --sigma, --with, --protocol, --task and --scale go with --data; a published table says these "
            "itself"
        )
    sets = [find_set(name, degraded=degraded, task=task, scale=scale) for name in data or []]
    require_clean("evaluate", sets, sigma, degradations)
    candidates = [
        INPUT,
        *candidates_of(
            model or [],
            alone=alone,
            import_network=import_network,
            tile=tile,
            memory=memory,
            device=device,
            precision=precision,
            engine=engine,
            orientations=orientations,
            passes=passes,
            tell=tell,
            prompt=prompt,
            first=first,
            control=control or (),
            samples=samples,
        ),
    ]
    job = EvaluationJob(out, seed=seed, metrics=metric or [], save_images=save_images, share=_share(share, out))
    if table:
        job.add_table(table, candidates)
    for photographs in sets:
        job.add(photographs, candidates, sigmas=sigma or [], degradations=degradations or [], protocol=protocol)
    made = {"models": {candidate.name: dict(candidate.details) for candidate in candidates[1:]}}
    _run(job, "evaluate", baseline, made, json)


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Restored pictures, made by any tool.")],
    clean: Annotated[Path, typer.Option(help="The clean pictures, by the same names.")],
    inputs: Annotated[
        Path | None, typer.Option(help="The degraded pictures, scored as they are beside the rest.")
    ] = None,
    task: Task = None,
    protocol: ProtocolName = None,
    metric: Metrics = None,
    baseline: Annotated[
        str | None, typer.Option(help="The folder's name that gains are measured against, instead of the first.")
    ] = None,
    out: Results = None,
    json: Json = False,
) -> None:
    """Score folders of pictures that other tools have restored: pictures pair by name, gains by picture."""
    from pellucid.evaluation.folders import folder_candidates
    from pellucid.evaluation.job import EvaluationJob

    job = EvaluationJob(out, metrics=metric or [])
    for candidate, pictures in folder_candidates(folders, clean, inputs, task):
        job.add(pictures, [candidate], protocol=protocol)
    _run(job, "compare", baseline, {"folders": [str(folder) for folder in folders]}, json)


def _share(text: str, out: Path | None) -> tuple[int, int]:
    number, slash, processes = text.partition("/")
    if not slash or not (number.isdecimal() and processes.isdecimal()) or not 1 <= int(number) <= int(processes):
        raise SettingsError(f"--share {text!r}: expected I/N with I from 1 to N, such as 1/4")
    if int(processes) > 1 and out is None:
        raise SettingsError("--share: give --out, the folder that the processes share")
    return int(number), int(processes)


def _run(job: "EvaluationJob", label: str, baseline: str | None, made: dict[str, Any], json: bool) -> None:
    job.check_baseline(baseline)
    with progress(label, job.total) as bar:
        for done, row in enumerate(job.run(), start=1):
            bar(done, f"{row.data} {row.condition} {row.photograph}")
    outcome = job.finish(made, baseline=baseline)
    if json:
        print_json(outcome.document)
    else:
        _show(outcome)
    for failure in outcome.failures:
        warn(f"{failure.data}, {failure.condition}, {failure.photograph}: {failure.reason}")
    if outcome.failures:
        named = {(failure.data, failure.photograph) for failure in outcome.failures}
        warn(f"{len(named)} photographs could not be scored; the means are over the rest")
        raise typer.Exit(1)


def _show(outcome: "EvaluationOutcome") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from pellucid.evaluation.reports.document import closing_notes, described, headings_of, lines_of

    console = wide_console(200)
    headings = headings_of(outcome.document)
    for protocol, description in described(outcome.document).items():
        table = Table(box=box.SIMPLE, padding=(0, 1))
        for index, heading in enumerate(headings):
            table.add_column(heading, justify="left" if index < 3 else "right")
        for line in _without_repeats(lines_of(outcome.document, protocol)):
            table.add_row(*map(Text, line))  # names may hold what rich takes for markup
        console.print(table)
        console.print(description, highlight=False, markup=False)
    for note in closing_notes(outcome.document):
        console.print(note, highlight=False, markup=False)


def _without_repeats(lines: "Sequence[list[str]]") -> list[list[str]]:
    """The set and condition are said once for each group of lines."""
    return [
        ["", "", *line[2:]] if index and line[:2] == lines[index - 1][:2] else line for index, line in enumerate(lines)
    ]
