"""A pipeline for asyncio: its calls are coroutines, and a cancelled task frees the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..engine.interface import Preview
from ..identity.face_choice import FaceChoice
from ..identity.fusion import DEFAULT_FUSION, Fusion
from ..identity.identity_file import Identity
from ..memory.plan import Plan
from ..native.progress_event import EventCallback, ProgressEvent
from ..options.context import ContextOptions
from ..options.keywords import GenerationKeywords
from ..people.identity_use import IdentityLike
from ..people.person import Person
from ..pictures.result import Result
from ..request.picture_request import PictureRequest
from .cancel_token import CancelToken
from .keywords import GenerateKeywords, PictureKeywords, PresetKeywords
from .pulid_pipeline import PulidPipeline
from .running_picture import preview_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from typing_extensions import Self, Unpack

    from pulid_extractor import PhotoSource

__all__ = ["AsyncPulidPipeline", "UnfinishedPicture"]

Returned = TypeVar("Returned")


@dataclass(frozen=True, eq=False)
class UnfinishedPicture:
    """A picture while it is made, from `AsyncPulidPipeline.stream`.

    Attributes:
        image: RGB, rough; an eighth of each side with the method "proj".
        step: Number of finished steps.
    """

    image: Image
    step: int


class AsyncPulidPipeline:
    """A `PulidPipeline` whose methods are coroutines.

        async with await AsyncPulidPipeline.from_preset("flux-schnell-q4", vram="auto") as pipeline:
            alice = await pipeline.enroll("alice.jpg")
            result = await pipeline.generate("photo of a person reading in a cafe", alice)

    The event loop never waits for it. Any number of tasks can call at the same time; they are
    served in order. What cannot be made is refused at once, not when its turn comes. When a task is
    cancelled (also by `asyncio.wait_for`), its call is: a waiting one at once, a running one within
    one evaluation of the model; other calls are not affected. An extraction that has begun is
    finished.

    Args:
        pipeline: The pipeline, which `close` closes, too. It can be used directly at the same time.
    """

    def __init__(self, pipeline: PulidPipeline) -> None:
        self._pipeline = pipeline
        # One thread each, so that the order is that of asking. Nobody's files wait for a picture.
        self._files = ThreadPoolExecutor(1, "pulid-files")
        self._work = ThreadPoolExecutor(1, "pulid-work")
        self._closing: Future[None] | None = None

    @classmethod
    async def from_preset(cls, preset: str, **options: Unpack[PresetKeywords]) -> Self:
        """Make a pipeline with the files and settings of a preset; nothing is loaded.

        Args:
            preset, **options: As for `PulidPipeline.from_preset`. Callbacks are called on other
                threads.

        Raises:
            As `PulidPipeline.from_preset`.
        """
        token, told = CancelToken(), options.get("on_pull")

        def on_pull(name: str, done: int, total: int) -> None:
            token.check()  # what has arrived is kept
            if told is not None:
                told(name, done, total)

        finding = ThreadPoolExecutor(1, "pulid-files")
        try:
            given: PresetKeywords = {**options, "on_pull": on_pull}
            made = finding.submit(lambda: PulidPipeline.from_preset(preset, **given))
            return cls(await asyncio.wrap_future(made))
        except asyncio.CancelledError:
            token.cancel()
            raise
        finally:
            finding.shutdown(wait=False)

    @property
    def context(self) -> ContextOptions:
        """As that of `PulidPipeline`; so are the properties below."""
        return self._pipeline.context

    @property
    def settings(self) -> GenerationKeywords:
        return self._pipeline.settings

    @property
    def preset(self) -> str:
        return self._pipeline.preset

    @property
    def plan(self) -> Plan | None:
        return self._pipeline.plan

    async def enroll(
        self,
        photos: PhotoSource | Sequence[PhotoSource],
        *,
        face: FaceChoice = "largest",
        fusion: Fusion = DEFAULT_FUSION,
    ) -> Identity:
        """Get the identity of the person in one or several photos, or in an identity file.

        Args:
            photos, face, fusion: As for `PulidPipeline.enroll`.

        Raises:
            As `PulidPipeline.enroll`.
        """
        token = CancelToken()
        return await self._run(
            self._work,
            lambda: self._pipeline.enroll(photos, face=face, fusion=fusion, cancel=token),
            token,
        )

    async def generate(
        self,
        prompt: str,
        identity: IdentityLike | Person | Sequence[Person] | None = None,
        **options: Unpack[PictureKeywords],
    ) -> Result:
        """Make one picture from a prompt, with the given people in it.

            making = pipeline.generate("photo of a person", alice, seed=7)
            result = await asyncio.wait_for(making, 600)

        Args:
            prompt, identity: As for `PulidPipeline.generate`.
            **options: weight, start_step, end_step, cfg_start_step, and fields of
                `GenerationOptions`, as for `PulidPipeline.generate`.

        Raises:
            As `PulidPipeline.generate`.
        """
        picture = await self._read(prompt, identity, options)
        return await self._make(picture, None, None)

    async def stream(
        self,
        prompt: str,
        identity: IdentityLike | Person | Sequence[Person] | None = None,
        *,
        previews: bool = False,
        preview_method: str = "proj",
        preview_interval: int = 1,
        preview_noisy: bool = False,
        **options: Unpack[PictureKeywords],
    ) -> AsyncGenerator[ProgressEvent | UnfinishedPicture | Result, None]:
        """As `generate`, told step by step.

            async for item in pipeline.stream("photo of a person", alice, previews=True):
                match item:
                    case ProgressEvent():
                        print(item.stage, item.step, item.steps)
                    case Result():
                        item.save("alice.png")

        When the loop is left and the iterator closed (`contextlib.aclosing`), the picture is
        cancelled.

        Args:
            prompt, identity, **options: As for `generate`.
            previews: Whether the unfinished picture is shown, too.
            preview_method, preview_interval, preview_noisy: As for `PulidPipeline.generate`.

        Yields:
            A `ProgressEvent` at every stage and step; an `UnfinishedPicture` after each
            `preview_interval` steps, with `previews`; in the end the `Result`.

        Raises:
            As `PulidPipeline.generate`.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[ProgressEvent | UnfinishedPicture | None] = asyncio.Queue()

        def put(item: ProgressEvent | UnfinishedPicture) -> None:
            loop.call_soon_threadsafe(items.put_nowait, item)

        def show(image: Image, step: int) -> None:
            put(UnfinishedPicture(image, step))

        shown = show if previews else None
        looks = (preview_method, preview_interval, preview_noisy)
        preview = preview_of(self._pipeline.context, shown, *looks)
        picture = await self._read(prompt, identity, options)
        making = asyncio.ensure_future(self._make(picture, put, preview))
        making.add_done_callback(lambda _: items.put_nowait(None))
        try:
            while (item := await items.get()) is not None:
                yield item
            yield await making
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)

    async def generate_each(
        self, requests: Iterable[GenerateKeywords], **shared: Unpack[GenerateKeywords]
    ) -> AsyncGenerator[Result, None]:
        """Make a picture for each of several requests, one at a time, as the iterator advances.

        Args:
            requests: Keyword arguments of `generate` for each picture.
            **shared: Keyword arguments for all of them, unless a request has its own.

        Yields:
            The results, in order.

        Raises:
            As `generate`, when it is the picture's turn.
        """
        for request in requests:
            arguments: dict[str, object] = {**shared, **request}
            yield await self.generate(**arguments)  # type: ignore[arg-type]

    async def load(self) -> None:
        """Load the model now, with a memory plan for the size in `settings`.

        Raises:
            As `PulidPipeline.load`.
        """
        token = CancelToken()
        await self._run(self._work, lambda: self._pipeline.load(cancel=token), token)

    async def free_extractor(self) -> None:
        """Free the extractor's networks; new photos load them again."""
        await self._run(self._work, self._pipeline.free_extractor)

    def cancel(self) -> None:
        """Stop the running picture, whoever's it is; it raises GenerationCancelled.

        To stop one request, cancel its task.
        """
        self._pipeline.cancel()

    async def close(self) -> None:
        """Free everything, after earlier calls have finished. Closing twice is harmless.

        It is finished also if the task is cancelled meanwhile.
        """
        if self._closing is None:
            self._closing = self._work.submit(self._pipeline.close)
            self._work.shutdown(wait=False)
            self._files.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(self._closing))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _read(
        self,
        prompt: str,
        identity: IdentityLike | Person | Sequence[Person] | None,
        options: PictureKeywords,
    ) -> PictureRequest:
        return await self._run(self._files, lambda: self._pipeline._read(prompt, identity, options))

    async def _make(
        self,
        picture: PictureRequest,
        on_event: EventCallback | None,
        preview: Preview | None,
    ) -> Result:
        token = CancelToken()
        return await self._run(
            self._work, lambda: self._pipeline._make(picture, token, on_event, preview), token
        )

    async def _run(
        self,
        threads: ThreadPoolExecutor,
        call: Callable[[], Returned],
        token: CancelToken | None = None,
    ) -> Returned:
        if self._closing is not None:
            raise ValueError("this pipeline is closed")
        # Cancelled before its turn, it is never begun: that is what `wrap_future` passes on.
        future = asyncio.wrap_future(threads.submit(call))
        try:
            return await future
        except asyncio.CancelledError:
            if token is not None:
                token.cancel()
            raise
