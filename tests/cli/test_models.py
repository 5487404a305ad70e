"""`pellucid models` as people call it."""

import json


def test_models_show_a_card(run, model):
    status, out, _ = run("models", model, "--json")
    assert status == 0
    assert json.loads(out)["card"]["summary"] == "for tests"
    assert "for tests" in run("models", model)[1]
    assert run("models", "nothing")[0] == 1
