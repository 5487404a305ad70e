"""`pellucid export`."""

from typing import Annotated

import typer

from pellucid.cli.options import ImportNetwork, Json, Out
from pellucid.cli.terminal import print_json, say

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(help="A name (`pellucid models`), a model file, or weights.")],
    out: Out,
    int8: Annotated[
        bool, typer.Option("--int8", help="Networks that are calibrated for it in 8 bits (`pellucid calibrate`).")
    ] = False,
    import_network: ImportNetwork = False,
    json: Json = False,
) -> None:
    """Write a model as ONNX graphs that need neither torch nor pellucid, and a page of JSON on their use."""
    from pellucid.engines import known_ranges
    from pellucid.engines.folder import export as write
    from pellucid.errors import SettingsError
    from pellucid.models.hub import find_model
    from pellucid.models.load import load_model
    from pellucid.restoration.decision import rules_of

    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out}: is a file; export writes a folder")
    loaded = load_model(find_model(model), import_network=import_network)
    licence = str(loaded.header.card.get("licence", ""))
    ranges = known_ranges() if int8 else None
    rules = rules_of(loaded.header.policy)
    done = write(loaded.module, out, name=model, licence=licence, ranges=ranges, rules=rules)
    if json:
        print_json({"folder": str(out), "files": [file.name for file in done.files], **done.page})
        return
    for file in done.files:
        say(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    for left in done.page["left_out"].values():
        kinds = left["for"] if isinstance(left["for"], str) else ", ".join(left["for"])
        say(f"left out: the expert for {kinds}: {left['why']}")
