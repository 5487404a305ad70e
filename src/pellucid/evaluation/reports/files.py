"""The files of an evaluation: one document, in every form that people and programs ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pellucid.errors import DataError
from pellucid.evaluation.reports.document import as_csv, as_json, as_markdown
from pellucid.evaluation.reports.html import as_html
from pellucid.evaluation.reports.latex import as_latex
from pellucid.files import written_whole

__all__ = ["write_files", "write_reports"]


def write_reports(document: Mapping[str, Any], folder: Path, figures: Path | None) -> None:
    """Writes results.json, .md, .csv, .tex and report.html.

    Args:
        document: as `document.as_document` lays it out.
        folder: where they go; made where it is missing.
        figures: the folder of crops and error maps, which report.html holds; None leaves them out.

    Raises:
        DataError: a file cannot be written.
    """
    write_files(
        folder,
        {
            "results.json": as_json(document),
            "results.md": as_markdown(document),
            "results.csv": as_csv(document),
            "results.tex": as_latex(document),
            "report.html": as_html(document, figures),
        },
    )


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes texts to a folder, by name.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with written_whole(folder / name) as partial:
                # Names of files need not be Unicode.
                partial.write_bytes(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise DataError(f"{folder}: results cannot be written ({error.strerror or error})") from error
