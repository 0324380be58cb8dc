"""`/pulid/v1/grids`: the same people in several prompts, with several seeds and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ..access.call import call_of
from ..calls.grid_calls import grid_csv_of, grid_job, grid_sheet_png, grid_view, submit_grid
from ..request.given_body import body_of_request

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["grids_router"]

_PATH = "/pulid/v1/grids"


def grids_router(service: PictureService) -> APIRouter:
    """The endpoints of grids."""
    router = APIRouter(tags=["grids"])

    @router.post(_PATH, status_code=202)
    async def make_grid(request: Request) -> Response:
        """Make a picture of each prompt, weight and seed; the answer names its job."""
        given = await body_of_request(request, service)
        owner = call_of(request).owner
        job = await submit_grid(service, given.values, given.files, owner=owner)
        view = {**grid_view(service, job), "poll_url": f"{_PATH}/{job.id}"}
        view["events_url"] = f"/sdcpp/v1/jobs/{job.id}/events"
        headers = {"Location": f"{_PATH}/{job.id}", "X-Pulid-Job": job.id}
        return JSONResponse(view, 202, headers)

    @router.get(f"{_PATH}/{{grid}}")
    async def one_grid(request: Request, grid: str) -> Response:
        """A grid with its table, which fills as pictures come."""
        return JSONResponse(grid_view(service, grid_job(service, grid, call_of(request).sees)))

    @router.get(f"{_PATH}/{{grid}}/sheet", response_class=Response)
    async def sheet(request: Request, grid: str) -> Response:
        """A grid's pictures on one PNG, with their likeness."""
        job = grid_job(service, grid, call_of(request).sees)
        return _file(await grid_sheet_png(service, job), "image/png", f"{job.id}.png")

    @router.get(f"{_PATH}/{{grid}}/csv", response_class=Response)
    async def table(request: Request, grid: str) -> Response:
        """A grid's table as CSV."""
        job = grid_job(service, grid, call_of(request).sees)
        return _file(grid_csv_of(job), "text/csv; charset=utf-8", f"{job.id}.csv")

    return router


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {
        "Content-Disposition": f'inline; filename="{name}"',
        "Cache-Control": "private, no-cache",
    }
    return Response(content, media_type=media_type, headers=headers)
