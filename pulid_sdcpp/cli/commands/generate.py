"""`pulid-sdcpp generate`: pictures of a person, with sd-cli's own flags."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import GenerationCancelled
from ...options.context import ContextOptions
from ...options.generation import GenerationOptions
from ..flags.generate import generate_options
from ..flags.table import GroupedCommand
from ..progress.choice import create_progress
from ..progress.progress import Progress

if TYPE_CHECKING:
    from ...people.person import Person
    from ...people.person_spec import PersonSpec
    from ...pipeline.pulid_flux import PulidFlux
    from ...store.model_store import PresetFiles
    from ..progress.preview_file import PreviewFile

__all__ = ["create_pipeline", "generate"]


@click.command(cls=GroupedCommand)
@generate_options
@click.pass_context
def generate(ctx: click.Context, as_json: bool, quiet: bool, vram: Any, **values: Any) -> None:
    """Make pictures, of a person where one is named.

    \b
    pulid-sdcpp generate --preset flux-schnell-q4 --portrait me.jpg -p "a portrait in oil"

    Takes the flags that stable-diffusion.cpp's sd-cli has for Flux, so that most of its commands
    work with the program's name replaced; flags may be written with - or _.
    """
    from ...people.identity_effect import check_takes_part
    from ..given.given_values import apply_preset, plan_for, read_options
    from ..given.output_files import OutputFiles
    from ..given.people import enroll, wanted_people
    from ..given.picture_again import apply_recipe, people_of, read_recipe, remark_differences
    from ..progress.engine_log import show_engine_log
    from ..progress.interrupt import second_interrupt_leaves

    # 1. What was asked for, refused here if it cannot be done.
    if as_json and quiet:
        raise click.UsageError("--json and --quiet exclude each other")
    progress = create_progress(quiet=quiet, as_json=as_json)
    recipe = read_recipe(ctx, values)
    if values.pop("pull"):
        _pull(values, create_progress(quiet=quiet, as_json=as_json, unit="B"))
    files = apply_preset(ctx, values)
    if recipe is not None:
        apply_recipe(ctx, values, recipe)
    context, generation = read_options(ctx, values)
    wanted = wanted_people(ctx, values)
    if recipe is not None:
        wanted = wanted or people_of(ctx, values, recipe)
        remark_differences(ctx, recipe, context, values, progress)
    for one in wanted:  # before photos are looked at
        check_takes_part(one, generation, values["cfg_start_step"], has_size=False)
    if vram is not None:  # what cannot fit; when the model is loaded, it is planned again
        plan_for(context, generation, vram, progress, people=max(len(wanted), 1))
    inputs = _inputs(values, wanted)
    outputs = OutputFiles(values, generation, wanted, inputs, progress)
    others = [*outputs.paths, *inputs]
    preview = _preview(values, context, generation, others, progress)

    with contextlib.ExitStack() as stack:
        log = {"verbose": context.verbose, "quiet": quiet}
        without_t5 = values["preset"] == "pocket"  # the engine would miss it
        stack.enter_context(show_engine_log(progress, **log, quiet_engine=without_t5))
        stack.enter_context(second_interrupt_leaves())
        pipeline = stack.enter_context(create_pipeline(context, files, values, vram, progress))

        # 2. Who is in the pictures.
        people = enroll(pipeline, wanted, progress)
        _remark(values, people, progress)

        # 3. Generate; each picture is saved when it is finished.
        progress.stage(_summary(context, generation, people))
        shared = _request(generation, people, values, preview)
        try:
            for result in pipeline.generate_each(_seeds(generation, progress), **shared):
                outputs.save(result)
                if preview is not None:
                    preview.finish(result.image)
        except (KeyboardInterrupt, GenerationCancelled):
            raise outputs.interrupted() from None


def _pull(values: Mapping[str, Any], progress: Progress) -> None:
    """Download what the preset lacks for these pictures, if the user agrees."""
    from ..given.model_pull import pull_presets

    preset = values["preset"]
    if not preset:
        raise click.UsageError("--pull needs --preset, which says what to download")
    pull_presets(
        [preset],
        values["models_dirs"],
        progress,
        extraction=bool(values["portraits"] or values["persons"]),
        command=f"pulid-sdcpp models pull {preset}",
    )


def create_pipeline(
    context: ContextOptions,
    files: PresetFiles | None,
    values: Mapping[str, Any],
    vram: Any,
    progress: Progress,
) -> PulidFlux:
    """A pipeline of a preset's files, or of those named one by one; nothing is loaded yet."""
    from ...pipeline.pulid_flux import PulidFlux

    extractor: dict[str, Any] = {}
    problem = ""
    if files is not None:
        extractor, problem = dict(files.extractor), files.missing_for_extraction
    elif values["models_dirs"]:
        extractor = {"models_dir": values["models_dirs"][0], "pulid_weights": context.pulid_weights}
    else:
        problem = "photos need the extractor's files; name a --preset, or their --models-dir"

    return PulidFlux(
        dataclasses.replace(context, verbose=False),  # show_engine_log shows what the engine says
        extractor=extractor,
        preset=values["preset"] or "",
        vram=vram,
        extractor_problem=problem,
        on_event=progress.event,
    )


def _preview(
    values: Mapping[str, Any],
    context: ContextOptions,
    generation: GenerationOptions,
    others: Sequence[Path],
    progress: Progress,
) -> PreviewFile | None:
    if values["preview"] is None:
        return None
    from ...request.picture_request import check_preview
    from ..progress.preview_file import PreviewFile

    check_preview(context, values["preview_method"], values["preview_interval"])
    size = (generation.width, generation.height)
    return PreviewFile(values["preview"], size, others, progress, overwrite=values["overwrite"])


def _inputs(values: Mapping[str, Any], wanted: Sequence[PersonSpec]) -> list[Path]:
    """The pictures and identities that are read."""
    named = [values["init_image"], values["mask_image"], values["from_picture"]]
    named += [*values["ref_images"], *(source for one in wanted for source in one.paths)]
    named += [one.region.mask for one in wanted if one.region is not None]
    return [Path(path) for path in named if isinstance(path, str | os.PathLike)]


def _remark(values: Mapping[str, Any], people: Sequence[Person], progress: Progress) -> None:
    """Say what may not be what was meant."""
    if values["pulid_weights"] is not None and not values["preset"] and not people:
        progress.note("no --pulid-id-embedding given, so the picture is of nobody")
    if any(person.weight == 0 for person in people):
        progress.note("weight 0 leaves the identity out")


def _request(
    generation: GenerationOptions,
    people: Sequence[Person],
    values: Mapping[str, Any],
    preview: PreviewFile | None,
) -> dict[str, Any]:
    """What all pictures have in common, for `PulidFlux.generate`."""
    names = {field.name for field in dataclasses.fields(generation)} - {"batch_count", "seed"}
    fields = {name: getattr(generation, name) for name in names}
    previews: dict[str, Any] = {}
    if preview is not None:
        previews = {
            "on_preview": preview.show,
            "preview_method": values["preview_method"],
            "preview_interval": values["preview_interval"],
        }
    return {
        **fields,
        "identity": tuple(people) or None,
        "cfg_start_step": values["cfg_start_step"],
        **previews,
    }


def _seeds(generation: GenerationOptions, progress: Progress) -> Iterator[dict[str, int]]:
    for index, seed in enumerate(generation.seeds):
        progress.picture(index, generation.batch_count)
        yield {"seed": seed}


def _summary(
    context: ContextOptions, generation: GenerationOptions, people: Sequence[Person]
) -> str:
    count = generation.batch_count
    what = "1 picture" if count == 1 else f"{count} pictures"
    whose = "".join(
        f", identity {person.identity.short_hash} at {person.weight:g}"  # type: ignore[union-attr]
        for person in people
    )
    return (
        f"generating {what}, {generation.width}x{generation.height}, "
        f"{generation.evaluated_steps} steps, seed {generation.seed}{whose}, "
        f"{'1 CPU thread' if context.threads == 1 else f'{context.threads} CPU threads'}"
    )
