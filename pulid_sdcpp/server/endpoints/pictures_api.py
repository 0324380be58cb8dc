"""`/pulid/v1/pictures`: looking through finished pictures, their files, marking and removing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from ..access.call import call_of
from ..bodies.typed_values import invalid
from ..calls.picture_calls import (
    is_known,
    mark_picture,
    picture_file,
    picture_thumbnail,
    picture_view,
    remove_picture,
)
from ..errors import ApiError
from ..library.thumbnails import THUMBNAIL_TYPE
from ..request.given_body import body_of_request

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["pictures_router"]

_MAX_PAGE = 200
# A picture never changes; only whoever may see it may keep it.
_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_PATH = "/pulid/v1/pictures"


def pictures_router(service: PictureService) -> APIRouter:
    """The endpoints of finished pictures."""
    router = APIRouter(tags=["pictures"])

    @router.get(_PATH)
    async def pictures(
        request: Request,
        before: str = "",
        limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 50,
        q: Annotated[str, Query(max_length=1000)] = "",
        person: Annotated[str, Query(max_length=200)] = "",
        favourite: bool | None = None,
    ) -> Response:
        """Finished pictures, the newest first. `next` is the `before` of the next page, or null."""
        call = call_of(request)
        found = await asyncio.to_thread(
            service.gallery.pictures,
            call.sees,
            before=before,
            limit=limit + 1,
            q=q,
            person=person,
            favourite=favourite,
        )
        page = found[:limit]
        return JSONResponse(
            {
                "pictures": [picture_view(one, call.base_url) for one in page],
                "next": page[-1].id if len(found) > limit else None,
            }
        )

    @router.get(f"{_PATH}/{{picture}}", response_class=Response)
    async def picture(
        request: Request,
        picture: str,
        format: str | None = None,
        quality: Annotated[int | None, Query(ge=0, le=100)] = None,
        metadata: bool | None = None,
    ) -> Response:
        """The file of a picture: as PNG, JPEG or WebP; with `metadata=false` without the text that
        says how it was made."""
        known = request.headers.get("if-none-match", "")
        file = await picture_file(
            service,
            picture,
            call_of(request).sees,
            output_format=format,
            quality=quality,
            metadata=metadata,
            known=known,
        )
        headers = {**_FOR_EVER, "ETag": file.etag}
        if not file.content:
            return Response(status_code=304, headers=headers)
        headers["Content-Disposition"] = f'inline; filename="{file.name}"'
        return Response(file.content, media_type=file.media_type, headers=headers)

    @router.get(f"{_PATH}/{{picture}}/thumbnail", response_class=Response)
    async def small(request: Request, picture: str) -> Response:
        """A picture as a WebP of at most 384 pixels a side."""
        etag = f'"{picture}-small"'
        headers = {**_FOR_EVER, "ETag": etag}
        sees = call_of(request).sees
        if is_known(etag, request.headers.get("if-none-match", "")):
            service.picture(picture, sees)
            return Response(status_code=304, headers=headers)
        content = await picture_thumbnail(service, picture, sees)
        return Response(content, media_type=THUMBNAIL_TYPE, headers=headers)

    @router.patch(f"{_PATH}/{{picture}}")
    async def mark(request: Request, picture: str) -> Response:
        """Mark a picture, `{"favourite": true}`: it is never removed for its age."""
        given = await body_of_request(request, service)
        favourite = _favourite(given.values)
        call = call_of(request)
        found = await mark_picture(service, picture, call.sees, favourite=favourite)
        return JSONResponse(picture_view(found, call.base_url))

    @router.delete(f"{_PATH}/{{picture}}", status_code=204)
    async def remove(request: Request, picture: str) -> Response:
        """Remove a picture of a finished job."""
        await remove_picture(service, picture, call_of(request).sees)
        return Response(status_code=204)

    return router


def _favourite(values: dict[str, Any]) -> bool:
    for name in values:
        if name != "favourite":
            raise ApiError("unknown_field", "only favourite can be changed", name)
    value = values.get("favourite")
    if not isinstance(value, bool):
        raise invalid("favourite", value, "true or false")
    return value
