"""sd-server's endpoints, with identities, progress, previews and jobs that can be cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, cast, get_args

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..access.call import Call, call_of
from ..calls.capabilities import capabilities
from ..calls.delivered import delivered_bytes, delivery_of, signed_url
from ..calls.event_stream import event_stream
from ..calls.job_events import events_of_job
from ..calls.job_view import Images, job_view
from ..calls.sync_answer import job_headers
from ..errors import ApiError
from ..jobs.jobs import STATUSES, Job, MadePicture
from ..request.body_fields import body_fields
from ..request.given_body import body_of_request
from ..service.engine_events import picture_path_of
from ..service.service import PictureService

__all__ = ["sdcpp_router"]

_PREFIX = "/sdcpp/v1"
_MAX_JOBS = 200


def sdcpp_router(service: PictureService) -> APIRouter:
    """The endpoints under /sdcpp/v1."""
    router = APIRouter(prefix=_PREFIX, tags=["sdcpp"])

    @router.get("/capabilities")
    async def capabilities_of_server() -> Response:
        """What this server can do."""
        return JSONResponse(await asyncio.to_thread(capabilities, service))

    @router.post("/img_gen", status_code=202)
    async def img_gen(request: Request) -> Response:
        """Accept a request for pictures; the answer names its job."""
        call = call_of(request)
        given = await body_of_request(request, service)
        fields = body_fields(given.values, strict=service.settings.strict)
        normal = await service.read(fields, given.files)
        job = await service.submit(
            normal,
            given.files.contents,
            owner=call.owner,
            client="sdcpp",
            idempotency_key=request.headers.get("idempotency-key", ""),
            body_sha256=given.sha256,
        )
        return JSONResponse(
            _accepted(service, job),
            202,
            {"Location": f"{_PREFIX}/jobs/{job.id}", **job_headers(job)},
        )

    @router.post("/vid_gen", include_in_schema=False)
    async def vid_gen() -> Response:
        """Refuse: there are no models of films here."""
        raise ApiError("unsupported", "this server makes pictures, no films", status=400)

    @router.get("/jobs")
    async def jobs(request: Request) -> Response:
        """The caller's jobs, the newest first, without their pictures' contents."""
        query = request.query_params
        status = query.get("status", "")
        if status and status not in STATUSES:
            expected = ", ".join(STATUSES)
            raise ApiError("invalid_value", f"status must be one of {expected}", "status")
        found = service.book.newest(
            call_of(request).sees,
            status=status,
            limit=_limit(query.get("limit")),
            before=query.get("before", ""),
        )
        return JSONResponse({"jobs": [job_view(service, job) for job in found]})

    @router.get("/jobs/{job_id}")
    async def job_state(job_id: str, request: Request) -> Response:
        """How a job is, with its pictures: contents (images=b64) or addresses (images=url)."""
        call = call_of(request)
        job = service.job(job_id, call.sees)
        images = _images(request.query_params.get("images", "b64"))
        view = partial(_view, service, job, call, images)
        needs_files = images == "b64" and job.pictures
        return JSONResponse(await asyncio.to_thread(view) if needs_files else view())

    @router.patch("/jobs/{job_id}")
    async def move_job(job_id: str, request: Request) -> Response:
        """Move a waiting job among the caller's waiting jobs."""
        job = service.job(job_id, call_of(request).sees)
        values = (await body_of_request(request, service)).values
        position = values.get("position")
        if isinstance(position, bool) or not isinstance(position, int) or position < 1:
            raise ApiError("invalid_value", "position must be 1 or more", "position")
        if job.status != "queued":
            raise ApiError("not_finished", "only a waiting job can be moved", "position")
        await service.move(job.id, position)
        return JSONResponse(job_view(service, service.job(job.id, None)))

    @router.delete("/jobs/{job_id}", status_code=204)
    async def remove_job(job_id: str, request: Request) -> Response:
        """Remove a finished job and its pictures."""
        job = service.job(job_id, call_of(request).sees)
        if not await service.remove(job.id):
            raise ApiError("not_finished", "the job has not ended; cancel it first")
        return Response(status_code=204)

    @router.post("/jobs/{job_id}/cancel")
    async def cancel_job(job_id: str, request: Request) -> Response:
        """Stop a job; pictures that are finished stay."""
        call = call_of(request)
        job = service.job(job_id, call.sees)
        job = await service.cancel(job.id)
        return JSONResponse(_view(service, job, call, "url"))

    @router.get("/jobs/{job_id}/events")
    async def job_events(job_id: str, request: Request) -> Response:
        """What happens to a job, as server-sent events, until it ends."""
        job = service.job(job_id, call_of(request).sees)
        return event_stream(events_of_job(service, job))

    @router.get("/jobs/{job_id}/preview")
    async def job_preview(job_id: str, request: Request) -> Response:
        """The newest unfinished picture, as PNG."""
        job = service.job(job_id, call_of(request).sees)
        preview = service.hub.preview(job.id)
        if preview is None:
            raise ApiError("not_found", "there is no unfinished picture of this job")
        tag = f'"{preview.picture}-{preview.step}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(preview.png, media_type="image/png", headers=headers)

    return router


def _accepted(service: PictureService, job: Job) -> dict[str, Any]:
    path = f"{_PREFIX}/jobs/{job.id}"
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "created": int(job.created),
        "poll_url": path,
        "events_url": f"{path}/events",
        "queue_position": service.queue.position(job.id),
        "seeds": list(job.seeds),
        "warnings": [dict(warning) for warning in job.warnings],
    }


def _view(service: PictureService, job: Job, call: Call, images: Images) -> Mapping[str, Any]:
    def delivered(job: Job, picture: MadePicture) -> bytes:
        path = service.book.store.picture_path(job.id, picture.index)
        try:
            return delivered_bytes(path, delivery_of(job))[0]
        except OSError:
            raise ApiError("expired", "the picture was removed meanwhile") from None

    url = partial(signed_url, service, call.base_url) if images == "url" else picture_path_of
    return job_view(service, job, images=images, delivered=delivered, url=url)


def _images(text: str) -> Images:
    if text not in get_args(Images):
        raise ApiError(
            "invalid_value", f"images must be one of {', '.join(get_args(Images))}", "images"
        )
    return cast("Images", text)


def _limit(text: str | None) -> int:
    if text is None:
        return 50
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MAX_JOBS:
        raise ApiError("invalid_value", f"limit must be from 1 to {_MAX_JOBS}", "limit")
    return int(text)
