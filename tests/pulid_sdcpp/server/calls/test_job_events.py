"""The events of a job that is not there any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pulid_sdcpp.server.calls.job_events import events_of_job
from pulid_sdcpp.server.service.service import PictureService
from served import run_service

from ..submitting import submitted


def test_nobody_waits_for_events_of_a_job_that_was_removed(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        job = await submitted(service)
        await service.finished(job.id)
        assert await service.remove(job.id)

        async def followed() -> list[str]:
            return [event[0] async for event in events_of_job(service, job) if event]

        assert await asyncio.wait_for(followed(), 5) == []

    run_service(tmp_path, test)
