"""A whole explanation of model files: its document, its page, its verb, and what cannot be explained."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest
import torch

from pellucid import boost, images
from pellucid.errors import DataError, ModelError, SettingsError
from pellucid.evaluation.sets import find_set
from pellucid.models.save import save_model
from pellucid.priors import Student, Zeros
from pellucid.refinement import ABLATIONS, Boosted
from pellucid.studies.explanation.explain import Explanation
from pellucid.studies.explanation.feeding import BOOSTED, FED, NETWORK
from support.explained import seeded, write_folder

VOID = {"meta", "link", "img"}


class Page(HTMLParser):
    """The elements of a page by tag; one that is not closed is an error."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self._open):
            self.text += data

    def all(self, tag, name=""):
        return [found for kind, found in self.elements if kind == tag and name in [*found.get("class", "").split(), ""]]


@pytest.fixture
def model(boosted, tmp_path):
    """Writes a boosted model to a file."""

    def write(name="mine", changed=None, **settings):
        path = tmp_path / name / "model.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        module = boosted(**settings) if changed is None else changed
        save_model(module, path, recipe={"train": {"freeze_network": False}}, card={})
        return str(path)

    return write


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def explained(out, name, photographs, sigmas=(25,), **options):
    explanation = Explanation(name, **options)
    explanation.add(find_set(str(photographs)), sigmas=sigmas)
    assert len(list(explanation.run())) == explanation.total
    return explanation.finish(out)


def distilled(boosted, teacher="random:12", width=12):
    student = Student(width, 32, (4,), (4,), teacher=teacher)
    module = boosted()
    return Boosted(module.network, student.freeze(), module.refinement)


def test_everything_is_in_the_document(model, boosted, clean, out):
    mine, other, small = model(), model("no prior/seed-0"), model("small", distilled(boosted))
    outcome = explained(out, mine, clean, (15, 50), against=[other], student=small)
    document = json.loads((out / "explain.json").read_text())
    assert document == json.loads(json.dumps(outcome.document))
    assert outcome.failures == []
    assert [column["condition"] for column in document["columns"]] == ["noise sigma=15", "noise sigma=50"]
    for column in document["columns"]:
        pairs = [(one["first"], one["second"]) for one in column["comparisons"]]
        assert pairs == [
            (BOOSTED, NETWORK),
            *((BOOSTED, fed) for fed in FED),
            (BOOSTED, "no prior/seed-0"),
            ("small", BOOSTED),
        ]
        assert -1 <= column["likeness"] <= 1
        assert column["photographs"] == 6
    assert len(document["rows"]) == 12
    assert document["made"]["models"]["mine"]["prior"] == "random:12"
    assert document["made"]["models"]["no prior/seed-0"]["file"] == other
    assert "trained together" in document["notes"][1]
    text = (out / "explain.md").read_text()
    assert text == outcome.markdown
    assert text.count("| own vector over another picture's | ") == 2
    assert "gaussian-colour" in text


def test_the_page_holds_all_and_loads_nothing(model, clean, out):
    explained(out, model(), clean)
    text = (out / "explain.html").read_text()
    page = Page(text)
    pictures = [image["src"] for image in page.all("img") if "src" in image]
    # Of three photographs the degraded, restored, refined and clean, what R changes, M, M_s, I_m, I_r.
    assert len(pictures) == 3 * 9
    assert len(page.all("svg", "weights")) == 3
    for uri in pictures:
        kind, _, data = uri.partition(",")
        assert kind == "data:image/png;base64"
        (out / "one.png").write_bytes(base64.b64decode(data))
        assert images.read(out / "one.png").pixels.shape[3] == 26
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert all(attributes.get(name, "#").startswith(("data:", "#")) for name in ("src", "href"))
    [policy] = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert re.search("least gain.*median gain.*most gain", page.text, re.DOTALL)
    assert not re.search(r"url\((?!#)|@import", text)


def test_names_are_escaped(model, tmp_path, out):
    hostile = "<img src=x onerror=alert(1)>&amp;.png"
    pictures = {name: torch.rand(1, 3, 16, 16) for name in (hostile, "b.png", "c|d.png")}
    folder = write_folder(tmp_path / "<b>&'set", pictures)
    explained(out, model(), folder)
    text = (out / "explain.html").read_text()
    assert "onerror=alert" in Page(text).text
    assert not any("onerror" in found for _, found in Page(text).elements)
    assert "<b>&" not in text
    assert hostile not in text


def test_parts_that_are_not_there_are_left_out(model, boosted, clean, out):
    explained(out, model(**ABLATIONS["large"] | {"width": 4}), clean)
    page = Page((out / "explain.html").read_text())
    assert len([image for image in page.all("img") if "src" in image]) == 3 * 7
    assert not page.all("svg", "weights")
    assert page.text.count("this R adds near and far context") == 3
    inside = boost(boosted().network, "random:12", refinement="ptgrm-features", width=4)
    explained(out, model("inside", inside), clean)
    page = Page((out / "explain.html").read_text())
    assert len([image for image in page.all("img") if "src" in image]) == 3 * 7
    assert "masks features rather than pixels" in page.text


def test_a_refinement_that_changes_nothing(model, boosted, clean, out):
    module = boosted()
    torch.nn.init.zeros_(module.refinement.decoder.out.weight)
    outcome = explained(out, model(changed=module), clean)
    [column] = outcome.document["columns"]
    assert all(one["mean"] == one["low"] == one["high"] == 0 for one in column["comparisons"])
    assert column["changes"] == dict.fromkeys(FED, 0.0)
    assert outcome.document["verdict"]["answer"].startswith("Not shown: R gains nothing")
    assert "bit for bit" in outcome.markdown


def test_a_large_photograph_is_cut_and_shrunk(model, tmp_path, out, monkeypatch):
    monkeypatch.setattr("pellucid.studies.explanation.pictures.LONGEST", 20)
    monkeypatch.setattr("pellucid.studies.explanation.internals.LARGEST", 1000)
    pictures = {f"{index}.png": torch.rand(1, 3, 40, 60, generator=seeded(index)) for index in range(2)}
    explained(out, model(), write_folder(tmp_path / "large", pictures))
    page = Page((out / "explain.html").read_text())
    assert "38 x 25 pixels in the middle of a larger photograph" in page.text
    assert "1/2 of their size" in page.text


def test_a_photograph_that_cannot_be_read_is_a_failure(model, clean, out):
    (clean / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    outcome = explained(out, model(), clean)
    assert [failure.photograph for failure in outcome.failures] == ["broken.png"]
    assert outcome.document["columns"][0]["photographs"] == 6


def test_one_photograph_is_too_few(model, tmp_path, out):
    folder = write_folder(tmp_path / "one", {"a.png": torch.rand(1, 3, 16, 16)})
    explanation = Explanation(model())
    with pytest.raises(DataError, match=r"1 photograph; .*give two at least"):
        explanation.add(find_set(str(folder)), sigmas=[25])
    (folder / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 photograph"):
        explained(out, model(), folder)
    (folder / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"nothing could be measured; the first reason: .*empty"):
        explained(out, model(), folder)


def test_what_cannot_be_explained(model, boosted, clean):
    mine = model()
    with pytest.raises(ModelError, match="is a network alone"):
        Explanation(model("alone", boosted().network))
    with pytest.raises(ModelError, match="zeros:12, which says nothing"):
        Explanation(model("control", prior=Zeros(12)))
    with pytest.raises(ModelError, match="no such model"):
        Explanation(str(clean / "absent.safetensors"))
    with pytest.raises(SettingsError, match="given twice"):
        Explanation(mine, against=[mine])
    explanation = Explanation(mine)
    with pytest.raises(SettingsError, match="give --sigma"):
        explanation.add(find_set(str(clean)))
    explanation.add(find_set(str(clean)), sigmas=[5, 5])
    assert explanation.total == 6
    with pytest.raises(SettingsError, match=r"set .*clean is given twice"):
        explanation.add(find_set(str(clean)), sigmas=[25])


def test_which_students_fit(model, boosted):
    mine, small = model(), model("small", distilled(boosted))
    with pytest.raises(ModelError, match="its prior is a student already"):
        Explanation(small, student=mine)
    with pytest.raises(ModelError, match="its prior is no student but random:12"):
        Explanation(mine, student=model("other"))
    with pytest.raises(ModelError, match=r"is a student of clip, but the prior of .* is random:12"):
        Explanation(mine, student=model("of another", distilled(boosted, teacher="clip")))


def test_a_prior_that_is_missing(model, boosted):
    module = boosted()
    module.prior.name = "clip:/no/such/folder"
    with pytest.raises(ModelError, match="needs the prior 'clip:/no/such/folder'"):
        Explanation(model(changed=module))


def test_degradations_are_columns_of_their_own_protocol(run, model, clean, out):
    arguments = ["--sigma", 25, "--with", "noise sigma=25", "--with", "jpeg quality=10", "--json"]
    status, text, err = run("explain", model(), "--data", clean, "-o", out, *arguments)
    assert (status, err) == (0, "")
    document = json.loads(text)
    assert [(column["condition"], column["protocol"], column["photographs"]) for column in document["columns"]] == [
        ("noise sigma=25", "gaussian-colour", 6),
        ("noise sigma=25", "synthetic-rgb", 6),
        ("jpeg quality=10", "synthetic-rgb", 6),
    ]
    assert list(document["protocols"]) == ["gaussian-colour", "synthetic-rgb"]
    page = Page((out / "explain.html").read_text())
    # Of each column three photographs, each with its own degraded picture, not that of the other protocol.
    inputs = {}
    for row in document["rows"]:
        said = f"{row['psnr']['degraded']:.2f} dB"
        inputs.setdefault((row["condition"], row["protocol"]), set()).add(said)
    assert not inputs["noise sigma=25", "gaussian-colour"] & inputs["noise sigma=25", "synthetic-rgb"]
    assert [sum(said in page.text for said in column) for column in inputs.values()] == [3, 3, 3]


def test_the_verb(run, model, clean, out, tmp_path):
    mine = model()
    arguments = ["explain", mine, "--data", clean, "-o", out]
    status, text, err = run(*arguments, "--sigma", 25, "--against", model("other"))
    assert (status, err) == (0, "")
    assert text.startswith("# Does the prior help? mine")
    assert "explain.html shows it with pictures." in text
    status, text, err = run(*arguments, "--degraded", clean, "--json")
    assert (status, err) == (0, "")
    assert json.loads(text)["columns"][0]["condition"] == "pairs"
    for wrong, said in (
        ([], "give --sigma"),
        (["--sigma", 25, "--degraded", clean], "every set holds pairs already"),
        (["--with", "jpeg quality=10", "--degraded", clean], "every set holds pairs already"),
        (["--data", clean, "--degraded", clean], "--degraded goes with one --data"),
        (["--sigma", 25, "--protocol", "gausian-colour"], "did you mean 'gaussian-colour"),
    ):
        status, text, err = run(*arguments, *wrong)
        assert status == 2
        assert said in err
        assert err.count("\n") == 1
    (clean / "broken.png").write_bytes(b"")
    status, _, err = run(*arguments, "--sigma", 25)
    assert status == 1
    assert "broken.png" in err
