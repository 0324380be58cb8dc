"""A command done by an engine of the server, to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pulid_sdcpp.server.engine.job_engine import JobEngine

__all__ = ["events_of"]


async def events_of(
    engine: JobEngine, command: Any, on_event: Callable[[Any], object] = lambda event: None
) -> list[Any]:
    """All events of a command; `on_event` is called with each as it comes."""
    events = []
    async for event in engine.run(command):
        events.append(event)
        on_event(event)
    return events
