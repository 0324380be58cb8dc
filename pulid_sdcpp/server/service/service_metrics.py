"""What the service counts while it works; `metrics` shows it, and without that nothing is kept."""

from __future__ import annotations

from ..engine.engine_messages import (
    DoneEvent,
    EngineEvent,
    ExtractCommand,
    JobCommand,
    MakeCommand,
    RestartedEvent,
    SavedEvent,
    StepEvent,
)
from ..jobs.jobs import Job

__all__ = ["ServiceMetrics"]


class ServiceMetrics:
    """Is told what happens, and keeps nothing. No prompt, name or id is kept by what derives."""

    def engine_said(self, job: Job, command: JobCommand, event: EngineEvent, time_s: float) -> None:
        """Count what an engine says.

        Args:
            job: The job that it does.
            command: What of it.
            event: What it says.
            time_s: Since the command began.
        """
        if isinstance(event, RestartedEvent):
            self.engine_restarted()
        elif isinstance(command, MakeCommand):
            preset = command.model.preset or "(files)"
            if isinstance(event, SavedEvent):
                self.picture_made(preset, len(job.request.get("people", ())), event.time_s)
            elif isinstance(event, StepEvent) and event.stage == "denoise" and event.step_time_s:
                self.step_made(preset, event.step_time_s)
        elif isinstance(command, ExtractCommand) and isinstance(event, DoneEvent):
            self.extracted(time_s)

    def job_ended(self, kind: str, family: str, status: str) -> None:
        """A job ended.

        Args:
            kind: Of KINDS.
            family: The endpoints it came by.
            status: Of FINISHED.
        """

    def picture_made(self, preset: str, people: int, time_s: float) -> None:
        """A picture is on the disk, after so many seconds."""

    def step_made(self, preset: str, time_s: float) -> None:
        """A step of a picture took so many seconds."""

    def waited(self, time_s: float) -> None:
        """A job began after it had waited for so many seconds."""

    def extracted(self, time_s: float) -> None:
        """A person was extracted, in so many seconds."""

    def engine_restarted(self) -> None:
        """The engine process died, and another was started."""
