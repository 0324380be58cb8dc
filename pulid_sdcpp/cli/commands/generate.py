"""`pulid-sdcpp generate`: pictures of a person, with sd-cli's own flags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import GenerationCancelled
from ...terminal_text import counted
from ..flags.generate import generate_options
from ..flags.not_offered import GenerateCommand
from ..progress.choice import create_progress
from ..progress.progress import Progress

if TYPE_CHECKING:
    from ...batch.grid import GridAxis
    from ...native.progress_event import ProgressEvent
    from ...people.person import Person
    from ...people.person_spec import PersonSpec
    from ...pictures.recipe import PictureRecipe
    from ...request.generate_request import GenerateRequest
    from ...store.model_store import PresetFiles
    from ..given.output_request import OutputRequest
    from ..progress.batch_report import BatchReport
    from ..progress.preview_file import PreviewFile

__all__ = ["generate"]


@click.command(cls=GenerateCommand)
@generate_options
@click.pass_context
def generate(ctx: click.Context, as_json: bool, quiet: bool, pull: bool, **values: Any) -> None:
    """Make pictures, with a person if you name one.

    \b
    pulid-sdcpp generate --preset flux-schnell-q4 --portrait me.jpg -p "a portrait in oil"

    Takes the Flux flags of stable-diffusion.cpp's sd-cli, so most of its commands work when you
    replace the program's name; flags may be written with - or _.
    """
    from ...families.pulid_encoders import encoders_of_weights
    from ...model_files.upscalers import check_upscalers
    from ...people.identity_effect import check_takes_part
    from ...request.generate_request import settle
    from ...system.output_folders import output_folders
    from ..given.given_values import (
        asked,
        given_values,
        plan_for,
        preset_name,
        wildcards,
    )
    from ..given.grid_jobs import read_axes, with_axes
    from ..given.output_files import OutputFiles
    from ..given.output_request import OutputRequest
    from ..given.output_stdout import OutputStdout, check_stdout
    from ..given.people import check_people_flags, enroll
    from ..given.picture_again import (
        find_model_again,
        read_recipe,
        remark_differences,
        with_upscaler_again,
    )
    from ..given.pipeline import create_pipeline
    from ..given.prompt_text import remark_open_choices, with_prompt_texts
    from ..progress.batch_report import BatchReport

    # 1. What was asked for, refused here if it cannot be done.
    if as_json and quiet:
        raise click.UsageError("--json and --quiet exclude each other")
    progress = create_progress(quiet=quiet, as_json=as_json, color=values["color"])
    given = given_values(ctx)
    output = OutputRequest.of(values, given)
    if output.is_stdout:
        check_stdout(as_json=as_json)
    given = with_prompt_texts(given)
    axes = read_axes(given)
    given = with_axes(axes, given)
    recipe = read_recipe(ctx, given)
    name = preset_name(given, recipe)
    if pull:
        _pull(name, given, create_progress(quiet=quiet, as_json=as_json, unit="B"))
    preset = find_model_again(given, name, recipe, progress)
    given, recipe = with_upscaler_again(given, recipe, progress)
    if axes:
        report = BatchReport(progress, as_json=as_json, quiet=quiet)
        is_whole = _make_grid(axes, given, recipe, preset, output, report)
        ctx.exit(0 if is_whole else 1)
    asked_for = {**asked(given), "wildcards": wildcards(given)}
    request = settle(asked_for, recipe=recipe, preset=preset)
    check_people_flags(given, request)
    if recipe is not None:
        remark_differences(recipe, request, given, progress)
    check_upscalers(request.generation, request.context)
    for person in request.people:  # before photos are looked at
        encoders = encoders_of_weights(request.context.pulid_weights)
        check_takes_part(
            person, request.generation, request.cfg_start_step, has_size=False, encoders=encoders
        )
    if request.vram is not None:  # what cannot fit; when the model is loaded, it is planned again
        plan_for(
            *(request.context, request.generation, request.vram, progress), people=request.people
        )
    inputs = [*request.files, *([given["from_picture"]] if recipe is not None else [])]
    outputs: OutputFiles | OutputStdout
    if output.is_stdout:
        outputs = OutputStdout(output, request.generation.batch_count, progress)
    else:
        outputs = OutputFiles(output, request, inputs, progress)

    with contextlib.ExitStack() as stack:
        previews = [] if output.preview is None else [output.preview.path]
        stack.enter_context(output_folders([*outputs.paths, *previews]))
        preview = _preview(output, request, [*outputs.paths, *inputs], progress)
        stack.enter_context(_running(request, quiet, progress))
        begin = _Beginning(_of_preset(request), progress)
        made_with = (request.context, preset, given, request.vram, begin.event)
        pipeline = stack.enter_context(create_pipeline(*made_with))

        # 2. Who is in the pictures.
        people = enroll(pipeline, request, progress)
        _remark(request, people, progress)
        remark_open_choices(given, progress)

        # 3. Generate; each picture is saved when it is finished.
        begin.say_next(_summary(request, people))
        each, arguments = request.each, _preview_arguments(output, preview)
        try:
            for index, one in enumerate(each):
                progress.picture(index, len(each))
                result = pipeline.make(one, people, **arguments)
                outputs.save(result)
                if preview is not None:
                    preview.finish(result.image)
        except (KeyboardInterrupt, GenerationCancelled):
            raise outputs.interrupted() from None


def _make_grid(
    axes: Sequence[GridAxis],
    given: Mapping[str, Any],
    recipe: PictureRecipe | None,
    preset: PresetFiles | None,
    output: OutputRequest,
    report: BatchReport,
) -> bool:
    """The same for the pictures of `--grid`; whether all of them are there."""
    from ..given.given_values import plan_for
    from ..given.grid_jobs import grid_jobs, grid_output
    from ..given.make_grid import make_grid
    from ..given.picture_again import remark_differences
    from ..given.prompt_text import remark_open_choices

    folder, sheet = grid_output(output, given)
    grid = grid_jobs(axes, given, recipe, preset, output, folder)
    request, progress = grid.request, report.progress
    inputs = []
    if recipe is not None:
        remark_differences(recipe, request, given, progress)
        inputs.append(given["from_picture"])
    _remark(request, request.people, progress)
    remark_open_choices(given, progress)
    if request.vram is not None:
        plan_for(
            *(request.context, request.generation, request.vram, progress), people=request.people
        )
    with _running(request, bool(given.get("quiet")), progress):
        return make_grid(
            grid, sheet, preset, given, report, overwrite=output.overwrite, inputs=inputs
        )


@contextlib.contextmanager
def _running(request: GenerateRequest, quiet: bool, progress: Progress) -> Iterator[None]:
    """The engine's messages are shown, and a second Ctrl-C ends the command."""
    from ..progress.engine_log import show_engine_log
    from ..progress.interrupt import second_interrupt_leaves

    log = {"verbose": request.context.verbose, "quiet": quiet}
    without_t5 = request.preset == "pocket"  # the engine would miss it
    with show_engine_log(progress, **log, quiet_engine=without_t5), second_interrupt_leaves():
        yield


def _of_preset(request: GenerateRequest) -> str:
    """The size, steps and guidance that the preset chose, not the user; "" if it chose none."""
    picture = request.generation
    words = {
        "width": f"{picture.width}x{picture.height}",
        "steps": f"{picture.steps} steps",
        "guidance": f"guidance {picture.guidance:g}",
    }
    chosen = [text for name, text in words.items() if request.sources.get(name) == "preset"]
    return f"{request.preset}: {', '.join(chosen)}" if chosen else ""


def _pull(preset: str, given: Mapping[str, Any], progress: Progress) -> None:
    """Download what the preset lacks for these pictures, if the user agrees."""
    from ..given.model_pull import pull_presets
    from ..given.people import names_photos

    if not preset:
        raise click.UsageError("--pull needs --preset, which says what to download")
    pull_presets(
        [preset],
        given.get("models_dirs", ()),
        progress,
        extraction=names_photos(given),
        command=f"pulid-sdcpp models pull {preset}",
    )


def _preview(
    output: OutputRequest, request: GenerateRequest, others: Sequence[Path], progress: Progress
) -> PreviewFile | None:
    asked = output.preview
    if asked is None:
        return None
    from ...request.picture_request import check_preview
    from ..progress.preview_file import PreviewFile

    check_preview(request.context, asked.method, asked.interval)
    size = request.generation.made_size
    preview = PreviewFile(asked.path, size, others, progress, overwrite=output.overwrite)
    if asked.note:
        progress.note(asked.note)
    return preview


def _preview_arguments(output: OutputRequest, preview: PreviewFile | None) -> dict[str, Any]:
    """Of `PulidPipeline.make`."""
    if preview is None or output.preview is None:
        return {}
    return {
        "on_preview": preview.show,
        "preview_method": output.preview.method,
        "preview_interval": output.preview.interval,
        "preview_noisy": output.preview.noisy,
    }


class _Beginning:
    """Says what is done when it is certain that something is: its files were looked at.

    Args:
        line: Said before the first event; "": nothing.
        progress: Told of the events.
    """

    def __init__(self, line: str, progress: Progress) -> None:
        self._lines = [line] if line else []
        self._progress = progress

    def say_next(self, line: str) -> None:
        """A line to be said before the next event."""
        self._lines.append(line)

    def event(self, event: ProgressEvent) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            self._progress.stage(line)
        self._progress.event(event)


def _remark(
    request: GenerateRequest, people: Sequence[Person | PersonSpec], progress: Progress
) -> None:
    """Say what may not be what was meant."""
    if request.context.pulid_weights is not None and not request.preset and not people:
        progress.note("no person is given, so only the prompt decides the picture")
    if any(person.weight == 0 for person in people):
        progress.note("weight 0 leaves the identity out")
    is_said = request.sources["negative_prompt"] == "given"
    if is_said and request.generation.negative_prompt and request.generation.cfg_scale == 1:
        progress.note(
            "--negative-prompt has no effect, because true CFG is off (--cfg-scale 1); add "
            "--cfg-scale 2, which takes twice the time"
        )


def _summary(request: GenerateRequest, people: Sequence[Person]) -> str:
    context, generation = request.context, request.generation
    whose = "".join(
        f", identity {person.identity.short_hash} at {person.weight:g}"  # type: ignore[union-attr]
        for person in people
    )
    size, steps = f"{generation.width}x{generation.height}", f"{generation.evaluated_steps}"
    if generation.second_size is not None:
        size += " and then {}x{}".format(*generation.second_size)
        steps += f" and {generation.second_steps.made}"
    return (
        f"generating {counted(generation.batch_count, 'picture')}, "
        f"{size}, {steps} {'step' if steps == '1' else 'steps'}, "
        f"seed {generation.seed}{whose}, {counted(context.threads, 'CPU thread')}"
    )
