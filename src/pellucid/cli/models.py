"""`pellucid models`, `models NAME`, `models import`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json, say

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
    json: Json = False,
) -> None:
    """Show the card of one model; `pellucid models NAME` does the same."""
    from pellucid.models.file import describe_model
    from pellucid.models.hub import find_model

    header = describe_model(find_model(name)).as_dict()
    if json:
        print_json(header)
        return
    import yaml
    from rich.console import Console

    Console().print(yaml.safe_dump(header, sort_keys=False, allow_unicode=True), highlight=False, markup=False)


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the embedded models and the recipes; `pellucid models` does the same."""
    from pellucid.models.file import describe_model
    from pellucid.models.hub import EMBEDDED, find_model
    from pellucid.recipes import RECIPES

    rows: list[dict[str, Any]] = []
    for known, embedded in EMBEDDED.items():
        path = find_model(known)
        card = describe_model(path).card
        size = path.stat().st_size
        rows.append({"name": known, "summary": embedded.summary, "bytes": size, "licence": card.get("licence")})
    if json:
        print_json({"models": rows, "recipes": list(RECIPES)})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "what it does", "MB", "licence")
    for row in rows:
        table.add_row(row["name"], row["summary"], f"{row['bytes'] / 1e6:.1f}", row["licence"] or "")
    console = Console()
    console.print(table)
    console.print(f"Recipes for `pellucid train`: {', '.join(RECIPES)}", highlight=False)


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
