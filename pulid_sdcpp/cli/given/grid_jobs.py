"""`--grid`: the pictures of a grid as the jobs of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import PulidError
from .given_values import asked, wildcards
from .output_request import OutputRequest
from .people import check_people_flags

if TYPE_CHECKING:
    from ...batch.grid import GridAxis, GridCell
    from ...batch.job import Batch, BatchJob
    from ...pictures.recipe import PictureRecipe
    from ...request.generate_request import GenerateRequest
    from ...store.model_store import PresetFiles

__all__ = ["Grid", "grid_jobs", "grid_output", "read_axes", "with_axes"]

_FOLDER = "grid"
_SHEET = "grid.png"
_SPAN = ("weight", "start_step", "end_step", "face", "fusion")


@dataclass(frozen=True)
class Grid:
    """What `--grid` asks for.

    Attributes:
        axes: One to three.
        cells: The pictures.
        batch: A job for each, in their order.
        request: What they have in common, as their first one says it.
    """

    axes: tuple[GridAxis, ...]
    cells: tuple[GridCell, ...]
    batch: Batch
    request: GenerateRequest

    def places(self, pictures: Mapping[str, Path]) -> dict[tuple[int, ...], Path]:
        """The finished pictures by their places, from those by their files' names."""
        pairs = zip(self.cells, self.batch.jobs, strict=True)
        return {
            cell.place: pictures[job.file_name] for cell, job in pairs if job.file_name in pictures
        }


def read_axes(given: Mapping[str, Any]) -> tuple[GridAxis, ...]:
    """The axes that `--grid` names; () where it is not given.

    Raises:
        ValueError: As `parse_axis` and `check_axes`.
        click.UsageError: Flags that do not go with it.
    """
    texts = given.get("grids", ())
    if not texts:
        return ()
    from ...batch.grid import check_axes, parse_axis

    if given.get("batch_count", 1) != 1:
        raise click.UsageError("--grid and --batch-count exclude each other; add --grid seed=1-3")
    if given.get("seed", 0) < 0:
        raise click.UsageError("--grid needs a seed of 0 or more, to go on where it was stopped")
    if given.get("disable_image_metadata"):
        raise click.UsageError(
            "--grid knows its pictures by their text, which --disable-image-metadata leaves out"
        )
    if given.get("preview_path") or given.get("preview", "none") != "none":
        raise click.UsageError("--grid has no previews; leave --preview and --preview-path out")
    axes = tuple(map(parse_axis, texts))
    check_axes(axes)
    return axes


def with_axes(axes: Sequence[GridAxis], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was given, with what is asked of it all: the first prompt, and everybody."""
    for axis in axes:
        if axis.field == "prompt":
            given = {"prompt": axis.values[0], **given}
        elif axis.field in ("person", "portrait"):
            nobody = dict.fromkeys(("persons", "portraits"), ())
            given = {**given, **nobody, "embedding": None, f"{axis.field}s": axis.values}
    return given


def grid_output(output: OutputRequest, given: Mapping[str, Any]) -> tuple[Path, Path]:
    """The folder of the pictures, and the sheet: beside it if that is named, else in it.

    Raises:
        click.UsageError: The output is stdout, or has a field in its name.
    """
    if output.is_stdout:
        raise click.UsageError("-o - takes one picture; of --grid, name the folder or the sheet")
    path = output.template
    if "{" in str(path):
        raise click.UsageError(f"the output {path}: with --grid, -o is a folder, without fields")
    if "output" not in given:
        return Path(_FOLDER), Path(_FOLDER, _SHEET)
    if path.suffix:
        return path.with_suffix(""), path
    if path.name == "output" and path.parent != Path():  # of a folder that was named
        path = path.parent
    return path, path / _SHEET


def grid_jobs(
    axes: Sequence[GridAxis],
    given: Mapping[str, Any],
    recipe: PictureRecipe | None,
    preset: PresetFiles | None,
    output: OutputRequest,
    folder: Path,
) -> Grid:
    """Settle every picture.

    Args:
        axes: From `read_axes`.
        given, recipe, preset: As for `settle`.
        output: The format of the pictures, and its quality.
        folder: Where they go.

    Raises:
        click.UsageError: One of them cannot be; says which.
        PulidError: A file that cannot be read.
    """
    from ...batch.grid import grid_cells
    from ...batch.job import Batch

    found = wildcards(given)
    cells, jobs, requests = [], [], []
    for cell in grid_cells(axes):
        try:
            said = _said(axes, given, cell, recipe)
            values = {**asked(said), "wildcards": found}
            request, job = _job(cell, said, values, recipe, preset)
        except PulidError:
            raise
        except (ValueError, click.UsageError) as error:
            reason = error.format_message() if isinstance(error, click.UsageError) else str(error)
            raise click.UsageError(f"{cell.where}: {reason}") from None
        cells.append(cell)
        requests.append(request)
        jobs.append(replace(job, file_name=f"{cell.name}{output.suffix}"))
    first = requests[0]
    decode_only = all(request.context.vae_decode_only for request in requests)
    first = replace(first, context=replace(first.context, vae_decode_only=decode_only))
    batch = Batch(Path(_FOLDER), tuple(jobs), first.preset, folder, output.quality)
    return Grid(tuple(axes), tuple(cells), batch, first)


def _job(
    cell: GridCell,
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    recipe: PictureRecipe | None,
    preset: PresetFiles | None,
) -> tuple[GenerateRequest, BatchJob]:
    from ...batch.fields import GENERATION_FIELDS
    from ...batch.job import BatchJob
    from ...request.generate_request import recipe_values, settle

    request = settle(values, recipe=recipe, preset=preset)
    check_people_flags(given, request)
    merged = {**({} if recipe is None else recipe_values(recipe)), **values}
    settings = {name: merged[name] for name in GENERATION_FIELDS if name in merged}
    settings.pop("loras", None)  # they are tags of the prompt by now
    for side in ("width", "height"):
        if request.sources[side] == "picture":  # to start from, and not the recipe's
            settings.pop(side, None)
    settings["lora_files"] = request.generation.lora_files
    if "negative_prompt" in settings:
        settings["negative_prompt"] = request.generation.negative_prompt
    return request, BatchJob(
        where=cell.where,
        file_name="",
        prompt=request.generation.prompt,
        prompt_name=request.generation.prompt,
        seed=request.generation.seed,
        people=request.people,
        settings=settings,
        cfg_start_step=request.cfg_start_step,
        templates=request.written[0].templates,
    )


def _said(
    axes: Sequence[GridAxis],
    given: Mapping[str, Any],
    cell: GridCell,
    recipe: PictureRecipe | None,
) -> dict[str, Any]:
    """What was given, with the cell's values in its place."""
    from ...batch.grid import REPLACE

    said = {name: value for name, value in given.items() if name != "grids"}
    for name, value in cell.values.items():
        if name == "person":
            said |= {"persons": (value,), "portraits": (), "embedding": None}
        elif name == "portrait":
            said |= {"portraits": (value,), "persons": (), "embedding": None}
        elif name != REPLACE:
            said[name] = value
    if REPLACE in cell.values:
        axis = next(axis for axis in axes if axis.field == REPLACE)
        prompt = said.get("prompt") or ("" if recipe is None else recipe.generation.prompt)
        if axis.values[0] not in prompt:
            raise ValueError(f"the prompt has no {axis.values[0]!r} to replace")
        said["prompt"] = prompt.replace(axis.values[0], cell.values[REPLACE])
    for name in _SPAN:
        if name in cell.values and any(name in person for person in asked(said)["people"]):
            raise ValueError(f"a person has a {name} of their own, which this would not change")
    return said
