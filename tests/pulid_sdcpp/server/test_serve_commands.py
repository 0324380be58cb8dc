"""The engine process's loop, in this process: commands from a pipe, events into another."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from fake_engine_process import create_fake_pipeline
from pulid_sdcpp import PulidFlux
from pulid_sdcpp.server.engine.engine_messages import (
    CancelCommand,
    DoneEvent,
    ErrorEvent,
    LoadCommand,
    LogEvent,
    MakeCommand,
    ModelChoice,
    QuitCommand,
    SavedEvent,
    StepEvent,
    UnloadCommand,
    as_line,
    event_from,
)
from pulid_sdcpp.server.engine.engine_process import serve_commands

MODEL = ModelChoice("fake")


class Served:
    """A loop that is served by this test."""

    def __init__(self, source: BinaryIO, out: BinaryIO) -> None:
        self._source, self._out = source, out
        self.left: list[int] = []
        self.made: list[ModelChoice] = []

    def create(self, model: ModelChoice) -> PulidFlux:
        self.made.append(model)
        return create_fake_pipeline(model)

    def say(self, *commands: Any) -> None:
        for command in commands:
            self._source.write(command if isinstance(command, bytes) else as_line(command))
        self._source.flush()

    def end(self) -> None:
        self._source.close()

    def hear(self, kind: type) -> Any:
        """The next event of a kind."""
        while not isinstance(event := event_from(self._out.readline()), kind):
            assert not isinstance(event, ErrorEvent), event
        return event

    def rest(self) -> list[Any]:
        return [event_from(line) for line in self._out]


@contextmanager
def serving(quit_grace_s: float = 30) -> Iterator[Served]:
    source, commands = os.pipe()
    events, out = os.pipe()
    served = Served(os.fdopen(commands, "wb"), os.fdopen(events, "rb"))

    def serve() -> None:
        with os.fdopen(source, "rb") as reading, os.fdopen(out, "wb") as writing:
            serve_commands(
                reading, writing, served.create, quit_grace_s=quit_grace_s, leave=served.left.append
            )

    before = set(threading.enumerate())
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.end()
        thread.join(30)
        served._out.close()
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def make(folder: Path, prompt: str = "plain", job: str = "1", **request: Any) -> MakeCommand:
    return MakeCommand(job, str(folder), MODEL, {"prompt": prompt, "seed": 7, **request})


def test_commands_are_done_in_order_until_the_end(tmp_path: Path) -> None:
    with serving() as served:
        served.say(
            make(tmp_path), LoadCommand("2", MODEL), UnloadCommand("3"), make(tmp_path, job="4")
        )
        assert [served.hear(DoneEvent).job for _ in range(4)] == ["1", "2", "3", "4"]
        served.say(QuitCommand(), make(tmp_path, job="never"))
        assert served.rest() == []
    assert served.left == []
    assert len(served.made) == 2  # again after it was unloaded


def test_another_model_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    other = ModelChoice("other")
    wanted = (MODEL, other, other, MODEL)
    with serving() as served:
        served.say(*(LoadCommand(str(number), model) for number, model in enumerate(wanted)))
        for _ in range(4):
            served.hear(DoneEvent)
    assert served.made == [MODEL, other, MODEL]


def test_one_job_is_cancelled_whether_it_runs_or_waits(tmp_path: Path) -> None:
    with serving() as served:
        served.say(make(tmp_path, "slow", steps=150), make(tmp_path, job="2"), CancelCommand("2"))
        served.hear(StepEvent)
        served.say(CancelCommand("1"), CancelCommand("never"), make(tmp_path, job="3"))
        ends = [served.hear(ErrorEvent), served.hear(ErrorEvent)]
        assert [(end.job, end.kind) for end in ends] == [
            ("1", "GenerationCancelled"), ("2", "GenerationCancelled")
        ]  # fmt: skip
        assert served.hear(DoneEvent).job == "3"


def test_without_a_parent_what_runs_is_cancelled(tmp_path: Path) -> None:
    with serving() as served:
        served.say(make(tmp_path, "slow", steps=150), make(tmp_path, job="2"))
        served.hear(StepEvent)
        served.end()
        ends = [one for one in served.rest() if isinstance(one, ErrorEvent)]
        assert [(end.job, end.kind) for end in ends] == [
            ("1", "GenerationCancelled"), ("2", "GenerationCancelled")
        ]  # fmt: skip
    assert served.left == []


def test_what_does_not_stop_is_left(tmp_path: Path) -> None:
    with serving(quit_grace_s=0.01) as served:
        served.say(make(tmp_path, "sleep"))
        served.hear(StepEvent)
        served.end()
        served.rest()
    assert served.left == [0]


def test_a_line_that_is_none_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as served:
        served.say(b'{"do": "dance"}\n')
        served.rest()
    assert "dance" in capsys.readouterr().err
    assert served.left in ([2], [])  # it may have ended by itself


def test_warnings_of_the_package_are_events(tmp_path: Path) -> None:
    with serving() as served:
        served.say(make(tmp_path))
        served.hear(SavedEvent)
        logging.getLogger("pulid_sdcpp.any").warning("words %d", 1)
        logging.getLogger("pulid_sdcpp.any").info("not these")
        assert served.hear(LogEvent) == LogEvent("warning", "words 1")
