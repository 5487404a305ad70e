"""`pellucid probe` as people call it."""

import json

import pytest
import torch

from pellucid import images


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    torch.manual_seed(0)
    for index in range(22):
        image = 0.3 * torch.rand(1, 3, 32, 40) + 0.7 * torch.rand(1, 3, 1, 1)
        images.write(images.Photograph(image), folder / f"{index}.png")
    return folder


def test_priors_are_ranked_by_what_is_readable(run, photographs):
    arguments = ("probe", "zeros:4", "statistics", "--data", photographs, "--sigma", 25)
    status, out, err = run(*arguments, "--json")
    assert (status, err) == (0, "")
    nothing, statistics = json.loads(out)["results"]
    assert (nothing["prior"], nothing["condition"], nothing["photographs"]) == ("zeros:4", "noise sigma=25", 22)
    assert nothing["readable"]["exposure"] <= 0 < 0.8 < statistics["readable"]["exposure"]
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    assert "| statistics |" in out


def test_what_cannot_be_probed_is_said(run, photographs, tmp_path):
    status, _, err = run("probe", "statistic", "--data", photographs, "--sigma", 25)
    assert (status, "statistics" in err) == (2, True)
    status, _, err = run("probe", "statistics", "--data", photographs)
    assert (status, "--sigma" in err) == (2, True)
    for path in sorted(photographs.iterdir())[5:]:
        path.unlink()
    status, _, err = run("probe", "statistics", "--data", photographs, "--sigma", 25)
    assert status == 1
    assert "5 photographs; a probe needs 20" in err
