"""What the server and its engine process say to each other: one JSON object a line.

The server sends commands (`{"do": "make", ...}`) and is sent events (`{"event": "step", ...}`).
Both sides make the messages as dataclasses here, which check the types of all their fields.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..terminal_text import shown

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


class _Checked:
    """A message whose fields are what they are declared to be."""

    def __post_init__(self) -> None:
        message: Any = type(self)
        for name, kind in _kinds(message).items():
            value = getattr(self, name)
            if not _is_a(value, kind):
                what = f"{type(self).__name__}.{name}"
                raise ValueError(f"{what} is {shown(value)}, which is of another type")


@dataclass(frozen=True)
class ModelChoice(_Checked):
    """A model and how it is loaded; a job with another one closes it and makes its own.

    Args:
        preset: A preset's name; "": the files are in `context`.
        context: Fields of `ContextOptions` that are given, over the preset's; paths are absolute.
        models_dirs: Folders of model files.
        vram: As that of `PulidFlux`: GiB, "auto", or None.
        extractor_device: As that of `PulidFlux`.
    """

    preset: str
    context: Mapping[str, Any] = field(default_factory=dict)
    models_dirs: tuple[str, ...] = ()
    vram: float | str | None = None
    extractor_device: str = "auto"


@dataclass(frozen=True)
class MakeCommand(_Checked):
    """Make pictures of one request and save them as `000.png`, `001.png`, ... in its folder.

    Args:
        job: The job's id, in all of its events.
        folder: The job's folder.
        model: With what.
        request: As `settle` takes it, with a fixed seed; files are relative to `folder`, see
            `given_in`.
        pictures: The numbers of those to make, from 0; each below the request's `batch_count`.
        preview: "none", or a `preview_method` of `PulidFlux.generate`.
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
class ExtractCommand(_Checked):
    """Make an identity of photos and save it in the job's folder.

    Args:
        job, folder, model: As for `MakeCommand`.
        files: Photos of one person, relative to `folder`.
        face: As for `PulidFlux.enroll`; a box is a list.
        fusion: Likewise.
        target: The identity's file, relative to `folder`.
    """

    job: str
    folder: str
    model: ModelChoice
    files: tuple[str, ...]
    face: str | int | tuple[Any, ...] = "largest"
    fusion: str = "idformer"
    target: str = "identity.pulidembd"


@dataclass(frozen=True)
class LoadCommand(_Checked):
    """Load a model now."""

    job: str
    model: ModelChoice


@dataclass(frozen=True)
class UnloadCommand(_Checked):
    """Free the model and the extractor's networks."""

    job: str


@dataclass(frozen=True)
class CancelCommand(_Checked):
    """Stop a job that was sent; one that has ended is left alone."""

    job: str


@dataclass(frozen=True)
class QuitCommand(_Checked):
    """Stop everything and end."""


@dataclass(frozen=True)
class StageEvent(_Checked):
    """A stage begins: those of `ProgressEvent`. `picture` counts from 0."""

    job: str
    stage: str
    picture: int = 0
    pictures: int = 0


@dataclass(frozen=True)
class StepEvent(_Checked):
    """A finished step of a stage, as of `ProgressEvent`."""

    job: str
    stage: str
    step: int
    steps: int
    step_time_s: float = 0.0
    picture: int = 0
    pictures: int = 0


@dataclass(frozen=True)
class PreviewEvent(_Checked):
    """An unfinished picture: a PNG in base64, after so many steps."""

    job: str
    picture: int
    step: int
    steps: int
    b64_json: str


@dataclass(frozen=True)
class SavedEvent(_Checked):
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
class NoteEvent(_Checked):
    """Something that the user of a job should know."""

    job: str
    text: str


@dataclass(frozen=True)
class LogEvent(_Checked):
    """A line of the log; `level` as in `logging`, in small letters."""

    level: str
    text: str


@dataclass(frozen=True)
class RestartedEvent(_Checked):
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
class DoneEvent(_Checked):
    """The job's end; `result` is what an extraction found."""

    job: str
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorEvent(_Checked):
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
        return _made(kinds[name], values)
    except TypeError:  # a field too many, or one that is missing
        raise ValueError(f"{key} {name} has other fields: {shown(sorted(values))}") from None


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    """JSON has lists where messages have tuples, and objects where they have dataclasses."""
    found = dict(values)
    for name, value in values.items():
        declared = _kinds(kind).get(name)
        if declared is ModelChoice and isinstance(value, dict):
            found[name] = _made(ModelChoice, value)
        elif isinstance(value, list):
            found[name] = tuple(value)
    return kind(**found)


@functools.cache
def _kinds(message: Any) -> dict[str, Any]:
    return typing.get_type_hints(message)


def _is_a(value: object, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return any(_is_a(value, one) for one in typing.get_args(kind))
    if origin is tuple:
        (part, _) = typing.get_args(kind)
        return isinstance(value, tuple) and all(_is_a(one, part) for one in value)
    if origin is not None:
        return isinstance(value, origin)
    if kind is Any:
        return True
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
