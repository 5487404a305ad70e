"""Writes the table of docs/files.md anew, from what the tests find: python tools/write_files_table.py."""

import importlib
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- table: made by tools/write_files_table.py -->\n", "<!-- end of table -->\n"


def main() -> None:
    """Replaces what lies between the two marks."""
    sys.path.insert(0, str(ROOT / "tests/images"))
    properties = importlib.import_module("properties")
    document = ROOT / "docs/files.md"
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    with tempfile.TemporaryDirectory() as folder:
        table = properties.table(Path(folder))
    document.write_text(before + BEGIN + table + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
