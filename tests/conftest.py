"""Fixtures that every test may use."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pellucid import images
from pellucid.cli import main
from pellucid.models.save import save
from pellucid.networks import Identity
from pellucid.studies.preference.files import list_study_files
from pellucid.studies.preference.plan import plan_of
from pellucid.studies.preference.session import open_study
from support.small_study import NAMES, picture

# On a busy machine two threads on tiny tensors wait for each other most of the time.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What lies in the user's cache, such as graphs for an engine, must not decide what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and published weights; tests that need it are skipped where it is not there."""
    folder = Path(os.environ.get("PELLUCID_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "weights").is_dir():
        pytest.skip("no folder with real data and weights: set PELLUCID_SHARED to run this test")
    return folder


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """The file of a model that changes nothing."""
    path = tmp_path_factory.mktemp("identity") / "identity.safetensors"
    save(Identity(), path)
    return path


@pytest.fixture
def small_pictures(tmp_path):
    """Writes so many small pictures of noise, and returns their folder."""

    def written(count):
        folder = tmp_path / "clean"
        folder.mkdir()
        for index in range(count):
            images.write(images.Photograph(torch.rand(1, 3, 24, 26)), folder / f"{index}.png")
        return folder

    return written


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process: (status, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pellucid", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return call


@pytest.fixture
def study_folders(tmp_path):
    """Folders of two systems and their inputs: `alpha_net`, `beta_net`, `degraded`, with other pixels each."""
    for which, folder in enumerate(("alpha_net", "beta_net", "degraded")):
        for number, name in enumerate(NAMES):
            picture(tmp_path / folder / f"{name}.png", seed=10 * which + number)
    return tmp_path


@pytest.fixture
def make_study(study_folders):
    """Opens the study of `study_folders`, as often as it is called; all are closed at the end."""
    opened = []

    def make(out="out", **settings):
        a, b, inputs = (study_folders / name for name in ("alpha_net", "beta_net", "degraded"))
        sources = list_study_files(a, b, inputs)
        plan = plan_of(sources, a, b, **({"ties": False} | settings))
        opened.append(open_study(study_folders / out, plan, sources))
        return opened[-1]

    yield make
    for study in opened:
        study.ledger.close()
