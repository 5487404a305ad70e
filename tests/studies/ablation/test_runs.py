"""An ablation that was interrupted goes on; a frozen network is not trained again."""

import json

from safetensors.torch import save_file

from pellucid.evaluation.sets import find_set
from pellucid.models.tables import build_network
from pellucid.studies.ablation.arms import BASE, CONTROLS, NETWORK, arms_of
from pellucid.studies.ablation.report import score, write
from pellucid.studies.ablation.runs import Runs


def saved(network, path):
    """The weights of a network as it begins, in a file."""
    save_file(build_network(network["name"], network["settings"]).state_dict(), path)
    return str(path)


def test_an_ablation_goes_on_where_it_was_stopped(tree, tmp_path):
    arms = arms_of(tree)
    runs = Runs(arms, [0, 1], tmp_path / "out", student=True)
    assert runs.total == 2 * (len(arms) + 1)
    steps = runs.train()
    first = [next(steps) for _ in range(5)]
    steps.close()
    trained = {run.name for run, step in first if step.last}
    assert trained
    again = [(run.name, step.number) for run, step in Runs(arms, [0, 1], tmp_path / "out", student=True).train()]
    assert not trained & {name for name, _ in again}
    sets = [find_set(str(tmp_path / "clean"))]
    results, document, failures = score(runs, sets, tmp_path / "out", sigmas=[25])
    assert not failures
    assert [result.arm for result in results] == [BASE, "boosted, student", NETWORK, *CONTROLS]
    assert {result.seeds for result in results} == {2}
    base, student, network = results[:3]
    assert network.parameters_added == 0
    refinement = sum(value.numel() for value in runs.candidates()[0][0].restore.__self__.model.refinement.parameters())
    assert base.parameters_added == refinement
    assert student.parameters_added > refinement
    text = write(results, document, tmp_path / "out")
    assert "Protocol gaussian-colour" in text
    assert json.loads((tmp_path / "out/ablation.json").read_text())["verdict"] == document["verdict"]
    assert (tmp_path / "out/ablation.tex").read_text().count(r"\\") == len(results) + 1
    assert not list(runs.train())


def test_a_frozen_network_is_not_trained_again(tree, tmp_path):
    tree["train"]["freeze_network"] = True
    tree["network"]["weights"] = saved(tree["network"], tmp_path / "network.safetensors")
    runs = Runs([arm for arm in arms_of(tree) if arm.name in (BASE, NETWORK)], [0], tmp_path / "out")
    assert {run.arm.name for run, _ in runs.train()} == {BASE}
    sets = [find_set(str(tmp_path / "clean"))]
    results, *_ = score(runs, sets, tmp_path / "out", sigmas=[25])
    assert [result.arm for result in results] == [BASE, NETWORK]
    texts = ["jpeg quality=10", "defocus radius=2"]
    results, document, _ = score(runs, sets, tmp_path / "out", sigmas=[25], degradations=texts)
    assert [(result.arm, result.condition, result.protocol) for result in results] == [
        (arm, condition, protocol)
        for condition, protocol in (
            ("noise sigma=25", "gaussian-colour"), *((text, "synthetic-rgb") for text in texts)
        )
        for arm in (BASE, NETWORK)
    ]  # fmt: skip
    markdown = write(results, document, tmp_path / "out")
    assert "on " + str(tmp_path / "clean") + ", jpeg quality=10" in markdown
    assert "Protocol synthetic-rgb" in markdown
