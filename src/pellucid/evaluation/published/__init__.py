"""The result tables of the documents as data: one YAML file per table beside this page, as printed and with its source.

Every number stands in the table that is named; what could not be read is left out, and `missing` says so. Misprints are
kept and noted. Reading a table loads no torch.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from pellucid.errors import SettingsError, one_line, unknown_name
from pellucid.evaluation.published.schema import (
    PROTOCOL_NAMES,
    MetricName,
    PublishedColumn,
    PublishedRow,
    PublishedSource,
    PublishedTable,
)

__all__ = [
    "PROTOCOL_NAMES",
    "MetricName",
    "PublishedColumn",
    "PublishedRow",
    "PublishedSource",
    "PublishedTable",
    "find_table",
    "quoted",
    "read_table",
    "tables",
]


@cache
def tables() -> Mapping[str, PublishedTable]:
    """Every table by its name: the documents in alphabetical order, the tables of each by their numbers."""
    read = (read_table(entry) for entry in files(__package__).iterdir() if entry.name.endswith(".yaml"))
    return MappingProxyType({table.name: table for table in sorted(read, key=_order)})


def find_table(name: str) -> PublishedTable:
    """The table of that name. Raises SettingsError, with the known names, for another."""
    try:
        return tables()[name]
    except KeyError:
        raise SettingsError(unknown_name("table", name, tables())) from None


def read_table(path: Path | Traversable) -> PublishedTable:
    """The table in a YAML file; its name is that of the file.

    Raises:
        SettingsError: the file cannot be read, is not YAML, or says something that `PublishedTable` does not allow;
            names the file and the first wrong key.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name}: the table cannot be read ({one_line(error)})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path.name}: not YAML ({one_line(error)})") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path.name}: a table is a mapping of keys to values")
    if "name" in tree:
        raise SettingsError(f"{path.name}: name: a table is named by its file")
    try:
        return PublishedTable.model_validate({**tree, "name": path.name.removesuffix(".yaml")})
    except ValidationError as error:
        raise SettingsError(f"{path.name}: {_explain(error)}") from None


def quoted(table: PublishedTable) -> list[dict[str, Any]]:
    """The numbers of a table for a report, an entry for each model and column that has any.

    Returns:
        Entries of `table`, `model` (with its group in brackets), `data` (the set's name, or as printed where pellucid
        does not know the set), `condition` (with the part of the set, if it is one), `protocol` (a name, or None where
        none of ours made the numbers), `psnr` in dB and `ssim` (None where not printed), and `source`.
    """
    entries = []
    for row in table.rows:
        for column, values in zip(table.columns, row.values, strict=True):
            numbers = dict(zip(table.metrics, values, strict=True))
            psnr, ssim = numbers.get("psnr"), numbers.get("ssim")
            if psnr is None and ssim is None:
                continue
            entries.append(
                {
                    "table": table.name,
                    "model": row.label,
                    "data": column.data or column.title,
                    "condition": f"{column.condition}, {column.part}" if column.part else column.condition,
                    "protocol": column.protocol,
                    "psnr": psnr,
                    "ssim": ssim,
                    "source": str(table.source),
                }
            )
    return entries


def _order(table: PublishedTable) -> tuple[str, int, str]:
    """ptgrm-2 comes before ptgrm-10, and numbers before words."""
    document, _, rest = table.name.partition("-")
    return document, int(rest) if rest.isdecimal() else 1000, rest


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
