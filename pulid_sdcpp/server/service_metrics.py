"""What the service counts while it works; `metrics` shows it, and without that nothing is kept."""

from __future__ import annotations

__all__ = ["ServiceMetrics"]


class ServiceMetrics:
    """Is told what happens, and keeps nothing. No prompt, name or id is ever given to it."""

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
