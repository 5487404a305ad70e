"""`pellucid bench`."""

from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json, progress, wide_console

if TYPE_CHECKING:
    from pellucid.evaluation.bench import Machine, Measured

__all__ = ["bench"]


def bench(
    model: Annotated[str, typer.Option(help="A name (`pellucid models`) or a model file.")] = "default",
    megapixels: Annotated[
        list[float] | None,
        typer.Option("--megapixels", "-m", min=0.01, help="Sizes; again for more. 1, 4 and 12 if none."),
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="Engines, as `restore` takes them; again for more. torch if none.")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="Precisions, as `restore` takes them; again for more. auto if none.")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Also the network alone, without R.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Times that each is measured; medians count.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch and the engine.")] = None,
    json: Json = False,
) -> None:
    """Measure what restoring costs on this machine, on noisy pictures of several sizes, beside what it does at best."""
    from dataclasses import asdict

    from pellucid.evaluation.bench import Case, machine, measure
    from pellucid.models.hub import find_model
    from pellucid.restoration.options import RestoreOptions

    find_model(model)
    engines, precisions = engine or ["torch"], precision or ["auto"]
    for one in engines:
        for other in precisions:
            RestoreOptions.of(engine=one, precision=other)
    cases = [
        Case(model, size, one, other, boosted, repeats, threads)
        for size in megapixels or [1.0, 4.0, 12.0]
        for one in engines
        for other in precisions
        for boosted in ((True, False) if alone else (True,))
    ]
    results: list[Measured] = []
    with progress("bench", len(cases)) as bar:
        best = machine(threads)
        for result in measure(cases):
            results.append(result)
            bar(len(results))
    if json:
        print_json({"machine": asdict(best), "measured": [result.as_dict() for result in results]})
    else:
        _show(best, results)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _show(best: "Machine", results: "list[Measured]") -> None:
    from rich.table import Table

    console = wide_console(120)
    console.print(
        f"{best.processor}; {best.threads} threads; a copy moves {best.copy:.1f} GB/s, a 3x3 convolution makes "
        f"{best.float32:.2f} TFLOP/s in float32 and {best.bfloat16:.2f} in bfloat16",
        highlight=False,
    )
    table = Table("megapixels", "model", "engine and precision", "s/MP", "CPU s/MP", "peak GB", "of it start", "PSNR")
    for one in results:
        name = one.case.model if one.case.boosted else f"{one.case.model}, network alone"
        if one.error:
            table.add_row(f"{one.case.megapixels:g}", name, f"{one.case.engine}, {one.case.precision}: {one.error}")
            continue
        assert one.seconds is not None
        assert one.cpu_seconds is not None
        assert one.peak_bytes is not None
        assert one.start_bytes is not None
        table.add_row(
            f"{one.case.megapixels:g}",
            name,
            f"{one.engine}: {one.precision}",
            f"{one.seconds:.2f}",
            f"{one.cpu_seconds:.2f}",
            f"{one.peak_bytes / 2**30:.2f}",
            f"{one.start_bytes / 2**30:.2f}",
            f"{one.psnr:.2f}",
        )
    console.print(table)
