"""Answers that wait for a job: proxies and clients that give up early are kept waiting."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..errors import STATUSES, ApiError, BrokenOffError
from ..jobs.jobs import Job
from ..service.service import PictureService

__all__ = [
    "LOOK_S",
    "answer_arrived",
    "answered_when_finished",
    "check_will_end",
    "client_left",
    "failure_of",
    "job_headers",
    "warned_as_header",
]

LOGGER = logging.getLogger("pulid_sdcpp.server")

_SPACE_S = 15.0
LOOK_S = 0.5
"""How often it is looked whether the client is still there."""

MakeJson = Callable[[Job], Any]


@dataclass(frozen=True)
class _JobAnswer:
    """As of `answered_when_finished`."""

    make_json: MakeJson
    failure: Callable[[Job], ApiError | None]
    has_urls: bool


def failure_of(job: Job) -> ApiError | None:
    """Why a finished job has no answer; None: it was completed."""
    if job.status == "completed":
        return None
    if job.error is None or job.error.code not in STATUSES:
        return ApiError("generation_failed", "the job failed")
    return ApiError(job.error.code, job.error.message, job.error.param)


def job_headers(job: Job) -> dict[str, str]:
    """The headers that say which job an answer is of, and what it was warned of."""
    headers = {"X-Pulid-Job": job.id}
    if warned := warned_as_header(job):
        headers["X-Pulid-Warning"] = warned
    return headers


def warned_as_header(job: Job) -> str:
    """The codes of a job's warnings, each once."""
    return "; ".join(dict.fromkeys(warning["code"] for warning in job.warnings))


async def answered_when_finished(
    service: PictureService,
    job: Job,
    request: Request,
    make_json: MakeJson,
    *,
    failure: Callable[[Job], ApiError | None] = failure_of,
    has_urls: bool = False,
) -> Response:
    """The answer of a synchronous call, when its job has ended.

    If that takes longer than `--sync-keepalive`, the answer begins with spaces, which JSON allows.
    A job that fails then breaks the connection off: nobody takes half an answer for a whole one.

    Args:
        service: The server.
        job: The job.
        request: The call. A client that leaves cancels the job, unless the server's settings say
            otherwise.
        make_json: Makes the answer of the finished job, in a thread; it may read pictures.
        failure: Which finished job is an error.
        has_urls: Whether the answer has addresses of pictures, which the client asks for later.

    Raises:
        ApiError: The job failed or was cancelled in time.
    """
    keepalive_s = service.settings.sync_keepalive_s
    waiting = asyncio.ensure_future(service.finished(job.id))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    answer = _JobAnswer(make_json, failure, has_urls)
    try:
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=LOOK_S)
            if waiting.done():
                break
            if await request.is_disconnected():
                await client_left(service, job)
                raise ApiError("client_gone", "the client left")
            check_will_end(service, job)
            if keepalive_s and loop.time() - begun >= keepalive_s:
                return _late_answer(service, job, request, waiting, answer)
    except BaseException:
        waiting.cancel()
        raise
    return await _whole_answer(service, waiting.result(), answer)


def check_will_end(service: PictureService, job: Job) -> None:
    """Nobody waits for a job that the server puts off until its next start.

    Raises:
        ApiError: "shutting_down".
    """
    if service.is_stopping and service.job(job.id, None).status == "queued":
        raise ApiError("shutting_down", "the server is being stopped; try again later")


async def client_left(service: PictureService, job: Job) -> None:
    """The client is gone, and nobody else may see this job's answer; unless it named its request,
    in order to ask again."""
    if service.settings.on_disconnect == "cancel" and not job.idempotency_key:
        await service.cancel(job.id)


def answer_arrived(service: PictureService, job: Job) -> None:
    """Remove what is not to be kept: the answer has it."""
    if not service.is_kept(job):
        service.background(service.remove(job.id))


async def _whole_answer(service: PictureService, job: Job, answer: _JobAnswer) -> Response:
    if (error := answer.failure(job)) is not None:
        error.headers.update(job_headers(job))
        raise error
    content = await asyncio.to_thread(answer.make_json, job)
    response = JSONResponse(content, headers=job_headers(job))
    if not answer.has_urls:
        answer_arrived(service, job)
    return response


def _late_answer(
    service: PictureService,
    job: Job,
    request: Request,
    waiting: asyncio.Future[Job],
    answer: _JobAnswer,
) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b" "
            loop = asyncio.get_running_loop()
            last = loop.time()
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=LOOK_S)
                if not waiting.done() and await request.is_disconnected():
                    return
                check_will_end(service, job)
                if not waiting.done() and loop.time() - last >= _SPACE_S:
                    yield b" "
                    last = loop.time()
            ended = waiting.result()
            if (error := answer.failure(ended)) is not None:
                LOGGER.warning("%s: the answer is broken off: %s", job.id, error.code)
                raise BrokenOffError(error.code)
            content = await asyncio.to_thread(answer.make_json, ended)
            yield json.dumps(content).encode("utf-8")
            if not answer.has_urls:
                answer_arrived(service, ended)
        finally:
            if not waiting.done():
                waiting.cancel()
                service.background(client_left(service, job))

    return StreamingResponse(chunks(), media_type="application/json", headers=job_headers(job))
