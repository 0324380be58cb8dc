"""The engine in a process of its own: `python -m pulid_sdcpp.server.engine_process`.

Commands are read from stdin and events written to stdout, as `engine_messages` has them; stderr is
the log. A failed assertion of a native library or the kernel's want of memory ends this process,
and not the server with its queue; when it ends, the graphics card is free.

It ends with its parent: then stdin does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

from .engine_messages import (
    CancelCommand,
    EngineEvent,
    JobCommand,
    LogEvent,
    QuitCommand,
    as_line,
    command_from,
)
from .engine_worker import CreatePipeline, EngineWorker, create_pipeline_of
from .process_streams import own_streams

__all__ = ["QUIT_GRACE_S", "run_engine_process", "serve_commands"]

QUIT_GRACE_S = 10.0
"""How long a running evaluation may take to stop when the process has to end."""

_LOGGERS = ("pulid_sdcpp", "pulid_extractor")


def run_engine_process(
    create_pipeline: CreatePipeline = create_pipeline_of, *, quit_grace_s: float = QUIT_GRACE_S
) -> int:
    """Do what stdin says until it ends; the exit status.

    Args:
        create_pipeline: Makes the pipeline of a model.
        quit_grace_s: After the end of stdin the process ends, at the latest after so long.
    """
    source, out = own_streams()
    # Ctrl-C reaches every process of a terminal; the server decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return serve_commands(source, out, create_pipeline, quit_grace_s=quit_grace_s)


def serve_commands(
    source: BinaryIO,
    out: BinaryIO,
    create_pipeline: CreatePipeline,
    *,
    quit_grace_s: float = QUIT_GRACE_S,
    leave: Callable[[int], object] = os._exit,
) -> int:
    """Do what `source` says until it ends; the exit status.

    Args:
        source, out: Where commands are read, and events written.
        create_pipeline, quit_grace_s: As for `run_engine_process`.
        leave: Ends the process at once.
    """
    writing = threading.Lock()

    def send(event: EngineEvent) -> None:
        line = as_line(event)
        # Without a parent there is nobody to tell, and stdin has ended, too.
        with writing, contextlib.suppress(OSError):
            out.write(line)
            out.flush()

    worker = EngineWorker(send, create_pipeline)
    commands: queue.SimpleQueue[JobCommand | None] = queue.SimpleQueue()
    has_ended = threading.Event()

    def read() -> None:
        status = _read(source, worker, commands)
        worker.stop()
        commands.put(None)
        # The main thread ends the process, unless it is in native code that does not stop.
        if not has_ended.wait(0 if status else quit_grace_s):
            leave(status)

    threading.Thread(target=read, name="pulid-commands", daemon=True).start()
    with _log_sent(send):
        while (command := commands.get()) is not None:
            worker.do(command)
        worker.close()
    has_ended.set()
    return 0


def _read(
    source: BinaryIO, worker: EngineWorker, commands: queue.SimpleQueue[JobCommand | None]
) -> int:
    """Take commands as they come, so that a running one can be cancelled; the exit status."""
    with contextlib.suppress(OSError):
        for line in source:
            try:
                command = command_from(line)
            except ValueError as error:
                print(error, file=sys.stderr, flush=True)
                return 2  # the parent is of another version
            if isinstance(command, QuitCommand):
                break
            if isinstance(command, CancelCommand):
                worker.cancel(command.job)
            else:
                worker.accept(command)
                commands.put(command)
    return 0


class _LogSender(logging.Handler):
    def __init__(self, send: Callable[[EngineEvent], object]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record).rstrip()
        self._send(LogEvent(record.levelname.lower(), text))


@contextlib.contextmanager
def _log_sent(send: Callable[[EngineEvent], object]) -> Iterator[None]:
    """The packages' warnings and errors are events, so that they keep their level."""
    handler = _LogSender(send)
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(handler)


if __name__ == "__main__":
    sys.exit(run_engine_process())
