"""The tables of a document: which numbers share a column, and their ranks."""

import math

from pellucid.evaluation.reports.tables import tables_of
from support import documents
from support.documents import FIRST, SECOND, THIRD, quoted, summary


def psnr_ranks(table, column=0):
    return {line.model: line.cells[column] and line.cells[column].psnr_rank for line in table.lines}


def test_each_protocol_has_a_table_and_numbers_without_one_stand_apart():
    tables = tables_of(documents.document())
    assert [table.protocol for table in tables] == ["gaussian-colour", "gaussian-grey", None]
    assert [tuple(column) for column in tables[0].columns] == [FIRST[:2], SECOND[:2]]
    assert [line.model for line in tables[0].lines] == ["degraded", "plain", "boosted"]
    # 99 dB by an unknown protocol must not be the best of a column that it does not belong to.
    assert [line.model for line in tables[2].lines] == ["Elsewhere"]
    assert "not said" in tables[2].note
    assert psnr_ranks(tables[0]) == {"degraded": None, "plain": 2, "boosted": 1}


def test_equal_as_printed_is_equal_in_rank():
    assert psnr_ranks(tables_of(documents.document())[0], column=1) == {"degraded": 2, "plain": 1, "boosted": 1}


def test_quoted_numbers_of_the_same_protocol_are_ranked_with_ours_and_infinity_is_best():
    table = tables_of(documents.document())[1]
    assert psnr_ranks(table) == {"degraded": None, "plain": 1, "Restormer": 2}
    assert table.run[1].cells[0].psnr == math.inf
    assert (table.quoted[0].source, table.quoted[0].cells[0].ssim) == ("PTG-RM table 8", None)


def test_a_model_quoted_from_two_sources_has_two_lines():
    document = {"quoted": [quoted("A", THIRD, 30.0, "one"), quoted("A", THIRD, 31.0, "two")]}
    assert [(line.model, line.source) for line in tables_of(document)[0].lines] == [("A", "one"), ("A", "two")]


def test_a_lone_number_is_neither_best_nor_second():
    assert psnr_ranks(tables_of({"summaries": [summary("a", FIRST, 30.0, 0.9)]})[0]) == {"a": None}


def test_columns_of_one_set_are_neighbours_by_rising_condition():
    named = [
        ("kodak24", "noise sigma=50"),
        ("b", "pairs"),
        ("kodak24", "noise sigma=5"),
        ("kodak24", "noise sigma=12.5"),
        ("b", "9"),
    ]
    [table] = tables_of({"summaries": [summary("a", (*column, FIRST[2]), 30.0, 0.9) for column in named]})
    assert [column.condition for column in table.columns] == [
        "noise sigma=5",
        "noise sigma=12.5",
        "noise sigma=50",
        "9",
        "pairs",
    ]


def test_a_table_of_some_columns_leaves_out_lines_that_are_empty_there():
    table = tables_of(documents.document())[0]
    [first, second] = table.columns
    entries = [summary("a", FIRST, 30.0, 0.9), summary("b", FIRST, 31.0, 0.9), summary("b", SECOND, 32.0, 0.9)]
    part = tables_of({"summaries": entries})[0].of([second])
    assert (part.columns, [line.model for line in part.lines]) == ((second,), ["b"])
    assert part.run[0].cells[0].psnr == 32.0
    assert table.of([first, second]) == table


def test_nothing_gives_no_tables():
    assert tables_of({"protocols": {"gaussian-colour": "described"}, "summaries": [], "quoted": []}) == []
