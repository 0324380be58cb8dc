"""What is being made at this moment, as words and HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from . import texts

if TYPE_CHECKING:
    from ..server.jobs.job_hub import JobPreview, JobProgress
    from ..server.jobs.jobs import Job

__all__ = [
    "NowView",
    "alt_of_job",
    "duration",
    "empty_html",
    "now_bar",
    "now_words",
    "people_of",
    "preview_url",
    "prompt_of",
    "shown_html",
    "spoken",
]

_MAX_PREVIEW_BYTES = 150_000
_ALT_CHARS = 120


@dataclass(frozen=True)
class NowView:
    """What the panel shows of a job.

    Attributes:
        job: The job; None: there is none.
        progress: How far it is, while it runs.
        position: Its place in the queue; 0: it does not wait.
        is_paused: Whether the queue is.
    """

    job: Job | None = None
    progress: JobProgress | None = None
    position: int = 0
    is_paused: bool = False


def duration(seconds: float) -> str:
    """Seconds in words: "40 s", "3 min", "1 h 20 min"."""
    seconds = max(seconds, 0)
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def prompt_of(job: Job) -> str:
    """What a job shows."""
    return str(job.request.get("prompt", ""))


def people_of(request: Mapping[str, Any]) -> list[str]:
    """What the people of a request are called."""
    people = request.get("people")
    named = [person for person in people or () if isinstance(person, Mapping)]
    return [str(one.get("name") or one.get("identity") or texts.FROM_PHOTO) for one in named]


def alt_of_job(job: Job) -> str:
    """What a picture of the job shows, for those who do not see it."""
    prompt = prompt_of(job)
    short = prompt if len(prompt) <= _ALT_CHARS else prompt[: _ALT_CHARS - 1] + "…"
    names = people_of(job.request)
    return f"{short}, {texts.WITH.format(names=', '.join(names))}" if names else short


def now_words(view: NowView) -> str:
    """The line that says how far it is."""
    job, progress = view.job, view.progress
    if job is None:
        return ""
    if job.status == "queued":
        place = texts.WAITING.format(place=view.position or 1)
        return f"{place}. {texts.PAUSED}" if view.is_paused else place
    if job.status == "failed":
        return texts.FAILED.format(message=job.error.message if job.error else "")
    if job.status == "cancelled":
        return texts.CANCELLED
    if job.status == "completed":
        return texts.DONE
    if job.cancel_requested:
        return texts.CANCELLING
    if progress is None:
        return texts.STAGES[""]
    parts = [texts.STAGES.get(progress.stage, progress.stage)]
    if progress.pictures > 1:
        number = progress.picture + 1
        parts.append(texts.PICTURE_OF.format(number=number, count=progress.pictures))
    if progress.steps:
        parts.append(texts.STEP_OF.format(step=progress.step, steps=progress.steps))
    if progress.eta_s is not None and progress.eta_s >= 1:
        parts.append(texts.TIME_LEFT.format(time=duration(progress.eta_s)))
    return ", ".join(parts)


def spoken(view: NowView) -> str:
    """What is said aloud: the stages, each quarter of the steps, and the end."""
    progress = view.progress
    if view.job is None or view.job.status != "generating" or progress is None:
        return now_words(view)
    stage = texts.STAGES.get(progress.stage, progress.stage)
    if progress.steps < 4:
        return stage
    quarter = 4 * progress.step // progress.steps
    return f"{stage}, {25 * quarter} %" if quarter else stage


def now_bar(view: NowView) -> Markup:
    """The line with a bar; nothing without a job that goes on."""
    job, progress = view.job, view.progress
    words = now_words(view)
    if job is None or (job.is_finished and job.status == "completed"):
        return Markup("")
    if job.status == "failed":
        return Markup('<p class="now-error" role="alert">{}</p>').format(words)
    if job.is_finished:
        return Markup('<p class="now-words">{}</p>').format(words)
    part = _part(progress)
    bar = (
        Markup('<div class="now-bar"><i style="width:{:.1f}%"></i></div>').format(100 * part)
        if part is not None
        else Markup('<div class="now-bar now-unknown"><i></i></div>')
    )
    return Markup('{}<p class="now-words">{}</p>').format(bar, words)


def _part(progress: JobProgress | None) -> float | None:
    """How much of the job is done; None: who knows."""
    if progress is None or not progress.steps or progress.stage not in ("denoise", "hires"):
        return None
    return (progress.picture + progress.step / progress.steps) / max(progress.pictures, 1)


def preview_url(preview: JobPreview) -> str:
    """An unfinished picture as an address that needs no further request."""
    content, kind = preview.png, "png"
    if len(content) > _MAX_PREVIEW_BYTES:
        from PIL import Image

        with Image.open(io.BytesIO(content)) as picture:
            small = picture.convert("RGB")
        small.thumbnail((768, 768))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=80)
        content, kind = out.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def shown_html(url: str, alt: str, width: int, height: int, *, unfinished: bool = False) -> Markup:
    """A picture in the panel."""
    return Markup(
        '<figure class="now-picture{}"><img src="{}" alt="{}" width="{}" height="{}"></figure>'
    ).format(" unfinished" if unfinished else "", url, alt, width, height)


def empty_html() -> Markup:
    """The panel before there is any picture."""
    return Markup('<div class="now-empty"><p>{}</p><p>{}</p></div>').format(
        escape(texts.NOTHING_YET), escape(texts.EMPTY_HINT)
    )
