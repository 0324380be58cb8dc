"""What an engine says of a job, for those who follow it."""

from __future__ import annotations

import base64

from ..engine.engine_messages import (
    EngineEvent,
    NoteEvent,
    PreviewEvent,
    RestartedEvent,
    SavedEvent,
    StageEvent,
    StepEvent,
)
from ..jobs.job_hub import JobEvent, JobHub, JobPreview, JobProgress
from ..jobs.job_ids import picture_id
from ..jobs.jobs import Job

__all__ = ["EngineEvents", "picture_path_of"]


def picture_path_of(name: str) -> str:
    """The path of a picture's file on the server, for a picture's id."""
    return f"/pulid/v1/pictures/{name}"


class EngineEvents:
    """Tells the hub of one job.

    Args:
        hub: Where it is told.
        job: The job.
    """

    def __init__(self, hub: JobHub, job: Job) -> None:
        self._hub = hub
        self._job = job
        self._picture_s = 0.0

    def tell(self, event: EngineEvent) -> None:
        """Note an event, and tell those who listen."""
        if isinstance(event, StageEvent):
            self._progress(JobProgress(event.stage, 0, 0, 0.0, event.picture, event.pictures))
            place = {"picture": event.picture, "pictures": event.pictures}
            self._say("stage", {"stage": event.stage, **place})
        elif isinstance(event, StepEvent):
            self._step(event)
        elif isinstance(event, PreviewEvent):
            png = base64.b64decode(event.b64_json)
            preview = JobPreview(event.picture, event.step, event.steps, png)
            self._hub.set_preview(self._job.id, preview)
            place = {"picture": event.picture, "step": event.step, "steps": event.steps}
            self._say("preview", {**place, "b64_json": event.b64_json})
        elif isinstance(event, SavedEvent):
            name = picture_id(self._job.id, event.index)
            self._picture_s = event.time_s
            self._hub.set_preview(self._job.id, None)
            what = {"index": event.index, "seed": event.seed}
            self._say("saved", {**what, "picture_id": name, "url": picture_path_of(name)})
        elif isinstance(event, NoteEvent):
            self._say("note", {"code": "note", "field": "", "message": event.text})
        elif isinstance(event, RestartedEvent):
            text = "the engine process ended and was started again; the picture is made once more"
            self._say("note", {"code": "engine_restarted", "field": "", "message": text})

    def _step(self, event: StepEvent) -> None:
        left = event.steps - event.step
        eta_s = left * event.step_time_s if event.stage == "denoise" else None
        if eta_s is not None:
            picture_s = self._picture_s or event.steps * event.step_time_s
            eta_s = round(eta_s + max(event.pictures - event.picture - 1, 0) * picture_s, 1)
        time_s = round(event.step_time_s, 3)
        progress = JobProgress(
            event.stage, event.step, event.steps, time_s, event.picture, event.pictures, eta_s
        )
        self._progress(progress)
        self._say("step", vars(progress))

    def _progress(self, progress: JobProgress) -> None:
        self._hub.set_progress(self._job.id, progress)

    def _say(self, name: str, data: dict[str, object]) -> None:
        self._hub.publish(JobEvent(name, self._job.id, self._job.owner, data))
