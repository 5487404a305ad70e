"""The command line: one verb, one file, no logic. Ends 0 when all went well, 1 when some item failed, 2 on misuse."""

import os
import sys
import warnings

import typer
from typer.exceptions import TyperException

from pellucid.cli import (
    ablate,
    bench,
    boost,
    calibrate,
    colorize,
    data,
    degrade,
    diagnose,
    distill,
    evaluate,
    explain,
    export,
    inpaint,
    models,
    probe,
    restore,
    study,
    train,
    words,
)
from pellucid.errors import PellucidError, SettingsError, one_line
from pellucid.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="pellucid",
    help="Restores photographs, and puts a small trainable refinement on any restoration network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    restore.restore,
    colorize.colorize,
    inpaint.inpaint,
    diagnose.diagnose,
    words.words,
    degrade.degrade,
    evaluate.evaluate,
    evaluate.compare,
    ablate.ablate,
    explain.explain,
    probe.probe,
    train.train,
    boost.boost,
    distill.distill,
    export.export,
    calibrate.calibrate,
    bench.bench,
    study.study,
):
    app.command()(verb)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"pellucid {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _show_warning(message: Warning | str, *_: object) -> None:
    sys.stderr.write(f"pellucid: {str(message).strip().splitlines()[0]}\n")


def main() -> None:
    """Runs the command line; a failure is one line on stderr, never a traceback (PELLUCID_TRACEBACK=1 shows it)."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        status = app(standalone_mode=False)  # else a wrong option is told in four lines
        if status == 130:
            sys.stderr.write("pellucid: stopped\n")
        sys.exit(status)
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("pellucid: stopped\n")
        sys.exit(130)
    except TyperException as error:
        said = getattr(error, "format_message", None)
        message = str(said() if said else error).strip()
        whole = message.startswith("Usage:")  # the help that a call without anything asks for
        sys.stderr.write(f"{message}\n" if whole else f"pellucid: {message.splitlines()[0]} (--help says more)\n")
        sys.exit(2)
    except PellucidError as error:
        sys.stderr.write(f"pellucid: {error}\n")
        sys.exit(2 if isinstance(error, SettingsError) else 1)
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        sys.exit(1)
    except MemoryError:
        sys.stderr.write("pellucid: out of memory; try a smaller --memory\n")
        sys.exit(1)
    except Exception as error:
        if os.environ.get("PELLUCID_TRACEBACK"):
            raise
        sys.stderr.write(
            f"pellucid: {type(error).__name__}: {one_line(error)} (this is a bug; PELLUCID_TRACEBACK=1 shows where)\n"
        )
        sys.exit(1)
