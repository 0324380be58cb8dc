"""Small charts drawn with Pillow, which is installed anyway: lines, bars, histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .axis import round_axis
from .lettering import Lettering

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

__all__ = ["COLORS", "Panel", "draw_panels"]

COLORS = ("#1f6feb", "#bf8700", "#2da44e", "#cf222e", "#8250df", "#57606a")
"""Of the series of a panel, in their order."""
_INK, _FAINT, _PAPER = "#1f2328", "#d8dee4", "#ffffff"

# Pixels.
_PANEL_WIDTH, _PANEL_HEIGHT = 560, 420
_MARGIN = 24
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 66, 34
_LABELS_WIDTH = 190
_LINE_WIDTH, _DOT = 3, 4
_BAR_HEIGHT, _LABEL_LINES = 16, 3
_GAP = 8


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: Above it.
        labels: Of the places along the x axis, which are equally far apart; as many of them are
            written as there is room for.
        series: By name, a number for each place; None leaves it empty.
        bars: Grouped bars from 0, not lines.
        lying: Whether the places go down and the bars to the right: there is room for long labels.
        numbers: Whether each bar has its number at its end.
        edges: Whether the labels stand between the bars, as those of a histogram: there is one
            more of them than of bars.
        include: What the axis of the values has on it in any case; it reaches around all values.
        x_title, y_title: Under the x axis, and above the y axis.
    """

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    bars: bool = False
    lying: bool = False
    numbers: bool = False
    edges: bool = False
    include: Sequence[float] = (0.0,)
    x_title: str = ""
    y_title: str = ""


def draw_panels(rows: Sequence[Sequence[Panel]]) -> Image.Image:
    """Draw charts in rows.

    Raises:
        ValueError: There are none, or one has a series of another length than its labels.
    """
    from PIL import Image, ImageDraw

    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise ValueError("nothing to draw: there is no panel")
    charts = [[_Chart(panel) for panel in row] for row in rows if row]
    heights = [max(chart.height for chart in row) for row in charts]
    size = (columns * _PANEL_WIDTH + 2 * _MARGIN, sum(heights) + 2 * _MARGIN)
    picture = Image.new("RGB", size, _PAPER)
    canvas = ImageDraw.Draw(picture)
    top = _MARGIN
    for row, height in zip(charts, heights, strict=True):
        for column, chart in enumerate(row):
            chart.draw(picture, canvas, (_MARGIN + column * _PANEL_WIDTH, top), height)
        top += height
    return picture


class _Chart:
    """One panel, and how it is drawn."""

    def __init__(self, panel: Panel) -> None:
        places = len(panel.labels) - panel.edges
        for name, values in panel.series.items():
            if len(values) != places:
                raise ValueError(f"{name} has {len(values)} values for {places} places")
        self._panel = panel
        self._places = max(places, 1)
        self._title, self._text, self._number = Lettering(20), Lettering(15), Lettering(12)
        known = [value for values in panel.series.values() for value in values if value is not None]
        include = [0.0, *panel.include] if panel.bars else panel.include
        if panel.numbers and not panel.lying:  # there is room for them above the bars
            known.append(1.05 * max([0.0, *known]))
        self._axis = round_axis(known, include)
        self._legend = self._legend_lines()
        self._labels = [
            self._text.wrapped(label, _LABELS_WIDTH, _LABEL_LINES) if panel.lying else [label]
            for label in panel.labels
        ]
        # Of a place of lying bars: as high as its bars, and as its label.
        lines = max(map(len, self._labels), default=1)
        bars = _BAR_HEIGHT * max(len(panel.series), 1)
        self._place_px = max(bars, lines * self._text.line_px) + 2 * _GAP

    @property
    def height(self) -> int:
        """How many pixels it needs."""
        if not self._panel.lying:
            return _PANEL_HEIGHT
        return max(_PANEL_HEIGHT, self._top + self._places * self._place_px + self._bottom)

    @property
    def _top(self) -> int:
        """Height of what is above the axes."""
        title = self._panel.x_title if self._panel.lying else self._panel.y_title
        lines = len(self._legend) + bool(title)
        return self._title.line_px + _GAP + lines * (self._text.line_px + 4) + _GAP

    @property
    def _bottom(self) -> int:
        title = self._text.line_px if self._panel.x_title and not self._panel.lying else 0
        return _BOTTOM + title + _MARGIN // 2

    def draw(
        self,
        picture: Image.Image,
        canvas: ImageDraw.ImageDraw,
        corner: tuple[int, int],
        height: int,
    ) -> None:
        """Draw it with its top left corner at `corner`."""
        self._picture, self._canvas = picture, canvas
        left = _LABELS_WIDTH + 2 * _GAP if self._panel.lying else _LEFT
        self._x0, self._x1 = corner[0] + left, corner[0] + _PANEL_WIDTH - _MARGIN - _RIGHT
        self._y0, self._y1 = corner[1] + self._top, corner[1] + height - self._bottom
        if self._panel.lying:
            self._y1 = self._y0 + self._places * self._place_px
        self._head(corner)
        self._grid()
        self._place_labels()
        for index, values in enumerate(self._panel.series.values()):
            color = COLORS[index % len(COLORS)]
            if self._panel.bars:
                self._bars(values, index, color)
            else:
                self._line(values, color)

    def _head(self, corner: tuple[int, int]) -> None:
        """Title, legend, and what the values are."""
        panel, line = self._panel, self._text.line_px + 4
        width = _PANEL_WIDTH - _MARGIN
        self._write(self._title, corner, self._title.cut(panel.title, width))
        y = corner[1] + self._title.line_px + _GAP
        for names in self._legend:
            x = float(corner[0])
            for index, name in names:
                color = COLORS[index % len(COLORS)]
                self._canvas.rectangle((x, y + 2, x + 13, y + 15), color)
                self._write(self._text, (x + 20, y), name)
                x += self._legend_width(name)
            y += line
        if title := panel.x_title if panel.lying else panel.y_title:
            self._write(self._text, (corner[0], y), title)
        if panel.x_title and not panel.lying:
            middle = (self._x0 + self._x1) / 2
            place = (middle, self._y1 + _GAP + self._text.line_px + 4)
            self._write(self._text, place, panel.x_title, "ma")

    def _legend_lines(self) -> list[list[tuple[int, str]]]:
        """The names of the series with their numbers, in as many lines as they need."""
        lines: list[list[tuple[int, str]]] = []
        left = 0.0
        for index, name in enumerate(self._panel.series):
            width = self._legend_width(name)
            if not lines or left + width > _PANEL_WIDTH - _MARGIN:
                lines.append([])
                left = 0.0
            lines[-1].append((index, name))
            left += width
        return lines

    def _legend_width(self, name: str) -> float:
        return 40 + self._text.width(name)

    def _grid(self) -> None:
        """The values' axis, with a faint line at each of its numbers."""
        for value, text in self._axis.ticks:
            if self._panel.lying:
                x = self._along(value)
                self._canvas.line((x, self._y0, x, self._y1), _FAINT)
                self._write(self._text, (x, self._y1 + _GAP), text, "ma")
            else:
                y = self._along(value)
                self._canvas.line((self._x0, y, self._x1, y), _FAINT)
                self._write(self._text, (self._x0 - _GAP, y), text, "rm")

    def _place_labels(self) -> None:
        if self._panel.lying:
            for index, lines in enumerate(self._labels):
                height = len(lines) * self._text.line_px
                y = self._place(index) - height / 2
                for number, text in enumerate(lines):
                    self._write(
                        self._text,
                        (self._x0 - _GAP, y + number * self._text.line_px),
                        text,
                        "ra",
                    )
            return
        labels = self._panel.labels
        widest = max(map(self._text.width, labels), default=0.0) + 12
        every = max(1, -int(-widest // self._room))
        shift = 0.5 if self._panel.edges else 0.0
        for index in range(0, len(labels), every):
            place = (self._place(index - shift), self._y1 + _GAP)
            self._write(self._text, place, labels[index], "ma")

    def _line(self, values: Sequence[float | None], color: str) -> None:
        before: tuple[float, float] | None = None
        for index, value in enumerate(values):
            if value is None:
                before = None
                continue
            here = (self._place(index), self._along(value))
            if before is not None:
                self._canvas.line((*before, *here), color, _LINE_WIDTH)
            x, y = here
            self._canvas.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), color)
            before = here

    def _bars(self, values: Sequence[float | None], series: int, color: str) -> None:
        panel = self._panel
        share = 1.0 if panel.edges else 0.8
        thick = min(share * self._room / len(panel.series), 90.0)
        first = -thick * len(panel.series) / 2 + series * thick
        zero = self._along(0.0)
        for index, value in enumerate(values):
            if value is None or (value == 0 and panel.edges):
                continue
            side, end = self._place(index) + first, self._along(value)
            across = (side, side + thick - 1)
            if panel.lying:
                self._canvas.rectangle(
                    (min(zero, end), across[0], max(zero, end), across[1]), color
                )
            else:
                self._canvas.rectangle(
                    (across[0], min(zero, end), across[1], max(zero, end)), color
                )
            if panel.numbers and panel.lying:
                self._write(self._number, (end + 4, sum(across) / 2), _short(value), "lm")
            elif panel.numbers:
                self._write(
                    self._number, (sum(across) / 2, min(zero, end) - 2), _short(value), "mb"
                )

    @property
    def _room(self) -> float:
        """Pixels of a place."""
        length = self._y1 - self._y0 if self._panel.lying else self._x1 - self._x0
        return length / self._places

    def _place(self, index: float) -> float:
        """The middle of a place."""
        return (self._y0 if self._panel.lying else self._x0) + (index + 0.5) * self._room

    def _along(self, value: float) -> float:
        """Where a value is on its axis."""
        share = self._axis.share(value)
        if self._panel.lying:
            return self._x0 + share * (self._x1 - self._x0)
        return self._y1 - share * (self._y1 - self._y0)

    def _write(
        self, letters: Lettering, place: tuple[float, float], text: str, anchor: str = "la"
    ) -> None:
        letters.draw(self._picture, place, text, _INK, anchor)


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"
