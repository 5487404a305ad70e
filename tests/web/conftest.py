"""A small study of tiny pictures, without a server."""

import pytest
from small_study import NAMES, picture

from pellucid.studies.preference.files import list_study_files
from pellucid.studies.preference.plan import plan_of
from pellucid.studies.preference.session import open_study


@pytest.fixture
def folders(tmp_path):
    """Folders of two systems and their inputs: `alpha_net`, `beta_net`, `degraded`, with other pixels each."""
    for which, folder in enumerate(("alpha_net", "beta_net", "degraded")):
        for number, name in enumerate(NAMES):
            picture(tmp_path / folder / f"{name}.png", seed=10 * which + number)
    return tmp_path


@pytest.fixture
def make_study(folders):
    """Opens the study of `folders`, as often as it is called; all are closed at the end."""
    opened = []

    def make(out="out", **settings):
        a, b, inputs = (folders / name for name in ("alpha_net", "beta_net", "degraded"))
        sources = list_study_files(a, b, inputs)
        plan = plan_of(sources, a, b, **({"ties": False} | settings))
        opened.append(open_study(folders / out, plan, sources))
        return opened[-1]

    yield make
    for study in opened:
        study.ledger.close()
