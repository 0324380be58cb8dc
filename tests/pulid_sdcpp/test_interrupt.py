from __future__ import annotations

import signal

import pytest

from pulid_sdcpp.cli import interrupt
from pulid_sdcpp.cli.interrupt import second_interrupt_leaves


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
