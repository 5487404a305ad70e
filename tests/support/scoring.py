"""Candidates and cases whose scores can be worked out."""

from pellucid.data.folders import list_photographs
from pellucid.evaluation.candidates import Candidate
from pellucid.evaluation.cases import noisy_cases
from pellucid.metrics import find_protocol

GAUSSIAN = find_protocol("gaussian-colour")


def times(factor, identity=None):
    return Candidate(f"times {factor}", lambda degraded: degraded * factor, identity)


def noisy(folder, *sigmas, protocol=GAUSSIAN, seed=0):
    return noisy_cases("set", list_photographs(folder), sigmas, protocol, seed)
