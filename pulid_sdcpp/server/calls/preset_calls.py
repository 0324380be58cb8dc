"""What administrators and the page do with presets: fetch, load, free, check and remove them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import ApiError, api_error_of
from ..jobs.job_hub import JobEvent, JobProgress
from ..jobs.jobs import Job
from ..library.preset_files import (
    check_licenses,
    known_preset,
    preset_views,
    removed_files,
    verified_files,
)
from .preset_download import DownloadProgress, PresetDownload

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = [
    "DownloadWork",
    "begin_load",
    "begin_unload",
    "loaded_presets",
    "presets_view",
    "pull_job",
    "remove_preset",
    "verify_preset",
]

LOGGER = logging.getLogger("pulid_sdcpp.server")

_WAIT_S = 45.0
"""So long an answer waits for a model that is loaded; most clients and proxies give up at 60."""
_STOP_S = 1.5


def loaded_presets(service: PictureService) -> list[str]:
    """The presets that are in memory."""
    models = [engine.model for engine in service.engines]
    names = (service.models.default if not one.preset else one.preset for one in models if one)
    return list(dict.fromkeys(names))


async def presets_view(service: PictureService) -> list[dict[str, Any]]:
    """All presets, as `preset_views`."""
    return await asyncio.to_thread(
        preset_views,
        service.models.models_dirs,
        default=service.models.default,
        loaded=loaded_presets(service),
    )


async def pull_job(
    service: PictureService,
    name: str,
    *,
    owner: str,
    accept_licenses: Collection[str] = (),
    photos: bool = True,
) -> Job:
    """Begin to download what a preset lacks; of one that is being downloaded, that job.

    Args:
        service: The server.
        name: The preset.
        owner: Whose job it is.
        accept_licenses: Keys of licenses that are accepted.
        photos: Whether the files that only photos need are fetched, too.

    Raises:
        ApiError: "model_not_found"; "forbidden": downloads are not allowed, or a license has to be
            accepted, which it names.
    """
    if not service.may_download:
        raise ApiError("forbidden", "this server was started without --allow-downloads")
    info = await asyncio.to_thread(known_preset, name, service.models.models_dirs, photos=photos)
    check_licenses(info, accept_licenses)
    for job in _unfinished(service, "download"):
        if job.request.get("preset") == name and job.owner == owner:
            return job
    request = {"preset": name, "accept_licenses": list(accept_licenses), "photos": photos}
    return await service.submit_other("download", owner, request, title=f"download {name}")


async def begin_load(service: PictureService, name: str) -> bool:
    """Load a preset, when an engine is free.

    Returns:
        Whether it is there; False: that takes longer, and goes on.

    Raises:
        ApiError: "model_not_found"; or as it failed.
    """
    await asyncio.to_thread(known_preset, name, service.models.models_dirs)
    if name not in await asyncio.to_thread(service.models.settings):
        raise ApiError("models_missing", f"files of {name} are missing; download it first")
    return await _in_time(service, service.runner.load(name))


async def begin_unload(service: PictureService) -> bool:
    """Free the models, when their jobs have ended; as `begin_load`."""
    return await _in_time(service, service.pool.unload())


async def verify_preset(service: PictureService, name: str) -> list[dict[str, Any]]:
    """As `verified_files`.

    Raises:
        ApiError: "model_not_found".
    """
    await asyncio.to_thread(known_preset, name, service.models.models_dirs)
    return await asyncio.to_thread(verified_files, name, service.models.models_dirs)


async def remove_preset(service: PictureService, name: str) -> dict[str, Any]:
    """As `removed_files`.

    Raises:
        ApiError: "model_not_found"; "in_use": it is loaded, or a job needs it.
    """
    await asyncio.to_thread(known_preset, name, service.models.models_dirs)
    if name in loaded_presets(service):
        raise ApiError("in_use", f"{name} is loaded; unload it first")
    for job in _unfinished(service, ""):
        request = job.request.get("request", job.request) if job.kind == "grid" else job.request
        if name in (request.get("model"), request.get("preset")):
            raise ApiError("in_use", f"a job needs {name}; wait, or cancel it")
    found = await asyncio.to_thread(removed_files, name, service.models.models_dirs)
    service.models.refresh()
    return found


class DownloadWork:
    """Does jobs of the kind "download"; `service.do("download", DownloadWork(service).run)`.

    Args:
        service: The server.
    """

    def __init__(self, service: PictureService) -> None:
        self._service = service

    async def run(self, job: Job) -> Mapping[str, Any]:
        """Download, in a thread that neither waits for others nor keeps the server from ending.

        Raises:
            As `PresetDownload.run`.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Mapping[str, Any]] = loop.create_future()

        def tell(progress: DownloadProgress) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(self._tell, job, progress)

        download = PresetDownload(
            str(job.request["preset"]),
            self._service.models.models_dirs,
            photos=bool(job.request.get("photos", True)),
            accept_licenses=tuple(job.request.get("accept_licenses", ())),
            on_progress=tell,
        )

        def run() -> None:
            result: Mapping[str, Any] = {}
            failed: BaseException | None = None
            try:
                result = download.run()
            except BaseException as error:
                failed = error
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, ended, result, failed)

        threading.Thread(target=run, name="download", daemon=True).start()
        try:
            result = await asyncio.shield(ended)
        except asyncio.CancelledError:
            download.stop()
            await asyncio.wait({ended}, timeout=_STOP_S)
            raise
        finally:
            self._service.models.refresh()
        self._service.changed("model", job.owner, preset=job.request["preset"])
        return result

    def _tell(self, job: Job, progress: DownloadProgress) -> None:
        hub = self._service.hub
        known = JobProgress(
            stage="download",
            step=progress.done_bytes,
            steps=progress.total_bytes,
            picture=progress.number - 1,
            pictures=progress.files,
            eta_s=None if progress.eta_s is None else round(progress.eta_s, 1),
        )
        hub.set_progress(job.id, known)
        data = {**asdict(known), "file": progress.file}
        hub.publish(JobEvent("step", job.id, job.owner, data))


def _settle(
    future: asyncio.Future[Mapping[str, Any]],
    result: Mapping[str, Any],
    error: BaseException | None,
) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
        future.exception()  # of a job that was cancelled meanwhile, nobody asks


async def _in_time(service: PictureService, work: Coroutine[Any, Any, None]) -> bool:
    """Whether something was done while a client waits; it goes on in any case."""
    task = service.background(work)
    await asyncio.wait({task}, timeout=_WAIT_S)
    if task.done():
        task.result()
        service.changed("model", "")
        return True
    task.add_done_callback(_log_failure)
    return False


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOGGER.error("the model: %s", api_error_of(error).message)


def _unfinished(service: PictureService, kind: str) -> list[Job]:
    jobs = service.book.newest(limit=None)
    return [job for job in jobs if not job.is_finished and kind in ("", job.kind)]
