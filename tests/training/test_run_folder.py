"""What a run folder holds, and whether a training may go on in it."""

import pytest
import yaml
from small_runs import run, tree

from pellucid.errors import SettingsError


def test_resuming_with_another_recipe_is_refused(photographs, tmp_path):
    run(tree(photographs, checkpoint_minutes=1e-9), tmp_path / "run", stop_at=2)
    with pytest.raises(SettingsError, match=r"another train\.seed"):
        run(tree(photographs, seed=9), tmp_path / "run", resume=True)
    # A run of a version that had fewer keys goes on: they have their defaults.
    record = tmp_path / "run/recipe.yaml"
    older = yaml.safe_load(record.read_text())
    del older["train"]["frozen"], older["train"]["accumulate"]
    record.write_text(yaml.safe_dump(older))
    assert sorted(run(tree(photographs, steps=3), tmp_path / "run", resume=True)) == [3]


def test_a_second_run_in_the_same_folder_is_refused(photographs, tmp_path):
    run(tree(photographs), tmp_path / "run")
    with pytest.raises(SettingsError, match="--resume"):
        run(tree(photographs), tmp_path / "run")
    assert run(tree(photographs), tmp_path / "run", resume=True) == {}
