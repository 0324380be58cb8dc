"""The binding with what it lacks: callbacks that may raise, and pictures that are freed.

Its callbacks are global to the process, and an exception cannot pass through native code. So
one call at a time is current, on the engine's thread: it keeps what a callback raises, and the
native call is cancelled instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Number
from typing import TYPE_CHECKING, Any, cast

from .call_once import call_once
from .library import binding, last_error, library, pulid_stage_callback_t
from .progress_event import EventCallback, ProgressEvent, Stage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "CALL_FAILURES",
    "NativeCall",
    "NativeFailure",
    "base",
    "current_call",
    "enter_stage",
    "plain_values",
    "served",
    "succeeded",
]


class NativeFailure(Exception):
    """A native call returned nothing; its text is the native error, "" when there is none."""


# ValueError and the rest: what the binding and ctypes raise for an argument of the wrong kind.
CALL_FAILURES = (
    NativeFailure,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,
    ctypes.ArgumentError,
)


@dataclass
class NativeCall:
    """A running native call.

    Attributes:
        context: The engine's `sd_ctx_t*`; None while it is made.
        progress: Called with (step, steps, seconds per step).
        on_event: Told of stages and their steps.
        stage: Which one it is.
        failure: What a callback raised; to be raised when native code has returned.
        is_cancelled: Whoever waits for it was interrupted; set under the engine's lock.
    """

    context: Any
    progress: Callable[[int, int, float], None] | None = None
    on_event: EventCallback | None = None
    stage: Stage = "load"
    failure: BaseException | None = None
    is_cancelled: bool = False

    def enter(self, stage: Stage) -> None:
        """A stage begins."""
        self.stage = stage
        if self.on_event is not None:
            self.serve(self.on_event, ProgressEvent(stage))

    def step(self, step: int, steps: int, time_s: float) -> None:
        """A step is done."""
        if self.progress is not None:
            self.serve(self.progress, step, steps, time_s)
        if self.on_event is not None and step > 0:
            self.serve(self.on_event, ProgressEvent(self.stage, step, steps, time_s))

    def serve(self, callback: Callable[..., object], *arguments: object) -> None:
        if self.failure is not None:
            return
        try:
            callback(*arguments)
        except BaseException as error:
            self.failure = error
            if self.context is None:
                library().pulid_set_loading_cancelled(True)
            else:
                library().pulid_set_cancelled(self.context, True)


_current: NativeCall | None = None


@contextlib.contextmanager
def current_call(call: NativeCall) -> Iterator[None]:
    """Let the process-wide callbacks serve `call`."""
    global _current
    _current = call
    try:
        yield
    finally:
        _current = None
        # The binding leaves a preview callback in place that dies with its call.
        module = base()
        module.sd_set_preview_callback(module.sd_preview_callback(), 0, 1, False, False, None)


def served(callback: Callable[..., object]) -> Callable[..., None]:
    """A preview callback that may raise."""

    def serve(*arguments: object) -> None:
        if _current is not None:
            _current.serve(callback, *arguments)

    return serve


def enter_stage(stage: Stage) -> None:
    """Tell whoever listens to the running call that a stage begins."""
    if _current is not None:
        _current.enter(stage)


def plain_values(info: Mapping[Any, Any]) -> dict[Any, Any]:
    """What the binding notes of a picture, without the C arrays and functions it made of it.

    They cannot be pickled or copied, and so neither could the picture.
    """
    return {name: value for name, value in info.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    from PIL.Image import Image

    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | Number | os.PathLike | Image)


def succeeded(result: Any) -> Any:
    """The result of a binding's method, which says "failed" with False."""
    if result is False:
        raise NativeFailure(last_error())
    return result


@call_once
def base() -> Any:
    """The binding, with our callbacks in place for the life of the process.

    Raises:
        NativeLibraryError: As `library.binding`.
    """
    module = binding()
    callback = module.sd_progress_callback(_on_progress)
    module.sd_set_progress_callback(callback, None)
    stage_callback = pulid_stage_callback_t(_on_stage)
    library().pulid_set_stage_callback(stage_callback, None)
    module.pulid_callbacks = (callback, stage_callback)  # the library keeps their addresses only
    convert = module.StableDiffusion._sd_image_t_p_to_images
    module.StableDiffusion._sd_image_t_p_to_images = functools.partialmethod(
        _images_from_native, convert
    )
    return module


def _on_progress(step: int, steps: int, time_s: float, data: object) -> None:
    if _current is not None:
        _current.step(step, steps, time_s)


def _on_stage(stage: bytes, data: object) -> None:
    enter_stage(cast(Stage, stage.decode()))


def _images_from_native(
    model: Any, convert: Callable[..., list[Image]], images: Any, count: int, factor: int
) -> list[Image]:
    """Convert native pictures, and free those that the engine handed over."""
    if not images:
        raise NativeFailure(last_error())
    try:
        return convert(model, images, count, factor)
    finally:
        library().pulid_free_images(ctypes.cast(images, ctypes.c_void_p))
