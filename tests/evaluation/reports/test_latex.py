"""Tables for papers: as many cells as columns, every character escaped, and LaTeX itself where it is installed."""

import re
import shutil
import subprocess

import pytest

from pellucid.evaluation.reports.latex import as_latex, escaped
from support.documents import FIRST, SECOND, THIRD, document, quoted, summary

AWKWARD = [
    "a_b & 50 % #1 $x^2$ {~} \\end{tabular} \\\\",
    "[a]",
    "*",
    '-- --- <a> |b| "c" `d\'',
    "two\nlines\tand\x00more",
    "zoë σ=15",
    "",
]


def tabulars(text):
    """The rows of each tabular, a row as a list of (cell, how many columns it spans); rules left out."""
    found = []
    for columns, body in re.findall(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        lines = [line for line in body.splitlines() if line.endswith(r" \\")]
        rows = []
        for line in lines:
            cells = [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))]
            spans = [re.fullmatch(r"\\multicolumn\{(\d+)\}\{c\}\{(.*)\}", cell) for cell in cells]
            rows.append([(m[2], int(m[1])) if m else (cell, 1) for cell, m in zip(cells, spans, strict=True)])
        found.append((len(columns), rows))
    return found


def cells(row):
    return [cell for cell, _ in row]


def assert_balanced(text):
    """Braces close, environments close in order, and dollars come in pairs, escaped ones apart."""
    code = re.sub(r"\\[\\{}$%&#_]", "", re.sub(r"(?m)(?<!\\)%.*$", "", text))
    depth = 0
    for character in code:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert code.count("$") % 2 == 0
    open_ones = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", code):
        if kind == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert not open_ones


def test_one_table_per_protocol_and_its_caption_says_which():
    text = as_latex(document())
    captions = re.findall(r"\\caption\{(.*)\}", text)
    assert len(captions) == text.count(r"\begin{table}") == 3
    assert "Protocol gaussian-colour: compared in RGB." in captions[0]
    assert "Protocol gaussian-grey: compared in grey." in captions[1]
    assert "compare them with no others" in captions[2]
    assert "3 photographs of kodak24" in captions[0]
    assert "99.00" in text.split(r"\end{table}")[2]


def test_numbers_stand_where_they_belong():
    (width, colour), (_, grey), _ = tabulars(as_latex(document()))
    assert width == 7
    assert colour[0] == [("", 1), ("kodak24", 6)]
    assert colour[1] == [("", 1), ("noise sigma=15", 3), ("noise sigma=50", 3)]
    assert cells(colour[2]) == ["Model", *["PSNR", "SSIM", r"$\Delta$"] * 2]
    assert cells(colour[3]) == ["degraded", "24.61", "0.4500", "", r"\underline{14.15}", "0.1200", ""]
    assert cells(colour[5]) == [
        "boosted", r"\textbf{33.75}", r"\textbf{0.9200}", "$+0.250^{*}$",
        r"\textbf{27.90}", r"\underline{0.7790}", "$-0.008$",
    ]  # fmt: skip
    assert cells(grey[4]) == ["plain", r"\textbf{$\infty$}", r"\textbf{1.0000}"]
    assert cells(grey[5]) == [r"Restormer$^{\dagger}$", r"\underline{33.42}", ""]


def test_quoted_lines_stand_below_a_rule_with_their_source():
    grey = as_latex(document()).split(r"\end{table}")[1]
    run, rule, below = grey.rpartition("\\midrule\n")
    assert rule
    assert "plain" in run
    assert "Restormer" not in run
    assert below.startswith(r"Restormer$^{\dagger}$")
    assert r"$^{\dagger}$ Quoted, not run. Restormer: PTG-RM table 8." in below
    assert "dagger" not in as_latex(document()).split(r"\end{table}")[0]


def test_numbers_that_nobody_has_take_no_columns():
    [(width, rows)] = tabulars(as_latex({"quoted": [quoted("a", THIRD, 30.0), quoted("b", THIRD, 31.0)]}))
    assert width == 2
    assert cells(rows[2]) == ["Model", "PSNR"]
    assert as_latex({}).count("\\begin") == 0


def test_a_wide_table_is_cut_between_its_sets():
    sets, conditions = ("set12", "bsd68", "urban100", "cbsd68"), ("noise sigma=15", "noise sigma=25", "noise sigma=50")
    places = [(data, condition, "gaussian-grey") for data in sets for condition in conditions]
    entries = [
        quoted("Restormer (one model for all levels)", place, 30.0 + index) for index, place in enumerate(places)
    ]
    entries += [quoted("of the first set only", place, 29.0) for place in places[:3]]
    text = as_latex({"quoted": entries, "summaries": [summary("ours", places[0], 31.0, 0.9, gain=0.1)]})
    parts = tabulars(text)
    assert text.count(r"\caption") == text.count(r"\begin{table}") == 1
    assert [[cell for cell, _ in rows[0] if cell] for _, rows in parts] == [[data] for data in sets]
    assert [width for width, _ in parts] == [1 + 3 + 1 + 1, 4, 4, 4]
    # A line stands only where it has numbers, and no number is lost.
    assert [len(rows) - 3 for _, rows in parts] == [3, 1, 1, 1]
    numbers = [cell for _, rows in parts for row in rows for cell, _ in row if "Restormer" in row[0][0]]
    found = [float(re.search(r"\d+\.\d\d", cell)[0]) for cell in numbers if re.search(r"\d+\.\d\d", cell)]
    assert found == [30.0 + index for index in range(12)]


@pytest.mark.parametrize("zero", [-0.0001, 0.0001, 0.0])
def test_a_gain_that_rounds_to_nothing_has_no_sign(zero):
    text = as_latex({"summaries": [summary("a", FIRST, 30.0, 0.9, gain=zero)]})
    assert "$0.000$" in text


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_leave_every_row_whole(name):
    column = (name, name, name)
    text = as_latex(
        {
            "pellucid": name,
            "protocols": {name: name},
            "summaries": [summary(model, column, 30.0, 0.9, gain=0.1) for model in (name, "b")]
            + [summary("c", (name, "other", name), 30.0, 0.9)],
            "quoted": [quoted(name, column, 30.0, source=name)],
        }
    )
    assert_balanced(text)
    [(width, rows)] = tabulars(text)
    assert width == 1 + 3 + 2  # the second column has no gains
    for row in rows:
        assert sum(span for _, span in row) == width
    assert len(rows) == 3 + 4
    # What TeX would take for an option of the line break or the rule before it.
    assert not re.search(r"(\\\\|rule)\s*[\[*]", text)


def unescaped(text):
    """What LaTeX prints, by the definitions of its commands."""
    printed = {
        "textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<", "textgreater": ">",
        "textbar": "|", "textasciigrave": "`",
    }  # fmt: skip
    text = re.sub(r"\\(text[a-z]+)\{\}", lambda match: chr(0xE000 + list(printed).index(match[1])), text)
    text = text.replace(r"$\sigma$", "σ")
    text = re.sub(r"(?<!\\)\{\}", "", text)
    text = re.sub(r"\\([{}$&#%_])", r"\1", text)
    return "".join(list(printed.values())[ord(c) - 0xE000] if 0xE000 <= ord(c) < 0xE010 else c for c in text)


@pytest.mark.parametrize("name", [name for name in AWKWARD if name.isprintable() and '"' not in name])
def test_escaping_can_be_undone(name):
    assert unescaped(escaped(name)) == name


def test_what_cannot_be_printed_becomes_a_space():
    assert escaped("two\nlines\tand\x00more") == "two lines and more"


def has_latex():
    if not (shutil.which("pdflatex") and shutil.which("kpsewhich")):
        return False
    return subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_latex(), reason="no pdflatex with booktabs")
def test_latex_takes_it(tmp_path):
    base = document(plain=AWKWARD[0], boosted=AWKWARD[1])
    base["summaries"] += [summary(name, SECOND, 30.0, 0.9) for name in AWKWARD[2:]]
    base["quoted"] += [quoted(name, THIRD, 30.0, source=name) for name in AWKWARD]
    text = (
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + as_latex(base) + "\\end{document}\n"
    )
    (tmp_path / "paper.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
