"""Whatever a file holds is found in every other format, or said to be lost: nothing is dropped in silence."""

from pathlib import Path

import pytest
from properties import PROPERTIES, cells, table

DOCUMENT = Path(__file__).parents[2] / "docs/files.md"


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda prop: prop.name)
def test_kept_or_said(tmp_path, prop):
    for name, (state, lost) in cells(prop, tmp_path).items():
        assert state or lost, f"{prop.name}: dropped from {name} without a word"
        if state == "kept":
            assert not any(word.startswith(prop.name) for word in lost)
    own = cells(prop, tmp_path)[{".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF"}[prop.suffix]]
    assert own == ("kept", ()) or prop.name == "further pages or frames"


def test_the_table_of_the_document_is_what_the_tests_find(tmp_path):
    assert table(tmp_path) in DOCUMENT.read_text(encoding="utf-8"), "tools/write_files_table.py writes it again"
