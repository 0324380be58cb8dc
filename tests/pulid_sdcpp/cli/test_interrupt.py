from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pulid_sdcpp.cli.command_group import _described
from pulid_sdcpp.cli.progress import interrupt
from pulid_sdcpp.cli.progress.interrupt import second_interrupt_leaves


def test_the_first_interrupt_raises_and_the_second_leaves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Left(Exception):
        pass

    def leave() -> None:
        raise Left

    monkeypatch.setattr(interrupt, "_leave_now", leave)
    with second_interrupt_leaves():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Left):
            signal.raise_signal(signal.SIGINT)
    assert "Ctrl-C again" in capsys.readouterr().err


def test_the_handler_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with second_interrupt_leaves():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


# Ctrl-C comes when a module is imported, as it does at a random moment of the start.
START = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
from pulid_sdcpp.__main__ import start
module = sys.argv.pop(1)
class Hook:
    def find_spec(self, name, *_):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Hook())
start()
"""


@pytest.mark.skipif(os.name == "nt", reason="it has no other way to send Ctrl-C than the console")
@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("pulid_sdcpp.cli", ""),
        ("click", ""),
        ("pulid_sdcpp.cli.commands.inspect", "interrupted; nothing was left half-written"),
        ("pulid_sdcpp.model_files.description", "interrupted; nothing was left half-written"),
    ],
)
def test_an_interrupt_while_it_starts_is_no_traceback(module: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START, module, "inspect", "absent"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (130, said)


def test_an_interrupt_is_told_by_what_is_behind_an_error() -> None:
    """Python up to 3.11 makes a RuntimeError of what comes while a class is made."""
    error = RuntimeError("Error calling __set_name__")
    error.__cause__ = KeyboardInterrupt()
    assert _described(error, str)[0] == 130
    assert _described(RuntimeError("another"), str)[0] == 1
