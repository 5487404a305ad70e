"""Photographs edited as people say: coloured by words or by another picture, and filled where something is missing."""
