"""Evaluation: models over sets of photographs, in a named protocol, with paired intervals."""
