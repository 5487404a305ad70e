"""What is wrong with a photograph, how much, and how sure that is.

    diagnosis = diagnose(image)                 (1, 3, H, W) in [0, 1]
    diagnosis.words()                           "strong noise (severity 48 ± 9), slight JPEG blocking (severity 12 ± 8)"
    diagnosis["noise"].probability              0.997
    diagnosis.nothing_wrong                     False

The degradation encoder looks at the photograph (`priors.degradation_encoder`), `Heads` read its features beside the
photograph's `traces`, and what they say is calibrated on photographs that no training saw: of the kinds given a
probability of 0.8, four in five are there, and an interval of coverage 0.8 holds the severity four times in five.
"""

from pellucid.diagnosis.blocks import block_offset
from pellucid.diagnosis.calibration import conformal_margin, expected_error, fit_temperature, reliability
from pellucid.diagnosis.diagnoser import (
    SMALLEST,
    Diagnoser,
    diagnose,
    features_width,
    load_diagnoser,
    save_diagnoser,
    shows_nothing,
)
from pellucid.diagnosis.findings import UNLIKELY, Diagnosis, Finding, grade, name_of
from pellucid.diagnosis.heads import Heads
from pellucid.diagnosis.prior import DiagnosisPrior, diagnosis_prior
from pellucid.diagnosis.scoring import NOTHING, DiagnosisTrial, Score, score_singles

__all__ = [
    "NOTHING",
    "SMALLEST",
    "UNLIKELY",
    "Diagnoser",
    "Diagnosis",
    "DiagnosisPrior",
    "DiagnosisTrial",
    "Finding",
    "Heads",
    "Score",
    "block_offset",
    "conformal_margin",
    "diagnose",
    "diagnosis_prior",
    "expected_error",
    "features_width",
    "fit_temperature",
    "grade",
    "load_diagnoser",
    "name_of",
    "reliability",
    "save_diagnoser",
    "score_singles",
    "shows_nothing",
]
