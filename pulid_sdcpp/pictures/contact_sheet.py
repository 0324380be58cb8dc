"""Many pictures on one: rows and columns, titles above, a caption under each.

sheet = contact_sheet(
    [[SheetCell(photo, "Alice"), SheetCell(picture, "0.83")]],
    ["reference", "on a beach at sunset"],
)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .lettering import Lettering

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["SheetCell", "contact_sheet", "fitted", "side_by_side"]

MIN_CELL_PX = 64
"""Narrower, hardly a word fits above a column."""

_PAPER = (255, 255, 255)
_INK = (40, 40, 40)
_EMPTY = (236, 236, 236)
_MAX_TITLE_LINES = 7
_MAX_CAPTION_LINES = 2
_MIN_LETTERS_PX = 10.5


@dataclass(frozen=True)
class SheetCell:
    """One place on the sheet.

    Attributes:
        image: Of any size and mode; fitted into the place, never cropped. None: an empty place.
        caption: A line or two under it, cut off where it is too long.
        is_place: Whether an empty place is shown as one, in grey; else there is nothing.
    """

    image: Image.Image | None
    caption: str = ""
    is_place: bool = True


@dataclass(frozen=True)
class _Measures:
    """Sizes in pixels that follow from the side of a cell."""

    cell: int
    captions: int
    """Height of the lines under a row."""
    gap: int
    titles: int
    """Height of the titles with the gap below them."""
    apart: int
    """By how much the first column is set apart."""

    def left(self, column: int) -> int:
        return self.gap + column * (self.cell + self.gap) + (self.apart if column else 0)

    def top(self, row: int) -> int:
        return self.gap + self.titles + row * (self.cell + self.captions + 2 * self.gap)


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
    from PIL import Image, ImageDraw

    _check(rows, len(column_titles), cell_px)
    letters = Lettering(max(_MIN_LETTERS_PX, cell_px / 13))
    titles = [letters.wrapped(title, cell_px, _MAX_TITLE_LINES) for title in column_titles]
    captions = [
        [letters.wrapped(cell.caption, cell_px, _MAX_CAPTION_LINES) for cell in row] for row in rows
    ]
    gap, line = max(4, cell_px // 24), letters.line_px
    title_lines = max(map(len, titles))
    sizes = _Measures(
        cell=cell_px,
        captions=line * max(1, *(len(lines) for row in captions for lines in row)),
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
            letters.draw(sheet, (sizes.left(column), sizes.titles + place * line), text, _INK)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            left, top = sizes.left(column), sizes.top(number)
            if cell.image is not None:
                picture = fitted(cell.image, cell_px)
                x, y = ((cell_px - side) // 2 for side in picture.size)
                sheet.paste(picture, (left + x, top + y))
            elif cell.is_place:
                draw.rectangle((left, top, left + cell_px - 1, top + cell_px - 1), _EMPTY)
            for place, text in enumerate(captions[number][column]):
                middle = (left + cell_px / 2, top + cell_px + gap // 2 + place * line)
                letters.draw(sheet, middle, text, _INK, "ma")
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


def side_by_side(images: Sequence[Image.Image | None], side_px: int) -> Image.Image:
    """Several people's pictures in one place: two beside each other, more in rows.

    Args:
        images: At least one; None: an empty place.
        side_px: Of the square picture that they are on.
    """
    from PIL import Image

    columns = math.ceil(math.sqrt(len(images)))
    part = (side_px - 2 * (columns - 1)) // columns
    rows = math.ceil(len(images) / columns)
    picture = Image.new("RGB", (side_px, side_px), _PAPER)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        shown = Image.new("RGB", (part, part), _EMPTY) if image is None else fitted(image, part)
        x = column * (part + 2) + (part - shown.width) // 2
        y = (side_px - rows * (part + 2)) // 2 + row * (part + 2) + (part - shown.height) // 2
        picture.paste(shown, (x, y))
    return picture
