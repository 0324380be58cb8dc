"""Makes a grid: hands a job for each picture to the queue, and measures what comes.

Only a few of its jobs wait at once, so that others' jobs come between. They are ordinary jobs:
their pictures are in the gallery, with their settings. A grid that was interrupted goes on with
those that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from ...errors import PulidError
from ..engine.job_engine import EnginePool
from ..errors import ApiError, api_error_of
from ..jobs.job_book import JobBook
from ..jobs.job_folder import PHOTOS_FOLDER
from ..jobs.job_hub import JobEvent, JobHub, JobProgress
from ..jobs.job_ids import picture_id
from ..jobs.jobs import Job
from ..library.face_looks import FaceLooks
from ..library.likeness import mean_reference
from ..library.picture_facts import PictureFacts, picture_facts
from ..library.served_models import ServedModels
from ..request.normal_request import NormalRequest
from .engine_events import picture_path_of
from .grid_results import GridEntry, entries_of_grid, grid_result
from .grids import GridPlace, request_at
from .job_request import IDENTITY_SUFFIX, folder_request
from .job_runner import JobRunner

__all__ = ["GridWork"]

LOGGER = logging.getLogger("pulid_sdcpp.server")

_FULL_S = 2.0
"""So long is waited for a place in a queue that is full."""


class _GridService(Protocol):
    """What is needed of the `PictureService`."""

    book: JobBook
    hub: JobHub
    models: ServedModels
    pool: EnginePool
    runner: JobRunner
    looks: FaceLooks
    is_stopping: bool

    async def submit(
        self,
        request: NormalRequest,
        contents: Mapping[str, bytes],
        *,
        owner: str,
        idempotency_key: str = ...,
    ) -> Job: ...

    async def submit_other(self, kind: str, owner: str, request: Mapping[str, Any]) -> Job: ...

    async def finished(self, job_id: str) -> Job: ...

    async def cancel(self, job_id: str) -> Job: ...

    def background(self, work: Any) -> asyncio.Task[Any]: ...


class GridWork:
    """Does the jobs of the kind "grid".

    Args:
        service: The server.
    """

    def __init__(self, service: _GridService) -> None:
        self._service = service

    async def run(self, job: Job) -> Mapping[str, Any]:
        """Do one.

        Raises:
            ApiError: The first picture cannot be made, so that none can.
        """
        return await _Grid(self._service, job).made()


class _Grid:
    """One grid that is being made."""

    def __init__(self, service: _GridService, job: Job) -> None:
        self._service = service
        self._job = job
        self._entries = entries_of_grid(job)
        self._begun = asyncio.get_running_loop().time()
        self._made = 0
        self._can_measure = True
        self._contents: dict[str, bytes] = {}
        self._looks: dict[int, Mapping[str, Any]] = {}

    async def made(self) -> dict[str, Any]:
        folder = self._service.book.store.folder(self._job.id)
        base = await asyncio.to_thread(self._read, self._job.request["request"], folder)
        missing = iter([one.place for one in self._entries if not one.picture_id and not one.error])
        if (first := next(missing, None)) is not None:
            is_first = not any(entry.picture_id for entry in self._entries)
            await self._look_at_photos(base)
            child = await self._make(base, first, is_first=is_first)
            if any(person.photos for person in base.people):
                # Its people are extracted, so the other pictures need no photos.
                own = self._service.book.store.folder(child.id)
                extracted = await asyncio.to_thread(self._read, child.request, own)
                base = replace(base, people=extracted.people)

        async def make_next() -> None:
            for place in missing:
                await self._make(base, place)

        tasks = [asyncio.create_task(make_next()) for _ in range(self._service.pool.count + 1)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return grid_result(self._job.id, self._entries)

    def _read(self, body: Mapping[str, Any], folder: Path) -> NormalRequest:
        models = self._service.models
        request = folder_request(body, folder, models.settings(), models.default)
        for kept in request.kept:
            names = (f"{kept.sha256}.png", f"{kept.sha256}{IDENTITY_SUFFIX}")
            paths = [folder / names[0], folder / names[1], folder / PHOTOS_FOLDER / names[0]]
            found = next((path for path in paths if path.is_file()), None)
            if found is not None:
                self._contents[kept.sha256] = found.read_bytes()
        return request

    async def _make(self, base: NormalRequest, place: GridPlace, *, is_first: bool = False) -> Job:
        """One picture, by a job of its own."""
        child = await self._submitted(request_at(base, place), place)
        try:
            child = await self._service.finished(child.id)
        except asyncio.CancelledError:
            if not self._service.is_stopping:
                self._service.background(self._service.cancel(child.id))
            raise
        except KeyError:  # its owner has removed it
            await self._note(replace(self._entries[place.number], error="it was removed"))
            return child
        if not child.pictures:
            message = child.error.message if child.error else "it was not made"
            if is_first:
                code = child.error.code if child.error else "generation_failed"
                raise ApiError(code, message, child.error.param if child.error else None)
            await self._note(replace(self._entries[place.number], error=message))
            return child
        name = picture_id(child.id, child.pictures[0].index)
        if self._looks:
            path = self._service.book.store.picture_path(child.id, child.pictures[0].index)
            self._remember(await asyncio.to_thread(picture_facts, path), len(base.people))
        similarity, best_other = await self._measured(name)
        self._made += 1
        await self._note(GridEntry(place, name, similarity, best_other))
        return child

    async def _look_at_photos(self, base: NormalRequest) -> None:
        """What recognisers have for people who are not kept: else nothing is like them."""
        for number, person in enumerate(base.people):
            faces = []
            try:
                for photo in person.photos:
                    looked_at, _ = await self._service.looks.recognise(
                        self._contents[photo.sha256], person.face or "largest"
                    )
                    faces.append(looked_at.faces[looked_at.chosen or 0].embeddings)
            except (PulidError, ApiError) as error:
                # Without a face, the first picture says so; without networks, none is measured.
                code = api_error_of(error).code
                LOGGER.info("%s: a photo is not looked at: %s", self._job.id, code)
                return
            if faces:
                self._looks[number] = mean_reference(faces)

    def _remember(self, facts: PictureFacts | None, people: int) -> None:
        """Who the people of the photos are is known by the first picture that has all of them."""
        if facts is not None and len(facts.people) == people:
            for number, references in self._looks.items():
                self._service.looks.remember(self._job.owner, facts.people[number], references)
            self._looks.clear()

    async def _submitted(self, request: NormalRequest, place: GridPlace) -> Job:
        # After a restart, the same job again.
        key = f"{self._job.id}-{place.number}"
        owner = self._job.owner
        return await self._accepted(
            lambda: self._service.submit(request, self._contents, owner=owner, idempotency_key=key)
        )

    async def _accepted(self, submit: Callable[[], Awaitable[Job]]) -> Job:
        """A job of the grid's, as soon as there is room for it. A server that stops has none: the
        grid waits until it is put off, too, and goes on at the next start."""
        while True:
            submitting = self._service.background(submit())
            try:
                job: Job = await asyncio.shield(submitting)
                return job
            except asyncio.CancelledError:
                if not self._service.is_stopping:
                    self._service.background(self._taken_back(submitting))
                raise
            except ApiError as error:
                if error.code not in ("queue_full", "shutting_down"):
                    raise
            await asyncio.sleep(_FULL_S)

    async def _taken_back(self, submitting: asyncio.Future[Job]) -> None:
        """The grid was cancelled while a picture's job was accepted."""
        with contextlib.suppress(ApiError):
            await self._service.cancel((await submitting).id)

    async def _measured(self, picture: str) -> tuple[float | None, float | None]:
        """How much the people of a picture are like themselves, and like others."""
        if not self._can_measure:
            return None, None
        wanted = {"picture": picture}
        job = await self._accepted(
            lambda: self._service.submit_other("score", self._job.owner, wanted)
        )
        job = await self._service.finished(job.id)
        if job.status != "completed":
            code = job.error.code if job.error else job.status
            LOGGER.info("%s: likeness is not measured: %s", self._job.id, code)
            self._can_measure = False
            return None, None
        if job.result.get("none"):
            return 0.0, None
        people = job.result.get("people", ())
        own = [one["similarity"] for one in people if one["similarity"] is not None]
        others = [one["best_other"]["similarity"] for one in people if one["best_other"]]
        return (
            sum(own) / len(own) if own else None,
            sum(others) / len(others) if others else None,
        )

    async def _note(self, entry: GridEntry) -> None:
        """Keep what came of a picture, and tell those who follow the grid."""
        number = entry.place.number
        self._entries[number] = entry
        result = grid_result(self._job.id, self._entries)
        await self._service.runner.change(
            self._job.id, lambda job: replace(job, result=result, interruptions=0)
        )
        done = sum(bool(one.picture_id or one.error) for one in self._entries)
        total = len(self._entries)
        took_s = asyncio.get_running_loop().time() - self._begun
        each_s = took_s / self._made if self._made else 0.0
        progress = JobProgress(
            "grid", done, total, round(each_s, 3), done, total, round(each_s * (total - done), 1)
        )
        self._service.hub.set_progress(self._job.id, progress)
        self._tell("step", asdict(progress))
        if entry.picture_id:
            place = {"index": number, "seed": entry.place.seed, "picture_id": entry.picture_id}
            row = result["table"][number]
            self._tell("saved", {**place, "url": picture_path_of(entry.picture_id), "row": row})

    def _tell(self, name: str, data: Mapping[str, Any]) -> None:
        self._service.hub.publish(JobEvent(name, self._job.id, self._job.owner, data))
