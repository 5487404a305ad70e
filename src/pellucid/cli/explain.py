"""`pellucid explain`."""

from typing import Annotated

import typer

from pellucid.cli.options import Degraded, Device, ImportNetwork, Json, Memory, Out, Sigma, With, require_clean
from pellucid.cli.terminal import print_json, progress, say, warn
from pellucid.errors import SettingsError

__all__ = ["explain"]


def explain(
    model: Annotated[str, typer.Argument(help="A boosted model: a name (`pellucid models`) or a model file.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="A published set's name (`pellucid data list`), or a folder of clean photographs; again for more."
        ),
    ],
    out: Out,
    sigma: Sigma = None,
    degradations: With = None,
    degraded: Degraded = None,
    task: Annotated[str | None, typer.Option(help="What a folder is for: its usual protocol is taken.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="How the numbers are made, instead of the set's usual way.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Compare with this model, such as a control that `ablate` trained; again for more."),
    ] = None,
    student: Annotated[
        str | None, typer.Option(help="The same model distilled: what does its student lose against the prior?")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the noise and of --with.")] = 0,
    import_network: ImportNetwork = False,
    memory: Memory = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Take a boosted model apart: does its prior help, where, and how? Writes explain.html, .md and .json."""
    from pellucid.evaluation.sets import find_set
    from pellucid.studies.explanation.explain import Explanation

    if degraded is not None and len(data) != 1:
        raise SettingsError("explain: --degraded goes with one --data, the folder of its clean photographs")
    sets = [find_set(name, degraded=degraded, task=task) for name in data]
    require_clean("explain", sets, sigma, degradations)
    explanation = Explanation(
        model,
        against=against or [],
        student=student,
        seed=seed,
        device=device,
        memory=memory,
        import_network=import_network,
    )
    for photographs in sets:
        explanation.add(photographs, sigmas=sigma or [], degradations=degradations or [], protocol=protocol)
    with progress("explain", explanation.total) as bar:
        for done, result in enumerate(explanation.run(), start=1):
            bar(done, f"{result.data} {result.condition} {result.photograph}")
    outcome = explanation.finish(out)
    if json:
        print_json(outcome.document)
    else:
        say(outcome.markdown)
        say(f"{out / 'explain.html'} shows it with pictures.")
    for failure in outcome.failures:
        warn(f"{failure.data}, {failure.condition}, {failure.photograph}: {failure.reason}")
    if outcome.failures:
        raise typer.Exit(1)
