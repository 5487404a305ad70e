"""`pellucid evaluate`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli.options import Device, Json, Memory, Precision, Tile
from pellucid.cli.terminal import print_json, progress
from pellucid.errors import SettingsError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pellucid.evaluation.evaluate import Case, Summary
    from pellucid.metrics import Protocol

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[
        list[str], typer.Option(help="A model's name or file; give it again for more. Gains are against the first.")
    ],
    data: Annotated[
        str, typer.Option(help="A folder of clean photographs, or a published set's name (`pellucid data list`).")
    ],
    sigma: Annotated[
        list[float] | None,
        typer.Option(min=0, max=255, help="Add Gaussian noise of this sigma (0..255) to them; give it again for more."),
    ] = None,
    degraded: Annotated[
        Path | None, typer.Option(help="A folder of degraded photographs of the same names, instead of --sigma.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="How the numbers are made; the default is gaussian-colour, or pairs-rgb for pairs."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The model that gains are measured against, instead of the first.")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Score each boosted model's network alone, too.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the noise.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write results.json, .csv and .md here.")] = None,
    tile: Tile = None,
    memory: Memory = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Score models on photographs: PSNR and SSIM in a named protocol, with intervals and paired gains."""
    from pellucid.evaluation.evaluate import evaluate as rows_of
    from pellucid.evaluation.evaluate import noisy_cases, paired_cases, summarise
    from pellucid.evaluation.report import as_document, write_results
    from pellucid.metrics import find_protocol

    files = _files(data, degraded)
    known = [(first, second) for first, second in files if first is not None]
    if bool(sigma) == bool(known):
        raise SettingsError(
            f"evaluate: {data} holds pairs already; leave --sigma out"
            if known
            else "evaluate: give --sigma (noise is added) or --degraded (a folder of pairs)"
        )
    record = find_protocol(protocol or ("pairs-rgb" if known else "gaussian-colour"))
    clean = [second for _, second in files]
    cases: list[Case] = list(paired_cases(known, record) if known else noisy_cases(clean, sigma or [], record, seed))
    options = {"tile": tile, "memory": memory, "device": device, "precision": precision}
    restorers = _restorers(model, alone, options)
    if baseline is not None and baseline not in restorers:
        raise SettingsError(unknown_name("baseline", baseline, restorers))
    rows = []
    with progress("evaluate", len(cases) * (len(restorers) + 1)) as bar:
        for row in rows_of(restorers, iter(cases), record):
            rows.append(row)
            bar(len(rows), f"{row.condition} {row.photograph}")
    summaries = summarise(rows, baseline=baseline)
    made = {
        "models": model,
        "data": data,
        "degraded": str(degraded) if degraded else None,
        "sigma": sigma,
        "seed": seed,
    }
    document = as_document(rows, summaries, record, made)
    if out:
        write_results(document, summaries, record, out)
    if json:
        print_json(document)
    else:
        _show(summaries, record)


def _files(data: str, degraded: Path | None) -> "list[tuple[Path | None, Path]]":
    """The (degraded or None, clean) files of a folder, of two, or of a published set."""
    from pellucid.data.benchmarks import is_benchmark, pairs
    from pellucid.data.folders import list_pairs, list_photographs

    if degraded is not None:
        return list(list_pairs(degraded, Path(data)))
    if is_benchmark(data) and not Path(data).is_dir():
        return pairs(data)
    return [(None, path) for path in list_photographs(Path(data))]


def _restorers(names: list[str], alone: bool, options: dict[str, Any]) -> dict[str, Callable[[Any], Any]]:
    """What restores, by the name of its row."""
    from pellucid import load
    from pellucid.restoration.restorer import Restorer

    restorers: dict[str, Callable[[Any], Any]] = {}
    for name in names:
        restorer = load(name, **options)
        if alone and restorer.network is not restorer.model:
            restorers[f"{name} (network alone)"] = Restorer(restorer.network, **options).restore_image
        restorers[name] = restorer.restore_image
    return restorers


def _show(summaries: "Sequence[Summary]", protocol: "Protocol") -> None:
    from rich.console import Console
    from rich.table import Table

    from pellucid.evaluation.report import cells

    table = Table("condition", "model", "PSNR dB", "SSIM", "gain dB", "s / photograph")
    for summary in summaries:
        table.add_row(*cells(summary))
    console = Console()
    console.print(table)
    console.print(f"Protocol {protocol.describe()}. Intervals: 95 %, bootstrap over photographs.", highlight=False)
