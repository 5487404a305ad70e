"""A report: what is in it, that nothing is loaded from elsewhere, and that no name can do harm."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
import torch

from pellucid import images
from pellucid.errors import DataError
from pellucid.evaluation.reports.figures import CLEAN, FigurePlace, Figures
from pellucid.evaluation.reports.html import as_html
from pellucid.evaluation.reports.page import write_page
from support.documents import FIRST, SECOND, THIRD, document, quoted, row, summary

VOID = {"meta", "link", "img", "input"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><script>alert(1)</script>",
    "</style></script><script>alert(1)//",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&amp; &lt;b&gt;",
    "\ud800 half a character",
    "<!-- -->]]>",
]


class Page(HTMLParser):
    """The elements of a page, each with its tag, attributes and text; an element that is not closed is an error."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "attributes": dict(attributes), "text": "", "inside": list(self._open)}
        self.elements.append(element)
        self.handle_data(" ")
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag, name=None):
        wanted = [element for element in self.elements if element["tag"] == tag]
        return [element for element in wanted if name is None or name in element["attributes"].get("class", "").split()]

    def one(self, tag, name=None):
        [element] = self.all(tag, name)
        return element

    def within(self, element, tag, name=None):
        return [inner for inner in self.all(tag, name) if any(outer is element for outer in inner["inside"])]


def words(element):
    return " ".join(element["text"].split())


def figures_in(folder, model="plain", column=FIRST, photograph="a.png"):
    figures = Figures(folder)
    clean = torch.rand(1, 3, 30, 40)
    for name, restored in {"degraded": clean + 0.1, model: clean + 0.05}.items():
        figures.save(FigurePlace(*column, photograph), name, restored, degraded=clean + 0.1, clean=clean)
    return figures


def test_one_table_per_protocol_with_best_second_and_quoted():
    page = Page(as_html(document()))
    colour, grey, unknown = page.all("table", "scores")
    assert [words(head) for head in page.all("h2")[:3]] == ["gaussian-colour", "gaussian-grey", "Protocol not stated"]
    assert [words(element) for element in page.within(colour, "strong")] == [
        "27.90",
        "0.7810",
        "33.75",
        "0.9200",
        "27.90",
    ]
    assert [words(element) for element in page.within(colour, "u")] == ["14.15", "33.50", "0.9100", "0.7790"]
    assert "99.00" not in colour["text"] + grey["text"]
    assert "99.00" in unknown["text"]
    bodies = page.within(grey, "tbody")
    assert "run" in words(bodies[0])
    assert "∞" in words(bodies[0])
    assert "Restormer" not in words(bodies[0])
    assert words(bodies[1]) == "Quoted from PTG-RM table 8, not run here Restormer quoted 33.42"
    assert words(page.within(bodies[1], "u")[0]) == "33.42"
    notes = [words(note) for note in page.all("p", "note")]
    assert notes[:2] == ["Protocol gaussian-colour: compared in RGB.", "Protocol gaussian-grey: compared in grey."]


def test_a_cell_says_all_that_is_known():
    page = Page(as_html(document()))
    cells = [element for element in page.all("td") if "33.50" in element["text"]]
    assert words(cells[0]) == "33.50 33.10 to 33.90 SSIM 0.9100 200 ms · 118 MB"
    psnr = page.within(cells[0], "span", "psnr")[0]
    assert psnr["attributes"]["title"] == "PSNR 33.5000 dB, 95 % interval 33.100 to 33.900, 3 photographs"
    gains = page.all("span", "gain")
    assert words(gains[0]) == "gain +0.250 +0.200 to +0.300"
    assert gains[0]["attributes"]["title"].endswith("p = 0.001")
    # Green and red only where the interval leaves out 0.
    assert [("proven" in gain["attributes"]["class"].split()) for gain in gains] == [True, False]


def test_every_row_is_there_with_its_exact_numbers():
    page = Page(as_html(document()))
    table = page.one("table", "rows")
    heads = [words(head) for head in page.within(page.within(table, "thead")[0], "th")]
    lines = [
        page.within(line, "th") + page.within(line, "td") for line in page.within(page.within(table, "tbody")[0], "tr")
    ]
    assert len(lines) == len(document()["rows"])
    shown = [dict(zip(heads, cells, strict=True)) for cells in lines]
    for line, entry in zip(shown, document()["rows"], strict=True):
        assert words(line["photograph"]) == entry["photograph"]
        assert words(line["model"]) == entry["model"]
        value = line["PSNR dB"]["attributes"]["data-value"]
        assert float(value) == (float("inf") if entry["psnr"] is None else entry["psnr"])
        assert line["time"]["attributes"].get("data-value") == (entry["seconds"] and str(entry["seconds"]))
    over = [words(line["over input dB"]) for line in shown]
    assert over == ["", "+9.00", "+9.10", "", "+9.00", "+9.50", "", "+14.00", "", "∞"]


def test_further_metrics_have_columns():
    base = document()
    base["rows"][1]["extra"] = {"lpips": 0.125}
    base["summaries"][1]["extra"] = {"lpips": 0.125}
    page = Page(as_html(base))
    heads = [
        words(head) for head in page.within(page.one("table", "rows"), "th") if head["attributes"].get("scope") == "col"
    ]
    assert heads == [
        "photograph", "model", "data", "condition", "protocol", "PSNR dB", "over input dB", "SSIM", "lpips", "time",
        "memory",
    ]  # fmt: skip
    assert "lpips 0.1250" in words(page.all("table", "scores")[0])


def test_the_header_says_how_it_was_made():
    page = Page(as_html(document()))
    header = words(page.one("header"))
    for text in (
        "pellucid 0.1.0 · 2026-06-01",
        "data kodak24, set12",
        "seed 0",
        "plain.safetensors",
        "5,890,000",
        "ab" * 32,
    ):
        assert text in header
    data = {"set12": {"photographs": 3, "task": None}, "kodak24": {"photographs": 24}}
    assert "data set12 (photographs: 3), kodak24 (photographs: 24)" in words(
        Page(as_html({"made": {"data": data}})).one("header")
    )
    assert "plain" in words(Page(as_html(document() | {"made": {"models": ["plain"]}})).one("header"))


def test_figures_are_inside_the_file(tmp_path):
    figures = figures_in(tmp_path)
    page = Page(as_html(document(), tmp_path))
    crops, maps = page.all("button", "crop"), page.all("img", "map")
    wanted = [("degraded", "zoom"), ("plain", "zoom"), (CLEAN, "zoom"), ("degraded", "error"), ("plain", "error")]
    files = [figures.path(FigurePlace(*FIRST, "a.png"), model, kind).read_bytes() for model, kind in wanted]
    shown = [page.within(crop, "img")[0] for crop in crops] + maps
    assert [
        base64.b64decode(image["attributes"]["src"].removeprefix("data:image/png;base64,")) for image in shown
    ] == files
    assert all(image["attributes"]["alt"] for image in shown)
    captions = [words(caption) for caption in page.all("figcaption") if "PSNR" not in caption["text"]]
    assert captions == ["degraded 24.00 dB", "plain 33.00 dB", "clean"]
    assert not [strong for caption in page.all("figcaption") for strong in page.within(caption, "strong")]
    assert "error 0.1 and more" in words(page.one("div", "scale"))


def test_the_best_of_a_photograph_is_bold(tmp_path):
    figures_in(tmp_path, "plain")
    figures_in(tmp_path, "boosted")
    page = Page(as_html(document(), tmp_path))
    assert [words(bold) for caption in page.all("figcaption") for bold in page.within(caption, "strong")] == [
        "33.10 dB"
    ]


@pytest.mark.parametrize("folder", [None, "absent"])
def test_without_figures_there_is_the_rest(tmp_path, folder):
    page = Page(as_html(document(), folder and tmp_path / folder))
    assert len(page.all("img")) == 1  # that of the enlarged view, which has no source yet
    assert "src" not in page.one("img")["attributes"]
    assert len(page.all("figure", "plot")) == 3


def test_an_empty_figure_is_left_out(tmp_path):
    figures = figures_in(tmp_path)
    figures.path(FigurePlace(*FIRST, "a.png"), "plain", "zoom").write_bytes(b"")
    assert len(Page(as_html(document(), tmp_path)).all("button", "crop")) == 2


def hostile_document(name, tmp_path):
    """A document where every text is the name."""
    column = (name,) * 3
    figures_in(tmp_path, name, column, name)
    return {
        "format": 1,
        "pellucid": name,
        "made": {name: name, "models": {name: {name: name}}, "date": name},
        "protocols": {name: name},
        "summaries": [summary(model, column, 20.0, 0.5, extra={name: 1.0}) for model in ("degraded", name)],
        "rows": [row(model, column, name, 20.0, extra={name: 1.0}) for model in ("degraded", name)],
        "quoted": [quoted(name, column, 30.0, source=name), quoted(name, (name, name, None), 30.0, source=name)],
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_names_do_no_harm(name, tmp_path):
    harmless = Page(as_html(hostile_document("harmless", tmp_path), tmp_path))
    hostile = Page(as_html(hostile_document(name, tmp_path), tmp_path))
    # The same page, element by element, but for the name itself wherever the harmless one stands.
    assert harmless.one("main")["text"].count("harmless") > 20
    for mine, theirs in zip(hostile.elements, harmless.elements, strict=True):
        assert mine["tag"] == theirs["tag"]
        assert mine["text"] == theirs["text"].replace("harmless", name)
        assert mine["attributes"].keys() == theirs["attributes"].keys()
        for key, value in theirs["attributes"].items():
            assert mine["attributes"][key] == (value and value.replace("harmless", name)) or key == "src"


def test_nothing_is_loaded_and_no_other_script_runs(tmp_path):
    figures_in(tmp_path)
    page = Page(as_html(document(), tmp_path))
    for element in page.elements:
        for name, value in element["attributes"].items():
            assert not name.startswith("on")
            assert name not in ("srcset", "action", "style", "xlink:href", "data", "poster", "background")
            if name in ("src", "href"):
                assert value.startswith(("data:", "#"))
            assert not re.search(r"url\((?!#)", value or "")
    assert not re.search(r"url\(|@import|@font-face", page.one("style")["text"])
    assert not re.search(r"fetch|XMLHttp|import\(|innerHTML|eval|https?:", page.one("script")["text"])
    [policy] = [
        meta["attributes"]["content"]
        for meta in page.all("meta")
        if meta["attributes"].get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for rule, tag in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(page.one(tag)["text"].encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_links_and_names_of_elements_fit():
    page = Page(as_html(document()))
    names = [element["attributes"]["id"] for element in page.elements if "id" in element["attributes"]]
    assert len(set(names)) == len(names)
    links = [link["attributes"]["href"] for link in page.all("a")]
    assert len(links) == 5
    assert {link.removeprefix("#") for link in links} <= set(names)


@pytest.mark.parametrize("empty", [{}, {"summaries": [], "rows": [], "quoted": [], "protocols": {}, "made": {}}])
def test_nothing_to_report(empty):
    page = Page(as_html(empty))
    assert "There are no results." in page.one("main")["text"]
    assert not page.all("table")


def test_columns_without_rows_have_no_section():
    page = Page(as_html({"summaries": [summary("a", SECOND, 30.0, 0.9)], "quoted": [quoted("b", THIRD, 31.0)]}))
    assert len(page.all("table")) == 2
    assert not page.all("section", "column")


def test_writing(tmp_path):
    write_page(as_html(document(boosted="zoë 夜 \ud800")), tmp_path / "new" / "report.html")
    assert "zoë 夜 \\ud800" in (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(DataError, match=r"report\.html: the report cannot be written"):
        write_page(as_html(document()), tmp_path / "new" / "report.html" / "report.html")
    figure = Figures(tmp_path).path(FigurePlace(*FIRST, "a.png"), "plain", "zoom")
    figure.mkdir(parents=True)
    with pytest.raises(DataError, match="cannot be read"):
        as_html(document(), tmp_path)


def test_crops_keep_every_pixel(tmp_path):
    figures = figures_in(tmp_path)
    data = figures.path(FigurePlace(*FIRST, "a.png"), "plain", "zoom")
    [source] = [
        image["attributes"]["src"]
        for image in Page(as_html(document(), tmp_path)).all("img")
        if image["attributes"].get("alt") == "a.png, detail: plain"
    ]
    (tmp_path / "back.png").write_bytes(base64.b64decode(source.partition(",")[2]))
    assert torch.equal(images.read(tmp_path / "back.png").pixels, images.read(data).pixels)
