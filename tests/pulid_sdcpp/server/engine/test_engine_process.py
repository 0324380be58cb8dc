"""The engine process with the real engine and the pocket model."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from engine_runs import events_of
from pulid_sdcpp import PulidFlux
from pulid_sdcpp.errors import GenerationCancelled
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER
from pulid_sdcpp.server.engine.engine_client import EngineClient
from pulid_sdcpp.server.engine.engine_messages import (
    DoneEvent,
    MakeCommand,
    ModelChoice,
    RestartedEvent,
    SavedEvent,
    StepEvent,
)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not (PACK_FOLDER / MANIFEST_NAME).is_file()
        and os.environ.get("PULID_REQUIRE_POCKET") != "1",
        reason="the pocket model is not in this folder",
    ),
]

MODEL = ModelChoice("pocket", {"backend": "cpu"})
REQUEST = {"prompt": "a face", "seed": 3, "width": 128, "height": 128, "steps": 2, "batch_count": 2}


def make(folder: Path, **request: Any) -> MakeCommand:
    folder.mkdir()
    return MakeCommand("job_1", str(folder), MODEL, {**REQUEST, **request}, (0, 1))


def test_pictures_are_those_of_a_pipeline_also_after_a_death(tmp_path: Path) -> None:
    """Killed in the second picture: only that is made again, and has the same bytes."""

    async def test() -> None:
        killed = []
        async with EngineClient() as engine:

            def kill(event: Any) -> None:
                if isinstance(event, StepEvent) and event.picture == 1 and not killed:
                    assert engine.pid is not None
                    killed.append(engine.pid)
                    os.kill(engine.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

            events = await events_of(engine, make(tmp_path / "killed"), kill)
            saved = [one.index for one in events if isinstance(one, SavedEvent)]
            assert saved == [0, 1]
            assert len([one for one in events if isinstance(one, RestartedEvent)]) == 1
            assert events[-1] == DoneEvent("job_1")

    asyncio.run(test())
    with PulidFlux.from_preset("pocket", backend="cpu") as pipeline:
        for index in range(2):
            own = {**REQUEST, "seed": 3 + index, "batch_count": 1}
            pipeline.generate(**own).save(tmp_path / "own.png", overwrite=True)  # type: ignore[arg-type]
            made = (tmp_path / "killed" / f"{index:03d}.png").read_bytes()
            assert made == (tmp_path / "own.png").read_bytes()


def test_a_cancelled_picture_is_not_there_and_the_next_is_made(tmp_path: Path) -> None:
    async def test() -> None:
        async with EngineClient() as engine:

            def stop(event: Any) -> None:
                if isinstance(event, StepEvent):
                    engine.cancel("job_1")

            with pytest.raises(GenerationCancelled):
                await events_of(engine, make(tmp_path / "cancelled", steps=100), stop)
            assert not list((tmp_path / "cancelled").iterdir())
            pid = engine.pid
            await events_of(engine, make(tmp_path / "next"))
            assert engine.pid == pid
            assert len(list((tmp_path / "next").iterdir())) == 2

    asyncio.run(test())
