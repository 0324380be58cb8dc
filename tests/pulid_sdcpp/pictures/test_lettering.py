"""Text as it is drawn on sheets and charts."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.pictures import lettering
from pulid_sdcpp.pictures.lettering import Lettering


def ink(text: str, size_px: float, anchor: str = "la") -> np.ndarray:
    """Which columns of pixels have ink, of a text drawn at (100, 40)."""
    picture = Image.new("L", (400, 80), 255).convert("RGB")
    Lettering(size_px).draw(picture, (100, 40), text, (0, 0, 0), anchor)
    return np.flatnonzero((np.asarray(picture)[..., 0] < 200).any(axis=0))


@pytest.mark.parametrize("size_px", [10, 10.5, 12, 15, 39])
def test_words_stand_further_apart_than_letters(size_px: float) -> None:
    gaps = np.diff(ink("photo of a person", size_px)) - 1
    widest = sorted(gaps)[::-1]
    assert min(widest[:3]) >= 0.25 * size_px  # between the four words
    assert max(widest[3:]) <= 0.15 * size_px


@pytest.mark.parametrize(("anchor", "left", "right"), [("la", 100, 0), ("ra", 0, 100)])
def test_a_text_begins_or_ends_at_its_place(anchor: str, left: int, right: int) -> None:
    columns = ink("reference", 20, anchor)
    if left:
        assert columns[0] == pytest.approx(left, abs=3)
    else:
        assert columns[-1] == pytest.approx(right, abs=3)
    assert columns[-1] - columns[0] == pytest.approx(Lettering(20).width("reference"), abs=4)


def test_long_text_is_wrapped_and_then_cut() -> None:
    letters = Lettering(12)
    lines = letters.wrapped("one two three four five six seven eight", 60, 3)
    assert len(lines) == 3
    assert lines[0].startswith("one")
    assert lines[-1].endswith("...")
    assert all(letters.width(line) <= 60 for line in lines)
    assert letters.wrapped("", 60, 3) == []


def test_letters_that_no_font_has_lose_their_accents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_system_fonts", tuple)
    assert lettering._known("Zo\u00eb \u65e5") == "Zoe ?"
    assert np.array_equal(ink("Zo\u00eb", 20), ink("Zoe", 20))
