from __future__ import annotations

import io

from pulid_sdcpp.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream)
    progress.stage("generating")
    for step in range(3):
        progress.step(step, 2, 2.5)
    progress.clear()
    assert stream.getvalue() == ("generating\n  step 1/2, 2.50 s/step\n  step 2/2, 2.50 s/step\n")


def test_a_bar_on_a_terminal_that_is_taken_away_again() -> None:
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.step(0, 2)
    progress.step(1, 2, 0.25)
    assert "[############------------] 1/2  4.00 steps/s, 0 s left" in stream.getvalue()
    assert "\n" not in stream.getvalue()
    progress.stage("saving")
    shown = stream.getvalue().split("\r")[-1]
    assert shown == "saving\n"


def test_other_things_than_steps_are_counted() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream, unit="picture")
    progress.step(1, 2, 2.5)
    progress.step(2, 2, 0.25)
    assert stream.getvalue() == ("  picture 1/2, 2.50 s/picture\n  picture 2/2, 4.00 pictures/s\n")


def test_quiet_says_nothing() -> None:
    stream = Terminal()
    progress = Progress(quiet=True, stream=stream)
    progress.stage("generating")
    progress.step(1, 2, 1.0)
    progress.clear()
    assert stream.getvalue() == ""


def test_counts_that_make_no_sense_are_passed_over() -> None:
    stream = io.StringIO()
    Progress(stream=stream).step(0, 0)
    Progress(stream=stream).step(3, 2, 1.0)
    assert stream.getvalue() == "  step 3/2, 1.00 s/step\n"
