"""The server as an ASGI application: the door, the endpoints, and errors as answers."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from ...system.package_version import package_version
from ..access.access import Access
from ..access.auth import Auth
from ..calls.error_answers import add_error_handlers
from ..endpoints.docs_api import docs_router
from ..endpoints.health_api import health_router
from ..endpoints.login_api import login_router
from ..endpoints.openapi import openapi_of
from .door import Door
from .metrics import PrometheusMetrics
from .nowhere import add_index, close_prefixes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import APIRouter, FastAPI

    from ..service.service import PictureService

__all__ = ["create_app"]


def create_app(
    service: PictureService,
    access: Access,
    *,
    mount: Callable[[FastAPI, PictureService], None] | None = None,
) -> FastAPI:
    """The application of a server.

    `app.state` has the `service`, `access`, `auth` and `metrics`, and `closing`, to be set when the
    server ends.

    Args:
        service: What makes the pictures. Who called this starts it, but not before this, which says
            who does which jobs, and stops it.
        access: Who may reach it.
        mount: Puts the page at `/`, behind all endpoints; None: there is no page.
    """
    from fastapi import FastAPI

    app = FastAPI(
        title="pulid-sdcpp",
        version=package_version(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    auth = Auth(access.keys, service.secret)
    metrics = PrometheusMetrics(service)
    service.runner.metrics = metrics
    service.may_download = access.allow_downloads
    app.state.service, app.state.access = service, access
    app.state.auth, app.state.metrics = auth, metrics
    app.state.closing = asyncio.Event()

    app.include_router(health_router(service, metrics.text))
    app.include_router(login_router(service, auth))
    app.include_router(docs_router(service))
    for router in _routers(service):
        app.include_router(router)
    add_index(app, for_programs_only=mount is not None)
    close_prefixes(app)
    add_error_handlers(app, log_texts=service.settings.log_prompts)
    app.add_middleware(
        Door,
        service=service,
        access=access,
        auth=auth,
        count=metrics.request_answered,
        closing=app.state.closing,
        has_page=mount is not None,
    )
    app.openapi = cache(lambda: openapi_of(app))  # type: ignore[method-assign]
    if mount is not None:
        mount(app, service)
    return app


def _routers(service: PictureService) -> Iterator[APIRouter]:
    """The endpoints of each family; a line for each."""
    from ..endpoints.faces_api import faces_router
    from ..endpoints.gallery_api import gallery_routers
    from ..endpoints.identities_api import identities_router
    from ..endpoints.plan_api import plan_router
    from ..endpoints.recipe_api import recipe_router
    from ..endpoints.sdcpp_api import sdcpp_router
    from ..openai.api import openai_router
    from ..sdapi.api import sdapi_router

    yield openai_router(service)
    yield sdapi_router(service)
    yield sdcpp_router(service)
    yield from gallery_routers(service)
    yield identities_router(service)
    yield faces_router(service)
    yield plan_router(service)
    yield recipe_router(service)
