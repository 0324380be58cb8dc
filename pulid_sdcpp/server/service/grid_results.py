"""What a grid shows: a table of its pictures with their likeness, as JSON, CSV and one picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...errors import ImageFileError
from ...pictures.contact_sheet import SheetCell, contact_sheet, fitted
from ...system.image_file import read_image
from ..jobs.jobs import Job
from .grids import GridPlace, places_of

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "GridEntry",
    "entries_of_grid",
    "grid_csv",
    "grid_result",
    "grid_sheet",
    "grid_summary",
    "grid_table",
    "weakest_of",
]

_MIN_CELL_PX, _MAX_CELL_PX = 128, 384
_MAX_WIDTH_PX = 4096
_DIGITS = 4


@dataclass(frozen=True)
class GridEntry:
    """One picture of a grid, as far as it is.

    Attributes:
        place: Which picture.
        picture_id: "": it is not made, or was removed.
        similarity: Of the faces to their own person, -1 to 1, the mean where there are several
            people; 0 without a face; None: not measured.
        best_other: The same to the most similar other person of the library; None: there is none.
        error: Why it was not made; "".
    """

    place: GridPlace
    picture_id: str = ""
    similarity: float | None = None
    best_other: float | None = None
    error: str = ""


def entries_of_grid(job: Job) -> list[GridEntry]:
    """The pictures of a grid's job, as far as they are.

    Args:
        job: Of the kind "grid".
    """
    wish = job.request
    places = places_of(tuple(wish["prompts"]), tuple(wish["seeds"]), tuple(wish["weights"]))
    rows = job.result.get("table", ())
    entries = [GridEntry(place) for place in places]
    for number, row in enumerate(rows):
        entries[number] = GridEntry(
            places[number],
            row["picture_id"] or "",
            row["similarity"],
            row["best_other"],
            row.get("error", ""),
        )
    return entries


def grid_result(job_id: str, entries: list[GridEntry]) -> dict[str, Any]:
    """What a grid's job has found, as far as it is."""
    path = f"/pulid/v1/grids/{job_id}"
    return {
        "pictures": [entry.picture_id for entry in entries if entry.picture_id],
        "table": grid_table(entries),
        **grid_summary(entries),
        "sheet_url": f"{path}/sheet",
        "csv_url": f"{path}/csv",
    }


def grid_table(entries: Iterable[GridEntry]) -> list[dict[str, Any]]:
    """A row of each picture, in order."""
    return [
        {
            "prompt": entry.place.prompt,
            "seed": entry.place.seed,
            "weight": entry.place.weight,
            "picture_id": entry.picture_id or None,
            "similarity": entry.similarity,
            "best_other": entry.best_other,
            **({"error": entry.error} if entry.error else {}),
        }
        for entry in entries
    ]


def weakest_of(entries: Iterable[GridEntry]) -> str | None:
    """The id of the picture that is least like its person; None: not two are measured."""
    measured = [
        (entry.similarity, entry.place.number, entry.picture_id)
        for entry in entries
        if entry.similarity is not None and entry.picture_id
    ]
    return min(measured)[2] if len(measured) > 1 else None


def grid_summary(entries: Sequence[GridEntry]) -> dict[str, Any]:
    """The weakest picture, and mean likenesses: of all, and by prompt and weight."""
    by_prompt: dict[str, list[GridEntry]] = {}
    by_weight: dict[float | None, list[GridEntry]] = {}
    for entry in entries:
        by_prompt.setdefault(entry.place.prompt, []).append(entry)
        by_weight.setdefault(entry.place.weight, []).append(entry)
    return {
        "weakest": weakest_of(entries),
        "mean": _mean(entry.similarity for entry in entries),
        "mean_best_other": _mean(entry.best_other for entry in entries),
        "by_prompt": [
            {"prompt": prompt, "similarity": _mean(one.similarity for one in several)}
            for prompt, several in by_prompt.items()
        ],
        "by_weight": [
            {"weight": weight, "similarity": _mean(one.similarity for one in several)}
            for weight, several in by_weight.items()
        ],
    }


def grid_csv(entries: Iterable[GridEntry]) -> str:
    """The table as CSV, with a line of titles."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["prompt", "seed", "weight", "picture_id", "similarity", "best_other"])
    for entry in entries:
        place = entry.place
        numbers = (entry.similarity, entry.best_other)
        writer.writerow(
            [
                _no_formula(place.prompt),
                place.seed,
                "" if place.weight is None else place.weight,
                entry.picture_id,
                *("" if number is None else f"{number:.{_DIGITS}f}" for number in numbers),
            ]
        )
    return text.getvalue()


def grid_sheet(
    entries: Sequence[GridEntry], path_of: Callable[[str], Path | None]
) -> Image.Image | None:
    """The pictures on one: prompts above, a row for each weight and seed, likeness below.

    Args:
        entries: All of the grid, in order.
        path_of: Gives a picture's file by its id; None: it is gone.

    Returns:
        None: there is no picture yet.
    """
    paths = {entry.picture_id: path_of(entry.picture_id) for entry in entries if entry.picture_id}
    images = {name: image for name, path in paths.items() if (image := _read(path)) is not None}
    if not images:
        return None
    prompts = list(dict.fromkeys(entry.place.prompt for entry in entries))
    widest = _MAX_WIDTH_PX // len(prompts)
    largest = max(max(image.size) for image in images.values())
    cell_px = max(_MIN_CELL_PX, min(_MAX_CELL_PX, widest, largest))
    weakest = weakest_of(entries)
    rows: dict[tuple[float | None, int], list[SheetCell]] = {}
    varied = {
        "weight": len({entry.place.weight for entry in entries}) > 1,
        "seed": len({entry.place.seed for entry in entries}) > 1,
    }
    for entry in entries:
        image = images.get(entry.picture_id)
        caption = _caption(entry, varied, is_weakest=entry.picture_id == weakest)
        cell = SheetCell(image and fitted(image, cell_px), caption if image else "not made")
        rows.setdefault((entry.place.weight, entry.place.seed), []).append(cell)
    return contact_sheet(list(rows.values()), prompts, cell_px=cell_px, first_column_apart=False)


def _read(path: Path | None) -> Image.Image | None:
    try:
        image = None if path is None else read_image(path)
    except ImageFileError:  # removed meanwhile
        return None
    if image is not None and max(image.size) > _MAX_CELL_PX:
        image = fitted(image, _MAX_CELL_PX)  # a hundred whole ones would take 300 MB
    return image


def _caption(entry: GridEntry, varied: Mapping[str, bool], *, is_weakest: bool) -> str:
    words = []
    if entry.similarity is not None:
        words.append(f"{entry.similarity:.2f}{' lowest' if is_weakest else ''}")
    if varied["weight"] and entry.place.weight is not None:
        words.append(f"weight {entry.place.weight:g}")
    if varied["seed"]:
        words.append(f"seed {entry.place.seed}")
    return ", ".join(words)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), _DIGITS) if known else None


def _no_formula(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
