"""Ablations: variants of a recipe (arms), trained and scored alike, and the table that says what each part is worth."""
