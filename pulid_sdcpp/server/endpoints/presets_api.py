"""`/pulid/v1/presets`: the models there are; fetching, loading, checking and removing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ..access.call import call_of
from ..bodies.typed_values import invalid, unwrapped_list
from ..calls.job_view import job_view
from ..calls.preset_calls import (
    DownloadWork,
    begin_load,
    begin_unload,
    presets_view,
    pull_job,
    remove_preset,
    verify_preset,
)
from ..errors import ApiError
from ..request.given_body import body_of_request
from ..request.own_fields import check_fields

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["presets_router"]

_PATH = "/pulid/v1/presets"
_MAX_LICENSES = 100


def presets_router(service: PictureService) -> APIRouter:
    """The endpoints of presets, and who does their jobs."""
    router = APIRouter(tags=["models"])
    service.do("download", DownloadWork(service).run)

    @router.get(_PATH)
    async def presets() -> Response:
        """All presets: what is missing of each, and under which terms it may be used."""
        return JSONResponse(await presets_view(service))

    @router.post(f"{_PATH}/{{name}}/pull", status_code=202)
    async def pull(request: Request, name: str) -> Response:
        """Download what is missing of a preset; the answer names its job. Administrators only."""
        owner = _administrator(request)
        accepted, photos = _wanted((await body_of_request(request, service)).values)
        job = await pull_job(service, name, owner=owner, accept_licenses=accepted, photos=photos)
        path = f"/sdcpp/v1/jobs/{job.id}"
        view = {**job_view(service, job), "poll_url": path, "events_url": f"{path}/events"}
        return JSONResponse(view, 202, {"Location": path, "X-Pulid-Job": job.id})

    @router.post(f"{_PATH}/{{name}}/verify")
    async def verify(request: Request, name: str) -> Response:
        """Compare all files of a preset with their published hashes. Administrators only."""
        _administrator(request)
        files = await verify_preset(service, name)
        is_ok = all(one["state"] in ("ok", "size", "unknown") for one in files)
        return JSONResponse({"ok": is_ok, "files": files})

    @router.post(f"{_PATH}/{{name}}/load")
    async def load(request: Request, name: str) -> Response:
        """Load a preset now; 202 where that takes longer. Administrators only."""
        _administrator(request)
        return _loaded(name, await begin_load(service, name))

    @router.post("/pulid/v1/unload")
    async def unload(request: Request) -> Response:
        """Free the memory of the models, when their jobs have ended. Administrators only."""
        _administrator(request)
        is_done = await begin_unload(service)
        return JSONResponse({"unloaded": is_done}, 200 if is_done else 202)

    @router.delete(f"{_PATH}/{{name}}")
    async def remove(request: Request, name: str) -> Response:
        """Remove what was downloaded for a preset and no other needs. Administrators only."""
        _administrator(request)
        return JSONResponse(await remove_preset(service, name))

    return router


def _administrator(request: Request) -> str:
    """Who asks, if that may change the server."""
    call = call_of(request)
    if not call.is_admin:
        raise ApiError("forbidden", "only an administrator's key may change models")
    return call.owner


def _wanted(values: dict[str, Any]) -> tuple[list[str], bool]:
    check_fields(values, ("accept_licenses", "photos"))
    accepted = values.get("accept_licenses")
    keys = [] if accepted is None else unwrapped_list(accepted, "accept_licenses", _MAX_LICENSES)
    for number, key in enumerate(keys):
        if not isinstance(key, str):
            raise invalid(f"accept_licenses[{number}]", key, "the key of a license")
    photos = values.get("photos")
    if photos is not None and not isinstance(photos, bool):
        raise invalid("photos", photos, "true or false")
    return keys, photos is not False


def _loaded(name: str, is_loaded: bool) -> Response:
    return JSONResponse({"name": name, "loaded": is_loaded}, 200 if is_loaded else 202)
