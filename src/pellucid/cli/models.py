"""`pellucid models`."""

from typing import Annotated, Any

import typer

from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json

__all__ = ["models"]


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="Show one model's whole card: a name, a model file, or weights of a published network."),
    ] = None,
    json: Json = False,
) -> None:
    """List the embedded models and the recipes, or show the card of one model."""
    from pellucid.models.file import describe_model
    from pellucid.models.hub import EMBEDDED, find_model
    from pellucid.recipes import RECIPES

    if name is not None:
        header = describe_model(find_model(name)).as_dict()
        if json:
            print_json(header)
            return
        import yaml
        from rich.console import Console

        Console().print(yaml.safe_dump(header, sort_keys=False, allow_unicode=True), highlight=False, markup=False)
        return
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
