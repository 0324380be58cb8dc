"""Messages of the engine process: the same on both sides, or refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.engine.engine_messages import (
    CancelCommand,
    DoneEvent,
    ErrorEvent,
    ExtractCommand,
    LoadCommand,
    LogEvent,
    MakeCommand,
    ModelChoice,
    NoteEvent,
    PreviewEvent,
    QuitCommand,
    RestartedEvent,
    SavedEvent,
    StageEvent,
    StepEvent,
    UnloadCommand,
    as_line,
    command_from,
    event_from,
)

MODEL = ModelChoice("pocket", {"backend": "cpu"}, ("models",), "auto")
REQUEST = {"prompt": "ä\n\u2028", "start_step": 1.0, "people": [{"files": ["a.png"], "face": 0}]}
COMMANDS = [
    MakeCommand("j", "folder", MODEL, REQUEST, (0, 2), "proj", 2),
    ExtractCommand("j", "folder", MODEL, ("a.jpg", "b.jpg"), (1, 2.5, 3, 4)),
    ExtractCommand("j", "folder", MODEL, ("a.jpg",), 2, "mean", "x.pulidembd"),
    LoadCommand("j", ModelChoice("", {}, (), 7.5)),
    UnloadCommand("j"),
    CancelCommand("j"),
    QuitCommand(),
]
EVENTS = [
    StageEvent("j", "load"),
    StepEvent("j", "denoise", 1, 4, 0.5, 1, 2),
    PreviewEvent("j", 0, 1, 4, "aGk="),
    SavedEvent("j", 0, 2**63 - 1, "000.png", 64, 64, 1.5),
    NoteEvent("j", "words"),
    LogEvent("warning", "words"),
    RestartedEvent("j", "was ended by SIGKILL", 2),
    DoneEvent("j", {"file": "x"}),
    ErrorEvent("j", "ValueError", "\x02seed\x03 is -2", ("a", "b")),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: type(one).__name__)
def test_a_command_is_read_as_it_was_written(command: Any) -> None:
    line = as_line(command)
    assert line.count(b"\n") == 1
    found = command_from(line)
    assert found == command
    assert as_line(found) == line  # 1.0 is no 1


@pytest.mark.parametrize("event", EVENTS, ids=lambda one: type(one).__name__)
def test_an_event_is_read_as_it_was_written(event: Any) -> None:
    assert event_from(as_line(event)) == event


@pytest.mark.parametrize(
    "line",
    [
        "", "nothing", "[]", "{}", '{"do": "dance"}', '{"do": ["make"]}', '{"do": "cancel"}',
        '{"do": "cancel", "job": 1}', '{"do": "cancel", "job": "j", "more": 1}',
        '{"event": "stage", "job": "j", "stage": "load"}', "[" * 100_000,
        '{"do": "load", "job": "j", "model": {"preset": 1}}',
        '{"do": "load", "job": "j", "model": {"prefix": "x"}}',
        '{"do": "load", "job": "j", "model": "pocket"}',
    ],
)  # fmt: skip
def test_what_is_no_command_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"message|fields|type"):
        command_from(line)


@pytest.mark.parametrize("value", [True, 1.5, "1", None])
def test_a_number_of_pictures_is_a_whole_one(value: Any) -> None:
    with pytest.raises(ValueError, match="pictures"):
        MakeCommand("j", "folder", MODEL, {}, (value,))


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        as_line(MakeCommand("j", "folder", MODEL, {"guidance": math.nan}))


@given(st.text(), st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_any_text_survives(text: str, request: dict[str, Any]) -> None:
    command = MakeCommand(text, text, MODEL, request)
    assert command_from(as_line(command)) == command


@given(st.binary() | st.from_type(dict).map(lambda one: json.dumps(str(one)).encode()))
def test_no_line_is_anything_but_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        event_from(line)
