"""The faces on a photo, and how much a picture is like the people in it, over HTTP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...extraction.face_looker import LookedAt
from ...pictures.face_preview import face_preview
from ..access.call import call_of
from ..calls.score_work import ScoreWork
from ..calls.sync_answer import answered_when_finished
from ..errors import ApiError
from ..request.aliases import PERSON_NAMES
from ..request.given_body import GivenBody, body_of_request
from ..request.own_fields import check_fields
from ..request.person_fields import Kept, is_said
from ..service.service import PictureService
from .identities_api import accepted_job, prefers_async

__all__ = ["faces_router", "faces_view"]

_PHOTO = [name for name, option in PERSON_NAMES.items() if option == "photo"]


def faces_router(service: PictureService) -> APIRouter:
    """POST /pulid/v1/faces and /pulid/v1/pictures/{id}/scores, and who does their jobs."""
    router = APIRouter(prefix="/pulid/v1", tags=["people"])
    service.do("score", ScoreWork(service).score)

    @router.post("/faces")
    async def faces(request: Request) -> Response:
        """Where the faces on a photo are, from the left; with `?preview=1` a PNG with numbers.

        Nothing is kept, and nothing waits in the queue.
        """
        given = await body_of_request(request, service)
        photo = await asyncio.to_thread(_photo, given)
        content = given.files.contents[photo.sha256]
        looked_at = await service.looks.find(content)
        if request.query_params.get("preview") in ("1", "true"):
            preview = await asyncio.to_thread(_preview, content, looked_at)
            return Response(preview, media_type="image/png", headers={"Cache-Control": "no-store"})
        return JSONResponse(faces_view(looked_at))

    @router.post("/pictures/{picture_id}/scores")
    async def scores(picture_id: str, request: Request) -> Response:
        """Measure how much a picture is like the people in it.

        With `Prefer: respond-async` 202 and the job.
        """
        call = call_of(request)
        job, _, _ = service.picture(picture_id, call.sees)
        is_async = prefers_async(request)
        score = await service.submit_other(
            "score", job.owner, {"picture": picture_id}, synchronous=not is_async
        )
        if is_async:
            return accepted_job(score)
        return await answered_when_finished(service, score, request, lambda job: dict(job.result))

    return router


def faces_view(looked_at: LookedAt) -> dict[str, Any]:
    """The faces of a photo as JSON."""
    return {
        "width": looked_at.width,
        "height": looked_at.height,
        "faces": [
            {
                "number": face.number,
                "box": [round(side, 1) for side in face.place],
                "score": round(face.score, 4),
                "words": list(face.words),
            }
            for face in looked_at.faces
        ],
    }


def _photo(given: GivenBody) -> Kept:
    """The photo of a body; in a thread, as it is decoded."""
    values: Mapping[str, Any] = {
        name: value for name, value in given.values.items() if is_said(value)
    }
    check_fields(values, _PHOTO)
    if len(values) != 1:
        raise ApiError("invalid_value", "photo is missing; send one", "photo")
    ((param, value),) = values.items()
    return given.files.readers.photo(value, param)


def _preview(content: bytes, looked_at: LookedAt) -> bytes:
    with Image.open(io.BytesIO(content)) as photo:
        boxes = [(x, y, x + width, y + height) for x, y, width, height in _places(looked_at)]
        preview = face_preview(photo, boxes)
    encoded = io.BytesIO()
    preview.save(encoded, "PNG")
    return encoded.getvalue()


def _places(looked_at: LookedAt) -> list[tuple[float, float, float, float]]:
    return [face.place for face in looked_at.faces]
