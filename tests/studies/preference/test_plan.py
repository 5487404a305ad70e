"""A folder holds one study, and never another one's votes."""

import pytest

from pellucid.errors import DataError
from pellucid.studies.preference.files import list_study_files
from pellucid.studies.preference.plan import open_plan, plan_of, read_plan
from support.small_study import picture


@pytest.fixture
def wanted(study_folders):
    """The plan of the small study with these settings."""

    def plan(a="alpha_net", b="beta_net", **settings):
        sources = list_study_files(study_folders / a, study_folders / b, study_folders / "degraded")
        return plan_of(sources, study_folders / a, study_folders / b, **({"ties": False} | settings))

    return plan


def test_a_plan_comes_back_as_it_was_written(wanted, tmp_path):
    plan = wanted(seed=3, repeat=2, ties=True, question="Hvilket er bedst? Ærligt")
    assert open_plan(tmp_path, plan) == read_plan(tmp_path) == plan


def test_going_on_keeps_the_secret_and_does_not_mind_where_folders_lie(wanted, study_folders, tmp_path):
    plan = open_plan(tmp_path, wanted())
    (study_folders / "alpha_net").rename(study_folders / "moved")
    assert open_plan(tmp_path, wanted("moved")) == plan
    assert wanted("moved").secret != plan.secret


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"repeat": 2}, "repeat 1, not 2"),
        ({"ties": True}, "ties False, not True"),
        ({"question": "Which is sharper?"}, "question 'Which looks better\\?', not 'Which is sharper\\?'"),
        ({"a": "beta_net", "b": "alpha_net"}, "other pictures of lakeside_dusk and 3 more"),
    ],
)
def test_another_study_is_refused(wanted, tmp_path, settings, message):
    open_plan(tmp_path, wanted())
    with pytest.raises(DataError, match=f"holds another study \\({message}\\)"):
        open_plan(tmp_path, wanted(**settings))


def test_a_picture_that_changed_is_noticed(wanted, study_folders, tmp_path):
    open_plan(tmp_path, wanted())
    picture(study_folders / "beta_net/zebra.png", seed=99)
    with pytest.raises(DataError, match=r"other pictures of zebra\)"):
        open_plan(tmp_path, wanted())


def test_votes_without_a_plan_are_left_alone(wanted, tmp_path):
    (tmp_path / "votes.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"holds votes of a study, but not its study\.json"):
        open_plan(tmp_path, wanted())
    assert not (tmp_path / "study.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "a": "x"}'])
def test_a_damaged_plan_is_an_error_of_one_line(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(DataError, match=r"study\.json: not the plan of a study") as caught:
        read_plan(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_study(tmp_path):
    with pytest.raises(DataError, match="no study in this folder"):
        read_plan(tmp_path)
