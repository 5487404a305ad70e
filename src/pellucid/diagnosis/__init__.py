"""What is wrong with a photograph, how much, and how sure that is.

    diagnosis = diagnose(image)                 (1, 3, H, W) in [0, 1]
    diagnosis.words()                           "strong noise (severity 48 ± 9), slight JPEG blocking (severity 12 ± 8)"
    diagnosis["noise"].probability              0.997
    diagnosis.nothing_wrong                     False

The degradation encoder looks at the photograph (`priors.degradation_encoder`), `Heads` read its features beside the
photograph's `traces`, and what they say is calibrated on photographs that no training saw: of the kinds given a
probability of 0.8, four in five are there, and an interval of coverage 0.8 holds the severity four times in five.
"""

from pellucid.diagnosis.aberration import find_fringes
from pellucid.diagnosis.banding import find_bands
from pellucid.diagnosis.blocks import block_offset
from pellucid.diagnosis.calibration import conformal_margin, expected_error, fit_temperature, reliability
from pellucid.diagnosis.colour_cast import find_colour_cast
from pellucid.diagnosis.diagnoser import (
    SMALLEST,
    Diagnoser,
    diagnose,
    features_width,
    load_diagnoser,
    save_diagnoser,
    shows_nothing,
)
from pellucid.diagnosis.findings import UNLIKELY, Diagnosis, Finding, Measured, grade, name_of
from pellucid.diagnosis.heads import Heads
from pellucid.diagnosis.impulses import Impulses, find_impulses
from pellucid.diagnosis.measured import measure, measure_with
from pellucid.diagnosis.prior import DiagnosisPrior, diagnosis_prior
from pellucid.diagnosis.scoring import NOTHING, DiagnosisTrial, Score, score_singles
from pellucid.diagnosis.tonal_range import find_fading

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
    "Impulses",
    "Measured",
    "Score",
    "block_offset",
    "conformal_margin",
    "diagnose",
    "diagnosis_prior",
    "expected_error",
    "features_width",
    "find_bands",
    "find_colour_cast",
    "find_fading",
    "find_fringes",
    "find_impulses",
    "fit_temperature",
    "grade",
    "load_diagnoser",
    "measure",
    "measure_with",
    "name_of",
    "reliability",
    "save_diagnoser",
    "score_singles",
    "shows_nothing",
]
