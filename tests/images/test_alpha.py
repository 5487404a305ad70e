"""Alpha, and the colours that it hides."""

import numpy as np
import torch
from PIL import Image

from pellucid.images import fill_hidden, read, visible_part, write
from support.pictures import SIZE


def test_hidden_colours_do_not_bleed():
    alpha = torch.zeros(1, 1, *SIZE)
    alpha[..., 5:30, 7:40] = 1
    alpha[..., 10:12, 10:12] = 0
    pixels = torch.where(alpha > 0, torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1), torch.rand(1, 3, *SIZE))
    filled = fill_hidden(pixels, alpha)
    torch.testing.assert_close(filled, torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand_as(pixels))
    gradient = torch.linspace(0, 1, 53).expand(1, 3, *SIZE)
    torch.testing.assert_close(
        fill_hidden(gradient, alpha)[alpha.expand_as(pixels) > 0], gradient[alpha.expand_as(pixels) > 0]
    )
    near = fill_hidden(gradient, alpha)[..., 5:30, 40]
    assert (near - gradient[0, 0, 0, 39]).abs().max() < 0.1
    assert fill_hidden(pixels, torch.ones_like(alpha)) is pixels
    assert fill_hidden(pixels, torch.zeros_like(alpha)).abs().max() == 0


def test_alpha_survives_and_hidden_colours_are_filled_on_reading(tmp_path):
    array = np.full((*SIZE, 4), 200, np.uint8)
    array[:, :20] = (255, 0, 0, 0)
    array[:, 20:25, 3] = 128
    Image.fromarray(array).save(tmp_path / "a.png")
    photograph = read(tmp_path / "a.png")
    assert (photograph.pixels * 255 - 200).abs().max() < 0.01
    write(photograph, tmp_path / "b.png")
    again = np.asarray(Image.open(tmp_path / "b.png"))
    np.testing.assert_array_equal(again[..., 3], array[..., 3])
    np.testing.assert_array_equal(again[:, 20:], array[:, 20:])
    write(photograph, tmp_path / "c.jpg")
    flat = np.asarray(Image.open(tmp_path / "c.jpg")).astype(int)
    assert np.abs(flat[:, 2:10] - 255).max() <= 2
    assert np.abs(flat[:, 40:] - (200 * 200 / 255 + 55)).max() <= 2
    large = photograph.with_pixels(torch.rand(1, 3, 74, 106))
    assert large.alpha is not None
    assert large.alpha.shape == (1, 1, 74, 106)
    assert torch.equal(large.alpha[..., :38], torch.zeros(1, 1, 74, 38))
    assert torch.equal(large.alpha[..., 52:], torch.ones(1, 1, 74, 54) * 200 / 255)


def rectangles(visible):
    """Areas of all rectangles of visible cells, by brute force."""
    height, width = visible.shape
    for top in range(height):
        for bottom in range(top + 1, height + 1):
            for left in range(width):
                for right in range(left + 1, width + 1):
                    if visible[top:bottom, left:right].all():
                        yield (bottom - top) * (right - left)


def test_the_visible_part_is_the_largest_rectangle():
    generator = np.random.default_rng(0)
    for density in (0.2, 0.5, 0.8, 0.95):
        cells = generator.random((9, 7)) < density
        alpha = torch.from_numpy(np.kron(cells, np.ones((8, 8)))).float()[None, None]
        rows, columns = visible_part(alpha)
        assert alpha[..., rows, columns].min() == 1
        assert (rows.stop - rows.start) * (columns.stop - columns.start) == 64 * max(rectangles(cells))
        assert rows.start % 8 == columns.start % 8 == 0


def test_what_hides_nothing_or_everything_has_no_part():
    assert visible_part(torch.full((1, 1, 30, 20), 0.01)) is None
    assert visible_part(torch.zeros(1, 1, 30, 20)) is None
    alpha = torch.ones(1, 1, 37, 53)
    alpha[..., 3, :] = 0
    assert visible_part(alpha) == (slice(8, 37), slice(0, 53))
    large = torch.ones(1, 1, 3000, 20)
    large[..., 0, 0] = 0
    assert visible_part(large) == (slice(24, 3000), slice(0, 20))
