"""How a picture was made, over HTTP: as the body that makes it again."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..access.call import call_of
from ..bodies.read_body import check_body_length, read_body
from ..calls.recipe_answer import recipe_of_file, recipe_of_picture
from ..errors import ApiError
from ..request.given_body import body_of_request
from ..request.own_fields import check_fields
from ..request.person_fields import is_said
from ..service.service import PictureService

__all__ = ["recipe_router"]

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
