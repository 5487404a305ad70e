"""The tables of the documents, against what the documents print beside them: gains, averages and each other's rows."""

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from statistics import mean

import pytest
import yaml
from pydantic import ValidationError

from pellucid.data.benchmarks import find_benchmark
from pellucid.errors import SettingsError
from pellucid.evaluation.published import PROTOCOL_NAMES, find_table, quoted, read_table, tables
from pellucid.metrics import PROTOCOLS

PTGRM = [f"ptgrm-{number}" for number in range(1, 11)]
PROMPTIR = [f"promptir-{number}" for number in (*range(1, 10), "a1", "a2")]

# Half a unit of the last printed digit, for each of the numbers that go into a mean and for the mean.
ROUNDING = {"psnr": 0.0101, "ssim": 0.00101, "lpips": 0.00101}


@dataclass(frozen=True)
class Cell:
    """One number and all that says which."""

    table: str
    model: str
    place: tuple[str, str, str | None]
    metric: str
    value: float


def _place(entry):
    return entry["data"], entry["condition"], entry["protocol"]


def cells(*names):
    return [
        Cell(entry["table"], entry["model"], _place(entry), metric, entry[metric])
        for name in names
        for entry in quoted(find_table(name))
        for metric in ("psnr", "ssim")
        if entry[metric] is not None
    ]


def values(table, model, group=None):
    """The numbers of a row, flat."""
    row = next(row for row in find_table(table).rows if (row.model, row.group) == (model, group))
    return [number for column in row.values for number in column]


def boosts(*names):
    """(row, its base) of every boosted row, with its table."""
    return [(table, row, table.base_of(row)) for table in map(find_table, names) for row in table.rows if row.base]


def gains(table, row, base):
    return [new[0] - old[0] for new, old in zip(row.values, base.values, strict=True) if None not in (new[0], old[0])]


def test_every_document_has_its_tables():
    assert set(tables()) >= {*PTGRM, *PROMPTIR, "textual-all-in-one", "textir-inpainting", "generative-kin"}
    assert [name for name in tables() if name.startswith("ptgrm")] == PTGRM  # 10 after 9
    for name in (*PTGRM, *PROMPTIR):
        number = find_table(name).source.table
        assert name.endswith("-" + number.lower().replace(".", ""))


def test_names_are_those_of_the_protocols_and_sets():
    assert set(PROTOCOL_NAMES) == set(PROTOCOLS), "list a new protocol in evaluation/published/schema.py, too"
    for table in tables().values():
        for column in table.columns:
            assert column.data is None or find_benchmark(column.data).name == column.data
            if column.runnable:
                noisy = PROTOCOLS[column.protocol].noise != "none"
                assert column.condition == "pairs" or noisy


def test_reading_loads_no_torch():
    code = "import sys; from pellucid.evaluation.published import tables; tables(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_table_is_whole_or_says_what_is_missing():
    holes = {
        table.name
        for table in tables().values()
        if table.missing is None and any(None in numbers for row in table.rows for numbers in row.values)
    }
    assert holes == {"promptir-9"}  # which prints "-" where a model was not trained for the task
    assert not any(find_table(name).missing for name in PTGRM)


# From the fact sheets, which were made from the documents' slides: not by the way that the files were.
def test_numbers_of_the_slides():
    promptir = [30.58, 0.974, 36.37, 0.972, 33.98, 0.933, 31.31, 0.888, 28.06, 0.799]
    textual = [31.63, 0.980, 37.58, 0.979, 34.01, 0.933, 31.39, 0.890, 28.18, 0.802]
    assert values("promptir-1", "PromptIR") == promptir
    assert values("textual-all-in-one", "Textual guidance") == textual
    assert find_table("promptir-1").rows[-1].average == (32.06, 0.913)
    assert find_table("promptir-1").rows[-2].average == (31.20, 0.910)  # AirNet
    assert values("promptir-3", "Restormer")[0] == 36.74
    added = {row.added_parameters for row in find_table("ptgrm-2").rows if "PTG-RM" in row.model}
    assert added == {0.67}


# As a second, independent reading of the same paper lists them.
def test_numbers_of_another_reading():
    clip = "PTG-RM (CLIP)"
    one, each = "one model for all levels", None
    assert values("ptgrm-1", "SNR") == [21.48, 0.849, 22.87, 0.625]
    assert values("ptgrm-1", f"SNR + {clip}") == [25.50, 0.892, 23.34, 0.630]
    assert values("ptgrm-1", f"URetinex + {clip}", each)[0] == 24.70
    assert values("ptgrm-4", f"ZeroDCE + {clip}")[0] - values("ptgrm-4", "ZeroDCE")[0] == pytest.approx(0.73)
    assert values("ptgrm-5", f"Restormer + {clip}")[:6:2] == [32.30, 31.77, 39.27]
    assert values("ptgrm-6", f"Restormer + {clip}")[::2] == [33.18, 31.51, 36.47, 29.21]
    assert values("ptgrm-8", "DRUNet", one)[4] == 29.48
    assert values("ptgrm-8", f"DRUNet + {clip}", one)[4] == 29.73
    assert values("ptgrm-8", f"Restormer + {clip}", one)[4:8:3] == [29.78, 31.67]
    assert values("ptgrm-10", f"Restormer + {clip}") == [40.22, 0.965]


# PTG-RM's table 1 prints each gain beside the number: in dB, and in hundredths of SSIM.
PRINTED_GAINS = {
    "UHD": "3.04 6.1 1.96 2.6 2.48 5.2 1.84 3.1 2.87 5.8 / 0.53 0.2 0.60 0.5 1.88 1.1 0.65 0.4 0.62 0.5",
    "URetinex": "3.54 3.8 2.41 2.9 3.07 2.6 2.83 2.2 3.40 3.0 / 0.78 0.4 0.46 0.2 0.65 0.4 0.61 0.6 0.84 0.7",
    "SNR": "4.02 4.3 4.13 4.2 3.71 2.5 3.76 3.8 3.42 3.9 / 0.47 0.5 0.28 0.2 0.21 0.6 0.19 0.7 0.30 1.1",
}


@pytest.mark.parametrize("network", PRINTED_GAINS)
def test_gains_are_those_printed(network):
    boosted = [row for _, row, base in boosts("ptgrm-1") if base.model == network]
    base = values("ptgrm-1", network)
    for column, printed in enumerate(PRINTED_GAINS[network].split("/")):
        expected = [float(number) for number in printed.split()]
        found = [
            round((number - base[2 * column + index]) * (1, 100)[index], 2)
            for row in boosted
            for index, number in enumerate(row.values[column])
        ]
        assert found == pytest.approx(expected)


# Rows whose printed average is not the mean of their columns, each with a note that says so.
WRONG_AVERAGES = {
    ("ptgrm-5", "SPAIR", "psnr"),
    ("ptgrm-5", "SPAIR + PTG-RM (CLIP)", "psnr"),
    ("ptgrm-5", "Restormer + PTG-RM (CLIP)", "psnr"),
    ("promptir-1", "BRDNet", "ssim"),
    ("promptir-1", "DL", "ssim"),
}


def test_averages_are_the_means_of_the_columns():
    checked, wrong = 0, set()
    for table in tables().values():
        for row in (row for row in table.rows if row.average):
            for metric, numbers, average in zip(table.metrics, zip(*row.values, strict=True), row.average, strict=True):
                if None in numbers:
                    continue
                checked += 1
                if abs(mean(numbers) - average) > ROUNDING[metric]:
                    assert row.note, (table.name, row.label)
                    wrong.add((table.name, row.label, metric))
    assert checked == 2 * (4 + 7 + 2 + 2 + 1) - 1
    assert wrong == WRONG_AVERAGES


def test_combined_scenes_are_the_mean_of_the_indoor_and_outdoor_ones():
    table = find_table("ptgrm-7")
    for row in table.rows:
        for metric, (indoor, outdoor, combined) in zip(table.metrics, zip(*row.values, strict=True), strict=True):
            right = abs((37 * indoor + 39 * outdoor) / 76 - combined) <= ROUNDING[metric]
            assert right or "not what is printed" in row.note, (row.label, metric)
            assert right or row.base, row.label  # in every row of a network alone they agree


def test_every_boost_gains_what_the_paper_claims():
    for table, row, base in boosts(*PTGRM):
        assert min(gains(table, row, base)) > 0, (table.name, row.label)
    for name in ("ptgrm-5", "ptgrm-6", "ptgrm-7", "ptgrm-8", "ptgrm-9", "ptgrm-10"):
        claimed = mean(gain for boost in boosts(name) for gain in gains(*boost))
        assert 0.15 <= claimed <= 0.35, name
    below = {
        table.name
        for table, row, base in boosts("textual-motion", "textual-derain")
        if min(gains(table, row, base)) < 0
    }
    assert below == {"textual-derain"}  # Rain200H, as the document itself shows


def test_the_full_method_beats_its_ablations():
    for network in ("URetinex", "SNR"):
        rows = [row for row in find_table("ptgrm-3").rows if row.model.startswith(network)]
        assert len(rows) == 9
        for column in (0, 1):
            assert max(rows, key=lambda row: row.values[column][0]).model == f"{network} + PTG-RM (CLIP)"


@pytest.mark.parametrize(("names", "shared"), [(PTGRM, 10), (["promptir-1", "promptir-a1", "promptir-a2"], 10)])
def test_a_model_has_the_same_numbers_in_every_table(names, shared):
    seen = {}
    for cell in cells(*names):
        seen.setdefault((cell.model, cell.place, cell.metric), set()).add((cell.table, cell.value))
    several = [found for found in seen.values() if len({table for table, _ in found}) > 1]
    assert len(several) >= shared
    assert all(len({value for _, value in found}) == 1 for found in several)


def test_two_documents_agree_on_the_networks_that_both_boost():
    ours = {(cell.place, cell.metric): cell.value for cell in cells("ptgrm-6") if cell.model == "Restormer"}
    theirs = [cell for cell in cells("textual-motion") if cell.model == "Restormer"]
    assert [ours[cell.place, cell.metric] for cell in theirs] == [cell.value for cell in theirs] != []
    for group in ("single image", "dual pixel"):
        assert values("textual-defocus", "Restormer", group)[::2] == values("ptgrm-7", "Restormer", group)[::3]


def test_quoted_rows_for_a_report():
    entries = quoted(find_table("ptgrm-8"))
    assert len(entries) == 8 * 9
    assert entries[9] == {
        "table": "ptgrm-8",
        "model": "DRUNet + PTG-RM (CLIP) (one model for all levels)",
        "data": "set12",
        "condition": "noise sigma=15",
        "protocol": "gaussian-grey",
        "psnr": 33.51,
        "ssim": None,
        "source": "Boosting Image Restoration via Priors from Pre-trained Models, CVPR 2024 (arXiv 2403.06793), "
        "table 8",
    }
    assert [entry["condition"] for entry in quoted(find_table("ptgrm-7"))[:3]] == [
        "pairs, indoor",
        "pairs, outdoor",
        "pairs",
    ]
    assert quoted(find_table("textual-derain"))[0]["data"] == "Rain200L"
    assert len(quoted(find_table("promptir-9"))) == 20  # the dashes are left out


def test_no_two_quoted_numbers_claim_one_cell():
    for table in tables().values():
        keys = [(entry["model"], entry["data"], entry["condition"]) for entry in quoted(table)]
        assert len(set(keys)) == len(keys), table.name


def test_what_pellucid_can_fill():
    assert all(column.runnable for column in find_table("ptgrm-9").columns)
    assert [column.runnable for column in find_table("ptgrm-6").columns] == [True, True, False, False]
    assert [column.runnable for column in find_table("ptgrm-7").columns] == [False, False, True]
    assert not any(column.runnable for column in find_table("promptir-8").columns)


def test_tables_cannot_be_changed():
    with pytest.raises(ValidationError):
        find_table("ptgrm-8").rows[0].model = "ours"
    with pytest.raises(TypeError):
        tables()["mine"] = find_table("ptgrm-8")


def test_an_unknown_name_lists_the_near_ones():
    with pytest.raises(SettingsError, match=r"unknown table 'ptgrm8'; did you mean .*'ptgrm-8'"):
        find_table("ptgrm8")


SMALL = """
title: Deraining
source: {paper: A paper, table: "1", read_in: the paper}
protocol: derain-y
metrics: [psnr, ssim]
columns: [{data: rain100l}, {data: rain100h}]
rows:
  - {model: A, values: [[30.0, 0.9], [20, null]]}
  - {model: B, base: A, values: [[31.0, 0.91], [21.0, 0.8]], average: [26.0, 0.855]}
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("title: Deraining", "titel: Deraining", "title: Field required"),
        ("model: A,", "model: A, psnr: 30,", r"rows\.0\.psnr: unknown key"),
        ('table: "1",', 'table: "1", page: 3,', r"source\.page: unknown key"),
        ("[[30.0, 0.9], [20, null]]", "[[30.0, 0.9]]", r"rows\.0 \(A\): 1 values for 2 columns"),
        ("[20, null]", "[20]", r"rows\.0 \(A\): \[20\.0\] does not hold one number for each of psnr, ssim"),
        ("average: [26.0, 0.855]", "average: [26.0]", r"rows\.1 \(B\): \[26\.0\] does not hold one"),
        ("[30.0, 0.9]", "[0.9, 30.0]", r"0\.9 cannot be a psnr"),
        ("[30.0, 0.9]", "[300.0, 0.9]", r"300 cannot be a psnr, which lies between 5 and 60"),
        ("[30.0, 0.9]", "[30.0, 90]", r"90 cannot be a ssim"),
        ("[30.0, 0.9]", "[.nan, 0.9]", r"rows\.0\.values\.0\.0: .*finite"),
        ("[30.0, 0.9]", "['30.0', 0.9]", r"rows\.0\.values\.0\.0: .*number"),
        ("data: rain100l", "data: rain10l", r"columns\.0\.data: unknown data set 'rain10l'; did you mean 'rain100l'"),
        ("data: rain100l", "data: Rain100L", r"columns\.0\.data: write 'Rain100L' by its name, 'rain100l'"),
        ("{data: rain100l}", "{condition: pairs}", r"columns\.0: a column without `data` needs a `title`"),
        ("{data: rain100l}", "{data: rain100h}", r"columns: two columns are the same"),
        (
            "{data: rain100l}",
            "{data: rain100l, condition: noise sigma=15}",
            r"does not fit rain100l, which holds pairs",
        ),
        ("{data: rain100l}", "{data: set12}", r"does not fit set12, which holds clean pictures only"),
        ("protocol: derain-y", "protocol: derain", r"columns\.0\.protocol: unknown protocol 'derain'; did you mean"),
        ("protocol: derain-y", "", r"columns\.0: a column has either a `protocol` or a `protocol_note`"),
        ("metrics: [psnr, ssim]", "metrics: [psnr, niqe]", r"metrics\.1: .*'psnr', 'ssim' or 'lpips'"),
        ("base: A", "base: C", r"rows\.1 \(B\): its base 'C' is not a row of its group"),
        ("model: B, base: A", "model: A", r"rows\.1: a second row for A"),
        ("columns: [", "columns: {data: [", r"not YAML"),
        ("columns: [{data: rain100l}, {data: rain100h}]", "columns: rain100l", r"columns: .*tuple"),
        ("title: Deraining", "name: other\ntitle: Deraining", r"name: a table is named by its file"),
    ],
)
def test_a_malformed_file_is_refused_by_file_and_key(tmp_path, old, new, says):
    path = tmp_path / "test-1.yaml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingsError, match=rf"^test-1\.yaml: .*{says}") as refused:
        read_table(path)
    assert "\n" not in str(refused.value)


def test_the_small_file_is_right(tmp_path):
    (tmp_path / "test-1.yaml").write_text(SMALL, encoding="utf-8")
    table = read_table(tmp_path / "test-1.yaml")
    assert table.name == "test-1"
    assert [column.protocol for column in table.columns] == ["derain-y", "derain-y"]
    assert table.base_of(table.rows[1]) is table.rows[0]
    assert [entry["ssim"] for entry in quoted(table)] == [0.9, None, 0.91, 0.8]


def test_a_column_may_have_no_protocol_among_others_that_have_one(tmp_path):
    text = SMALL.replace("{data: rain100h}", "{data: rain100h, protocol_note: scored otherwise}")
    (tmp_path / "test-1.yaml").write_text(text, encoding="utf-8")
    assert [column.protocol for column in read_table(tmp_path / "test-1.yaml").columns] == ["derain-y", None]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a-1.yaml", b"", "a table is a mapping"),
        ("a-1.yaml", b"- 1\n- 2\n", "a table is a mapping"),
        ("a-1.yaml", b"\xff\xfe\x00broken", "cannot be read|not YAML"),
        ("a-1.yaml", SMALL[:120].encode(), "not YAML|Field required"),
        ("Tröst.yaml", SMALL.encode(), "name: "),
        ("a-1.yaml", None, "cannot be read"),
    ],
)
def test_what_is_no_table_at_all(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"^{name}: .*({says})"):
        read_table(path)


def test_files_are_plain_and_in_the_units_printed():
    """No number in scientific or percent notation, no line too long to review, and no key twice in a mapping."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader, node):
        keys = [key.value for key, _ in node.value]
        assert len(set(keys)) == len(keys), keys
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    for entry in files("pellucid.evaluation.published").iterdir():
        if entry.name.endswith(".yaml"):
            text = entry.read_text(encoding="utf-8")
            yaml.load(text, Strict)
            assert max(map(len, text.splitlines())) <= 130, entry.name
            assert not re.search(r"\d[eE][+-]?\d|\d%", text), entry.name
