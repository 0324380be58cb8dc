"""Does the jobs of the queue, each by an engine that is free, and tells how far they are.

Extractions and pictures wait in the queue; jobs of other kinds (a grid, a download) are begun at
once, in tasks of their own: they need no engine, or hand jobs to the queue themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from ...errors import GenerationCancelled
from ..engine.engine_messages import DoneEvent, JobCommand, LoadCommand, SavedEvent
from ..engine.job_engine import EnginePool
from ..errors import ApiError, api_error_of
from ..jobs.job_book import JobBook
from ..jobs.job_hub import JobEvent, JobHub
from ..jobs.job_queue import JobQueue
from ..jobs.jobs import Job, JobFailure, MadePicture
from ..jobs.to_the_end import to_the_end
from ..library.served_models import ServedModels
from .engine_events import EngineEvents
from .picture_work import PictureWork
from .service_metrics import ServiceMetrics

__all__ = ["QUEUED_KINDS", "JobRunner", "Work"]

LOGGER = logging.getLogger("pulid_sdcpp.server")

QUEUED_KINDS = ("img_gen", "extract")
"""Those that need an engine, and wait for one."""

Work = Callable[[Job], Awaitable[Mapping[str, Any]]]
"""Does a job of some kind; gives what it found, for the job's `result`."""

_OF_A_PICTURE = ("fold", "encode", "denoise", "decode")
_CANCEL_WAIT_S = 2.0
_CANCELLED = JobFailure("cancelled", "it was cancelled")
_JOB_TIMED_OUT = JobFailure("timed_out", "the job took longer than it may; ask for less")
_QUEUE_TIMED_OUT = JobFailure(
    "timed_out", "the job waited longer than it may; try again when fewer jobs wait"
)


class JobRunner:
    """Does jobs. For one event loop.

    Args:
        book, queue, hub, pool, models: The server's.
        job_timeout_s, queue_timeout_s: How long a job may run and wait; 0: without end.
        clock: Gives unix seconds.

    Attributes:
        metrics: Is told of what is done; may be replaced.
    """

    def __init__(
        self,
        *,
        book: JobBook,
        queue: JobQueue,
        hub: JobHub,
        pool: EnginePool,
        models: ServedModels,
        job_timeout_s: float = 0.0,
        queue_timeout_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._queue = queue
        self._hub = hub
        self._pool = pool
        self._models = models
        self._job_timeout_s = job_timeout_s
        self._queue_timeout_s = queue_timeout_s
        self._clock = clock
        self.metrics = ServiceMetrics()
        self._works: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._others: dict[str, asyncio.Task[None]] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._cancelled: set[str] = set()
        self._timed_out: set[str] = set()
        self._skipped: dict[str, int] = {}
        self._is_stopping = False
        self._loads = 0

    def do(self, kind: str, work: Work) -> None:
        """Say who does the jobs of a kind; those of pictures are done here."""
        self._works[kind] = work

    async def start(self) -> None:
        """Begin to do jobs."""
        for _ in range(self._pool.count):
            self._keep(asyncio.create_task(self._serve()))

    async def stop(self, grace_s: float) -> None:
        """End in good order: running jobs get so long; what is not finished waits again."""
        self._queue.close()
        serving = {*self._tasks, *self._others.values()}
        if serving and grace_s > 0:
            await asyncio.wait(serving, timeout=grace_s)
        self._is_stopping = True
        for job_id in self._queue.running():
            self._stop_job(job_id)
        for job_id in list(self._others):
            self._stop_job(job_id)
        await self._pool.close()
        serving = {*self._tasks, *self._others.values()}
        if serving:
            await asyncio.wait(serving)

    def follow(self, job: Job) -> None:
        """Know a job that was put in line, or begin one of another kind; told to everybody."""
        if job.kind in QUEUED_KINDS:
            self._watch_waiting(job)
        else:
            task = asyncio.create_task(self._do_other(job.id))
            self._others[job.id] = task
            task.add_done_callback(lambda _: self._others.pop(job.id, None))
        self._tell(job, "queued", {"position": self._queue.position(job.id)})

    async def finished(self, job_id: str) -> Job:
        """Wait for a job's end.

        Raises:
            KeyError: There is no such job.
        """
        while True:
            job = self._book.get(job_id)
            if job is None:
                raise KeyError(job_id)
            if job.is_finished:
                return job
            await self._ended.setdefault(job_id, asyncio.Event()).wait()

    async def cancel(self, job_id: str) -> Job:
        """Stop a job that waits or runs; one that has ended stays as it is.

        Returns:
            The job, at the latest after two seconds; it may still run then.

        Raises:
            KeyError: There is no such job.
        """
        job = self._book.get(job_id)
        if job is None:
            raise KeyError(job_id)
        if job.is_finished:
            return job
        if self._queue.withdraw(job_id):
            return await self._end(job_id, "cancelled", _CANCELLED)

        def asked(job: Job) -> Job:
            return job if job.is_finished else replace(job, cancel_requested=True)

        job = await self._noted(job_id, asked)
        if job.is_finished:
            return job
        self._stop_job(job_id)
        with contextlib.suppress(asyncio.TimeoutError, KeyError):  # it may be removed at once
            job = await asyncio.wait_for(self.finished(job_id), _CANCEL_WAIT_S)
        return self._book.get(job_id) or job

    def skip(self, job_id: str) -> None:
        """Leave out the picture that a job is at, and go on with its next one.

        A job that waits, loads or extracts stays as it is.
        """
        progress = self._hub.progress(job_id)
        if progress is not None and progress.stage in _OF_A_PICTURE:
            self._skipped[job_id] = progress.picture
            self._pool.cancel(job_id)

    def skipped(self, job_id: str) -> int | None:
        """The picture at which a job was stopped to go on with the next; told once."""
        return self._skipped.pop(job_id, None)

    async def run(self, job: Job, command: JobCommand) -> Mapping[str, Any]:
        """Let an engine do a command of a running job; gives what it found.

        Raises:
            GenerationCancelled: The job was cancelled.
            Exception: As it failed.
        """
        if command.job in self._cancelled:
            raise GenerationCancelled("cancelled")
        events = EngineEvents(self._hub, job)
        result: Mapping[str, Any] = {}
        start = time.monotonic()
        async with contextlib.aclosing(self._pool.run(command)) as found:
            async for event in found:
                if isinstance(event, SavedEvent):
                    await self._saved(job.id, event)
                elif isinstance(event, DoneEvent):
                    result = event.result
                events.tell(event)
                self.metrics.engine_said(job, command, event, time.monotonic() - start)
        return result

    async def load(self, model: str) -> None:
        """Load a model now, by the engine that is free first.

        Raises:
            As it failed.
        """
        self._loads += 1
        command = LoadCommand(f"load-{self._loads}", self._models.choice(model))
        async with contextlib.aclosing(self._pool.run(command)) as events:
            async for _ in events:
                pass

    def note(self, job: Job, warning: Mapping[str, str]) -> None:
        """Tell those who follow a running job of one of its warnings."""
        self._tell(job, "note", warning)

    async def change(self, job_id: str, changed: Callable[[Job], Job]) -> Job:
        """As `JobBook.change`, in a thread."""
        return await asyncio.to_thread(self._book.change, job_id, changed)

    async def _serve(self) -> None:
        while (job_id := await self._queue.take_async()) is not None:
            try:
                await self._do(job_id)
            except Exception:  # the next job may be done
                LOGGER.exception("job %s", job_id)
            finally:
                self._queue.done(job_id)

    async def _do_other(self, job_id: str) -> None:
        try:
            await self._do(job_id)
        except Exception:
            LOGGER.exception("job %s", job_id)

    async def _do(self, job_id: str) -> None:
        """Do a job that was taken out of the line, and write how it ended."""
        job = self._book.get(job_id)
        if job is None or job.is_finished:
            return
        killer = None
        try:
            job = await self._noted(job_id, lambda job: job.begun(self._clock()))
            if job.attempts == 1:
                self.metrics.waited(self._clock() - job.created)
            if job.cancel_requested:
                raise GenerationCancelled("cancelled")
            killer = self._watch_running(job)
            result = await self._work_of(job)(job)
        except (GenerationCancelled, asyncio.CancelledError):
            await self._cancelled_job(job_id)
        except Exception as error:
            told = api_error_of(error)
            if told.code == "defect":
                LOGGER.exception("job %s failed", job_id)
            failure = JobFailure(told.code, told.message, told.param)
            await self._end(job_id, "failed", failure)
        else:
            await self._end(job_id, "completed", result=result)
        finally:
            if killer is not None:
                killer.cancel()
            self._cancelled.discard(job_id)
            self._timed_out.discard(job_id)
            self._skipped.pop(job_id, None)

    def _work_of(self, job: Job) -> Work:
        if job.kind == "img_gen":
            return PictureWork(self, self._book, self._models).make
        work = self._works.get(job.kind)
        if work is None:
            raise ApiError("unsupported", f"this server does no jobs of the kind {job.kind}")
        return work

    async def _cancelled_job(self, job_id: str) -> None:
        """A job that was stopped: by its owner, by its time, or because the server stops."""
        if job_id in self._timed_out:
            await self._end(job_id, "failed", _JOB_TIMED_OUT)
            return
        job = self._book.get(job_id)
        if self._is_stopping and job is not None and not job.cancel_requested:
            await self._noted(job_id, Job.put_back)
            self._hub.forget(job_id)
            return
        await self._end(job_id, "cancelled", _CANCELLED)

    async def _end(
        self,
        job_id: str,
        status: str,
        error: JobFailure | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> Job:
        def ended(job: Job) -> Job:
            return job.ended(status, self._clock(), error, result)

        async def end() -> Job:
            job = await self._noted(job_id, ended)
            self._has_ended(job, error)
            return job

        # Who cancels may be cancelled, too; those who wait for the job are told in any case.
        return await to_the_end(end())

    def _has_ended(self, job: Job, error: JobFailure | None) -> None:
        self._hub.forget(job.id)
        self._cancelled.discard(job.id)
        self.metrics.job_ended(job.kind, job.client, job.status)
        data: dict[str, Any] = {}
        if error is not None:
            data["error"] = {"code": error.code, "message": error.message, "param": error.param}
        self._tell(job, job.status, data)
        if waiting := self._ended.pop(job.id, None):
            waiting.set()

    async def _noted(self, job_id: str, changed: Callable[[Job], Job]) -> Job:
        """As `change`, whatever happens: also on a full disk, and to its end."""
        return await to_the_end(
            asyncio.to_thread(self._book.change, job_id, changed, must_write=False)
        )

    async def _saved(self, job_id: str, event: SavedEvent) -> None:
        made = MadePicture(event.index, event.seed, event.width, event.height)
        await self.change(job_id, lambda job: job.with_picture(made))
        self._queue.picture_took(event.time_s)

    def _stop_job(self, job_id: str) -> None:
        self._cancelled.add(job_id)
        self._pool.cancel(job_id)
        if (task := self._others.get(job_id)) is not None:
            task.cancel()

    def _watch_running(self, job: Job) -> asyncio.TimerHandle | None:
        asked = job.request.get("timeout_s")
        limits = [limit for limit in (self._job_timeout_s, asked) if limit]
        if not limits or job.kind not in QUEUED_KINDS:
            return None

        def over() -> None:
            self._timed_out.add(job.id)
            self._stop_job(job.id)

        return asyncio.get_running_loop().call_later(min(limits), over)

    def _watch_waiting(self, job: Job) -> None:
        if not self._queue_timeout_s:
            return

        def over() -> None:
            if self._queue.withdraw(job.id):
                self._keep(asyncio.create_task(self._waited_too_long(job.id)))

        asyncio.get_running_loop().call_later(self._queue_timeout_s, over)

    async def _waited_too_long(self, job_id: str) -> None:
        await self._end(job_id, "failed", _QUEUE_TIMED_OUT)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, job: Job, name: str, data: Mapping[str, Any]) -> None:
        self._hub.publish(JobEvent(name, job.id, job.owner, data))
