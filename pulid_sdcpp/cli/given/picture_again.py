"""`--from PNG`: a picture's own parameters in the place of flags that are not given."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from ...options.context import ContextOptions
from ...people.person_spec import PersonSpec
from .given_values import fill_in, is_given
from .people import SPAN

if TYPE_CHECKING:
    from ...pictures.recipe import PictureRecipe
    from ..progress.progress import Progress

__all__ = ["apply_recipe", "people_of", "read_recipe", "remark_differences"]

_NOT_OF_A_PICTURE = {"batch_count"}


def read_recipe(ctx: click.Context, values: dict[str, Any]) -> PictureRecipe | None:
    """The parameters in the picture that --from names, if it does; the preset is filled in.

    Whoever names other people does not need those of the picture.

    Raises:
        click.MissingParameter: Neither a prompt nor a picture is given.
        PulidError: As `recipe_from`.
    """
    if values["from_picture"] is None:
        if values["prompt"] is None:
            prompt = next(param for param in ctx.command.params if param.name == "prompt")
            raise click.MissingParameter(ctx=ctx, param=prompt)
        return None
    from ...pictures.recipe import recipe_from

    others = any(values[name] for name in ("portraits", "persons", "embedding"))
    recipe = recipe_from(values["from_picture"], find_people=not others)
    fill_in(ctx, values, {"preset": recipe.preset or None})
    return recipe


def apply_recipe(ctx: click.Context, values: dict[str, Any], recipe: PictureRecipe) -> None:
    """Fill in what the picture was made with, over what the preset says."""
    names = {field.name for field in dataclasses.fields(recipe.generation)} - _NOT_OF_A_PICTURE
    values_then = {name: getattr(recipe.generation, name) for name in names}
    values_then |= {**recipe.context, "cfg_start_step": recipe.cfg_start_step}
    if len(recipe.spans) == 1:  # whose weight and steps hold for somebody else, too
        values_then |= recipe.spans[0]
    fill_in(ctx, values, values_then)


def people_of(
    ctx: click.Context, values: dict[str, Any], recipe: PictureRecipe
) -> list[PersonSpec]:
    """The people of the picture, with the weight and steps that are given now."""
    from ...people.identity_use import as_identity

    now = {name: values[name] for name in SPAN if is_given(ctx, name)}
    people = []
    for person in recipe.people:
        arguments = {name: getattr(person, name) for name in (*SPAN, "region")}
        known = as_identity(person.identity)
        people.append(PersonSpec(known.short_hash, identity=known, **{**arguments, **now}))
    return people


def remark_differences(
    ctx: click.Context,
    recipe: PictureRecipe,
    context: ContextOptions,
    values: dict[str, Any],
    progress: Progress,
) -> None:
    """Say what is not as it was when the picture was made, and what its text leaves open."""
    if not is_given(ctx, "scheduler") and not is_given(ctx, "sigmas"):
        for note in recipe.notes:
            progress.note(f"{values['from_picture']}: {note}")
    differences = recipe.differences(
        context,
        values["prompt"],
        on_read=lambda: progress.stage("comparing the model files with the picture's, once"),
    )
    for difference in differences:
        progress.note(f"not as in {values['from_picture']}: {difference}")
