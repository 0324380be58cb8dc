"""A process that runs commands of the command line one after another, for tests.

A crash of native code ends this process and not the tests, and the imports are paid for once.
As a program: reads a JSON list of arguments a line, answers with JSON in a line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["CommandWorker", "Outcome", "run_command", "serve"]


@dataclass(frozen=True)
class Outcome:
    """What a command ended with; a negative status is the signal that killed the process."""

    status: int
    stdout: str
    stderr: str
    too_long: bool = False


class CommandWorker:
    """Runs commands in one other process, which is started anew after a crash.

    Args:
        program: The file to run, which calls `serve`.
    """

    def __init__(self, program: str = __file__) -> None:
        self._program = program
        self._process: subprocess.Popen[str] | None = None

    def run(self, task: Any, limit_s: float | None = None) -> Outcome:
        """Give one task, arguments of a command; after `limit_s` the process is killed."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        killed = threading.Event()
        timer = threading.Timer(limit_s or 0, lambda: (killed.set(), process.kill()))
        if limit_s is not None:
            timer.start()
        answer = process.stdout.readline()
        timer.cancel()
        if answer:
            return Outcome(**json.loads(answer))
        self.close()
        status = process.returncode
        return Outcome(status, "", f"the process ended with {status}", killed.is_set())

    def close(self) -> None:
        if self._process is not None:
            with self._process as process:
                assert process.stdin is not None
                process.stdin.close()
            self._process = None


def run_command(arguments: list[str]) -> dict[str, Any]:
    """Run a command of the command line in this process."""
    from click.testing import CliRunner

    from pulid_sdcpp.cli import main

    result = CliRunner().invoke(main, arguments)
    return {"status": result.exit_code, "stdout": result.stdout, "stderr": result.stderr}


def serve(answer_to: Callable[[Any], dict[str, Any]]) -> None:
    """Answer the tasks on stdin until it ends; an answer has the fields of `Outcome`."""
    import os

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints must not get between the answers
    for line in sys.stdin:
        answers.write(json.dumps(answer_to(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(run_command)
