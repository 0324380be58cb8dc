"""Loading a model into the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import GenerationCancelled, GenerationError, ModelFileError
from . import thread as native_thread
from .calls import CALL_FAILURES, NativeCall, base, current_call
from .devices import Placement
from .library import last_error, library
from .log import LastLines
from .progress_event import EventCallback

__all__ = ["load_model", "memory_advice", "run_loading"]

Returned = TypeVar("Returned")


def load_model(
    arguments: dict[str, Any], placement: Placement, repack: bool, on_event: EventCallback | None
) -> Any:
    """Load the files on the engine's thread; Ctrl-C stops it after the tensors being read.

    Args:
        arguments: Checked, of the binding's constructor.
        placement: Where the modules go; a module named here is not kept on the CPU besides.
        repack: Whether the CPU's own layouts may be used.
        on_event: Told how far it is.

    Returns:
        The binding's object.

    Raises:
        ValueError: The binding refuses an argument.
        ModelFileError: The engine cannot load the files.
        GenerationError: No memory; GenerationCancelled: interrupted.
    """
    call = NativeCall(None, on_event=on_event)
    return run_loading(lambda: _load(arguments, placement, repack, call))


def run_loading(load: Callable[[], Returned]) -> Returned:
    """Run on the engine's thread what reads weights files; Ctrl-C stops it.

    The native flag is of the process, and a LoRA that another call loads asks it too: so it is
    set only while `load` runs, and never left behind.

    Raises:
        GenerationCancelled: Interrupted before it began.
    """
    lock = threading.Lock()
    is_running = is_interrupted = False

    def interrupt() -> None:
        nonlocal is_interrupted
        with lock:
            is_interrupted = True
            if is_running:
                library().pulid_set_loading_cancelled(True)

    def run() -> Returned:
        nonlocal is_running
        with lock:
            if is_interrupted:  # while it waited for another call to end
                raise GenerationCancelled("cancelled")
            is_running = True
        try:
            return load()
        finally:
            with lock:
                is_running = False
                library().pulid_set_loading_cancelled(False)

    return native_thread.run(run, interrupt, may_give_up=True)


def memory_advice(reason: str) -> str:
    """A native failure with what helps against it."""
    text = reason or "the engine failed without saying why; see its log (verbose)"
    if "out of memory" in text or "alloc" in text:
        text += "; try a smaller picture, vae_tiling, offload_params_to_cpu or a smaller model"
    return text


def _load(arguments: dict[str, Any], placement: Placement, repack: bool, call: NativeCall) -> Any:
    if placement.clip:
        arguments["keep_clip_on_cpu"] = False  # the more exact wish
    if placement.vae:
        arguments["keep_vae_on_cpu"] = False
    # Pictures are enlarged where they are decoded.
    upscaler = "CPU" if arguments["keep_vae_on_cpu"] else placement.vae
    names = (placement.diffusion, placement.clip, placement.vae, upscaler)
    library().pulid_set_placement(*(name.encode() for name in names))
    library().pulid_set_repack(repack)
    with LastLines() as log, current_call(call):
        try:
            call.enter("load")
            model = base().StableDiffusion(**arguments)
        except CALL_FAILURES as error:
            raise _failure(error, call, log) from error
        finally:
            library().pulid_set_placement(b"", b"", b"", b"")
        if call.failure is not None:  # raised when it was too late to stop
            model.close()
            raise call.failure
        return model


def _failure(error: BaseException, call: NativeCall, log: LastLines) -> BaseException:
    reason = last_error()
    if call.failure is not None:
        return call.failure
    if library().pulid_was_cancelled():
        return GenerationCancelled("cancelled", log.lines)
    if "out of memory" in reason:
        return GenerationError(memory_advice(reason), log.lines)
    if reason:
        return ModelFileError(f"the engine could not load the model: {log.first_error or reason}")
    if isinstance(error, ValueError):  # the binding refused an argument itself
        return error
    return ValueError(f"the engine cannot take these arguments: {error}")
