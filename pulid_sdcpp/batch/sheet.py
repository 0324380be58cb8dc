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

from ..errors import IdentityFileError, ImageFileError
from ..identity.identity_file import is_identity_file
from ..identity.kept_people import preview_in
from ..pictures.contact_sheet import SheetCell, contact_sheet, fitted, side_by_side
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
        cells = layout.cells(rows, pictures, cell_px)
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

    def cells(
        self, rows: Sequence[_Row], pictures: Mapping[str, Path], cell_px: int
    ) -> list[list[SheetCell]]:
        """A sheet's rows with their pictures; before those, where people and prompts cross, the
        person: with portrait in the first of somebody's rows.
        """
        if self.is_flowing:
            return [
                [_picture(job, pictures, cell_px, Path(job.file_name).stem if job else "")
                 for job in row]
                for row in rows
            ]  # fmt: skip
        cells = []
        shown = ""
        for first, *others in rows:
            person = SheetCell(None)
            if first is not None and first.person_name != shown:
                person = SheetCell(self._portrait(first, cell_px), first.person_name)
                shown = first.person_name
            elif first is not None:
                person = SheetCell(None, first.person_name, is_place=False)
            made = [_picture(job, pictures, cell_px, self._caption(job)) for job in others]
            cells.append([person, *made])
        return cells

    def _portrait(self, job: BatchJob, cell_px: int) -> Image.Image | None:
        """The first photo of everybody in the picture; each is read once."""
        portraits = []
        for photo in (person.files[0] for person in job.people):
            if photo not in self._portraits:
                self._portraits[photo] = _read_portrait(photo, cell_px)
            portraits.append(self._portraits[photo])
        if len(portraits) > 1 and any(portraits):
            return side_by_side(portraits, cell_px)
        return portraits[0] if len(portraits) == 1 else None

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
    return job.prompt_name, job.templates.get("prompt", job.prompt)


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
    try:
        content = None
        if is_identity_file(photo) and not (content := preview_in(photo)):
            return None
        return fitted(read_image(photo, content), cell_px)
    except (IdentityFileError, ImageFileError):  # no pictures could be made, which are listed
        return None


def _cell_px(pictures: Mapping[str, Path]) -> int:
    sides = [max(read_image(path).size) for path in list(pictures.values())[:1]]
    return min(max(_MIN_CELL_PX, *sides), _MAX_CELL_PX)


def _parts(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
