"""`pellucid probe`."""

from dataclasses import asdict
from typing import Annotated

import typer

from pellucid.cli.options import Degraded, Json, Sigma, With, require_clean
from pellucid.cli.terminal import print_json, progress, say, warn
from pellucid.errors import SettingsError

__all__ = ["probe"]


def probe(
    priors: Annotated[
        list[str],
        typer.Argument(help="Priors, such as `statistics`, `diagnosis` or `mobilenet_v2=WEIGHTS.safetensors`."),
    ],
    data: Annotated[
        str,
        typer.Option(help="A published set's name (`pellucid data list`), or a folder of clean photographs."),
    ],
    sigma: Sigma = None,
    degradations: With = None,
    degraded: Degraded = None,
    task: Annotated[str | None, typer.Option(help="What a folder is for: its usual protocol is taken.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the noise and of --with.")] = 0,
    json: Json = False,
) -> None:
    """Ask, before anything is trained, what priors say of the clean picture: R² of reading it from their vectors."""
    from pellucid.evaluation.score import Failure
    from pellucid.evaluation.sets import find_set
    from pellucid.models.priors import find_prior, prior_and_weights
    from pellucid.priors import TOLD
    from pellucid.studies.probing import ProbeResult
    from pellucid.studies.probing import probe as probed

    photographs = find_set(data, degraded=degraded, task=task)
    require_clean("probe", [photographs], sigma, degradations)
    built = [find_prior(name, weights=weights) for name, weights in map(prior_and_weights, priors)]
    cases = [
        case
        for levels, texts in photographs.ways(sigma or [], degradations or [])
        for case in photographs.cases(photographs.protocol(None, synthetic=bool(texts)), levels, seed, texts)
    ]
    if not cases:
        raise SettingsError(f"probe: {data} holds no photographs")
    results: list[ProbeResult] = []
    failed = False
    with progress("probe", len(cases)) as bar:
        for result in probed(built, cases, show=bar):
            if isinstance(result, Failure):
                warn(f"{result.data}, {result.condition}, {result.photograph}: {result.reason}")
                failed = True
            else:
                results.append(result)
    if json:
        print_json({"data": data, "seed": seed, "results": [asdict(result) for result in results]})
    else:
        say("Cross-validated R² of ridge regression from a prior's vector to what is told of the clean picture:")
        say("| prior | width | condition | photographs |" + "".join(f" {what} |" for what in TOLD))
        say("|---|---:|---|---:|" + "---:|" * len(TOLD))
        for result in results:
            numbers = "".join(f" {result.readable[what]:.2f} |" if what in result.readable else " |" for what in TOLD)
            say(f"| {result.prior} | {result.width} | {result.condition} | {result.photographs} |{numbers}")
    if failed:
        raise typer.Exit(1)
