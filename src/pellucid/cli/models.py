"""`pellucid models`, `models NAME`, `models import`: what there is, what it is, what it costs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json, say, wide_console

__all__ = ["app"]


class _NamesAreShown(TyperGroup):
    """`models` lists, and `models NAME` shows what is no verb of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the verb that is meant before what has none."""
        first = next((word for word in args if not word.startswith("-")), None)
        if first not in self.commands and not {"--help", "-h"} & set(args[:1]):
            args = ["list" if first is None else "show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_NamesAreShown,
    help="List the embedded models and the recipes; show one model; import one from a package of TensorFlow.js.",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A name, a model file, or weights of a published network.")],
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure how long a megapixel takes here, and remember it.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what one model is, and what it costs; `pellucid models NAME` does the same."""
    from pellucid.models.describe import describe, file_key
    from pellucid.models.file import describe_model
    from pellucid.models.hub import find_model
    from pellucid.models.load import load_model
    from pellucid.restoration.costs import kept_costs, measured_seconds

    path = find_model(name)
    header = describe_model(path)
    told = describe(header)
    if not header.is_of_own_network:  # whose network is not in the file
        if measure:
            measured_seconds(load_model(path).module, file_key(path))
        told["costs_per_megapixel"] = kept_costs(file_key(path), lambda: load_model(path).module)
    document = told | header.as_dict()
    if json:
        print_json(document)
        return
    import yaml
    from rich.console import Console

    Console().print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), highlight=False, markup=False)


@app.command("list")
def list_models(
    commercial_ok: Annotated[
        bool, typer.Option("--commercial-ok", help="Only what a licence that was read allows to use commercially.")
    ] = False,
    json: Json = False,
) -> None:
    """List the embedded models, the published networks whose weights load, and the recipes; so does `models` alone.

    Costs are for a megapixel more: multiply-adds counted, memory as tiles are sized by, seconds where
    `pellucid models NAME --measure` has measured them on this machine.
    """
    from pellucid.models.describe import embedded_rows, network_rows
    from pellucid.recipes import RECIPES
    from pellucid.restoration.costs import kept_costs

    models = [row | kept_costs(row.pop("key"), row.pop("build")) for row in embedded_rows(commercial_ok)]
    networks = [row | kept_costs(row.pop("key"), row.pop("build")) for row in network_rows(commercial_ok)]
    if json:
        print_json({"models": models, "networks": networks, "recipes": list(RECIPES)})
        return
    from rich.table import Table

    console = wide_console(140)
    costs = ("M parameters", "G multiply-adds / MP", "MB / MP", "s / MP here")
    table = Table("model", "what it does", "MB", *costs, "licence")
    for row in models:
        table.add_row(row["name"], row["summary"], f"{row['bytes'] / 1e6:.1f}", *_costs(row), row["licence"])
    console.print(table)
    table = Table("published network", "for", *costs, "licence of its authors' weights", "paper")
    for row in networks:
        table.add_row(row["name"], row["task"] or "several", *_costs(row), row["licence"] or "not read", row["paper"])
    console.print(table)
    console.print(f"Recipes for `pellucid train`: {', '.join(RECIPES)}", highlight=False)


def _costs(row: dict[str, Any]) -> list[str]:
    """The cells of a row's costs."""
    units = (("parameters", 1e6, 2), ("multiply_adds", 1e9, 0), ("memory", 1e6, 0), ("seconds", 1, 1))
    return ["" if row[name] is None else f"{row[name] / unit:,.{digits}f}" for name, unit, digits in units]


@app.command("import")
def import_package(
    package: Annotated[
        Path, typer.Argument(metavar="PACKAGE", help="The .tgz that `npm pack` fetches, or the folder it unpacks to.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write, .safetensors.")],
    json: Json = False,
) -> None:
    """Make a model file of a published network that a package of TensorFlow.js holds: MAXIM, by its authors' weights.

    The packages are `@upscalerjs/maxim-denoising`, `-deblurring`, `-deraining`, `-dehazing-indoor`,
    `-dehazing-outdoor` and `-enhancement`.
    """
    from pellucid.models.imports import import_model

    header = import_model(package, out)
    if json:
        print_json({"file": str(out)} | header.as_dict())
    else:
        say(f"{out}: {header.network['name']}, {header.card['task'] or 'its task is not said'}")
