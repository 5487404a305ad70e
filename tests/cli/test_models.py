"""`pellucid models` as people call it; what `import` does is in tests/models/test_imports.py."""

import json

from pellucid.models import describe
from pellucid.models.hub import EMBEDDED
from pellucid.models.published import PUBLISHED


def test_models_show_a_card(run, model):
    status, out, _ = run("models", model, "--json")
    assert status == 0
    assert json.loads(out)["card"]["summary"] == "for tests"
    assert "for tests" in run("models", model)[1]
    assert run("models", "--json", model)[1] == out == run("models", "show", model, "--json")[1]
    assert run("models", "nothing")[0] == 1


def test_models_are_listed_with_and_without_the_word(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(describe, "EMBEDDED", {"fast": EMBEDDED["fast"]})
    monkeypatch.setattr(describe, "PUBLISHED", {name: PUBLISHED[name] for name in ("zero_dce", "uretinex_net")})
    status, out, _ = run("models", "--json")
    assert status == 0
    document = json.loads(out)
    (fast,) = document["models"]
    assert fast["name"] == "fast"
    assert fast["licence"] == "Apache-2.0"
    assert min(fast["parameters"], fast["multiply_adds"], fast["memory"]) > 1e5
    assert fast["seconds"] is None
    assert [(row["name"], row["commercial"]) for row in document["networks"]] == [
        ("uretinex_net", True),
        ("zero_dce", False),
    ]
    assert run("models", "list", "--json")[1] == out
    text = run("models", "--commercial-ok")[1]
    assert "URetinex-Net" in text
    assert "Zero-DCE" not in text
    assert "import" in run("models", "--help")[1]
    assert run("models", "--nonsense")[0] == 2
