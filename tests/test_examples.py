"""The examples of the repository run: on a small picture, what they write is read back and looked at."""

import demo
import numpy as np
import skimage.data
from PIL import Image

ASTRONAUT = skimage.data.astronaut()[100:196, 180:276]
"""A photograph of scikit-image, small enough for a test."""


def to_array(path):
    """The values of a picture, 0 to 255."""
    with Image.open(path) as picture:
        return np.asarray(picture, float)


def test_demo_writes_restored_pictures_and_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(skimage.data, "astronaut", lambda: ASTRONAUT)
    monkeypatch.setattr(demo, "CASES", {"astronaut": ("noise sigma=50",)})
    demo.demonstrate(tmp_path)
    clean = ASTRONAUT.astype(float)
    degraded, restored = (to_array(tmp_path / f"astronaut-noise-{label}.png") for label in ("degraded", "restored"))
    errors = [((picture - clean) ** 2).mean() for picture in (degraded, restored)]
    assert errors[1] < errors[0] / 4  # 6 dB at least
    assert (tmp_path / "contact-sheet.png").exists()
    said = capsys.readouterr().out
    assert "network alone" in said
    assert "boosted" in said


def test_demo_restores_a_photograph_of_the_users_own(tmp_path):
    photo = tmp_path / "péché.png"
    Image.fromarray(ASTRONAUT).save(photo)
    demo.restore_one(photo, tmp_path / "out")
    with Image.open(tmp_path / "out" / "péché.png") as written:
        assert written.size == (96, 96)
    assert (tmp_path / "out" / "péché-compared.png").exists()
