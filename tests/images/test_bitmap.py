"""BMP, against files put together byte by byte from the format's definition."""

import struct

import numpy as np
import pytest

from pellucid import images
from pellucid.errors import ImageError
from support.pictures import SIZE, integers, noise


def bitmap(array: np.ndarray, palette: bytes = b"") -> bytes:
    """(H, W) of 8 bits with a palette, or (H, W, 3) RGB, as a bottom-up BMP with rows padded to four bytes."""
    height, width = array.shape[:2]
    rows = array[::-1, :, ::-1] if array.ndim == 3 else array[::-1]
    data = b"".join(row.tobytes() + bytes(-row.nbytes % 4) for row in rows)
    start = 14 + 40 + len(palette)
    header = struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start)
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 24 if array.ndim == 3 else 8, 0, 0, 11811, 11811, len(palette) // 4, 0
    )
    return header + info + palette + data


GREYS = bytes(value for level in range(256) for value in (level, level, level, 0))


@pytest.mark.parametrize("size", [(1, 1), SIZE])
@pytest.mark.parametrize("channels", [1, 3])
def test_bmp_is_read_and_written_exactly(tmp_path, size, channels):
    array = noise(*size, *((3,) if channels == 3 else ()))
    path = tmp_path / "é.bmp"
    path.write_bytes(bitmap(array, b"" if channels == 3 else GREYS))
    photograph = images.read(path)
    expected = array if channels == 3 else array[..., None].repeat(3, 2)
    np.testing.assert_array_equal(integers(photograph.pixels), expected)
    assert (photograph.grey, photograph.bits, photograph.format) == (channels == 1, 8, "bmp")
    assert photograph.metadata.dpi == pytest.approx((300, 300), abs=0.1)
    images.write(photograph, tmp_path / "again.bmp")
    again = images.read(tmp_path / "again.bmp")
    np.testing.assert_array_equal(integers(again.pixels), expected)
    assert again.grey == photograph.grey
    assert again.metadata.dpi == pytest.approx((300, 300), abs=0.1)


def test_a_palette_of_colours_is_read_as_colour(tmp_path):
    array = noise(*SIZE) % 4
    palette = bytes([0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 9, 9, 9, 0])  # red, green, blue, grey; stored as BGR0
    (tmp_path / "p.bmp").write_bytes(bitmap(array, palette))
    photograph = images.read(tmp_path / "p.bmp")
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]])
    assert not photograph.grey
    np.testing.assert_array_equal(integers(photograph.pixels), colours[array])


@pytest.mark.parametrize("kept", [2, 20, 100, 5000])
def test_a_damaged_bmp_is_one_line(tmp_path, kept):
    (tmp_path / "d.bmp").write_bytes(bitmap(noise(*SIZE, 3))[:kept])
    with pytest.raises(ImageError, match=r"d\.bmp: ") as caught:
        images.read(tmp_path / "d.bmp")
    assert "\n" not in str(caught.value)
