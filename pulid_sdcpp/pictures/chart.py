"""Small charts drawn with Pillow, which is installed anyway: lines and grouped bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

__all__ = ["COLORS", "Panel", "draw_panels"]

COLORS = ("#1f6feb", "#bf8700", "#2da44e", "#cf222e", "#8250df", "#57606a")
"""Of the series of a panel, in their order."""
_INK, _FAINT, _PAPER = "#1f2328", "#d8dee4", "#ffffff"

# Pixels.
_PANEL_WIDTH, _PANEL_HEIGHT = 560, 420
_MARGIN = 24
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 84, 40
_TITLE_SIZE, _TEXT_SIZE, _NUMBER_SIZE = 20, 15, 12
_LINE_WIDTH, _DOT = 3, 4


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: Above it.
        labels: Under the places of the x axis, which are equally far apart; as many of them are
            written as there is room for.
        series: By name, a number for each place; None leaves it empty.
        bars: Grouped bars, not lines.
        numbers: Whether each bar has its number above it.
        low, high: Of the y axis.
        intervals: Between the lines across.
    """

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    bars: bool = False
    numbers: bool = False
    low: float = 0.0
    high: float = 1.0
    intervals: int = 5


def draw_panels(rows: Sequence[Sequence[Panel]]) -> Image.Image:
    """Draw charts in rows.

    Raises:
        ValueError: There are none, or one has a series of another length than its labels.
    """
    from PIL import Image, ImageDraw

    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise ValueError("nothing to draw: there is no panel")
    size = (columns * _PANEL_WIDTH + 2 * _MARGIN, len(rows) * _PANEL_HEIGHT + 2 * _MARGIN)
    picture = Image.new("RGB", size, _PAPER)
    canvas = ImageDraw.Draw(picture)
    for y, row in enumerate(rows):
        for x, panel in enumerate(row):
            corner = (_MARGIN + x * _PANEL_WIDTH, _MARGIN + y * _PANEL_HEIGHT)
            _Chart(canvas, panel, corner).draw()
    return picture


class _Chart:
    """One panel being drawn, its top left corner at `corner`."""

    def __init__(self, canvas: ImageDraw.ImageDraw, panel: Panel, corner: tuple[int, int]) -> None:
        from PIL import ImageFont

        for name, values in panel.series.items():
            if len(values) != len(panel.labels):
                raise ValueError(f"{name} has {len(values)} values for {len(panel.labels)} places")
        self._canvas, self._panel, self._corner = canvas, panel, corner
        self._text = ImageFont.load_default(_TEXT_SIZE)
        self._number = ImageFont.load_default(_NUMBER_SIZE)
        self._title = ImageFont.load_default(_TITLE_SIZE)
        self._x0, self._x1 = corner[0] + _LEFT, corner[0] + _PANEL_WIDTH - _RIGHT
        self._y0, self._y1 = corner[1] + _TOP, corner[1] + _PANEL_HEIGHT - _BOTTOM

    def draw(self) -> None:
        self._axes()
        for index, values in enumerate(self._panel.series.values()):
            color = COLORS[index % len(COLORS)]
            if self._panel.bars:
                self._bars(values, index, color)
            else:
                self._line(values, color)
        self._legend()

    def _axes(self) -> None:
        panel, canvas = self._panel, self._canvas
        canvas.text(self._corner, panel.title, _INK, self._title)
        for tick in range(panel.intervals + 1):
            value = panel.low + (panel.high - panel.low) * tick / panel.intervals
            value = round(value, 9)  # -0.2 + 0.2 is no zero otherwise
            y = self._y(value)
            canvas.line((self._x0, y, self._x1, y), _FAINT)
            canvas.text((self._x0 - 8, y), _short(value), _INK, self._text, anchor="rm")
        widest = max((self._text.getlength(label) for label in panel.labels), default=0) + 12
        room = (self._x1 - self._x0) / max(len(panel.labels), 1)
        every = max(1, -int(-widest // room))
        for index in range(0, len(panel.labels), every):
            place = (self._x(index), self._y1 + 8)
            canvas.text(place, panel.labels[index], _INK, self._text, anchor="mt")

    def _legend(self) -> None:
        x, y = self._x0, self._corner[1] + _TITLE_SIZE + 22
        for index, name in enumerate(self._panel.series):
            color = COLORS[index % len(COLORS)]
            self._canvas.rectangle((x, y, x + _TEXT_SIZE, y + _TEXT_SIZE), color)
            self._canvas.text((x + _TEXT_SIZE + 6, y), name, _INK, self._text)
            x += _TEXT_SIZE + 26 + int(self._text.getlength(name))

    def _line(self, values: Sequence[float | None], color: str) -> None:
        before: tuple[float, float] | None = None
        for index, value in enumerate(values):
            if value is None:
                before = None
                continue
            here = (self._x(index), self._y(value))
            if before is not None:
                self._canvas.line((*before, *here), color, _LINE_WIDTH)
            x, y = here
            self._canvas.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), color)
            before = here

    def _bars(self, values: Sequence[float | None], series: int, color: str) -> None:
        room = (self._x1 - self._x0) / max(len(values), 1)
        width = 0.8 * room / len(self._panel.series)
        for index, value in enumerate(values):
            if value is None:
                continue
            left, y = self._x(index) - 0.4 * room + series * width, self._y(value)
            self._canvas.rectangle((left, y, left + width - 1, self._y1), color)
            if self._panel.numbers:
                place = (left + width / 2, y - 4)
                self._canvas.text(place, _short(value), _INK, self._number, anchor="mb")

    def _x(self, index: int) -> float:
        return self._x0 + (index + 0.5) * (self._x1 - self._x0) / max(len(self._panel.labels), 1)

    def _y(self, value: float) -> float:
        share = (value - self._panel.low) / (self._panel.high - self._panel.low)
        return self._y1 - min(max(share, 0.0), 1.0) * (self._y1 - self._y0)


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"
