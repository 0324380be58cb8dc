"""How the server is: for monitors, and for who calls its address to see what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from ...system.package_version import package_version

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["SERVER_NAME", "health_router", "index_of", "readiness"]

SERVER_NAME = "pulid-sdcpp"
"""By which `pulid-sdcpp ui` knows a server of ours."""

_API = {
    "/v1": "OpenAI's: images/generations, images/edits, models",
    "/sdapi/v1": "AUTOMATIC1111's: txt2img, img2img, progress, options, ...",
    "/sdcpp/v1": "sd-server's: img_gen, jobs, capabilities",
    "/pulid/v1": "our own: people, faces, pictures, grids, presets, plan, status",
}


def health_router(service: PictureService, show_metrics: Callable[[], bytes]) -> APIRouter:
    """`/health`, `/ready`, `/metrics`, and `/` of a server without a page.

    Args:
        service: The server's.
        show_metrics: Gives the metrics in Prometheus's text format.
    """
    router = APIRouter(tags=["server"])
    version = package_version()  # it is read from a file, and monitors ask often

    @router.get("/health")
    async def health() -> dict[str, str]:
        """That the server lives."""
        return {"status": "ok", "server": SERVER_NAME, "version": version}

    @router.get("/ready")
    async def ready() -> Response:
        """Whether pictures can be made now: 200, or 503 and why not."""
        status = await asyncio.to_thread(readiness, service)
        return JSONResponse({"status": status}, status_code=200 if status == "ready" else 503)

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        text = await asyncio.to_thread(show_metrics)  # it looks at the disk
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def index_of(base_url: str) -> dict[str, object]:
    """What there is at the server, for a client that asks for its address alone."""
    return {
        "server": SERVER_NAME,
        "version": package_version(),
        "api": {f"{base_url}{path}": what for path, what in _API.items()},
        "docs": f"{base_url}/docs",
        "openapi": f"{base_url}/openapi.json",
    }


def readiness(service: PictureService) -> str:
    """ "ready", or why no picture can be made: starting, draining, models_missing.

    It looks at files: for a thread. An engine process that died is no reason: the next job starts
    another.
    """
    if not service.book.is_loaded:
        return "starting"
    if service.is_stopping:
        return "draining"
    if not service.models.is_complete(service.models.default):
        return "models_missing"
    return "ready"
