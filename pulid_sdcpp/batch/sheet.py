"""The contact sheets of a batch: rows are people, columns are prompts.

Each seed has rows of its own, and each weight where there are several. Where people and prompts do
not cross (a list in which hardly two pictures have both in common), the pictures just follow each
other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageFileError
from ..identity.identity_file import is_identity_file
from ..pictures.contact_sheet import SheetCell, contact_sheet, fitted
from ..pictures.png_text import save_picture
from ..system.image_file import read_image
from .job import BatchJob
from .plan import SHEET_TEXT, is_of_a_batch

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["write_contact_sheets"]

_MIN_CELL_PX = 128  # a caption fits under it
_MAX_CELL_PX = 192
_MAX_COLUMNS = 12
_MAX_ROWS = 24
_FLOWING_COLUMNS = 6

_Row = list["BatchJob | None"]


def write_contact_sheets(
    jobs: Sequence[BatchJob],
    pictures: Mapping[str, Path],
    folder: Path,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write contact-sheet.png, or contact-sheet-1.png, -2, ... of a large batch.

    The same pictures give the same sheets, in whatever order and runs they were made.

    Args:
        jobs: All of the batch, in its order.
        pictures: Of the finished ones, by the job's file name; the others have an empty place.
        folder: Where to.
        overwrite: Replace a file of that name; without, only a sheet of a batch.

    Returns:
        What was written: nothing without pictures.

    Raises:
        ImageFileError: A picture cannot be read.
        OutputFileError: A sheet cannot be written.
    """
    if not pictures:
        return []
    layout = _Layout(jobs)
    cell_px = _cell_px(pictures)
    pages = list(layout.pages())
    written = []
    for number, (rows, columns) in enumerate(pages, 1):
        name = "contact-sheet.png" if len(pages) == 1 else f"contact-sheet-{number}.png"
        cells = [layout.cells(row, pictures, cell_px) for row in rows]
        sheet = contact_sheet(
            cells, columns, cell_px=cell_px, first_column_apart=not layout.is_flowing
        )
        path = folder / name
        save_picture(sheet, path, SHEET_TEXT, overwrite=overwrite or is_of_a_batch(path))
        written.append(folder / name)
    return written


class _Layout:
    """Which job has which place."""

    def __init__(self, jobs: Sequence[BatchJob]) -> None:
        self._portraits: dict[Path, Image.Image | None] = {}
        self._varied = {
            "seed": len({job.seed for job in jobs}) > 1,
            "weight": len({job.weight_name for job in jobs if job.people}) > 1,
        }
        self._columns = {
            column: index for index, column in enumerate(dict.fromkeys(map(_column, jobs)))
        }
        taken = Counter((_row(job), _column(job)) for job in jobs)
        deepest: dict[tuple[Any, ...], int] = {}
        for (row, _), count in taken.items():
            deepest[row] = max(deepest.get(row, 0), count)
        self.is_flowing = len(jobs) * 2 < sum(deepest.values()) * len(self._columns)
        if self.is_flowing:
            self._rows: list[_Row] = [
                [*part, *[None] * (_FLOWING_COLUMNS - len(part))]
                for part in _parts(list(jobs), _FLOWING_COLUMNS)
            ]
        else:
            self._rows = self._crossed(jobs)

    def pages(self) -> Iterable[tuple[list[_Row], list[str]]]:
        """The rows of each sheet and the titles above them."""
        if self.is_flowing:
            yield from ((rows, [""] * _FLOWING_COLUMNS) for rows in _parts(self._rows, _MAX_ROWS))
            return
        for rows in _parts(self._rows, _MAX_ROWS):
            for start in range(0, len(self._columns), _MAX_COLUMNS):
                stop = start + _MAX_COLUMNS
                titles = [name for name, _ in list(self._columns)[start:stop]]
                shown = [[_first(row), *row[start:stop]] for row in rows]
                yield shown, ["", *titles]

    def cells(self, row: _Row, pictures: Mapping[str, Path], cell_px: int) -> list[SheetCell]:
        """The row with its pictures; before those, where people and prompts cross, the person."""
        if self.is_flowing:
            stems = ["" if job is None else Path(job.file_name).stem for job in row]
            return [
                _picture(job, pictures, cell_px, stem) for job, stem in zip(row, stems, strict=True)
            ]
        first, *others = row
        person = SheetCell(None)
        if first is not None:
            person = SheetCell(self._portrait(first, cell_px), first.person_name)
        return [
            person,
            *(_picture(job, pictures, cell_px, self._caption(job)) for job in others),
        ]

    def _portrait(self, job: BatchJob, cell_px: int) -> Image.Image | None:
        """The first photo of somebody who is alone in the picture; each is read once."""
        if len(job.people) != 1:
            return None
        photo = job.people[0].files[0]
        if photo not in self._portraits:
            self._portraits[photo] = _read_portrait(photo, cell_px)
        return self._portraits[photo]

    def _crossed(self, jobs: Sequence[BatchJob]) -> list[_Row]:
        """A row for each person, weight and seed; another where a place is taken already."""
        groups: dict[tuple[Any, ...], list[_Row]] = {}
        for job in jobs:
            rows = groups.setdefault(_row(job), [])
            column = self._columns[_column(job)]
            free = next((row for row in rows if row[column] is None), None)
            if free is None:
                free = [None] * len(self._columns)
                rows.append(free)
            free[column] = job
        # Everybody's rows together, in the order in which they are named.
        people = {person: place for place, person in enumerate(dict.fromkeys(k[0] for k in groups))}
        return [
            row for key in sorted(groups, key=lambda key: people[key[0]]) for row in groups[key]
        ]

    def _caption(self, job: BatchJob | None) -> str:
        if job is None:
            return ""
        words = [f"seed {job.seed}"] if self._varied["seed"] else []
        if self._varied["weight"] and job.people:
            words.append(f"weight {job.weight_name}")
        return ", ".join(words)


def _row(job: BatchJob) -> tuple[Any, ...]:
    return tuple(person.name for person in job.people), job.seed


def _column(job: BatchJob) -> tuple[str, str]:
    return job.prompt_name, job.prompt


def _first(row: _Row) -> BatchJob | None:
    return next(job for job in row if job is not None)


def _picture(
    job: BatchJob | None, pictures: Mapping[str, Path], cell_px: int, caption: str
) -> SheetCell:
    if job is None:
        return SheetCell(None)
    if job.file_name not in pictures:
        return SheetCell(None, f"not made: {caption}" if caption else "not made")
    # Small at once: a batch may have thousands.
    return SheetCell(fitted(read_image(pictures[job.file_name]), cell_px), caption)


def _read_portrait(photo: Path, cell_px: int) -> Image.Image | None:
    if is_identity_file(photo):
        return None
    try:
        return fitted(read_image(photo), cell_px)
    except ImageFileError:  # its pictures could not be made, and are listed as such
        return None


def _cell_px(pictures: Mapping[str, Path]) -> int:
    sides = [max(read_image(path).size) for path in list(pictures.values())[:1]]
    return min(max(_MIN_CELL_PX, *sides), _MAX_CELL_PX)


def _parts(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
