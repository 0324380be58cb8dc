"""`--from PNG`: a picture's own parameters in the place of flags that are not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .people import names_people

if TYPE_CHECKING:
    from ...pictures.recipe import PictureRecipe
    from ...request.generate_request import GenerateRequest
    from ..progress.progress import Progress

__all__ = ["read_recipe", "recipe_of", "remark_differences"]


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


def remark_differences(
    recipe: PictureRecipe,
    request: GenerateRequest,
    given: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Say what is not as it was when the picture was made, and what its text leaves open."""
    picture = given["from_picture"]
    if "given" not in (request.sources["scheduler"], request.sources["sigmas"]):
        for note in recipe.notes:
            progress.note(f"{picture}: {note}")
    differences = recipe.differences(
        request.context,
        request.generation.prompt,
        on_read=lambda: progress.stage("comparing the model files with the picture's, once"),
    )
    for difference in differences:
        progress.note(f"not as in {picture}: {difference}")
