"""A1111's `progress`."""

from dataclasses import dataclass
from typing import Any

import pytest

from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.sdapi.progress import ShownJob, progress_answer, task_answer


@dataclass(frozen=True)
class Progress:
    stage: str
    step: int = 0
    steps: int = 0
    picture: int = 0
    pictures: int = 1
    eta_s: float | None = None


def job(seeds: int = 1, **changed: Any) -> Job:
    values: dict[str, Any] = {
        "id": "job_1", "kind": "img_gen", "owner": "local", "created": 0.0, "sequence": 1,
        "request": {}, "seeds": tuple(range(seeds)), "status": "generating",
    }  # fmt: skip
    return Job(**{**values, **changed})


def test_without_a_job_all_is_nothing():
    answer = progress_answer(None)
    # webuiapi's util_wait_for_ready and SillyTavern wait for these two.
    assert (answer["progress"], answer["state"]["job_count"]) == (0.0, 0)
    assert (answer["eta_relative"], answer["current_image"]) == (0.0, None)
    assert (answer["current_task"], answer["textinfo"]) == (None, None)
    assert answer["state"] == {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    }


@pytest.mark.parametrize(
    ("seeds", "progress", "share", "name", "number"),
    [
        (1, None, 0.01, "load", 0),
        (1, Progress("load"), 0.01, "load", 0),
        (1, Progress("load", 5, 10), 0.01, "load", 0),
        (1, Progress("encode"), 0.01, "txt2img", 0),
        (1, Progress("denoise", 0, 4), 0.01, "txt2img", 0),
        (1, Progress("denoise", 1, 4), 0.25, "txt2img", 0),
        (1, Progress("denoise", 4, 4), 0.99, "txt2img", 0),
        (1, Progress("decode"), 0.99, "txt2img", 0),
        (2, Progress("denoise", 1, 2, picture=0), 0.25, "Batch 1 out of 2", 0),
        (2, Progress("denoise", 1, 2, picture=1), 0.75, "Batch 2 out of 2", 1),
        (2, Progress("encode", picture=1), 0.5, "Batch 2 out of 2", 1),
        (2, Progress("denoise", 1, 2, picture=7), 0.75, "Batch 2 out of 2", 1),
    ],
)
def test_of_a_job(seeds: int, progress: Any, share: float, name: str, number: int):
    answer = progress_answer(ShownJob(job(seeds), progress))
    assert answer["progress"] == pytest.approx(share)
    assert answer["state"]["job"] == name
    assert (answer["state"]["job_count"], answer["state"]["job_no"]) == (seeds, number)


def test_steps_picture_and_time_left():
    shown = ShownJob(
        job(), Progress("denoise", 3, 20, eta_s=8.5), task="task(1)", current_image="AA=="
    )
    answer = progress_answer(shown)
    assert (answer["state"]["sampling_step"], answer["state"]["sampling_steps"]) == (3, 20)
    assert (answer["eta_relative"], answer["current_image"]) == (8.5, "AA==")
    assert (answer["current_task"], answer["textinfo"]) == ("task(1)", "denoise: 3 of 20")


def test_a_waiting_job_is_seen():
    answer = progress_answer(ShownJob(job(3, status="queued"), position=2))
    assert (answer["progress"], answer["state"]["job_count"]) == (0.0, 3)
    assert (answer["textinfo"], answer["current_task"]) == ("Waiting: place 2", "job_1")


def test_a_job_that_is_to_end_says_so():
    shown = ShownJob(job(cancel_requested=True), Progress("denoise", 1, 4))
    state = progress_answer(shown)["state"]
    assert (state["interrupted"], state["stopping_generation"]) == (True, True)


def test_a_task_by_its_name_and_a_picture_once() -> None:
    shown = ShownJob(job(), Progress("denoise", 3, 20, eta_s=8.5), current_image="AA==")
    first = task_answer(shown, -1, 3)
    assert (first["live_preview"], first["id_live_preview"]) == ("data:image/png;base64,AA==", 3)
    again = task_answer(shown, 3, 3)
    assert (again["live_preview"], again["id_live_preview"]) == (None, 3)
    assert (first["active"], first["progress"], first["eta"]) == (True, 0.15, 8.5)
    waiting = task_answer(ShownJob(job(status="queued"), position=2), -1, -1)
    assert (waiting["active"], waiting["queued"], waiting["progress"]) == (False, True, None)
    assert waiting["textinfo"] == "Waiting: place 2"
    nobody = task_answer(None, -1, -1)
    assert (nobody["active"], nobody["queued"], nobody["completed"]) == (False, False, False)
