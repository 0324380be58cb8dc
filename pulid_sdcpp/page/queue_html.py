"""The jobs of one user: what runs, what waits and can be moved, and what has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from . import texts
from .now_panel import NowView, duration, now_words, people_of, prompt_of

if TYPE_CHECKING:
    from ..server.jobs.jobs import Job

__all__ = ["queue_html"]

_ENDED = 20


def queue_html(jobs: Any, queue: Any) -> Markup:
    """The screen Queue.

    Args:
        jobs: `OwnJobs`.
        queue: The server's.
    """
    parts = []
    if queue.is_paused:
        parts.append(Markup('<p class="field-error">{}</p>').format(texts.PAUSED))
    running = Markup("").join(_row(job, _buttons(job, "cancel")) for job in jobs.running)
    waiting = Markup("").join(
        _row(job, _waiting(job, number, len(jobs.waiting)), place=queue.position(job.id))
        for number, job in enumerate(jobs.waiting)
    )
    ended = Markup("").join(_row(job, _ended(job)) for job in jobs.ended[:_ENDED])
    for title, rows in (
        (texts.QUEUE_NOW, running),
        (texts.QUEUE_WAITING, waiting),
        (texts.QUEUE_ENDED, ended),
    ):
        if rows or title == texts.QUEUE_WAITING:
            inside = (
                Markup("<ul>{}</ul>").format(rows)
                if rows
                else Markup('<p class="field-note">{}</p>').format(texts.QUEUE_EMPTY)
            )
            parts.append(Markup("<h3>{}</h3>{}").format(title, inside))
    return Markup('<div class="queue">{}</div>').format(Markup("").join(parts))


def _row(job: Job, buttons: Markup, place: int = 0) -> Markup:
    title = job.title or prompt_of(job) or texts.KINDS.get(job.kind, job.kind)
    facts = [texts.KINDS.get(job.kind, job.kind)] if job.kind != "img_gen" else _pictures(job)
    facts += people_of(job.request)
    if place:
        facts.append(texts.WAITING.format(place=place))
    elif job.is_finished:
        facts.append(_end(job))
    note = Markup("")
    if job.status == "failed":
        note = Markup('<p class="field-error">{}</p>').format(now_words(NowView(job)))
    return Markup(
        '<li class="job job-{}"><div><p class="job-title">{}</p><p class="field-note">{}</p>{}'
        "</div>"
        '<div class="job-buttons">{}</div></li>'
    ).format(job.status, title, " · ".join(facts), note, buttons)


def _pictures(job: Job) -> list[str]:
    count = len(job.seeds)
    return [texts.PICTURES[min(count, 2)].format(count=count)] if count else []


def _end(job: Job) -> str:
    said = texts.STATUSES.get(job.status, job.status)
    if job.status == "completed" and job.started and job.completed:
        return f"{said}, {duration(job.completed - job.started)}"
    return said


def _waiting(job: Job, number: int, count: int) -> Markup:
    moves = [*(["up"] if number else []), *(["down"] if number + 1 < count else [])]
    edits = ["edit"] if job.kind == "img_gen" else []
    return _buttons(job, *moves, *edits, "cancel")


def _ended(job: Job) -> Markup:
    return _buttons(job, "edit") if job.kind == "img_gen" else Markup("")


_NAMES = {"up": texts.UP, "down": texts.DOWN, "edit": texts.EDIT, "cancel": texts.CANCEL}


def _buttons(job: Job, *names: str) -> Markup:
    about = job.title or prompt_of(job)[:60] or texts.KINDS.get(job.kind, job.kind)
    return Markup("").join(
        Markup(
            '<button type="button" data-do="{}" data-id="{}" aria-label="{}: {}"{}>{}</button>'
        ).format(
            name,
            job.id,
            _NAMES[name],
            about,
            Markup(" disabled") if name == "cancel" and job.cancel_requested else "",
            _NAMES[name],
        )
        for name in names
    )
