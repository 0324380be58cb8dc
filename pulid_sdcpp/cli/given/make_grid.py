"""A grid is made: as a batch, so that it goes on where it was stopped, with sheets of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..progress.batch_report import BatchReport
from .grid_jobs import Grid
from .pipeline import create_pipeline

if TYPE_CHECKING:
    from ...store.model_store import PresetFiles

__all__ = ["make_grid"]


def make_grid(
    grid: Grid,
    sheet: Path,
    preset: PresetFiles | None,
    given: Mapping[str, Any],
    report: BatchReport,
    *,
    overwrite: bool,
    inputs: Sequence[Path],
) -> bool:
    """Make what is not there, and the sheets.

    Args:
        grid: As it was settled.
        sheet: Where the sheet goes; see `sheet_paths`.
        preset, given: As for `create_pipeline`.
        report: Told how it gets on.
        overwrite: Replace files that are there.
        inputs: Files that are read, beside those of the jobs: none of them is replaced.

    Returns:
        Whether every picture is there.

    Raises:
        Interrupted: What is finished is kept.
        PulidError: As `plan_batch` and `run_batch`.
    """
    from ...batch.grid_sheet import sheet_paths, write_grid_sheets
    from ...batch.plan import is_of_a_batch, plan_batch
    from ...pictures.png_text import check_picture_path
    from ...system.atomic_file import check_new, check_writable
    from ...system.output_folders import output_folders
    from ...system.output_names import check_is_no_input

    request, batch = grid.request, grid.batch
    settings = {} if preset is None else dict(preset.settings)
    extractor = {} if preset is None else preset.extractor
    report.progress.stage(f"checking {len(batch.jobs)} pictures and the files they need")
    pictures = plan_batch(batch, request.context, settings, extractor, overwrite=overwrite)
    sheets = sheet_paths(grid.axes, sheet)
    inside = batch.output_dir / "any"
    context = click.get_current_context()
    context.with_resource(output_folders([*sheets, inside]))
    read = [*inputs, *(path for picture in pictures for path in picture.files)]
    for path in sheets:
        check_picture_path(path)
        check_writable(path)
        check_is_no_input(path, read)
        if not overwrite and not is_of_a_batch(path):
            check_new(path)
    for picture in pictures if overwrite else ():
        check_is_no_input(picture.path, inputs)
    report.planned(batch, pictures, dry_run=False)

    def write_sheets(
        jobs: Any, finished: Mapping[str, Path], folder: Path, *, overwrite: bool = False
    ) -> list[Path]:
        found = grid.places(finished)
        return write_grid_sheets(
            grid.axes, found, sheet, overwrite=overwrite, quality=batch.quality
        )

    on_event = report.progress.event
    with create_pipeline(request.context, preset, given, request.vram, on_event) as pipeline:
        result = report.made(
            batch, pictures, pipeline, settings, overwrite=overwrite, write_sheets=write_sheets
        )
    report.finished(result)
    return not result.failures
