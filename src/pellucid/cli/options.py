"""Options that several verbs take, said once."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Assignments", "Device", "Json", "Memory", "Out", "Precision", "Resume", "Tile"]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, and nothing else.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16; auto takes bfloat16 where it is faster.")]
Memory = Annotated[
    str | None, typer.Option(help="For intermediate results, such as 1GB; the default is a quarter of what is free.")
]
Tile = Annotated[int | None, typer.Option(help="Side of a tile in pixels; 0 never cuts; the default fits the memory.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe, as in train.minutes=5."),
]
