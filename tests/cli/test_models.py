"""`pellucid models` as people call it; what `import` does is in tests/models/test_imports.py."""

import json


def test_models_show_a_card(run, model):
    status, out, _ = run("models", model, "--json")
    assert status == 0
    assert json.loads(out)["card"]["summary"] == "for tests"
    assert "for tests" in run("models", model)[1]
    assert run("models", "--json", model)[1] == out == run("models", "show", model, "--json")[1]
    assert run("models", "nothing")[0] == 1


def test_models_are_listed_with_and_without_the_word(run):
    status, out, _ = run("models", "--json")
    assert status == 0
    assert {row["name"] for row in json.loads(out)["models"]} == {
        "default",
        "fast",
        "denoise",
        "upscale",
        "upscale-bicubic",
    }
    assert run("models", "list", "--json")[1] == out
    assert "import" in run("models", "--help")[1]
    assert run("models", "--nonsense")[0] == 2
