"""A process that runs commands of the command line one after another, for tests.

A crash of native code ends this process and not the tests, and the imports are paid for once.
As a program: reads a JSON list of arguments a line, answers with JSON in a line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

__all__ = ["CommandWorker", "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a command ended with; a negative status is the signal that killed the process."""

    status: int
    stdout: str
    stderr: str


class CommandWorker:
    """Runs commands in one other process, which is started anew after a crash."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, arguments: list[str]) -> Outcome:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if answer:
            return Outcome(**json.loads(answer))
        self.close()
        return Outcome(process.returncode, "", f"the process ended with {process.returncode}")

    def close(self) -> None:
        if self._process is not None:
            with self._process as process:
                assert process.stdin is not None
                process.stdin.close()
            self._process = None


def _serve() -> None:
    import os

    from click.testing import CliRunner

    from pulid_sdcpp.cli import main

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints must not get between the answers
    for line in sys.stdin:
        result = CliRunner().invoke(main, json.loads(line))
        outcome = {
            "status": result.exit_code,
            "stdout": result.stdout,
            "stderr": result.stderr,
        }
        answers.write(json.dumps(outcome) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
