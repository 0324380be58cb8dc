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
        picture = draw_panels([[Panel("a", ["x"], {"s": [value]}, bars=True, include=[1])]])
        rows = rows_of(picture, COLORS[0])
        heights.append(rows.max() - rows.min() + 1)
    full = heights[0]
    assert heights[1] == pytest.approx(full / 2, abs=2)
    assert heights[2] == pytest.approx(full / 4, abs=2)


def test_the_axis_reaches_around_all_values() -> None:
    """A dot below zero is drawn where it is, not at the axis's end."""
    panel = Panel("a", ["x"], {"s": [-0.24], "t": [-0.2]}, include=(0.0, 1.0))
    picture = draw_panels([[panel]])
    lower, upper = (rows_of(picture, color).max() for color in COLORS[:2])
    assert lower > upper + 5
    ends = Panel("a", ["x"], {"s": [5.0]}, bars=True, include=(0.0, 1.0))
    assert len(rows_of(draw_panels([[ends]]), COLORS[0])) > 250


@pytest.mark.parametrize("value", [0.5, -0.5])
def test_bars_lie_too_and_go_both_ways_from_zero(value: float) -> None:
    panel = Panel("a", ["a long label " * 9], {"s": [value]}, bars=True, lying=True,
                  include=(-1.0, 1.0))  # fmt: skip
    picture = np.asarray(draw_panels([[panel]]))
    found = (picture == ImageColor.getrgb(COLORS[0])).all(axis=-1)
    found[:90] = False
    columns = np.flatnonzero(found.any(axis=0))
    assert columns[-1] - columns[0] == pytest.approx(74, abs=4)


def test_a_panel_of_many_lying_bars_is_higher() -> None:
    few, many = (
        draw_panels([[Panel("a", ["x"] * n, {"s": [1.0] * n}, bars=True, lying=True)]])
        for n in (2, 40)
    )
    assert many.height > few.height + 500
    assert many.width == few.width


def test_labels_of_a_histogram_stand_between_its_bars() -> None:
    draw_panels([[Panel("a", ["0", "1", "2"], {"s": [0.5, 1.0]}, bars=True, edges=True)]])
    with pytest.raises(ValueError, match="s has 3 values for 2 places"):
        draw_panels([[Panel("a", ["0", "1", "2"], {"s": [0.5, 1.0, 1]}, bars=True, edges=True)]])


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
