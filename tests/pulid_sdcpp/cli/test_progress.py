from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from pulid_sdcpp.cli.progress import progress as progress_module
from pulid_sdcpp.cli.progress.choice import create_progress
from pulid_sdcpp.cli.progress.json_progress import JsonProgress, json_line
from pulid_sdcpp.cli.progress.progress import Progress
from pulid_sdcpp.native.progress_event import ProgressEvent

ROOT = Path(__file__).resolve().parents[3]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def denoise(progress: Progress, steps: int, time_s: float = 0.5) -> None:
    for step in range(steps + 1):
        progress.event(ProgressEvent("denoise", step, steps, time_s))


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream)
    progress.stage("generating")
    for step in range(3):
        progress.step(step, 2, 2.5)
    progress.note("be warned")
    progress.clear()
    assert stream.getvalue() == (
        "generating\n  step 1/2, 2.50 s/step\n  step 2/2, 2.50 s/step\nnote: be warned\n"
    )


@pytest.mark.parametrize(
    ("stream", "color"), [(Terminal, True), (Terminal, False), (io.StringIO, True)]
)
def test_levels_are_coloured_on_a_terminal_if_asked_for(stream: type, color: bool) -> None:
    told = stream()
    Progress(stream=told, color=color).log("warning", "beware")
    is_colored = color and stream is Terminal
    expected = "\x1b[33mwarning:\x1b[0m beware\n" if is_colored else "warning: beware\n"
    assert told.getvalue() == expected


def test_stages_are_named_once_and_their_steps_are_lines_when_they_take_long() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream=stream, clock=clock)
    for picture in range(2):
        progress.picture(picture, 2)
        progress.event(ProgressEvent("load"))
        for step in range(1, 4):
            clock.now_s += 20
            progress.event(ProgressEvent("load", step, 3, 20.0))
        denoise(progress, 1)
        progress.event(ProgressEvent("decode"))
    assert stream.getvalue().splitlines() == [
        "load",
        "  1/2 load 2/3 tensors, 20.00 s/tensor",
        "denoise",
        "  1/2 step 1/1, 2.00 steps/s",
        "decode",
        "  2/2 load 2/3 tensors, 20.00 s/tensor",
        "  2/2 step 1/1, 2.00 steps/s",
    ]


@pytest.mark.parametrize(("steps", "count"), [(4, 1), (20, 1), (1000, 1), (4, 100)])
def test_the_lines_of_steps_are_few(steps: int, count: int) -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream, clock=Clock())
    for picture in range(count):
        progress.picture(picture, count)
        denoise(progress, steps)
    lines = [line for line in stream.getvalue().splitlines() if "step " in line]
    assert min(steps * count, 20) <= len(lines) <= 21
    assert f"step {steps}/{steps}" in lines[-1]


def test_slow_steps_are_each_worth_a_line() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream=stream, clock=clock)
    for step in range(101):
        progress.event(ProgressEvent("denoise", step, 100, 30.0))
        clock.now_s += 30
    assert len(stream.getvalue().splitlines()) == 101


def test_a_bar_on_a_terminal_that_is_taken_away_again() -> None:
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.step(0, 2)
    progress.step(1, 2, 0.25)
    assert "|############            | 1/2  4.00 steps/s, 0:00 left" in stream.getvalue()
    assert "\n" not in stream.getvalue()
    progress.stage("saving")
    assert stream.getvalue().endswith("saving\n")
    assert "#" not in stream.getvalue().split("\r")[-2]  # spaces over the bar


def test_the_bar_names_picture_and_stage_and_counts_the_pictures_to_come() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(stream=stream, clock=clock)
    progress.picture(0, 3)
    progress.event(ProgressEvent("load"))
    assert stream.getvalue().rstrip().endswith("1/3 load")
    progress.event(ProgressEvent("denoise", 0, 4))
    progress.event(ProgressEvent("denoise", 1, 4, 10.0))
    assert "1/3 denoise |" in stream.getvalue()
    assert "1/4  10.00 s/step, 1:50 left" in stream.getvalue()  # 3 steps, and 2 pictures of 4
    clock.now_s += 60  # the first took more than its steps
    progress.picture(1, 3)
    progress.event(ProgressEvent("denoise", 0, 4))
    progress.event(ProgressEvent("denoise", 4, 4, 10.0))
    assert "2/3 denoise |########################| 4/4  10.00 s/step, 1:00 left" in (
        stream.getvalue()
    )


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (20, "  1/3 denoise 11/20"),
        (30, "  1/3 denoise 11/20"),
        (36, "  1/3 denoise 11/20  8:10 left"),
        (40, "  1/3 denoise 11/20  8:10 left"),
        (50, "  1/3 denoise 11/20  10.00 s/step, 8:10 left"),
        (60, "  1/3 denoise |######6     | 11/20  10.00 s/step, 8:10 left"),
        (100, "  1/3 denoise |#############2          | 11/20  10.00 s/step, 8:10 left"),
    ],
)
def test_a_narrow_terminal_shows_the_numbers(
    columns: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "_columns", lambda stream: columns)
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.picture(0, 3)
    progress.event(ProgressEvent("denoise", 0, 20))
    progress.event(ProgressEvent("denoise", 11, 20, 10.0))
    line = stream.getvalue().split("\r")[-1].rstrip()
    progress.clear()
    assert line == shown
    assert len(line) < columns


def test_tensors_that_are_loaded_are_no_steps() -> None:
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.event(ProgressEvent("load", 0, 442))
    progress.event(ProgressEvent("load", 112, 442, 1 / 560))
    progress.clear()
    assert "112/442 tensors  560 tensors/s, 0:01 left" in stream.getvalue()


def test_bytes_have_their_units() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream, unit="B")
    progress.step(3_400_000_000, 6_800_000_000, 1e-7)
    assert stream.getvalue() == "  3.40 GB/6.80 GB, 10 MB/s\n"


def test_other_things_than_steps_are_counted() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream, unit="picture")
    progress.step(1, 2, 2.5)
    progress.step(2, 2, 0.25)
    assert stream.getvalue() == ("  picture 1/2, 2.50 s/picture\n  picture 2/2, 4.00 pictures/s\n")


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Terminal()
    progress = Progress(quiet=True, stream=stream)
    progress.stage("generating")
    progress.note("be warned")
    denoise(progress, 2)
    progress.saved("out.png", 7, {})
    progress.clear()
    assert stream.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_counts_that_make_no_sense_are_passed_over() -> None:
    stream = io.StringIO()
    Progress(stream=stream).step(0, 0)
    Progress(stream=stream).step(3, 2, 1.0)
    Progress(stream=stream).event(ProgressEvent("denoise", 3, 0))
    assert stream.getvalue() == "  step 3/2, 1.00 s/step\n"


def test_programs_get_an_object_a_line() -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.stage("generating")
    progress.picture(1, 2)
    progress.event(ProgressEvent("denoise", 0, 4))
    progress.event(ProgressEvent("denoise", 1, 4, 0.5))
    progress.previewed("p.png", 1)
    progress.log("warning", "no T5")
    progress.saved("ä\udcff.png", 7, {"prompt": "a\nb"})
    lines = stream.getvalue().splitlines()
    assert stream.getvalue().isascii()
    place = {"picture": 1, "pictures": 2}
    assert [json.loads(line) for line in lines] == [
        {"event": "note", "text": "generating"},
        {"event": "stage", "stage": "denoise", **place},
        {"event": "step", "stage": "denoise", "step": 1, "steps": 4, "step_time_s": 0.5, **place},
        {"event": "preview", "path": "p.png", "step": 1, "picture": 1},
        {"event": "log", "level": "warning", "text": "no T5"},
        {"event": "saved", "path": "ä\udcff.png", "seed": 7, "picture": 1, "prompt": "a\nb"},
    ]


def test_the_page_names_what_each_object_has() -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.note("be warned")
    progress.log("warning", "no T5")
    denoise(progress, 1)
    progress.previewed("p.png", 1)
    progress.saved("a.png", 7, {"prompt": "", "negative_prompt": "", "parameters": {}})
    stream.write(json_line("error", status=1, message="gone"))
    objects = map(json.loads, stream.getvalue().splitlines())
    written = {each.pop("event"): set(each) for each in objects}
    page = (ROOT / "docs" / "generate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (`.*) \|$", page.partition("`--json`")[2], re.MULTILINE)
    assert {kind: set(re.findall(r"`(\w+)`", keys)) for kind, keys in rows} == written


def test_which_one_is_made() -> None:
    assert isinstance(create_progress(as_json=True), JsonProgress)
    assert not isinstance(create_progress(), JsonProgress)
