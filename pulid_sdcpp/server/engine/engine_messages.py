"""What the server and its engine process say to each other: one JSON object a line.

The server sends commands (`{"do": "make", ...}`) and is sent events (`{"event": "step", ...}`).
Both sides make the messages as dataclasses here, which check the types of all their fields.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...identity.fusion import DEFAULT_FUSION
from ...terminal_text import shown
from .checked_message import CheckedMessage, message_of

__all__ = [
    "CancelCommand",
    "Command",
    "DoneEvent",
    "EngineEvent",
    "ErrorEvent",
    "ExtractCommand",
    "JobCommand",
    "LoadCommand",
    "LogEvent",
    "MakeCommand",
    "ModelChoice",
    "NoteEvent",
    "PreviewEvent",
    "QuitCommand",
    "RestartedEvent",
    "SavedEvent",
    "StageEvent",
    "StepEvent",
    "UnloadCommand",
    "as_line",
    "command_from",
    "event_from",
]


@dataclass(frozen=True)
class ModelChoice(CheckedMessage):
    """A model and how it is loaded; a job with another one closes it and makes its own.

    Args:
        preset: A preset's name; "": the files are in `context`.
        context: Fields of `ContextOptions` that are given, over the preset's; paths are absolute.
        models_dirs: Folders of model files.
        vram: As that of `PulidPipeline`: GiB, "auto", or None.
        extractor_device: As that of `PulidPipeline`.
    """

    preset: str
    context: Mapping[str, Any] = field(default_factory=dict)
    models_dirs: tuple[str, ...] = ()
    vram: float | str | None = None
    extractor_device: str = "auto"


@dataclass(frozen=True)
class MakeCommand(CheckedMessage):
    """Make pictures of one request and save them as `000.png`, `001.png`, ... in its folder.

    Args:
        job: The job's id, in all of its events.
        folder: The job's folder.
        model: With what.
        request: As `settle` takes it, with a fixed seed; files are relative to `folder`, see
            `given_in`.
        pictures: The numbers of those to make, from 0; each below the request's `batch_count`.
        preview: "none", or a `preview_method` of `PulidPipeline.generate`.
        preview_interval: Steps from one preview to the next.
    """

    job: str
    folder: str
    model: ModelChoice
    request: Mapping[str, Any]
    pictures: tuple[int, ...] = (0,)
    preview: str = "none"
    preview_interval: int = 1


@dataclass(frozen=True)
class ExtractCommand(CheckedMessage):
    """Make an identity of photos and save it in the job's folder.

    Args:
        job, folder, model: As for `MakeCommand`.
        files: Photos of one person, relative to `folder`.
        face: As for `PulidPipeline.enroll`; a box is a list.
        fusion: Likewise.
        target: The identity's file, relative to `folder`.
    """

    job: str
    folder: str
    model: ModelChoice
    files: tuple[str, ...]
    face: str | int | tuple[Any, ...] = "largest"
    fusion: str = DEFAULT_FUSION
    target: str = "identity.pulidembd"


@dataclass(frozen=True)
class LoadCommand(CheckedMessage):
    """Load a model now."""

    job: str
    model: ModelChoice


@dataclass(frozen=True)
class UnloadCommand(CheckedMessage):
    """Free the model and the extractor's networks."""

    job: str


@dataclass(frozen=True)
class CancelCommand(CheckedMessage):
    """Stop a job that was sent; one that has ended is left alone."""

    job: str


@dataclass(frozen=True)
class QuitCommand(CheckedMessage):
    """Stop everything and end."""


@dataclass(frozen=True)
class StageEvent(CheckedMessage):
    """A stage begins: those of `ProgressEvent`. `picture` counts from 0."""

    job: str
    stage: str
    picture: int = 0
    pictures: int = 0


@dataclass(frozen=True)
class StepEvent(CheckedMessage):
    """A finished step of a stage, as of `ProgressEvent`."""

    job: str
    stage: str
    step: int
    steps: int
    step_time_s: float = 0.0
    picture: int = 0
    pictures: int = 0


@dataclass(frozen=True)
class PreviewEvent(CheckedMessage):
    """An unfinished picture: a PNG in base64, after so many steps."""

    job: str
    picture: int
    step: int
    steps: int
    b64_json: str


@dataclass(frozen=True)
class SavedEvent(CheckedMessage):
    """A picture is in the job's folder, whole.

    Args:
        index: Its number, from 0.
        seed: Of its noise.
        file: Its name.
        width, height: In pixels.
        time_s: Seconds that making and saving it took.
    """

    job: str
    index: int
    seed: int
    file: str
    width: int
    height: int
    time_s: float = 0.0


@dataclass(frozen=True)
class NoteEvent(CheckedMessage):
    """Something that the user of a job should know."""

    job: str
    text: str


@dataclass(frozen=True)
class LogEvent(CheckedMessage):
    """A line of the log; `level` as in `logging`, in small letters."""

    level: str
    text: str


@dataclass(frozen=True)
class RestartedEvent(CheckedMessage):
    """The engine process died; the job is made again from the picture that it was at.

    Only the client says this.

    Args:
        reason: How it ended, one line.
        attempt: Which attempt begins, from 2.
    """

    job: str
    reason: str
    attempt: int


@dataclass(frozen=True)
class DoneEvent(CheckedMessage):
    """The job's end; `result` is what an extraction found."""

    job: str
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorEvent(CheckedMessage):
    """The job's end where it failed: see `engine_errors`.

    Args:
        kind: The exception's class.
        message: Its text; options in it as `errors.named` marks them.
        log_lines: Of a GenerationError.
    """

    job: str
    kind: str
    message: str
    log_lines: tuple[str, ...] = ()


JobCommand = MakeCommand | ExtractCommand | LoadCommand | UnloadCommand
"""What has an end: a DoneEvent or an ErrorEvent."""
Command = JobCommand | CancelCommand | QuitCommand
EngineEvent = (
    StageEvent
    | StepEvent
    | PreviewEvent
    | SavedEvent
    | NoteEvent
    | LogEvent
    | RestartedEvent
    | DoneEvent
    | ErrorEvent
)

_DO = {
    "make": MakeCommand,
    "extract": ExtractCommand,
    "load": LoadCommand,
    "unload": UnloadCommand,
    "cancel": CancelCommand,
    "quit": QuitCommand,
}
_EVENT = {
    "stage": StageEvent,
    "step": StepEvent,
    "preview": PreviewEvent,
    "saved": SavedEvent,
    "note": NoteEvent,
    "log": LogEvent,
    "restarted": RestartedEvent,
    "done": DoneEvent,
    "error": ErrorEvent,
}
_NAMES = {
    **{kind: ("do", name) for name, kind in _DO.items()},
    **{kind: ("event", name) for name, kind in _EVENT.items()},
}


def as_line(message: Command | EngineEvent) -> bytes:
    """A message as it is sent: ASCII, with the line's end."""
    key, name = _NAMES[type(message)]
    text = json.dumps({key: name, **dataclasses.asdict(message)}, allow_nan=False)
    return text.encode("ascii") + b"\n"


def command_from(line: bytes | str) -> Command:
    """The command in a line.

    Raises:
        ValueError: It is none, or has other fields.
    """
    command: Command = _read(line, "do", _DO)
    return command


def event_from(line: bytes | str) -> EngineEvent:
    """The event in a line.

    Raises:
        ValueError: It is none, or has other fields.
    """
    event: EngineEvent = _read(line, "event", _EVENT)
    return event


def _read(line: bytes | str, key: str, kinds: Mapping[str, Any]) -> Any:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    name = values.pop(key, None) if isinstance(values, dict) else None
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"{shown(line[:200])} is not a message with {key}")
    try:
        return message_of(kinds[name], values)
    except TypeError:  # a field too many, or one that is missing
        raise ValueError(f"{key} {name} has other fields: {shown(sorted(values))}") from None
