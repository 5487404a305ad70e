"""Which photographs are shown, worked out by hand."""

from pellucid.evaluation.reports.choice import telling_photographs
from support.documents import FIRST, row


def rows_of(scores):
    return [row(model, FIRST, name, value) for model, values in scores.items() for name, value in values.items()]


def chosen(scores):
    return {choice.photograph: choice.reasons for choice in telling_photographs(rows_of(scores))}


INPUT = dict.fromkeys("abcdefghi", 20.0)
LEADER = dict(zip("abcdefghi", [30, 29, 28, 27, 26, 25, 24, 23, 22], strict=True))


def test_the_two_worst_the_median_and_the_best_by_gain_and_the_two_farthest_apart():
    other = LEADER | {"d": 17.0, "g": 21.0, "b": 28.5}
    result = chosen({"degraded": INPUT, "other": other, "leader": LEADER})
    assert list(result) == ["i", "h", "g", "e", "d", "a"]
    assert result["i"] == ("least gain of leader, 2.00 dB",)
    assert result["h"] == ("second least gain of leader, 3.00 dB",)
    assert result["e"] == ("median gain of leader, 6.00 dB",)
    assert result["a"] == ("most gain of leader, 10.00 dB",)
    assert result["d"] == ("models 10.00 dB apart",)
    assert result["g"] == ("models 3.00 dB apart",)


def test_gain_is_what_counts_not_psnr():
    # c has the lowest PSNR but gains most.
    result = chosen({"degraded": {"a": 30, "b": 25, "c": 10}, "model": {"a": 31, "b": 30, "c": 20}})
    assert list(result) == ["a", "b", "c"]


def test_without_scores_of_the_input_psnr_counts():
    result = chosen({"degraded": {"a": 30}, "model": {"a": 31, "b": 30, "c": 20}})
    assert result["c"] == ("least PSNR of model, 20.00 dB",)


def test_one_that_is_chosen_twice_is_shown_once():
    result = chosen({"model": {"a": 30.0}, "other": {"a": 29.0}})
    assert result == {"a": ("least PSNR of model, 30.00 dB", "models 1.00 dB apart")}
    assert len(chosen({"model": dict.fromkeys("abcdefgh", 30.0), "other": dict.fromkeys("abcdefgh", 29.0)})) <= 6


def test_identical_pictures_and_models_that_agree():
    # An infinite score is the best; two infinite ones do not differ.
    result = chosen({"degraded": {"a": None, "b": 20, "c": 20}, "m": {"a": None, "b": 30, "c": None}})
    assert list(result) == ["a", "b", "c"]
    assert result["a"] == ("least gain of m, 0.00 dB",)
    assert not any("apart" in reason for reasons in result.values() for reason in reasons)


def test_differences_that_would_be_printed_as_nothing_do_not_count():
    assert chosen({"a": {"x": 30.0}, "b": {"x": 30.004}}) == {"x": ("least PSNR of b, 30.00 dB",)}


def test_no_model_nothing_to_show():
    assert telling_photographs([]) == []
    assert telling_photographs(rows_of({"degraded": INPUT})) == []
