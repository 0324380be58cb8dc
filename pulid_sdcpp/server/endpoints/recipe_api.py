"""How a picture was made, over HTTP: as the body that makes it again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...options.context import ContextOptions
from ...pictures.png_text import read_picture_text
from ...request.find_preset import find_preset
from ...request.generate_request import settle_context
from ...terminal_text import shown
from ..access.call import call_of
from ..bodies.pictures_in import picture_text_from
from ..bodies.read_body import check_body_length, read_body
from ..calls.picture_recipe import ReadRecipe, recipe_in_text
from ..errors import ApiError
from ..request.given_body import body_of_request
from ..request.own_fields import check_fields
from ..request.person_fields import is_said
from ..request.request_forms import to_json
from ..service.service import PictureService

__all__ = ["recipe_of_file", "recipe_of_picture", "recipe_router"]

_FIELDS = ("image", "picture")
_FILE_TYPES = ("image/", "application/octet-stream")


def recipe_router(service: PictureService) -> APIRouter:
    """POST /pulid/v1/recipe, and GET /pulid/v1/pictures/{id}/recipe."""
    router = APIRouter(prefix="/pulid/v1", tags=["pictures"])

    @router.post("/recipe")
    async def recipe(request: Request) -> Response:
        """How a picture was made that is sent: as the body itself, a form's file, or `image` in
        base64. Ours, and as far as their words go A1111's, Forge's and stable-diffusion.cpp's."""
        owner = call_of(request).owner
        content = await _picture(request, service)
        return JSONResponse(await asyncio.to_thread(recipe_of_file, service, owner, content))

    @router.get("/pictures/{picture}/recipe")
    async def recipe_of(picture: str, request: Request) -> Response:
        """How a finished picture was made."""
        call = call_of(request)
        job, _, path = service.picture(picture, call.sees)
        return JSONResponse(await asyncio.to_thread(recipe_of_picture, service, job.owner, path))

    return router


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


async def _picture(request: Request, service: PictureService) -> Any:
    kind = request.headers.get("content-type", "").lower().lstrip()
    if kind.startswith(_FILE_TYPES):
        max_bytes = service.limits.max_image_bytes
        check_body_length(request.headers.get("content-length"), max_bytes)
        return await read_body(request.stream(), max_bytes)
    values = (await body_of_request(request, service)).values
    check_fields(values, _FIELDS)
    found = [value for value in values.values() if is_said(value)]
    if len(found) != 1:
        raise ApiError("invalid_value", "image is missing; send one picture", "image")
    return found[0]


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
