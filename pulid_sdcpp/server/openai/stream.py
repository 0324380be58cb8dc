"""A job as OpenAI's stream of events: unfinished pictures, finished ones, and what failed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from ...memory.compute import LATENT_PX
from ..bodies.sse import KEEP_ALIVE, KEEP_ALIVE_S
from ..calls.error_answers import log_defect
from ..calls.sync_answer import LOOK_S, answer_arrived, check_will_end, client_left, failure_of
from ..errors import ApiError, api_error_of
from ..jobs.job_hub import JobEvent
from ..jobs.jobs import Job, MadePicture
from .enlarged_preview import enlarged_preview
from .events import OpenaiEvents, PartialPictures

if TYPE_CHECKING:
    from ..service.service import PictureService
    from .pictures import OpenaiPictures

__all__ = ["OpenaiStream"]


class OpenaiStream:
    """Follows a job until it ends.

    Args:
        service: Of the job.
        job: As it was accepted; it may have ended already.
        events: Writes the events.
        pictures: Gives the finished pictures.
        partial_images: Of each picture, at most.
        in_words: Gives an error in the words of the request.
    """

    def __init__(
        self,
        service: PictureService,
        job: Job,
        events: OpenaiEvents,
        pictures: OpenaiPictures,
        *,
        partial_images: int,
        in_words: Callable[[ApiError], ApiError],
    ) -> None:
        self._service = service
        self._job = job
        self._events = events
        self._pictures = pictures
        self._chosen = PartialPictures(partial_images)
        self._in_words = in_words

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream's bytes. Whoever leaves before the end, has the job cancelled."""
        is_whole = False
        try:
            async for chunk in self._pictures_until_end():
                yield chunk
            if (failure := failure_of(self._job)) is not None:
                yield self._events.failed(self._in_words(failure))
            is_whole = True
            answer_arrived(self._service, self._job)
        except Exception as error:  # the answer has begun: its status cannot tell any more
            is_whole = True
            told = api_error_of(error)
            if told.code == "defect":
                log_defect(error, with_text=self._service.settings.log_prompts)
            yield self._events.failed(self._in_words(told))
        finally:
            if not is_whole:
                self._service.background(client_left(self._service, self._job))

    async def _pictures_until_end(self) -> AsyncIterator[bytes]:
        service, loop, sent = self._service, asyncio.get_running_loop(), 0
        last = loop.time()
        async with service.hub.subscribe(job=self._job.id) as feed:
            while True:
                self._job = job = service.job(self._job.id, None)
                for picture in job.pictures[sent:]:
                    yield await asyncio.to_thread(self._completed, job, picture)
                sent = len(job.pictures)
                if job.is_finished:
                    return
                check_will_end(service, job)
                event = await feed.next(LOOK_S)
                chunk = b""
                if event is not None and event.name == "preview":
                    chunk = await self._partial(event)
                elif loop.time() - last >= KEEP_ALIVE_S:
                    chunk = KEEP_ALIVE
                if chunk:
                    yield chunk
                    last = loop.time()

    def _completed(self, job: Job, picture: MadePicture) -> bytes:
        delivered = self._pictures.delivered(job, picture)
        people = self._pictures.people(job)
        return self._events.completed(delivered, job, people, self._service.clock())

    async def _partial(self, event: JobEvent) -> bytes:
        said = event.data
        index = self._chosen.index_of(said["picture"], said["step"], said["steps"])
        if index is None:
            return b""
        delivery = self._pictures.delivery
        scale = LATENT_PX if delivery.preview == "proj" else 1
        content, size_px = await asyncio.to_thread(
            enlarged_preview, base64.b64decode(said["b64_json"]), scale, delivery.output_format
        )
        text = base64.b64encode(content).decode("ascii")
        return self._events.partial(index, text, size_px, self._service.clock())
