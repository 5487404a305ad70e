"""A small recipe, to be varied."""

import pytest


@pytest.fixture
def tree(small_pictures):
    return {
        "name": "small",
        "network": {"name": "unet", "settings": {"widths": [8, 8], "blocks": [1, 1]}},
        "prior": {"name": "random:12:7"},
        "refinement": {"name": "ptgrm", "settings": {"width": 4, "blocks": 1}},
        "data": {
            "folder": str(small_pictures(3)),
            "degradations": ["noise sigma=25"],
            "crop": 16,
            "validation": 1,
        },
        "train": {"steps": 2, "batch": 1, "precision": "float32", "seed": 5},
        "distill": {"steps": 1, "batch": 1, "settings": {"size": 32, "channels": [4], "texture": [4]}},
    }
