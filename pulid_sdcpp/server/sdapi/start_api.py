"""What A1111's clients ask for before the first picture: lists, settings, pings."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...system.package_version import package_version
from ...system.system_memory import computer_memory
from ..access.call import Call, call_of
from ..bodies.typed_values import invalid
from ..calls.capabilities import loras_of, upscalers_of
from ..errors import ApiError
from ..request.given_body import body_of_request
from ..request.sdapi_names import sampler_list, scheduler_list, titled_model
from . import lists
from .models import SdapiModels

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["sdapi_start_router"]

_PREFIX = "/sdapi/v1"
_MODEL = "sd_model_checkpoint"


def sdapi_start_router(service: PictureService, models: SdapiModels) -> APIRouter:
    """The endpoints that make no picture."""
    router = APIRouter()
    started = time.time()
    fixed: dict[str, Any] = {
        **lists.EMPTY_LISTS,
        "samplers": sampler_list(),
        "schedulers": scheduler_list(),
        "latent-upscale-modes": lists.upscale_modes(),
        "scripts": lists.scripts_answer(),
        "script-info": lists.script_info(),
    }
    found = {
        "options": lambda: lists.options_answer(models.of(service.models.default)),
        "sd-models": lambda: lists.model_list(models.all()),
        "sd-vae": lambda: lists.vae_list(models.all()),
        "upscalers": lambda: lists.upscaler_list(upscalers_of(service)),
        "loras": lambda: lists.lora_list(loras_of(service)),
        "memory": lambda: lists.memory_answer(computer_memory()),
    }
    for name, answer in fixed.items():
        _add_get(router, f"{_PREFIX}/{name}", lambda answer=answer: answer)
    for name, look in found.items():
        _add_get(router, f"{_PREFIX}/{name}", look)
    _add_get(router, "/internal/ping", dict)
    _add_get(
        router,
        "/internal/sysinfo",
        lambda: lists.system_answer(package_version(), computer_memory()),
    )
    _add_get(router, "/app_id", lambda: lists.app_answer(started))

    @router.get("/queue/status")
    async def queue_status() -> Response:
        """How many jobs wait and run, and for how long."""
        queue = service.queue
        jobs = len(queue.waiting()) + len(queue.running())
        return JSONResponse(lists.queue_answer(jobs, queue.mean_picture_s))

    @router.post(f"{_PREFIX}/options")
    async def set_options(request: Request) -> Response:
        """Choose the model of those who name none; other settings are passed over."""
        body = await body_of_request(request, service, check_type=False)
        await _choose(service, call_of(request), body.values.get(_MODEL))
        return JSONResponse(None)

    @router.post(f"{_PREFIX}/checkpoint")
    async def set_checkpoint(request: Request) -> Response:
        """As POST options, in SD.Next's words."""
        await _choose(service, call_of(request), request.query_params.get(_MODEL))
        return JSONResponse(None)

    @router.post(f"{_PREFIX}/refresh-checkpoints")
    @router.post(f"{_PREFIX}/refresh-vae")
    @router.post(f"{_PREFIX}/refresh-loras")
    async def refresh() -> Response:
        """Look at the files again."""
        models.refresh()
        return JSONResponse(None)

    @router.post(f"{_PREFIX}/unload-checkpoint")
    async def unload(request: Request) -> Response:
        """Free the model."""
        _check_admin(call_of(request), "free the model")
        await service.pool.unload()
        return JSONResponse({})

    @router.post(f"{_PREFIX}/reload-checkpoint")
    async def reload(request: Request) -> Response:
        """Load the model now."""
        _check_admin(call_of(request), "load the model")
        await service.runner.load(service.models.default)
        return JSONResponse({})

    return router


def _add_get(router: APIRouter, path: str, answer: Any) -> None:
    """An endpoint whose answer may look at the disk."""

    async def get() -> Response:
        return JSONResponse(await asyncio.to_thread(answer))

    get.__name__ = path.strip("/").replace("/", "_").replace("-", "_")
    router.add_api_route(path, get, methods=["GET"])


async def _choose(service: PictureService, call: Call, value: Any) -> None:
    """Make a model the default; clients send the one that it is, too."""
    if value in (None, ""):
        return
    if not isinstance(value, str):
        raise invalid(_MODEL, value, "text")
    name = value if value == service.models.default else titled_model(value)
    if name == service.models.default:
        return
    known = await asyncio.to_thread(service.models.settings)
    if name in known:
        _check_admin(call, "choose the model of all; give override_settings for one picture")
    service.models.switch(name)
    service.changed("model", call.owner)


def _check_admin(call: Call, what: str) -> None:
    if not call.is_admin:
        raise ApiError("forbidden", f"only an administrator may {what}")
