"""Bars of the comparisons, drawn with Pillow: it is installed anyway, and bars are rectangles."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from measured import Comparison

__all__ = ["COLORS", "draw"]

COLORS = ("#9aa3ad", "#1f6feb", "#2da44e", "#bf8700")
"""Of the series, in their order: the first is what the others are compared with."""
INK, PAPER = "#1f2328", "#ffffff"

# Pixels.
WIDTH = 1600
MARGIN = 40
COLUMNS = 2
LABEL_WIDTH = 190
NUMBER_WIDTH = 110
BAR = 26
BETWEEN_BARS = 4
BETWEEN_ROWS = 16
TITLE_HEIGHT = 56
LEGEND_HEIGHT = 36
PANEL_GAP = 40
TITLE_SIZE, TEXT_SIZE = 26, 20


def draw(comparisons: Sequence[Comparison]) -> Image.Image:
    """One panel per comparison, two side by side; bars of a panel share a scale from 0.

    Raises:
        ValueError: Nothing to draw.
    """
    if not comparisons:
        raise ValueError("nothing to draw: no comparison is marked for it")
    bands = [comparisons[i : i + COLUMNS] for i in range(0, len(comparisons), COLUMNS)]
    heights = [max(map(_height, band)) for band in bands]
    total = 2 * MARGIN + sum(heights) + PANEL_GAP * (len(bands) - 1)
    picture = Image.new("RGB", (WIDTH, total), PAPER)
    canvas = ImageDraw.Draw(picture)
    panel_width = (WIDTH - 2 * MARGIN - PANEL_GAP * (COLUMNS - 1)) // COLUMNS
    top = MARGIN
    for band, height in zip(bands, heights, strict=True):
        for column, comparison in enumerate(band):
            left = MARGIN + column * (panel_width + PANEL_GAP)
            _panel(canvas, comparison, left, top, panel_width)
        top += height + PANEL_GAP
    return picture


def _height(comparison: Comparison) -> int:
    row = len(comparison.series) * (BAR + BETWEEN_BARS) + BETWEEN_ROWS
    return TITLE_HEIGHT + LEGEND_HEIGHT + len(comparison.rows) * row


def _panel(
    canvas: ImageDraw.ImageDraw, comparison: Comparison, left: int, top: int, width: int
) -> None:
    text = ImageFont.load_default(TEXT_SIZE)
    title = f"{comparison.title} ({comparison.unit})"
    canvas.text((left, top), title, INK, ImageFont.load_default(TITLE_SIZE))
    x, y = left + LABEL_WIDTH, top + TITLE_HEIGHT
    for name, color in zip(comparison.series, COLORS, strict=False):
        canvas.rectangle((x, y, x + TEXT_SIZE, y + TEXT_SIZE), color)
        canvas.text((x + TEXT_SIZE + 8, y), name, INK, text)
        x += TEXT_SIZE + 40 + int(text.getlength(name))
    y += LEGEND_HEIGHT
    known = [value for _, numbers in comparison.rows for value in numbers if value is not None]
    scale = (width - LABEL_WIDTH - NUMBER_WIDTH) / max([*known, 1e-9])
    for label, numbers in comparison.rows:
        canvas.text((left, y), label, INK, text)
        for value, color in zip(numbers, COLORS, strict=False):
            if value is not None:
                start = left + LABEL_WIDTH
                end = start + max(1, round(value * scale))
                canvas.rectangle((start, y, end, y + BAR), color)
                canvas.text((end + 8, y), f"{value:.3g}" if value < 1000 else f"{value:,.0f}",
                            INK, text)  # fmt: skip
            y += BAR + BETWEEN_BARS
        y += BETWEEN_ROWS
