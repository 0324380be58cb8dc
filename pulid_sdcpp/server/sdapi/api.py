"""A1111's endpoints: pictures, how far they are, and stopping them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...options.facts import option
from ...pictures.png_text import read_picture_text
from ...system.package_version import package_version
from ..access.call import call_of
from ..bodies.pictures_in import picture_text_from
from ..bodies.typed_values import typed_fields
from ..calls.capabilities import upscalers_of
from ..calls.delivered import delivered_bytes
from ..calls.sync_answer import answered_when_finished, failure_of
from ..errors import ApiError
from ..jobs.jobs import Job
from ..request.body_fields import BodyFields
from ..request.given_body import body_of_request
from ..request.normal_request import NormalRequest
from .answer import SdapiMade, sdapi_answer, sdapi_info
from .lists import picture_info
from .models import SdapiModels
from .progress import ShownJob, progress_answer, task_answer
from .request import SdapiRequest, sdapi_request
from .start_api import sdapi_start_router
from .tasks import SdapiTasks

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["sdapi_router"]

_PREVIEW = "proj"
"""A1111 shows unfinished pictures to all who ask for progress; this costs next to nothing."""


@dataclass(frozen=True)
class _TaskAsked:
    """A body of `/internal/progress`."""

    id_task: str = option("", "What the client calls its job.", max_chars=100)
    id_live_preview: int = option(-1, "The unfinished picture that it has.", low=-1, high=1e9)
    live_preview: bool = option(True, "Whether it wants the next one.")


def sdapi_router(service: PictureService) -> APIRouter:
    """The endpoints below `/sdapi/v1`, and the pings of A1111's clients."""
    router = APIRouter()
    models = SdapiModels(service.models)
    tasks = SdapiTasks(service)

    @router.post("/sdapi/v1/txt2img")
    async def txt2img(request: Request) -> Response:
        """Make pictures of a prompt, and wait for them."""
        return await _made(service, models, tasks, request, from_picture=False)

    @router.post("/sdapi/v1/img2img")
    async def img2img(request: Request) -> Response:
        """Make pictures from a picture, and wait for them."""
        return await _made(service, models, tasks, request, from_picture=True)

    @router.get("/sdapi/v1/progress")
    async def progress(request: Request, skip_current_image: bool = False) -> Response:
        """How far the caller's job is."""
        job = tasks.shown(call_of(request).owner)
        shown = None if job is None else _shown(service, tasks, job, not skip_current_image)
        return JSONResponse(progress_answer(shown))

    @router.post("/internal/progress")
    async def progress_of_task(request: Request) -> Response:
        """How far the job is that its client named by `force_task_id`."""
        body = await body_of_request(request, service, check_type=False)
        asked = typed_fields(_TaskAsked, body.values)
        job = tasks.find(asked.id_task, call_of(request).owner)
        if job is None:
            return JSONResponse(task_answer(None, asked.id_live_preview, -1))
        preview = service.hub.preview(job.id)
        number = -1 if preview is None else preview.picture * 1000 + preview.step
        shown = _shown(service, tasks, job, asked.live_preview)
        return JSONResponse(task_answer(shown, asked.id_live_preview, number))

    @router.post("/sdapi/v1/interrupt")
    async def interrupt(request: Request) -> Response:
        """End the caller's job; the pictures that there are are its answer."""
        jobs = tasks.to_interrupt(call_of(request).owner)
        await asyncio.gather(*(service.cancel(job.id) for job in jobs))
        return JSONResponse({})

    @router.post("/sdapi/v1/skip")
    async def skip(request: Request) -> Response:
        """Leave out the picture that is being made, and go on with the next."""
        for job in tasks.to_interrupt(call_of(request).owner):
            service.skip(job.id)
        return JSONResponse({})

    @router.post("/sdapi/v1/png-info")
    async def png_info(request: Request) -> Response:
        """What a picture says of how it was made."""
        body = await body_of_request(request, service, check_type=False)
        image = body.values.get("image")
        text = None
        if image:
            text = await asyncio.to_thread(
                picture_text_from, image, param="image", limits=service.limits
            )
        return JSONResponse(picture_info(text))

    router.include_router(sdapi_start_router(service, models))
    return router


async def _made(
    service: PictureService,
    models: SdapiModels,
    tasks: SdapiTasks,
    request: Request,
    *,
    from_picture: bool,
) -> Response:
    call = call_of(request)
    body = await body_of_request(request, service, check_type=False)
    understood = await asyncio.to_thread(_understood, service, body.values, from_picture)
    if understood.mask is not None:
        param = understood.fields.params["mask_image"]
        body.files.change_mask(param, understood.mask)
    normal = await service.read(_with_preview(understood.fields), body.files)
    job = await service.submit(
        normal,
        body.files.contents,
        owner=call.owner,
        client="sdapi",
        synchronous=True,
        idempotency_key=request.headers.get("Idempotency-Key", ""),
        body_sha256=body.sha256,
    )
    tasks.note(job.id, understood.task_id)
    make_json = partial(_answer, service, models, body.values, normal, understood.send_images)
    return await answered_when_finished(service, job, request, make_json, failure=_failure)


def _understood(
    service: PictureService, values: Mapping[str, Any], from_picture: bool
) -> SdapiRequest:
    return sdapi_request(
        values,
        from_picture=from_picture,
        upscalers=upscalers_of(service),
        honour_cfg_scale=service.settings.honour_cfg_scale,
        strict=service.settings.strict,
    )


def _with_preview(fields: BodyFields) -> BodyFields:
    return replace(fields, delivery={"preview": _PREVIEW, **fields.delivery})


def _failure(job: Job) -> ApiError | None:
    """An interrupted job is answered with the pictures that there are."""
    is_interrupted = job.status == "cancelled" and job.error is not None
    if is_interrupted and job.error is not None and job.error.code == "cancelled":
        return None
    return failure_of(job)


def _answer(
    service: PictureService,
    models: SdapiModels,
    body: Mapping[str, Any],
    normal: NormalRequest,
    send_images: bool,
    job: Job,
) -> dict[str, Any]:
    """The finished job's JSON; reads its pictures."""
    paths = [service.book.store.picture_path(job.id, one.index) for one in job.pictures]
    made = SdapiMade(
        request=normal,
        settings=service.models.settings().get(normal.model, {}),
        seeds=job.seeds,
        texts=[read_picture_text(path) or "" for path in paths],
        created=job.created,
        model_hash=models.of(normal.model).hash,
        version=package_version(),
        warnings=job.warnings,
        interrupted=job.status == "cancelled",
    )
    pictures = []
    if send_images:
        for path in paths:
            content, _ = delivered_bytes(path, normal.delivery)
            pictures.append(base64.b64encode(content).decode("ascii"))
    return sdapi_answer(body, pictures, sdapi_info(made))


def _shown(service: PictureService, tasks: SdapiTasks, job: Job, with_picture: bool) -> ShownJob:
    preview = service.hub.preview(job.id) if with_picture else None
    return ShownJob(
        job,
        service.hub.progress(job.id),
        service.queue.position(job.id),
        tasks.name_of(job.id),
        None if preview is None else base64.b64encode(preview.png).decode("ascii"),
    )
