"""The catalogue says all there is."""

from dataclasses import fields

import pytest
import torch

from pellucid.degradations import DEGRADATIONS, MIXTURES, parse_drawn
from pellucid.degradations.catalogue import GRAMMAR, catalogue


def test_the_catalogue_has_every_degradation_with_every_parameter_explained():
    entries = {entry.name: entry for entry in catalogue()}
    assert entries.keys() == DEGRADATIONS.keys() | MIXTURES.keys()
    for name, described in {**DEGRADATIONS, **MIXTURES}.items():
        entry = entries[name]
        assert [one.name for one in entry.parameters] == [field.name for field in fields(described)]
        assert entry.summary.endswith("."), name
        for one in entry.parameters:
            assert one.summary.endswith("."), (name, one.name)  # each is in the docstring, under its name
        assert (entry.severity != "") == (name not in ("clean", *MIXTURES)), name


def test_the_catalogue_says_what_may_be_given():
    noise, resample, mixture = (
        next(entry for entry in catalogue() if entry.name == name) for name in ("noise", "resample", "real-world")
    )
    sigma, bits = noise.parameters[:2]
    assert (sigma.values, sigma.default) == ("number", None)
    assert "0..255" in sigma.summary
    assert (bits.values, bits.default) == ("whole number", "0")
    assert next(one.values for one in resample.parameters if one.name == "kernel") == "area|bilinear|bicubic"
    assert mixture.kind == "mixture"
    assert mixture.parameters[0].summary == mixture.parameters[1].summary  # "fewest, most" share a text


@pytest.mark.parametrize(("form", "meaning"), GRAMMAR)
def test_the_forms_of_the_grammar_are_forms(form, meaning):
    assert parse_drawn(form).draw(torch.Generator())
    assert meaning
