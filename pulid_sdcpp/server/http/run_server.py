"""A server from its settings to its end: it listens, is stopped by a signal, and ends in order.

1. who may reach it, and with which model: a mistake is known before anything is listened at
2. its folder is its own, its sockets listen
3. it answers, until the first signal: from then on it takes no job, and the running ones get 30 s;
   a second signal stops them at once. What is not finished is made at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from ...errors import named, option_error
from ...options.context import ContextOptions
from ...options.facts import of
from ...store.presets import PresetInfo, presets
from ...system.package_version import package_version
from ...terminal_text import counted, meant, shown
from ..access.access import Access, access_of
from ..engine.engines import create_engines
from ..given_settings import GivenSettings
from ..library.people_library import PeopleLibrary
from ..library.served_models import ServedModels
from ..service.service import PictureService
from .app import create_app
from .http_protocol import LimitedHttp
from .server_log import server_log
from .sockets import listening_sockets, url_of

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["GRACE_S", "HowToServe", "run_server"]

GRACE_S = 30.0
"""How long running jobs get when the server is stopped."""

_INTERRUPTED = 130  # 128 + SIGINT
_KEEP_ALIVE_S = 20
_CONNECTIONS_END_S = 5
_POCKET = "pocket"


@dataclass(frozen=True)
class HowToServe:
    """What a command adds to the settings.

    Attributes:
        models_dirs: Folders of model files.
        vram: As that of `PulidPipeline`.
        mount: Puts the page beside the API; None: there is no page.
        say: Shows a line to the user.
        when_listening: Called when the server answers, with its application and its address.
    """

    models_dirs: tuple[str, ...] = ()
    vram: Any = None
    mount: Callable[[FastAPI, PictureService], None] | None = None
    say: Callable[[str], None] = print
    when_listening: Callable[[FastAPI, str], None] = lambda app, url: None


def run_server(given: GivenSettings, how: HowToServe) -> int:
    """Serve until a signal.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        ValueError: A setting is wrong.
        PulidError: The server's folder or a port cannot be used.
    """
    settings = given.settings
    access = access_of(settings)
    models = _models(given, how)
    log = server_log(as_json=settings.log_format == "json", with_texts=settings.log_prompts)
    with contextlib.ExitStack() as stack:
        people = PeopleLibrary(settings.server_folder)
        service = PictureService(settings, models, create_engines(settings), people)
        stack.enter_context(service.book.store.only_server())
        sockets = stack.enter_context(listening_sockets(access.addresses, settings.port))
        app = create_app(service, access, mount=how.mount)
        stack.enter_context(log)
        return asyncio.run(_serve(service, app, sockets, access, how))


def _models(given: GivenSettings, how: HowToServe) -> ServedModels:
    context: dict[str, Any] = {
        name: os.path.abspath(value) if isinstance(value, Path) else value
        for name, value in given.context.items()
    }
    is_single = bool(context.get("diffusion_model_path") or context.get("model_path"))
    for name, value in context.items():
        fact = of(ContextOptions)[name]
        fact.check(value)
        if fact.role and value is not None and not Path(value).is_file():
            raise option_error(f"{named(name)}: there is no file {shown(str(value))}")
    if is_single and not given.preset:
        ContextOptions(**context)  # refuses what does not go together
    preset = given.preset
    if not preset and not is_single:
        preset = _first_complete(presets(models_dirs=how.models_dirs, extraction=False))
    elif preset:
        names = [info.name for info in presets(models_dirs=how.models_dirs, extraction=False)]
        if preset not in names:
            raise ValueError(f"there is no preset {shown(preset)}; {meant(preset, names)}")
    return ServedModels(preset, context, models_dirs=how.models_dirs, vram=how.vram)


def _first_complete(infos: Sequence[PresetInfo]) -> str:
    """The preset of who names none: one that was downloaded; the pocket model is always there."""
    found = [info.name for info in infos if info.complete and not info.packaged]
    return found[0] if found else _POCKET


async def _serve(
    service: PictureService,
    app: FastAPI,
    sockets: Sequence[socket],
    access: Access,
    how: HowToServe,
) -> int:
    server = _Server(
        uvicorn.Config(
            app,
            http=LimitedHttp,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_CONNECTIONS_END_S,
        )
    )
    with _stopping() as stop:
        answering = asyncio.create_task(server.serve(list(sockets)))
        starting = asyncio.create_task(_started(service, server, app, sockets, access, how))
        stopped = asyncio.create_task(stop.first.wait())
        try:
            ends = {answering, stopped}
            await asyncio.wait({starting, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and starting.exception() is None:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({starting})
            await _end(service, stop)
            app.state.closing.set()
        finally:
            stopped.cancel()
            server.should_exit = True
            await answering
        starting.result()
    return stop.status


async def _started(
    service: PictureService,
    server: _Server,
    app: FastAPI,
    sockets: Sequence[socket],
    access: Access,
    how: HowToServe,
) -> None:
    """Start it, and say where it is: /health answers while the jobs are read, /ready does not."""
    while not server.started and not server.should_exit:
        await asyncio.sleep(0.01)
    urls = list(dict.fromkeys(map(url_of, sockets)))
    for line in _said(service, urls, access):
        how.say(line)
    await service.start()
    how.when_listening(app, urls[0])


def _said(service: PictureService, urls: Sequence[str], access: Access) -> list[str]:
    model = service.models.default
    is_there = service.models.is_complete(model)
    files = "" if is_there else f"; its files are not here: pulid-sdcpp models pull {model}"
    return [
        f"pulid-sdcpp {package_version()} listens at {', '.join(urls)}",
        f"model: {model}{files}",
        f"access: {_who(access)}; API: {urls[0]}/docs; stop with Ctrl-C",
    ]


def _who(access: Access) -> str:
    """Who may use the server; through a proxy, those may whom it lets through."""
    owners = {key.owner for key in access.keys.keys}
    if owners:
        return f"keys of {counted(len(owners), 'owner')}"
    public = access.rules.public_origin
    return f"no key: everybody at {public}" if public else "no key; only this computer"


async def _end(service: PictureService, stop: _Stop) -> None:
    """Let the running jobs come to their end, as long as nobody is impatient."""
    ending = asyncio.create_task(service.stop(GRACE_S))
    hurry = asyncio.create_task(stop.second.wait())
    await asyncio.wait({ending, hurry}, return_when=asyncio.FIRST_COMPLETED)
    if not ending.done():
        ending.cancel()
        await asyncio.wait({ending})
        await service.stop(0.0)
    hurry.cancel()


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Stop:
    """The signals that came."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        self.status = 0

    def asked(self, number: int) -> None:
        if not self.first.is_set():
            self.status = _INTERRUPTED if number == signal.SIGINT else 0
            self.first.set()
        else:
            self.second.set()


@contextlib.contextmanager
def _stopping() -> Iterator[_Stop]:
    """Catch the signals that end a server."""
    stop, loop = _Stop(), asyncio.get_running_loop()

    def handle(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(stop.asked, number)

    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
