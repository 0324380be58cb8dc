"""OpenAI's endpoints: pictures and edits, whole or as a stream of events, and models."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ...options.generation import GenerationOptions
from ...terminal_text import meant, shown
from ..access.call import call_of
from ..bodies.sse import SSE_HEADERS, SSE_TYPE
from ..calls.sync_answer import answered_when_finished, failure_of, job_headers
from ..errors import ApiError
from ..jobs.jobs import Job
from ..request.given_body import GivenBody, body_of_request
from ..request.normal_request import NormalRequest
from ..service.service import PictureService
from .answer import model_answer, models_answer
from .edit_error import edit_error
from .events import EDIT_EVENTS, GENERATION_EVENTS, OpenaiEvents, preview_interval
from .files import with_kept_pictures
from .pictures import OpenaiPictures
from .request import OpenaiRequest, edits_request, generations_request
from .stream import OpenaiStream

__all__ = ["openai_router"]

_PREVIEW = "proj"
"""How the unfinished pictures of a stream are made, unless the request says: it costs no time."""
_RETRY_COUNT = "x-stainless-retry-count"
"""The header in which OpenAI's library says how often it has sent a request before."""
_RETRY_S = 60.0
_LATEST = 20
"""How long ago, and among how many failed jobs, the former try is looked for."""
_MAY_WORK_LATER = 503


def openai_router(service: PictureService) -> APIRouter:
    """The endpoints under /v1, and those of pictures also without it."""
    router = APIRouter(tags=["openai"])
    started = service.clock()

    @router.post("/v1/images/generations")
    @router.post("/images/generations", include_in_schema=False)
    async def generations(request: Request) -> Response:
        """Make pictures of a prompt."""
        given = await body_of_request(request, service)
        found = generations_request(given.values, strict=service.settings.strict)
        return await _answered(service, request, given, found)

    @router.post("/v1/images/edits")
    @router.post("/images/edits", include_in_schema=False)
    async def edits(request: Request) -> Response:
        """Make pictures of the person in a photo, or of a picture to start from."""
        given = await body_of_request(request, service, transparent_is_inside=True)
        sees = call_of(request).sees

        def read(name: str) -> bytes:
            try:
                return service.picture(name, sees)[2].read_bytes()
            except OSError:
                raise ApiError("expired", "the picture was removed") from None

        values = await asyncio.to_thread(with_kept_pictures, given.values, read)
        found = edits_request(
            values,
            default_role=service.settings.edits,
            takes_references=await asyncio.to_thread(_takes_references, service, values),
            encoders=await asyncio.to_thread(service.models.encoders, str(values.get("model"))),
            strict=service.settings.strict,
        )
        return await _answered(service, request, given, found)

    @router.post("/v1/images/variations", include_in_schema=False)
    @router.post("/images/variations", include_in_schema=False)
    async def variations() -> Response:
        """Refuse: it is what edits do."""
        raise ApiError("not_found", "variations are not offered; take images/edits")

    @router.get("/v1/models")
    async def models() -> Response:
        """The models that pictures can be made with."""
        return JSONResponse(models_answer(await asyncio.to_thread(_model_names, service), started))

    @router.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        """One of them."""
        names = await asyncio.to_thread(_model_names, service)
        if name not in names:
            text = f"there is no model {shown(name)}; {meant(name, names)}"
            raise ApiError("model_not_found", text, "model")
        return JSONResponse(model_answer(name, started))

    return router


async def _answered(
    service: PictureService, request: Request, given: GivenBody, found: OpenaiRequest
) -> Response:
    """Accept a request, and wait for its pictures."""

    def in_words(error: ApiError) -> ApiError:
        return edit_error(error, found)

    def failure(job: Job) -> ApiError | None:
        error = failure_of(job)
        return None if error is None else in_words(error)

    call = call_of(request)
    if (former := _broken_off(service, request, call.owner, given.sha256)) is not None:
        raise in_words(former)
    try:
        normal = await service.read(found.fields, given.files)
        if found.stream and found.partial_images:
            normal = await asyncio.to_thread(_with_previews, service, normal, found)
        job = await service.submit(
            normal,
            given.files.contents,
            owner=call.owner,
            client="openai",
            synchronous=True,
            idempotency_key=request.headers.get("idempotency-key", ""),
            body_sha256=given.sha256,
        )
    except ApiError as error:
        raise in_words(error) from None
    by_url = found.response_format == "url" and not found.stream
    pictures = OpenaiPictures(service, normal.delivery, call.base_url if by_url else "")
    if not found.stream:
        return await answered_when_finished(
            service, job, request, pictures.answer, failure=failure, has_urls=by_url
        )
    kind = EDIT_EVENTS if found.image_role else GENERATION_EVENTS
    stream = OpenaiStream(
        service,
        job,
        OpenaiEvents(kind, normal.delivery.output_format),
        pictures,
        partial_images=found.partial_images,
        in_words=in_words,
    )
    headers = {**SSE_HEADERS, **job_headers(job)}
    return StreamingResponse(stream.chunks(), media_type=SSE_TYPE, headers=headers)


def _with_previews(
    service: PictureService, request: NormalRequest, found: OpenaiRequest
) -> NormalRequest:
    """The request with the previews that its unfinished pictures are made of."""
    steps = request.options.get("steps", service.models.settings()[request.model].get("steps"))
    interval = preview_interval(steps or GenerationOptions.steps, found.partial_images)
    delivery = request.delivery
    if delivery.preview == "none":
        delivery = replace(delivery, preview=_PREVIEW)
    if found.fields.delivery.get("preview_interval") is None:
        delivery = replace(delivery, preview_interval=interval)
    return replace(request, delivery=delivery)


def _broken_off(
    service: PictureService, request: Request, owner: str, body_sha256: str
) -> ApiError | None:
    """Why the same request failed a moment ago, if OpenAI's library now sends it again.

    An answer that had begun could only be broken off, which the library takes for a fault of the
    network; it would have the picture made and fail three times.
    """
    if request.headers.get(_RETRY_COUNT, "0") == "0":
        return None
    for job in service.book.newest(owner, status="failed", limit=_LATEST):
        is_recent = service.clock() - (job.completed or job.created) < _RETRY_S
        if is_recent and job.body_sha256 == body_sha256:
            error = failure_of(job)
            return error if error is not None and error.status != _MAY_WORK_LATER else None
    return None


def _model_names(service: PictureService) -> list[str]:
    """Complete models, the default one first: some clients take the first."""
    models = service.models
    names = [name for name in models.settings() if models.is_complete(name)]
    return sorted(names, key=lambda name: (name != models.default, name))


def _takes_references(service: PictureService, body: Any) -> bool:
    """Whether a body's model is a Kontext model, which its name says: nothing in the file does."""
    name = body.get("model")
    known = isinstance(name, str) and name in service.models.settings()
    choice = service.models.choice(name if known else service.models.default)
    names = (choice.preset, choice.context.get("diffusion_model_path"))
    return any("kontext" in str(one).lower() for one in names)
