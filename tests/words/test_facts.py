"""What is said of a picture holds of pictures painted so."""

import pytest
import torch

from pellucid.images.lab import lab_of
from pellucid.words.facts import COLOURS, PLACES, measured, named

PAINTS = {
    "black": (0.02, 0.02, 0.02),
    "grey": (0.5, 0.5, 0.5),
    "white": (0.98, 0.98, 0.98),
    "red": (0.8, 0.1, 0.1),
    "orange": (0.95, 0.55, 0.1),
    "yellow": (0.95, 0.9, 0.1),
    "green": (0.2, 0.6, 0.2),
    "turquoise": (0.2, 0.75, 0.75),
    "blue": (0.15, 0.3, 0.85),
    "purple": (0.5, 0.15, 0.65),
    "pink": (0.95, 0.6, 0.75),
    "brown": (0.4, 0.25, 0.12),
    "beige": (0.87, 0.78, 0.62),
}


def painted(*parts):
    """A picture of horizontal bands of these paints."""
    return torch.cat([torch.tensor(PAINTS[part]).view(1, 3, 1, 1).expand(1, 3, 20, 64) for part in parts], 2)


def test_every_colour_has_a_paint_that_is_called_so():
    assert set(PAINTS) == set(COLOURS)
    for colour in COLOURS:
        assert COLOURS[int(named(lab_of(painted(colour)))[0, 3, 3])] == colour


def test_every_pixel_of_the_cube_has_a_name_and_places_sum_to_one():
    image = torch.rand(1, 3, 40, 30)
    names = named(lab_of(image))
    assert names.min() >= 0
    assert names.max() < len(COLOURS)
    torch.testing.assert_close(measured(image).shares.sum(1), torch.ones(len(PLACES)))


def test_colours_are_where_they_are():
    facts = measured(painted("blue", "grey", "green"))
    assert facts.share("above", "blue") > 0.9
    assert facts.share("below", "green") > 0.9
    assert facts.share("above", "green") == 0
    assert facts.share("whole", "grey") == pytest.approx(1 / 3, abs=0.05)
    side = torch.cat([painted("red"), painted("white")], 3)
    assert measured(side).share("left", "red") == 1
    assert measured(side).share("right", "red") == 0


def test_light_and_texture():
    flat = measured(painted("grey")).tones
    assert {"smooth", "low contrast", "colourless"} <= flat
    assert "dark" in measured(painted("black")).tones
    assert "bright" in measured(painted("white")).tones
    assert "detailed" in measured((torch.rand(1, 1, 128, 128) > 0.5).float().expand(1, 3, -1, -1)).tones
    assert "high contrast" in measured(painted("white", "black")).tones
    assert "vivid" in measured(painted("red", "blue")).tones


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 2), (700, 500)])
def test_any_size(size):
    assert measured(torch.rand(1, 3, *size)).shares.isfinite().all()


def test_what_is_no_picture_is_refused():
    for shape in ((3, 5, 5), (2, 3, 5, 5), (1, 1, 5, 5), (1, 3, 0, 5)):
        with pytest.raises(ValueError, match="expected a picture"):
            measured(torch.zeros(shape))
