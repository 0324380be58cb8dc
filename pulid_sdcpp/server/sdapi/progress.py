"""The answer to A1111's `progress`: how far the caller's job is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from ..jobs.jobs import Job

__all__ = ["ShownJob", "progress_answer", "task_answer"]

_BEGUN = 0.01
"""Of a job that is served and has no step yet: clients take 0 for a server without work."""
_NEARLY = 0.99


class _Progress(Protocol):
    """How far a job is: `job_hub.JobProgress`."""

    @property
    def stage(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def picture(self) -> int: ...
    @property
    def pictures(self) -> int: ...
    @property
    def eta_s(self) -> float | None: ...


@dataclass(frozen=True)
class ShownJob:
    """A job that `progress` tells of.

    Attributes:
        job: It waits or is being made.
        progress: How far it is; None: nothing is known yet.
        position: Its place in line, from 1; 0: it does not wait.
        task: What its client calls it, or its id.
        current_image: The unfinished picture, in base64; None: there is none.
    """

    job: Job
    progress: _Progress | None = None
    position: int = 0
    task: str = ""
    current_image: str | None = None


def progress_answer(shown: ShownJob | None) -> dict[str, Any]:
    """The answer's JSON; None: the caller has no job."""
    if shown is None:
        return _answer(0.0, 0.0, "", _state(), None, None, None)
    job, progress = shown.job, shown.progress
    pictures = max(len(job.seeds), 1)
    if job.status == "queued" or progress is None:
        name = "wait" if job.status == "queued" else "load"
        text = f"Waiting: place {shown.position}" if shown.position else "Starting"
        share = 0.0 if job.status == "queued" else _BEGUN
        return _answer(share, 0.0, job.id, _state(job, name, pictures), None, shown.task, text)
    picture = min(max(progress.picture, 0), pictures - 1)
    part = progress.step / progress.steps if progress.stage == "denoise" and progress.steps else 0.0
    if progress.stage == "decode":
        part = 1.0
    share = min(max((picture + part) / pictures, _BEGUN), _NEARLY)
    is_loading = progress.stage == "load"
    name = "load" if is_loading else "txt2img"
    if pictures > 1 and not is_loading:
        name = f"Batch {picture + 1} out of {pictures}"
    state = _state(job, name, pictures, picture)
    if progress.stage == "denoise":
        state |= {"sampling_step": progress.step, "sampling_steps": progress.steps}
    steps = f": {progress.step} of {progress.steps}" if progress.steps else ""
    text = f"{progress.stage}{steps}"
    eta_s = progress.eta_s or 0.0
    return _answer(share, eta_s, job.id, state, shown.current_image, shown.task, text)


def task_answer(shown: ShownJob | None, seen: int, image_number: int) -> dict[str, Any]:
    """The answer to `/internal/progress`, of a job that its client has named.

    Args:
        shown: The job; None: there is none of that name.
        seen: The number of the picture that the client has already.
        image_number: That of `shown.current_image`.
    """
    is_finished = shown is not None and shown.job.is_finished
    is_active = shown is not None and shown.job.status == "generating"
    told = progress_answer(None if is_finished else shown)
    image = told["current_image"] if image_number != seen else None
    return {
        "active": is_active,
        "queued": shown is not None and shown.job.status == "queued",
        "completed": is_finished,
        "progress": told["progress"] if is_active else None,
        "eta": told["eta_relative"] if is_active else None,
        "live_preview": None if image is None else f"data:image/png;base64,{image}",
        "id_live_preview": seen if image is None else image_number,
        "textinfo": told["textinfo"],
    }


def _answer(
    share: float,
    eta_s: float,
    job_id: str,
    state: dict[str, Any],
    image: str | None,
    task: str | None,
    text: str | None,
) -> dict[str, Any]:
    return {
        "progress": share,
        "eta_relative": eta_s,
        "state": state,
        "current_image": image,
        "textinfo": text,
        "current_task": task or job_id or None,
    }


def _state(job: Job | None = None, name: str = "", count: int = 0, number: int = 0) -> Any:
    """A1111's, for a job or for none."""
    is_ending = job is not None and job.cancel_requested
    created = "0" if job is None else time.strftime("%Y%m%d%H%M%S", time.localtime(job.created))
    return {
        "skipped": False,
        "interrupted": is_ending,
        "stopping_generation": is_ending,
        "job": name,
        "job_count": count,
        "job_timestamp": created,
        "job_no": number,
        "sampling_step": 0,
        "sampling_steps": 0,
    }
