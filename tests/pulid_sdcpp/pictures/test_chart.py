from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from pulid_sdcpp.pictures.chart import COLORS, Panel, draw_panels


def rows_of(picture: Image.Image, color: str) -> np.ndarray:
    """The rows of pixels in which a colour occurs, below the legend."""
    found = (np.asarray(picture) == ImageColor.getrgb(color)).all(axis=-1)
    rows = np.flatnonzero(found.any(axis=1))
    return rows[rows > 90]


def test_a_bar_is_as_high_as_its_number() -> None:
    heights = []
    for value in (1.0, 0.5, 0.25):
        picture = draw_panels([[Panel("a", ["x"], {"s": [value]}, bars=True)]])
        rows = rows_of(picture, COLORS[0])
        heights.append(rows.max() - rows.min() + 1)
    full = heights[0]
    assert heights[1] == pytest.approx(full / 2, abs=2)
    assert heights[2] == pytest.approx(full / 4, abs=2)


def test_a_line_goes_through_its_numbers_and_beyond_the_axis_it_ends_there() -> None:
    picture = draw_panels([[Panel("a", ["x", "y"], {"s": [0.0, 5.0]}, high=1)]])
    line = rows_of(picture, COLORS[0])
    bars = rows_of(draw_panels([[Panel("a", ["x"], {"s": [1.0]}, bars=True)]]), COLORS[0])
    assert (line.min(), line.max()) == (
        pytest.approx(bars.min(), abs=5),
        pytest.approx(bars.max(), abs=5),
    )


def test_what_is_not_known_is_not_drawn() -> None:
    panel = Panel("a", ["x", "y"], {"s": [None, None]})
    assert len(rows_of(draw_panels([[panel]]), COLORS[0])) == 0
    assert draw_panels([[Panel("a", [], {})]]).size[0] > 0


def test_rows_may_be_of_different_lengths() -> None:
    panel = Panel("a", ["x"], {"s": [1.0]})
    one, six = draw_panels([[panel]]), draw_panels([[panel], [panel, panel, panel]])
    assert six.width > 2 * one.width
    assert six.height > 1.8 * one.height


def test_nothing_and_numbers_without_a_place_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_panels([])
    with pytest.raises(ValueError, match="s has 2 values for 1 places"):
        draw_panels([[Panel("a", ["x"], {"s": [1.0, 2.0]})]])
