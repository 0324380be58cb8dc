"""What the page says of a job that runs, waits, or has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pulid_sdcpp.page.follow import OwnJobs
from pulid_sdcpp.page.now_html import actions_html, latest_html, made_html, stop_html
from pulid_sdcpp.page.now_panel import NowView, duration, now_bar, now_words, spoken
from pulid_sdcpp.page.queue_html import queue_html
from pulid_sdcpp.server.jobs.job_hub import JobProgress
from pulid_sdcpp.server.jobs.jobs import Job, JobFailure, MadePicture

REQUEST = {"prompt": "<b>a cat</b>", "people": [{"name": "Rose <i>", "identity": "0123456789"}]}
JOB = Job("job_a", "img_gen", "local", 1.0, 1, REQUEST, seeds=(7, 8))
RUNNING = replace(JOB, status="generating", started=2.0)
MADE = MadePicture(0, 7, 128, 96)
DONE = replace(JOB, status="completed", started=2.0, completed=5.0, pictures=(MADE,))
FAILED = replace(JOB, status="failed", completed=5.0, error=JobFailure("no_face", "no face <u>"))


def progress(**values: Any) -> JobProgress:
    return replace(JobProgress("denoise", 2, 4, 1.0, 1, 2, 75.0), **values)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (NowView(), ""),
        (NowView(JOB, position=3), "Waiting: place 3"),
        (NowView(JOB, position=1, is_paused=True), "Waiting: place 1. The queue is paused."),
        (NowView(RUNNING), "Starting"),
        (NowView(RUNNING, progress(stage="load", steps=0, pictures=1, eta_s=None)),
         "Loading the model"),
        (NowView(RUNNING, progress()),
         "Making the picture, picture 2 of 2, step 2 of 4, about 75 s left"),
        (NowView(replace(RUNNING, cancel_requested=True), progress()), "Stopping"),
        (NowView(replace(JOB, status="cancelled", completed=3.0)), "Cancelled."),
        (NowView(FAILED), "That did not work: no face <u>"),
        (NowView(DONE), "Done."),
    ],
)  # fmt: skip
def test_a_line_says_how_far_it_is(view: NowView, words: str) -> None:
    assert now_words(view) == words


def test_a_bar_shows_the_part_of_all_pictures() -> None:
    assert "width:75.0%" in now_bar(NowView(RUNNING, progress()))
    assert "now-unknown" in now_bar(NowView(RUNNING, progress(stage="load")))
    assert now_bar(NowView(DONE)) == ""


def test_a_failure_is_an_alert_and_foreign_text_is_no_html() -> None:
    html = now_bar(NowView(FAILED))
    assert 'role="alert"' in html
    assert "no face &lt;u&gt;" in html


def test_only_each_quarter_is_said_aloud() -> None:
    said = [spoken(NowView(RUNNING, progress(step=step, steps=20))) for step in range(21)]
    assert list(dict.fromkeys(said)) == [
        "Making the picture",
        *(f"Making the picture, {part} %" for part in (25, 50, 75, 100)),
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "1 s"), (0.2, "1 s"), (40, "40 s"), (89, "89 s"), (180, "3 min"), (4800, "1 h 20 min")],
)
def test_durations_are_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_picture_says_what_it_shows_and_nothing_of_it_is_html() -> None:
    html = made_html(DONE, MADE)
    assert 'alt="&lt;b&gt;a cat&lt;/b&gt;, with Rose &lt;i&gt;"' in html
    assert 'src="pulid/v1/pictures/job_a-0"' in html


def test_what_can_be_done_with_a_picture() -> None:
    html = actions_html((DONE, MADE), is_elsewhere=False)
    assert all(f'data-do="{do}"' in html for do in ("vary", "settings", "start"))
    assert 'href="pulid/v1/pictures/job_a-0?format=jpeg" download="job_a-0.jpg"' in html
    assert 'data-do="now"' not in html
    assert 'data-do="now"' in actions_html((DONE, MADE), is_elsewhere=True)
    assert actions_html(None, is_elsewhere=True) == ""


def test_one_picture_needs_no_thumbnails() -> None:
    second = MadePicture(1, 8, 128, 96)
    assert latest_html([(DONE, MADE)], (DONE, MADE)) == ""
    html = latest_html([(DONE, second), (DONE, MADE)], (DONE, MADE))
    assert html.count("<li>") == 2
    assert html.count('aria-current="true"') == 1


def test_cancel_is_there_as_long_as_it_helps() -> None:
    assert 'data-id="job_a"' in stop_html(NowView(JOB))
    assert " disabled" in stop_html(NowView(replace(RUNNING, cancel_requested=True)))
    assert stop_html(NowView(DONE)) == stop_html(NowView()) == ""


class Queue:
    is_paused = False

    def position(self, job_id: str) -> int:
        return {"job_b": 1, "job_c": 2}.get(job_id, 0)


def test_the_queue_has_buttons_for_what_is_possible() -> None:
    waiting = [replace(JOB, id="job_b"), replace(JOB, id="job_c")]
    html = queue_html(OwnJobs([RUNNING], waiting, [FAILED]), Queue())
    rows = html.split("<li ")[1:]
    buttons = [[one for one in ("up", "down", "edit", "cancel") if f'data-do="{one}"' in row]
               for row in rows]  # fmt: skip
    assert buttons == [["cancel"], ["down", "edit", "cancel"], ["up", "edit", "cancel"], ["edit"]]
    assert "Waiting: place 2" in rows[2]
    assert "no face &lt;u&gt;" in rows[3]
    assert "<b>" not in html


def test_an_empty_queue_says_so() -> None:
    assert "Nothing waits." in queue_html(OwnJobs([], [], []), Queue())


def test_the_page_is_about_what_runs_then_what_waits() -> None:
    assert OwnJobs([RUNNING], [JOB], []).current is RUNNING
    assert OwnJobs([], [JOB], [DONE]).current is JOB
    assert OwnJobs([], [], [DONE]).current is None
    assert OwnJobs([], [], [DONE]).picture("job_a-0") == (DONE, MADE)
    assert OwnJobs([], [], [DONE]).picture("job_a-1") is None
