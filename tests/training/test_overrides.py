"""Single keys set from outside: YAML values, lists, keys that hold dots and equals signs."""

import pytest

from pellucid.errors import SettingsError
from pellucid.training.overrides import override, put


def test_override_reads_yaml_and_refuses_nonsense():
    values = {"a": {"b": 1}, "c": 2}
    override(values, "a.b=[1, x]")
    override(values, "d.e=true")
    assert values == {"a": {"b": [1, "x"]}, "c": 2, "d": {"e": True}}
    for wrong in ("a", "=1", "a..b=1", "c.d=1", "a.b=[1"):
        with pytest.raises(SettingsError):
            override(values, wrong)


def test_override_counts_in_lists_and_finds_keys_with_dots():
    values = {"weights": {"experts.0": "a", "experts.0.gate": "b"}, "sources": [{"weight": 1}, {"weight": 2}]}
    override(values, "weights.experts.0=c")
    override(values, "weights.experts.0.gate=d")
    override(values, "sources.1.weight=3")
    override(values, "sources.0={}")
    assert values == {"weights": {"experts.0": "c", "experts.0.gate": "d"}, "sources": [{}, {"weight": 3}]}
    for wrong in ("sources.2.weight=1", "sources.x=1", "sources.-1=1", "weights.experts.0.x=1"):
        with pytest.raises(SettingsError, match=r"no entry of a list of 2|holds a value"):
            override(values, wrong)


def test_override_finds_keys_with_equals_signs_and_numbers_for_keys():
    values = {"degradations": {"noise sigma=0..55": 1, "jpeg quality=6": 2}, "table": {3: "a", 31: "b"}}
    override(values, "degradations.noise sigma=0..55=3")
    override(values, "degradations.haze amount=50=4")
    override(values, "table.31=c")
    override(values, "name=a=b")
    assert values["degradations"] == {"noise sigma=0..55": 3, "jpeg quality=6": 2, "haze amount": "50=4"}
    assert (values["table"], values["name"]) == ({3: "a", 31: "c"}, "a=b")


def test_put_makes_the_groups_that_are_missing_and_fills_empty_ones():
    values = {"a": None, "list": [None]}
    put(values, "a.b.c", 1, "test")
    put(values, "d.e", {}, "test")
    put(values, "d.e.f", 2, "test")
    assert values == {"a": {"b": {"c": 1}}, "d": {"e": {"f": 2}}, "list": [None]}
    with pytest.raises(SettingsError, match="test: 0 holds a value, not a group of keys"):
        put(values, "list.0.x", 1, "test")


def test_override_takes_paths_of_known_folders_as_they_stand():
    values = {"network": {"weights": None}}
    override(values, "network.weights={weights}/pairlie.safetensors")
    override(values, "data.folder={data}/train/clean")
    override(values, "network.settings={width: 4}")
    assert values == {
        "network": {"weights": "{weights}/pairlie.safetensors", "settings": {"width": 4}},
        "data": {"folder": "{data}/train/clean"},
    }
    with pytest.raises(SettingsError, match="is not a YAML value"):
        override(values, "network.weights={elsewhere}/pairlie.safetensors")
