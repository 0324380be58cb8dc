"""A server in this process, without a port: the real application over engines that are not.

async def test(client: httpx.AsyncClient, service: PictureService) -> None: ...
run_served(tmp_path, test)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fake_engine_process import create_fake_pipeline
from pulid_sdcpp.server.engine.engine_worker import create_pipeline_of
from pulid_sdcpp.server.engine.inline_engine import InlineEngine
from pulid_sdcpp.server.library.people_library import PeopleLibrary
from pulid_sdcpp.server.library.served_models import ServedModels
from pulid_sdcpp.server.service.service import PictureService
from pulid_sdcpp.server.settings import ServerSettings

__all__ = ["LIMIT_S", "new_service", "run_served", "run_service", "served", "started"]

LIMIT_S = 300.0

ServiceTest = Callable[[PictureService], Awaitable[object]]


def new_service(
    folder: Path, *, pocket: bool = False, engines: int = 1, **settings: Any
) -> PictureService:
    """A server that is not started.

    Args:
        folder: For all that it keeps.
        pocket: Whether the pocket model makes the pictures; else an engine that computes nothing,
            to which a picture's prompt says what happens: `fake_engine_process`.
        engines: How many there are.
        **settings: Of `ServerSettings`.
    """
    given = ServerSettings(data_dir=folder, engine="inline", **settings)
    create = create_pipeline_of if pocket else create_fake_pipeline
    several = [InlineEngine(create) for _ in range(engines)]
    people = PeopleLibrary(given.server_folder)
    return PictureService(given, ServedModels("pocket"), several, people)


@asynccontextmanager
async def started(
    folder: Path, *, grace_s: float = 0.0, **settings: Any
) -> AsyncIterator[PictureService]:
    """A server that runs, and is stopped at the end.

    Args:
        folder, **settings: As for `new_service`.
        grace_s: As for `PictureService.stop`.
    """
    service = new_service(folder, **settings)
    async with _running(service, grace_s):
        yield service


@asynccontextmanager
async def _running(service: PictureService, grace_s: float) -> AsyncIterator[None]:
    await service.start()
    try:
        yield
    finally:
        await service.stop(grace_s)


def run_service(folder: Path, test: ServiceTest, **settings: Any) -> None:
    """Run a test with a server without HTTP."""

    async def limited() -> None:
        async with started(folder, **settings) as service:
            await asyncio.wait_for(test(service), LIMIT_S)

    asyncio.run(limited())


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[tuple[Any, PictureService]]:
    """An `httpx.AsyncClient` of a server that runs, and the server."""
    import httpx

    from pulid_sdcpp.server.access.access import access_of
    from pulid_sdcpp.server.http.app import create_app

    service = new_service(folder, **settings)
    app = create_app(service, access_of(service.settings, {}))  # who does which jobs is known now
    async with _running(service, 0.0):
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client, service


def run_served(
    folder: Path, test: Callable[[Any, Any], Awaitable[object]], **settings: Any
) -> None:
    """Run a test with a server and its client."""

    async def limited() -> None:
        async with served(folder, **settings) as (client, service):
            await asyncio.wait_for(test(client, service), LIMIT_S)

    asyncio.run(limited())
