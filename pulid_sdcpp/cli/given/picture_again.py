"""`--from PNG`: a picture's own parameters in the place of flags that are not given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import ModelFileError, spelled
from ...options.context import ContextOptions
from ...options.generation import with_checked
from ...options.lora_spec import parse_lora
from ..flags.spelling import flag_of
from .given_values import find_model
from .people import names_people

if TYPE_CHECKING:
    from ...pictures.recipe import PictureRecipe
    from ...request.generate_request import GenerateRequest
    from ...store.model_store import PresetFiles
    from ..progress.progress import Progress

__all__ = [
    "find_model_again",
    "read_recipe",
    "recipe_of",
    "remark_differences",
    "with_upscaler_again",
]

# One of them is given; a picture's text has either under the first.
_MODELS = ("diffusion_model_path", "model_path")


def read_recipe(ctx: click.Context, given: Mapping[str, Any]) -> PictureRecipe | None:
    """The parameters in the picture that --from names, if it does.

    Whoever names other people does not need those of the picture.

    Raises:
        click.MissingParameter: Neither a prompt nor a picture is given.
        PulidError: As `recipe_from`.
    """
    if given.get("from_picture") is None and given.get("prompt") is None:
        prompt = next(param for param in ctx.command.params if param.name == "prompt")
        raise click.MissingParameter(ctx=ctx, param=prompt)
    return recipe_of(given)


def recipe_of(given: Mapping[str, Any]) -> PictureRecipe | None:
    """As `read_recipe`, where no prompt is needed."""
    if given.get("from_picture") is None:
        return None
    from ...pictures.recipe import recipe_from

    return recipe_from(given["from_picture"], find_people=not names_people(given))


def find_model_again(
    given: Mapping[str, Any], name: str, recipe: PictureRecipe | None, progress: Progress
) -> PresetFiles | None:
    """As `find_model`; files that are not the picture's are found by their hashes, if possible.

    What is given is used as it is. A file is found under any name, if it was hashed before.

    Raises:
        As `find_model`.
    """
    known = {} if recipe is None else recipe.find_files()
    is_given = {*given, *(_MODELS if any(field in given for field in _MODELS) else ())}
    known = {field: path for field, path in known.items() if field not in is_given}
    if recipe is None or not known:
        return find_model(given, name)
    from ...pictures.model_hashes import file_digits
    from ...store.model_store import PresetFiles

    try:
        preset = find_model(given, name)
    except (ModelFileError, click.UsageError):
        preset = find_model({**given, **known}, name)
    preset = PresetFiles("") if preset is None else preset
    used = {}
    for field, path in known.items():
        now = preset.context.get(field)
        if now is None or file_digits(now) != file_digits(path):
            used[field] = path
            was = recipe.files.get(_MODELS[0] if field in _MODELS else field, field)
            progress.note(f"{was} of {given['from_picture']} is {path}, which has its hash")
    replaced = _MODELS if any(field in used for field in _MODELS) else ()
    kept = {field: path for field, path in preset.context.items() if field not in replaced}
    return dataclasses.replace(preset, context={**kept, **used})


def with_upscaler_again(
    given: Mapping[str, Any], recipe: PictureRecipe | None, progress: Progress
) -> tuple[Mapping[str, Any], PictureRecipe | None]:
    """What is given and the picture, with the upscaling model of its second pass where it is now.

    It is found as the files of `find_model_again` are.
    """
    if recipe is None or "hires_upscaler" in given or given.get("hires") is False:
        return given, recipe
    folder = given.get("hires_upscalers_dir", ContextOptions.hires_upscalers_dir)
    is_chosen = "hires_upscalers_dir" in given
    path = recipe.find_hires_upscaler(folder, is_chosen=is_chosen)
    if path is None:
        return given, recipe
    was = recipe.generation.hires_upscaler
    progress.note(
        f"the upscaling model {was} of {given['from_picture']} is {path}, which has its hash"
    )
    name = was if path.stem == was else path.name
    generation = with_checked(recipe.generation, hires_upscaler=name)
    given = {**given, "hires_upscalers_dir": path.parent}
    return given, dataclasses.replace(recipe, generation=generation)


def remark_differences(
    recipe: PictureRecipe,
    request: GenerateRequest,
    given: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Say what is not as it was when the picture was made, and what its text leaves open."""
    picture = given["from_picture"]
    given_names = {Path(parse_lora(lora).path).stem for lora in given.get("loras", ())}
    if "given" not in (request.sources["scheduler"], request.sources["sigmas"]):
        for note in recipe.notes:
            progress.note(f"{picture}: {note}")
    for name, path in request.generation.lora_files:
        if name not in given_names and Path(path).stem != name:
            progress.note(f"the LoRA {name} of {picture} is {path}, which has its hash")
    differences = recipe.differences(
        request.context,
        request.generation.prompt,
        request.generation.lora_files,
        on_read=lambda: progress.stage("comparing the model files with the picture's, once"),
    )
    params = click.get_current_context().command.params
    for difference in differences:
        said = spelled(difference, lambda name: flag_of(name, params))
        progress.note(f"not as in {picture}: {said}")
