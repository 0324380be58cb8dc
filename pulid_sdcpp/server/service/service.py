"""The server without HTTP: what the endpoints of every family, and the page, call."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..access.signing import load_secret
from ..engine.asked_process import AskedProcess
from ..engine.job_engine import EnginePool, JobEngine
from ..errors import ApiError
from ..jobs.idempotency import IdempotencyKeys
from ..jobs.job_book import JobBook
from ..jobs.job_hub import JobEvent, JobHub
from ..jobs.job_ids import new_job_id, picture_of_id
from ..jobs.job_queue import JobQueue
from ..jobs.job_store import JobStore
from ..jobs.jobs import Job, MadePicture
from ..jobs.retention import GoneJobs, remove_old_jobs
from ..library.face_looks import FaceLooks
from ..library.gallery import Gallery
from ..library.people_library import PeopleLibrary
from ..library.served_models import ServedModels
from ..request.body_fields import BodyFields
from ..request.embedded_identities import check_embeddings
from ..request.normal_request import NormalRequest, normalised_fields
from ..request.request_files import RequestFiles
from ..request.request_forms import to_json
from ..settings import ServerSettings
from .grid_work import GridWork
from .job_request import IDENTITY_SUFFIX, files_of_request
from .job_runner import QUEUED_KINDS, JobRunner, Work

__all__ = ["PictureService"]

LOGGER = logging.getLogger("pulid_sdcpp.server")

PLAN_COMMAND = (sys.executable, "-m", "pulid_sdcpp.server.library.plan_process")

_CLEAN_S = 3600.0
_UNKEPT_S = 3600.0
"""So long the pictures stay that are not kept: for as long as their addresses are good."""
_MAX_OTHERS = 16
"""Jobs at once that need no place in the queue."""


@dataclass(frozen=True)
class _NewJob:
    """A job that is to be accepted, without its place in line."""

    job: Job
    files: Mapping[str, bytes]
    photos: Mapping[str, bytes]


class PictureService:
    """Takes jobs, has them done, and knows what became of them. For one event loop.

    Args:
        settings: Of the server.
        models: What it makes pictures with.
        engines: Who makes them.
        people: Whom each owner keeps.
        clock: Gives unix seconds.

    Raises:
        OutputFileError: The server's folder cannot be used.
    """

    def __init__(
        self,
        settings: ServerSettings,
        models: ServedModels,
        engines: Sequence[JobEngine],
        people: PeopleLibrary,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.models = models
        self.people = people
        self.clock = clock
        self.book = JobBook(JobStore(settings.server_folder), clock)
        self.secret = load_secret(settings.server_folder)
        self.gone = GoneJobs(settings.server_folder / "gone.json", clock())
        self.queue = JobQueue(self.limits.queue_size)
        self.keys = IdempotencyKeys()
        self.hub = JobHub()
        self.pool = EnginePool(engines)
        self.engines = tuple(engines)
        self.runner = JobRunner(
            book=self.book,
            queue=self.queue,
            hub=self.hub,
            pool=self.pool,
            models=models,
            job_timeout_s=self.limits.job_timeout_s,
            queue_timeout_s=self.limits.queue_timeout_s,
            clock=clock,
        )
        self.gallery = Gallery(self.book, people.names_by_id)
        self.do("grid", GridWork(self).run)
        self.looks = FaceLooks(models, settings.judge)
        self.planner = AskedProcess(PLAN_COMMAND, "the process that plans", idle_s=10.0)
        self.may_download = settings.allow_downloads is not False
        self.is_stopping = False
        self._cleaning: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Read the jobs of the disk, and go on with them."""
        waiting = await asyncio.to_thread(self.book.load)
        self.keys = IdempotencyKeys(self.book.newest(limit=None))
        for job in waiting:
            if job.kind in QUEUED_KINDS:
                self.queue.add(job)
            self.runner.follow(job)
        await self.runner.start()
        self._cleaning = asyncio.create_task(self._clean_hourly())
        if self.settings.load:
            self.background(self._load_default())

    async def stop(self, grace_s: float = 30.0) -> None:
        """End in good order: no job is taken any more, running ones get so long; what is not
        finished is made at the next start."""
        self.is_stopping = True
        if self._cleaning is not None:
            self._cleaning.cancel()
        await self.runner.stop(grace_s)
        await self.looks.close()
        await self.planner.close()
        for task in list(self._tasks):
            task.cancel()

    def do(self, kind: str, work: Work) -> None:
        """Say who does the jobs of a kind, before `start`."""
        self.runner.do(kind, work)

    def background(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine beside all else, until it ends or the server stops."""
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def read(
        self, fields: BodyFields, files: RequestFiles, *, model: str = ""
    ) -> NormalRequest:
        """Check a request, with its pictures.

        Args:
            fields: As a family's request has them.
            files: What came along.
            model: The default model of this request; "": the server's.

        Raises:
            ApiError: Says what is wrong, and in which field.
        """

        def read() -> NormalRequest:
            request = normalised_fields(
                fields,
                models=self.models.settings(),
                default_model=model or self.models.default,
                readers=files.readers,
                limits=self.limits,
                encoders=self.models.encoders,
                size_multiple=self.models.size_multiple,
            )
            check_embeddings(request, files.contents, self.models.encoders(request.model))
            return request

        return await asyncio.to_thread(read)

    async def submit(
        self,
        request: NormalRequest,
        contents: Mapping[str, bytes],
        *,
        owner: str,
        client: str = "own",
        synchronous: bool = False,
        idempotency_key: str = "",
        body_sha256: str = "",
    ) -> Job:
        """Accept a request for pictures; when this returns, no failure can lose it.

        Args:
            request: As `read` gave it.
            contents: What came along, by hash.
            owner: Whose it is.
            client: The family of endpoints.
            synchronous: Whether a client waits for it on its connection.
            idempotency_key: The client's own name of the request; if there is a job with it, that
                job is the answer.
            body_sha256: Of the request, for that.

        Raises:
            ApiError: queue_full, shutting_down, identity_not_found, invalid_value.
            OutputFileError: The disk is full.
        """

        def new(job_id: str, sequence: int) -> _NewJob:
            kept, identities = self._with_people(request, owner)
            files, photos = files_of_request(kept, contents)
            job = Job(
                id=job_id,
                kind="img_gen",
                owner=owner,
                created=self.clock(),
                sequence=sequence,
                request=to_json(kept),
                seeds=kept.seeds,
                synchronous=synchronous,
                client=client,
                title=kept.delivery.title,
                warnings=tuple(kept.warnings),
                idempotency_key=idempotency_key,
                body_sha256=body_sha256,
            )
            return _NewJob(job, {**files, **identities}, photos)

        job = await self._accept(new, owner, idempotency_key, body_sha256)
        if self.settings.log_prompts:
            LOGGER.info("%s: %s", job.id, request.options["prompt"])
        return job

    async def submit_other(
        self,
        kind: str,
        owner: str,
        request: Mapping[str, Any],
        *,
        files: Mapping[str, bytes] | None = None,
        photos: Mapping[str, bytes] | None = None,
        client: str = "own",
        synchronous: bool = False,
        title: str = "",
    ) -> Job:
        """Accept a job of another kind than pictures; see `do`.

        Args:
            kind: extract, grid, score, download.
            owner: Whose it is.
            request: What is wanted, as JSON.
            files, photos: As for `JobStore.accept`.
            client, synchronous: As for `submit`.
            title: What its owner calls it.

        Raises:
            ApiError: queue_full, shutting_down.
            OutputFileError: The disk is full.
        """
        if kind not in QUEUED_KINDS:
            running = self.book.newest(owner, status="generating", limit=None)
            if sum(job.kind not in QUEUED_KINDS for job in running) >= _MAX_OTHERS:
                text = f"{_MAX_OTHERS} grids, measurements and downloads run; wait for one"
                raise ApiError("queue_full", text, headers={"Retry-After": "10"})

        def new(job_id: str, sequence: int) -> _NewJob:
            job = Job(
                id=job_id,
                kind=kind,
                owner=owner,
                created=self.clock(),
                sequence=sequence,
                request=dict(request),
                synchronous=synchronous,
                client=client,
                title=title,
            )
            return _NewJob(job, files or {}, photos or {})

        return await self._accept(new, owner)

    async def finished(self, job_id: str) -> Job:
        """Wait for a job's end.

        Raises:
            KeyError: There is no such job.
        """
        return await self.runner.finished(job_id)

    async def cancel(self, job_id: str) -> Job:
        """Stop a job that waits or runs: within two seconds, or it goes on for a moment.

        Raises:
            KeyError: There is no such job.
        """
        return await self.runner.cancel(job_id)

    def skip(self, job_id: str) -> None:
        """Leave out the picture that a running job is at; see `JobRunner.skip`."""
        self.runner.skip(job_id)

    def job(self, job_id: str, owner: str | None) -> Job:
        """A job.

        Args:
            job_id: Any text.
            owner: Who asks; None: an administrator.

        Raises:
            ApiError: not_found; or expired: it was removed for its age.
        """
        job = self.book.get(job_id, owner)
        if job is None and self.gone.has(job_id, owner):
            raise ApiError("expired", "this job was removed, as old jobs are")
        if job is None:
            raise ApiError("not_found", "there is no such job")
        return job

    def picture(self, name: str, owner: str | None) -> tuple[Job, MadePicture, Path]:
        """A picture that is on the disk, with its job and its file.

        Args:
            name: The picture's id.
            owner: Who asks; None: an administrator, or who has a signed address.

        Raises:
            ApiError: As `job`.
        """
        found = picture_of_id(name)
        if found is None:
            raise ApiError("not_found", "there is no such picture")
        job = self.job(found[0], owner)
        for picture in job.pictures:
            if picture.index == found[1]:
                return job, picture, self.book.store.picture_path(job.id, picture.index)
        raise ApiError("not_found", "there is no such picture")

    async def move(self, job_id: str, position: int) -> None:
        """Move a waiting job among its owner's; see `JobQueue.move`."""
        for moved, sequence in self.queue.move(job_id, position).items():
            await self.runner.change(moved, partial(replace, sequence=sequence))

    async def remove(self, job_id: str) -> bool:
        """Remove a finished job and its pictures; False: it has not ended."""
        job = self.book.get(job_id)
        if job is None or not await asyncio.to_thread(self.book.remove, job_id):
            return False
        self.keys.forget(job)
        self.changed("gallery", job.owner)
        return True

    def changed(self, what: str, owner: str, **data: Any) -> None:
        """Tell the page that something else than a job has changed: gallery, identity, model."""
        self.hub.publish(JobEvent(what, "", owner, data))

    def is_kept(self, job: Job) -> bool:
        """Whether a job's pictures stay after they were delivered."""
        kept = {"all": True, "jobs": not job.synchronous, "none": False}[self.settings.gallery]
        return bool(job.request.get("store", True)) and kept

    async def clean(self) -> None:
        """Remove what is too old, too much, or was not to be kept."""
        now = self.clock()
        finished = [job for job in self.book.newest(limit=None) if job.is_finished]
        for job in finished:
            is_old = now - (job.completed or job.created) > _UNKEPT_S
            if job.kind == "img_gen" and is_old and not self.is_kept(job) and not job.has_favourite:
                await self.remove(job.id)
        removed = await asyncio.to_thread(
            remove_old_jobs,
            self.book,
            self.gone,
            now=now,
            keep_days=self.limits.keep_days,
            keep_gib=self.limits.keep_gib,
        )
        known = {job.id: job for job in finished}
        for job_id in removed:
            self.keys.forget(known[job_id])

    async def _clean_hourly(self) -> None:
        while True:
            try:
                await self.clean()
            except Exception:
                LOGGER.exception("old jobs are not removed")
            await asyncio.sleep(_CLEAN_S)

    async def _load_default(self) -> None:
        try:
            await self.runner.load(self.models.default)
        except Exception as error:
            LOGGER.error("the model is not loaded: %s", error)

    async def _accept(
        self,
        new: Callable[[str, int], _NewJob],
        owner: str,
        idempotency_key: str = "",
        body_sha256: str = "",
    ) -> Job:
        job_id = new_job_id()

        def accept() -> Job:
            with self._claimed(owner, idempotency_key, body_sha256, job_id) as claimed:
                if claimed != job_id and (known := self.book.get(claimed)) is not None:
                    return known
                with self.queue.room() as sequence:
                    made = new(job_id, sequence)
                    self.book.accept(made.job, made.files, made.photos)
                    if made.job.kind in QUEUED_KINDS:
                        self.queue.add(made.job)
                    return made.job

        async def accepted() -> Job:
            job = await asyncio.to_thread(accept)
            if job.id == job_id:
                self.runner.follow(job)
            return self.book.get(job.id) or job

        # Who asks may be cancelled meanwhile: a job that is accepted is also done.
        return await asyncio.shield(self.background(accepted()))

    @contextlib.contextmanager
    def _claimed(self, owner: str, key: str, body_sha256: str, job_id: str) -> Iterator[str]:
        if not key:
            yield job_id
            return
        with self.keys.claimed(owner, key, body_sha256, job_id, self.clock()) as claimed:
            yield claimed

    def _with_people(
        self, request: NormalRequest, owner: str
    ) -> tuple[NormalRequest, dict[str, bytes]]:
        """The request with kept people by the ids of the identities that the model takes, and the
        files of these, copied: the job is whole, whatever becomes of the library."""
        people = []
        encoders = self.models.encoders(request.model)
        files: dict[str, bytes] = {}
        for person in request.people:
            if person.identity:
                someone, found = self.people.identity_for(
                    owner, person.identity, encoders, model=request.model
                )
                files[f"{found.id}{IDENTITY_SUFFIX}"] = found.path.read_bytes()
                name = person.name or someone.name
                person = replace(person, identity=found.id, name=name)
            people.append(person)
        return replace(request, people=tuple(people)), files
