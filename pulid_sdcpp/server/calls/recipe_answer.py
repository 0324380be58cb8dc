"""How a picture was made, as an answer: the body that makes it again, and what differs here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...options.context import ContextOptions
from ...pictures.png_text import read_picture_text
from ...request.find_preset import find_preset
from ...request.generate_request import settle_context
from ...terminal_text import shown
from ..bodies.pictures_in import picture_text_from
from ..errors import ApiError
from ..request.request_forms import to_json
from ..service.service import PictureService
from .picture_recipe import ReadRecipe, recipe_in_text

__all__ = ["recipe_of_file", "recipe_of_picture"]


def recipe_of_file(service: PictureService, owner: str, content: Any) -> dict[str, Any]:
    """The answer for a picture that was sent; in a thread.

    Args:
        owner: Whose people count.
        content: A file's bytes, or base64.

    Raises:
        ApiError: "no_recipe"; or as `picture_text_from`.
    """
    text = picture_text_from(content, param="image", limits=service.limits)
    return _view(service, owner, recipe_in_text(text))


def recipe_of_picture(service: PictureService, owner: str, path: Path) -> dict[str, Any]:
    """The answer for one of our own pictures; in a thread.

    Raises:
        ApiError: "no_recipe"; "expired": it was removed meanwhile.
    """
    try:
        text = read_picture_text(path.read_bytes())
    except OSError:
        raise ApiError("expired", "the picture was removed meanwhile") from None
    return _view(service, owner, recipe_in_text(text))


def _view(service: PictureService, owner: str, recipe: ReadRecipe) -> dict[str, Any]:
    people = []
    for its_id in recipe.people:
        try:
            name, known = service.people.find(owner, its_id).name, True
        except ApiError:
            name, known = "", False
        people.append({"id": its_id, "name": name, "known": known})
    return {
        "request": to_json(recipe.request),
        "people": people,
        "files_missing": [
            {"field": one.field, "file": one.name or None} for one in recipe.files_missing
        ],
        "differences": list(_differences(service, recipe)),
        "version": recipe.version or None,
        "foreign": recipe.foreign,
    }


def _differences(service: PictureService, recipe: ReadRecipe) -> tuple[str, ...]:
    """Why the picture will look otherwise here; files are hashed once, a second a gigabyte."""
    if recipe.ours is None:
        return recipe.notes
    model = recipe.request.model or service.models.default
    if not service.models.is_complete(model):
        return (f"the model {shown(model)} is not here",)
    return (*recipe.notes, *recipe.ours.differences(_context(service, model)))


def _context(service: PictureService, model: str) -> ContextOptions:
    """What a model is loaded with."""
    choice = service.models.choice(model)
    preset = None
    if choice.preset:
        preset = find_preset(choice.preset, choice.models_dirs, choice.context)
    return settle_context(choice.context, preset, reads_pictures=False)
