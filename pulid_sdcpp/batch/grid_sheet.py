"""The sheets of a grid: pictures with the axes' values above and at the left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..pictures.contact_sheet import SheetCell, contact_sheet, fitted
from ..pictures.formats import QUALITY, Quality
from ..pictures.lettering import Lettering
from ..pictures.png_text import save_picture
from ..system.image_file import read_image
from .grid import GridAxis
from .plan import SHEET_TEXT, is_of_a_batch

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["sheet_paths", "write_grid_sheets"]

_MIN_CELL_PX = 128
_MAX_CELL_PX = 512
_MAX_WIDTH_PX = 4096
_MAX_LABEL_LINES = 6
_PAPER, _INK = (255, 255, 255), (40, 40, 40)  # as contact sheets have them


def sheet_paths(axes: Sequence[GridAxis], path: Path) -> list[Path]:
    """The file of each sheet: `path`, or with three axes NAME-1, NAME-2, ..."""
    count = len(axes[2].values) if len(axes) > 2 else 1
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{number}") for number in range(1, count + 1)]


def write_grid_sheets(
    axes: Sequence[GridAxis],
    pictures: Mapping[tuple[int, ...], Path],
    path: Path,
    *,
    overwrite: bool = False,
    quality: Quality = QUALITY,
) -> list[Path]:
    """Write the sheets; the same pictures give the same ones.

    Args:
        axes: One to three.
        pictures: The finished ones by their `GridCell.place`; the others have an empty place.
        path: As for `sheet_paths`.
        overwrite: Replace a file of that name; without, only a sheet of a batch.
        quality: Of JPEG and WebP.

    Returns:
        What was written: nothing without pictures.

    Raises:
        ImageFileError: A picture cannot be read.
        OutputFileError: A sheet cannot be written.
    """
    if not pictures:
        return []
    columns = axes[0]
    rows = axes[1].titles if len(axes) > 1 else ("",)
    width = len(columns.values)
    first = read_image(next(iter(pictures.values())))
    widest = _MAX_WIDTH_PX // (width + 1)
    cell_px = max(_MIN_CELL_PX, min(_MAX_CELL_PX, max(first.size), widest))
    has_rows = len(axes) > 1
    written = sheet_paths(axes, path)
    for page, target in enumerate(written):
        table = []
        for row, title in enumerate(rows):
            places = [(column, row, page)[: len(axes)] for column in range(width)]
            label = [SheetCell(_label(title, cell_px))] if has_rows else []
            table.append([*label, *(_picture(pictures.get(one), cell_px) for one in places)])
        titles = ["", *columns.titles] if has_rows else columns.titles
        sheet = contact_sheet(table, titles, cell_px=cell_px, first_column_apart=False)
        if has_rows:
            sheet = _narrowed(sheet, rows, cell_px)
        if len(axes) > 2:
            sheet = _titled(sheet, axes[2].titles[page], cell_px)
        is_ours = overwrite or is_of_a_batch(target)
        save_picture(sheet, target, SHEET_TEXT, overwrite=is_ours, quality=quality)
    return written


def _picture(path: Path | None, cell_px: int) -> SheetCell:
    if path is None:
        return SheetCell(None, "not made")
    return SheetCell(fitted(read_image(path), cell_px))


def _letters(cell_px: int) -> Lettering:
    return Lettering(max(12.0, cell_px / 13))


def _lines(title: str, cell_px: int) -> list[str]:
    return _letters(cell_px).wrapped(title, cell_px, _MAX_LABEL_LINES)


def _label(title: str, cell_px: int) -> Image.Image:
    """A row's title, in the middle of its height, close to the pictures."""
    from PIL import Image

    letters, lines = _letters(cell_px), _lines(title, cell_px)
    picture = Image.new("RGB", (cell_px, cell_px), _PAPER)
    top = (cell_px - len(lines) * letters.line_px) / 2
    for number, line in enumerate(lines):
        letters.draw(picture, (cell_px, top + number * letters.line_px), line, _INK, "ra")
    return picture


def _narrowed(sheet: Image.Image, titles: Sequence[str], cell_px: int) -> Image.Image:
    """Without what the rows' titles leave empty at the left."""
    letters = _letters(cell_px)
    widest = max(letters.width(line) for title in titles for line in _lines(title, cell_px))
    return sheet.crop((max(0, cell_px - int(widest) - 1), 0, sheet.width, sheet.height))


def _titled(sheet: Image.Image, title: str, cell_px: int) -> Image.Image:
    """With a line above all."""
    from PIL import Image

    letters = _letters(cell_px)
    gap = max(4, cell_px // 24)
    above = letters.line_px + 2 * gap
    picture = Image.new("RGB", (sheet.width, sheet.height + above), _PAPER)
    picture.paste(sheet, (0, above))
    letters.draw(picture, (gap, gap), letters.cut(title, sheet.width - 2 * gap), _INK)
    return picture
