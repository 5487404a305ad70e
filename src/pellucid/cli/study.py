"""`pellucid study`."""

import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json, progress, say
from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from pellucid.studies.preference.results import Preference, StudyResults
    from pellucid.studies.preference.session import Study

__all__ = ["study"]


def study(
    a: Annotated[Path | None, typer.Argument(metavar="A", help="Photographs restored by one system.")] = None,
    b: Annotated[Path | None, typer.Argument(metavar="B", help="The same, restored by another.")] = None,
    inputs: Annotated[Path | None, typer.Option(help="What both were made from.")] = None,
    clean: Annotated[Path | None, typer.Option(help="Clean photographs, for people to compare with.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder of the study; give it again to go on.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Show what people preferred so far, instead of asking.")
    ] = None,
    question: Annotated[str, typer.Option(help="What people are asked.")] = "Which looks better?",
    ties: Annotated[bool, typer.Option("--ties", help='Allow "no difference" as an answer.')] = False,
    repeat: Annotated[
        int, typer.Option(min=1, max=20, help="How often each participant sees each photograph, sides changing.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the order and the sides.")] = 0,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines of the network in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
    json: Json = False,
) -> None:
    """Ask people which of two restorations looks better, blindly, side by side in a browser.

    Every person who opens the page gets an order and sides of their own. Ctrl-C ends it; the same command goes on.
    """
    if results is not None:
        if any(given is not None for given in (a, inputs, clean, out)):
            raise SettingsError("study: --results takes the folder of a study and nothing else")
        _show(results, json)
        return
    if a is None or b is None or inputs is None or out is None:
        raise SettingsError(
            "study: give two folders A and B, --inputs and --out; or --results and the folder of a study"
        )
    from pellucid.studies.preference.files import list_study_files
    from pellucid.studies.preference.plan import plan_of
    from pellucid.studies.preference.session import open_study
    from pellucid.web.preference.server import addresses, listen, make_app, serve

    sources = list_study_files(a, b, inputs, clean)
    plan = plan_of(sources, a, b, question=question, seed=seed, repeat=repeat, ties=ties)
    with listen(host, port) as listening:
        with progress("prepare", len(sources)) as bar:
            ready = open_study(out, plan, sources, progress=bar)
        with ready:
            urls = addresses(listening)
            _announce(ready, urls, out, json)
            if open_page:
                webbrowser.open(urls[0])
            serve(make_app(ready), listening)
    if not json:
        say(f"{len(ready.ledger)} votes so far; `pellucid study --results {out}` shows them.")


def _announce(ready: "Study", urls: list[str], out: Path, json: bool) -> None:
    """Says where the study is, before it starts."""
    plan, votes = ready.plan, len(ready.ledger)
    trials = len(plan.photographs) * plan.repeat
    if json:
        print_json({"urls": urls, "trials": trials, "votes": votes, "out": str(out)})
        sys.stdout.flush()
        return
    say(f"A: {plan.a}\nB: {plan.b}\n{trials} trials for each participant, {votes} votes so far in {out}.")
    say("Open " + " or, from another machine, ".join(urls) + " (Ctrl-C ends)")
    sys.stdout.flush()


def _show(folder: Path, json: bool) -> None:
    """Prints what people preferred so far."""
    from pellucid.studies.preference.plan import read_plan
    from pellucid.studies.preference.results import as_document, results_of
    from pellucid.studies.preference.votes import read_votes

    results = results_of(read_plan(folder), read_votes(folder))
    if json:
        print_json(as_document(results))
    else:
        _print_tables(results)


def _print_tables(results: "StudyResults") -> None:
    from rich.console import Console

    from pellucid.studies.preference.results import METHOD

    console = Console(highlight=False, markup=False)
    plan, overall = results.plan, results.overall
    console.print(f"A: {plan.a}\nB: {plan.b}\nQuestion: {plan.question}\n")
    if not results.participants:
        console.print("No votes yet.")
        return
    rows = {"votes": overall, "participants": results.by_participant, "photographs": results.by_photograph}
    console.print(_table("counted by", rows))
    console.print(_table("participant", results.participants))
    console.print(_table("photograph", results.photographs))
    console.print(f"The picture on the left was chosen {results.left} times of {overall.a + overall.b}.")
    agreeing, repeated = results.agreeing
    if repeated:
        console.print(f"Asked again, people chose the same system {agreeing} times of {repeated}.")
    console.print(METHOD)


def _table(title: str, rows: "dict[str, Preference]") -> "Table":
    """One line for each preference."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title, box=box.SIMPLE)
    for name in ("A", "B", "ties", "A's share", "95 % interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, one in rows.items():
        low, high = one.interval or (0, 0)
        share = "" if one.share is None else f"{one.share:.1%}"
        interval = "" if one.share is None else f"{low:.1%} to {high:.1%}"
        p = "" if one.p is None else "< 0.001" if one.p < 0.001 else f"{one.p:.3f}"
        table.add_row(Text(name), str(one.a), str(one.b), str(one.ties), share, interval, p)
    return table
