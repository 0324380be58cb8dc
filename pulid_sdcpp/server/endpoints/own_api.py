"""`/pulid/v1/status`, `capabilities`, `events`, and pausing the queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ..access.call import call_of
from ..calls.capabilities import capabilities
from ..calls.event_stream import event_stream
from ..calls.job_events import events_of_owner
from ..errors import ApiError
from .server_status import queue_view, status_view

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["own_router"]

_PREFIX = "/pulid/v1"


def own_router(service: PictureService) -> APIRouter:
    """The endpoints of our own family about the server itself."""
    router = APIRouter(prefix=_PREFIX, tags=["server"])

    @router.get("/status")
    async def status() -> Response:
        """The queue, the model, memory and disk."""
        return JSONResponse(await asyncio.to_thread(status_view, service))

    @router.get("/capabilities")
    async def own_capabilities() -> Response:
        """What this server can do, as at /sdcpp/v1/capabilities."""
        return JSONResponse(await asyncio.to_thread(capabilities, service))

    @router.get("/events", response_class=Response)
    async def events(request: Request) -> Response:
        """What happens to all jobs of the caller, as server-sent events."""
        return event_stream(events_of_owner(service, call_of(request).sees))

    @router.post("/queue/pause")
    async def pause(request: Request) -> Response:
        """Begin no further picture, for everybody. Administrators only."""
        _check_administrator(request)
        service.queue.pause()
        return JSONResponse(queue_view(service))

    @router.post("/queue/resume")
    async def resume(request: Request) -> Response:
        """Go on with the pictures that wait. Administrators only."""
        _check_administrator(request)
        service.queue.resume()
        return JSONResponse(queue_view(service))

    return router


def _check_administrator(request: Request) -> None:
    if not call_of(request).is_admin:
        raise ApiError("forbidden", "only an administrator's key may stop the queue")
