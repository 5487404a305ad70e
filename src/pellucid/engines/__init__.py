"""Engines: a model's networks and its R run by OpenVINO or ONNX Runtime instead of torch, under the same two verbs.

    model = on_engine(model, "openvino")             look and restore as before; what is heavy runs elsewhere
    export(model, folder)                            the same graphs as files, for those who have no torch

What looks at the whole picture (prior, gate, diagnosis) stays in torch: it takes a fiftieth of the time, and must not
depend on the engine.
"""

from pellucid.engines.choice import chosen_engine, eight_bits
from pellucid.engines.known import known_ranges
from pellucid.engines.parts import NetworkOnEngine, RefinementOnEngine, in_torch, on_engine, parts_of

__all__ = [
    "NetworkOnEngine",
    "RefinementOnEngine",
    "chosen_engine",
    "eight_bits",
    "in_torch",
    "known_ranges",
    "on_engine",
    "parts_of",
]
