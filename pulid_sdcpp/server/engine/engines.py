"""The engines of a server, one for each device or worker."""

from __future__ import annotations

from ..settings import ServerSettings
from .engine_client import EngineClient
from .inline_engine import InlineEngine
from .job_engine import JobEngine

__all__ = ["create_engines"]


def create_engines(settings: ServerSettings) -> list[JobEngine]:
    """The engines; none is started before it has something to do.

    With `devices`, each has one of its own: what the model's backend says of others does not count.

    Args:
        settings: Of the server.
    """
    if settings.engine == "inline":
        return [InlineEngine()]
    places = [{"backend": device} for device in settings.device_names] or [{}]
    return [
        EngineClient(
            context=place,
            cancel_grace_s=settings.limits.cancel_grace_s,
            idle_unload_s=settings.idle_unload_s,
        )
        for place in places
        for _ in range(settings.workers)
    ]
