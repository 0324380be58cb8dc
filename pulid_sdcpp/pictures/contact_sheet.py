"""Many pictures on one: rows and columns, titles above, a caption under each.

sheet = contact_sheet(
    [[SheetCell(photo, "Alice"), SheetCell(picture, "0.83")]],
    ["reference", "on a beach at sunset"],
)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

__all__ = ["SheetCell", "contact_sheet", "fitted"]

MIN_CELL_PX = 64
"""Narrower, hardly a word fits above a column."""

_PAPER = (255, 255, 255)
_INK = (40, 40, 40)
_EMPTY = (236, 236, 236)
_MAX_TITLE_LINES = 5


@dataclass(frozen=True)
class SheetCell:
    """One place on the sheet.

    Attributes:
        image: Of any size and mode; fitted into the place, never cropped. None: an empty place.
        caption: One line under it, cut off where it is too long.
    """

    image: Image.Image | None
    caption: str = ""


@dataclass(frozen=True)
class _Measures:
    """Sizes in pixels that follow from the side of a cell."""

    cell: int
    line: int
    gap: int
    titles: int
    """Height of the titles with the gap below them."""
    apart: int
    """By how much the first column is set apart."""

    def left(self, column: int) -> int:
        return self.gap + column * (self.cell + self.gap) + (self.apart if column else 0)

    def top(self, row: int) -> int:
        return self.gap + self.titles + row * (self.cell + self.line + 2 * self.gap)


def contact_sheet(
    rows: Sequence[Sequence[SheetCell]],
    column_titles: Sequence[str],
    *,
    cell_px: int = 192,
    first_column_apart: bool = True,
) -> Image.Image:
    """Lay pictures out; the same arguments give the same pixels.

    Args:
        rows: Each as long as `column_titles`.
        column_titles: Wrapped above their columns; "" for none.
        cell_px: Side of the square that each picture is fitted into, at least MIN_CELL_PX; a
            picture of just that size is shown pixel by pixel.
        first_column_apart: Set the first column, which shows what the others are compared with,
            a little apart.

    Returns:
        The sheet, RGB.

    Raises:
        ValueError: No rows or columns, a row of another length, or a cell too small.
    """
    from PIL import Image, ImageDraw, ImageFont

    _check(rows, len(column_titles), cell_px)
    # The one font that Pillow brings along, so that every machine makes the same sheet.
    font = ImageFont.load_default(max(10.0, cell_px / 13))
    titles = [_wrapped(title, font, cell_px) for title in column_titles]
    gap, line = max(4, cell_px // 24), _line_height(font)
    title_lines = max(map(len, titles))
    sizes = _Measures(
        cell=cell_px,
        line=line,
        gap=gap,
        titles=title_lines * line + (gap if title_lines else 0),
        apart=2 * gap if first_column_apart else 0,
    )
    width = sizes.left(len(titles) - 1) + cell_px + gap
    sheet = Image.new("RGB", (width, sizes.top(len(rows))), _PAPER)
    draw = ImageDraw.Draw(sheet)

    for column, lines in enumerate(titles):
        # Each title ends just above its pictures.
        for place, text in enumerate(lines, start=-len(lines)):
            draw.text((sizes.left(column), sizes.titles + place * line), text, _INK, font)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            left, top = sizes.left(column), sizes.top(number)
            if cell.image is None:
                draw.rectangle((left, top, left + cell_px - 1, top + cell_px - 1), _EMPTY)
            else:
                picture = fitted(cell.image, cell_px)
                x, y = ((cell_px - side) // 2 for side in picture.size)
                sheet.paste(picture, (left + x, top + y))
            caption = _cut(cell.caption, font, cell_px)
            indent = (cell_px - font.getlength(caption)) / 2
            draw.text((left + indent, top + cell_px + gap // 2), caption, _INK, font)
    return sheet


def _check(rows: Sequence[Sequence[SheetCell]], n_columns: int, cell_px: int) -> None:
    if not rows or not n_columns:
        raise ValueError(f"expected a row and a column at least, found {len(rows)} x {n_columns}")
    for number, row in enumerate(rows):
        if len(row) != n_columns:
            raise ValueError(f"row {number}: expected {n_columns} pictures, found {len(row)}")
    if cell_px < MIN_CELL_PX:
        raise ValueError(f"cell_px is {cell_px}, but must be {MIN_CELL_PX} at least")


def fitted(image: Image.Image, side_px: int) -> Image.Image:
    """RGB, its long side `side_px`."""
    from PIL import Image, ImageOps

    picture = image.convert("RGB")
    if max(picture.size) == side_px:
        return picture
    return ImageOps.contain(picture, (side_px, side_px), Image.Resampling.LANCZOS)


def _line_height(font: Font) -> int:
    """Of any line, whether its letters reach above or below or not."""
    return int(font.getbbox("Ágjy|")[3]) + 2


def _wrapped(text: str, font: Font, width_px: int) -> list[str]:
    """Lines no wider than `width_px`, broken between words; at most `_MAX_TITLE_LINES`."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width_px:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > _MAX_TITLE_LINES:
        last = _MAX_TITLE_LINES - 1
        lines = [*lines[:last], " ".join(lines[last:])]
    return [_cut(line, font, width_px) for line in lines]


def _cut(text: str, font: Font, width_px: int) -> str:
    """`text`, or as much of its beginning as fits with dots after it."""
    text = " ".join(text.split())
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(f"{text}...") > width_px:
        text = text[:-1].rstrip()
    return f"{text}..."
