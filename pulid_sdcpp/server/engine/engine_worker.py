"""The jobs of an engine, done one after another with one pipeline: in its process or a thread."""

from __future__ import annotations

import base64
import functools
import io
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from ...identity.identity_file import Identity
from ...native.progress_event import ProgressEvent
from ...people.person import Person
from ...pipeline.cancel_token import CancelToken
from ...pipeline.enroll_people import enroll_people
from ...pipeline.pulid_pipeline import PulidPipeline
from ...request.generate_request import GenerateRequest, settle
from ...store.model_store import PresetFiles
from ..errors import api_error_of
from .engine_errors import error_event
from .engine_messages import (
    DoneEvent,
    EngineEvent,
    ExtractCommand,
    JobCommand,
    LoadCommand,
    MakeCommand,
    ModelChoice,
    NoteEvent,
    PreviewEvent,
    SavedEvent,
    StageEvent,
    StepEvent,
)
from .job_paths import file_in, given_in

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PREVIEW_PAUSE_S", "CreatePipeline", "EngineWorker", "create_pipeline_of"]

LOGGER = logging.getLogger("pulid_sdcpp.server.worker")

PREVIEW_PAUSE_S = 0.3
"""The least time between two previews: nobody looks faster, and each is a picture to encode."""

CreatePipeline = Callable[[ModelChoice], PulidPipeline]


def create_pipeline_of(model: ModelChoice) -> PulidPipeline:
    """A pipeline of a model; nothing is loaded yet.

    Raises:
        As `PulidPipeline.from_preset` and `ContextOptions`.
    """
    context: dict[str, Any] = dict(model.context)
    vram: Any = model.vram
    if model.preset:
        return PulidPipeline.from_preset(
            model.preset,
            models_dirs=model.models_dirs,
            vram=vram,
            extractor_device=model.extractor_device,
            **context,
        )
    from ...options.context import ContextOptions

    options = ContextOptions(**context)
    extractor: dict[str, Any] = {}
    if model.models_dirs:
        extractor = {"models_dir": model.models_dirs[0], "pulid_weights": options.pulid_weights}
    return PulidPipeline(
        options, extractor=extractor, vram=vram, extractor_device=model.extractor_device
    )


class EngineWorker:
    """Does commands; tells of them as events, of which the last is a DoneEvent or an ErrorEvent.

    `accept` and `cancel` come from any thread, the others from one.

    Args:
        send: Called with each event, on this thread or the engine's.
        create_pipeline: Makes the pipeline of a model.
    """

    def __init__(
        self,
        send: Callable[[EngineEvent], object],
        create_pipeline: CreatePipeline = create_pipeline_of,
    ) -> None:
        self._send = send
        self._create_pipeline = create_pipeline
        self._model: ModelChoice | None = None
        self._pipeline: PulidPipeline | None = None
        self._lock = threading.Lock()
        self._tokens: dict[str, CancelToken] = {}
        self._is_stopped = False

    def accept(self, command: JobCommand) -> None:
        """Know a job, so that it can be cancelled before `do` begins it."""
        with self._lock:
            token = self._tokens[command.job] = CancelToken()
            if self._is_stopped:
                token.cancel()

    def cancel(self, job: str) -> None:
        """Stop a job that was accepted and has not ended."""
        with self._lock:
            token = self._tokens.get(job)
        if token is not None:
            token.cancel()

    def stop(self) -> None:
        """Stop all jobs; those that come later end at once."""
        with self._lock:
            self._is_stopped = True
            tokens = list(self._tokens.values())
        for token in tokens:
            token.cancel()

    def do(self, command: JobCommand) -> None:
        """Do one command that was accepted. What goes wrong is an event, and never raised."""
        folder = command.folder if isinstance(command, MakeCommand | ExtractCommand) else ""
        try:
            with self._lock:
                token = self._tokens[command.job]
            token.check()
            end: EngineEvent = DoneEvent(command.job, self._done(command, token))
        except Exception as error:
            if api_error_of(error).code == "defect":
                LOGGER.exception("job %s failed", command.job)
            end = error_event(command.job, error, folder)
        finally:
            with self._lock:
                self._tokens.pop(command.job, None)
        self._send(end)

    def close(self) -> None:
        """Free everything."""
        pipeline, self._pipeline, self._model = self._pipeline, None, None
        if pipeline is not None:
            pipeline.close()

    def _done(self, command: JobCommand, token: CancelToken) -> dict[str, Any]:
        if isinstance(command, MakeCommand):
            self._make(command, token)
        elif isinstance(command, ExtractCommand):
            return self._extract(command, token)
        elif isinstance(command, LoadCommand):
            events = _Events(self._send, command.job)
            self._pipeline_for(command.model).load(cancel=token, on_event=events.progress)
        else:
            self.close()
        return {}

    def _pipeline_for(self, model: ModelChoice) -> PulidPipeline:
        if self._pipeline is None or self._model != model:
            self.close()  # two models may not fit
            self._pipeline = self._create_pipeline(model)
            self._model = model
        return self._pipeline

    def _make(self, command: MakeCommand, token: CancelToken) -> None:
        folder = Path(command.folder)
        given = given_in(folder, command.request)
        pipeline = self._pipeline_for(command.model)
        # 1. What is asked for.
        settings = PresetFiles("", settings=dict(pipeline.settings))
        request = settle(given, preset=settings, context=pipeline.context)
        each = request.each
        if not all(0 <= index < len(each) for index in command.pictures):
            raise ValueError(f"pictures are {command.pictures}, but the request has {len(each)}")
        events = _Events(self._send, command.job, pictures=len(each))
        # 2. Who is in the pictures.
        people = _people(pipeline, request, token, events)
        # 3. The pictures; each is saved when it is finished.
        looks: dict[str, Any] = {}
        if command.preview != "none":
            looks = {
                "on_preview": events.preview,
                "preview_method": command.preview,
                "preview_interval": command.preview_interval,
            }
        for index in command.pictures:
            started_s = time.monotonic()
            events.begin(index, each[index].generation.steps)
            result = pipeline.make(
                each[index], people, cancel=token, on_event=events.progress, **looks
            )
            path = result.save(folder / f"{index:03d}.png", overwrite=True)
            time_s = round(time.monotonic() - started_s, 3)
            size = result.image.size
            self._send(SavedEvent(command.job, index, result.seed, path.name, *size, time_s))

    def _extract(self, command: ExtractCommand, token: CancelToken) -> dict[str, Any]:
        folder = Path(command.folder)
        files = [file_in(folder, one) for one in command.files]
        target = file_in(folder, command.target)
        events = _Events(self._send, command.job)
        faces: list[dict[str, Any]] = []

        def on_face(found: Any) -> None:
            name = Path(found.photo).name
            box = [int(side) for side in found.box]
            score = round(float(found.score), 4)
            faces.append(
                {"photo": name, "box": box, "score": score}
                | {"number": found.index, "of": found.n_faces}
            )

        identity = self._pipeline_for(command.model).enroll(
            files,
            face=cast("Any", command.face),
            fusion=cast("Any", command.fusion),
            cancel=token,
            on_event=events.progress,
            on_face=on_face,
        )
        identity.save(target)
        return {
            "file": command.target,
            "short_hash": identity.short_hash,
            "has_unconditional": identity.uncond_tokens is not None,
            "faces": faces,
            "photo_warnings": [
                {"code": one.code, "photos": list(one.photos), "message": one.message()}
                for one in identity.photo_warnings
            ],
        }


def _people(
    pipeline: PulidPipeline, request: GenerateRequest, token: CancelToken, events: _Events
) -> tuple[Person, ...]:
    """Everybody, by a pipeline whose extractions belong to a job."""
    enrolling = SimpleNamespace(
        context=pipeline.context,
        enroll=functools.partial(pipeline.enroll, cancel=token, on_event=events.progress),
    )
    people = enroll_people(cast("PulidPipeline", enrolling), request.people)
    for spec, person in zip(request.people, people, strict=True):
        if spec.files and isinstance(person.identity, Identity):
            for warning in person.identity.photo_warnings:
                events.note(f"{spec.name}: {warning.message()}")
    return people


_DRAWING = ("denoise", "hires")
"""Stages that previews come from."""


class _Events:
    """Tells of one job's progress."""

    def __init__(
        self, send: Callable[[EngineEvent], object], job: str, *, pictures: int = 0
    ) -> None:
        self._send = send
        self._job = job
        self._pictures = pictures
        self._picture = self._steps = 0
        self._preview_s = 0.0

    def begin(self, picture: int, steps: int) -> None:
        # The first preview comes before the engine has said how many steps there are.
        self._picture, self._steps, self._preview_s = picture, steps, 0.0

    def note(self, text: str) -> None:
        self._send(NoteEvent(self._job, text))

    def progress(self, event: ProgressEvent) -> None:
        place = (self._picture, self._pictures)
        if event.steps and event.stage in _DRAWING:
            self._steps = event.steps
        if event.step == 0:
            self._send(StageEvent(self._job, event.stage, *place))
        else:
            steps = (event.step, event.steps, event.step_time_s)
            self._send(StepEvent(self._job, event.stage, *steps, *place))

    def preview(self, image: Image, step: int) -> None:
        now_s = time.monotonic()
        if now_s - self._preview_s < PREVIEW_PAUSE_S:
            return
        self._preview_s = now_s
        encoded = io.BytesIO()
        image.convert("RGB").save(encoded, "PNG")
        text = base64.b64encode(encoded.getvalue()).decode("ascii")
        self._send(PreviewEvent(self._job, self._picture, step, self._steps, text))
