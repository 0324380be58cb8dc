"""The picture that was made, what can be done with it, and the latest ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..server.jobs.job_ids import picture_id
from . import texts
from .now_panel import alt_of_job, people_of, prompt_of, shown_html

if TYPE_CHECKING:
    from ..server.jobs.jobs import Job, MadePicture
    from .now_panel import NowView

__all__ = ["actions_html", "latest_html", "made_html", "picture_url", "stop_html"]


def picture_url(picture: str, more: str = "") -> str:
    """The address of a picture, seen from the page."""
    return f"pulid/v1/pictures/{picture}{more}"


def made_html(job: Job, picture: MadePicture) -> Markup:
    """A picture that is finished."""
    url = picture_url(picture_id(job.id, picture.index))
    return shown_html(url, alt_of_job(job), picture.width, picture.height)


def stop_html(view: NowView) -> Markup:
    """The button that cancels what is being made."""
    job = view.job
    if job is None or job.is_finished:
        return Markup("")
    return Markup(
        '<button type="button" class="now-cancel" data-do="cancel" data-id="{}" data-ask="{}"{}>'
        "{}</button>"
    ).format(
        job.id, texts.CANCEL_ASK, Markup(" disabled") if job.cancel_requested else "", texts.CANCEL
    )


def actions_html(found: tuple[Job, MadePicture] | None, *, is_elsewhere: bool) -> Markup:
    """What can be done with the picture that is shown.

    Args:
        found: The picture.
        is_elsewhere: Whether something else is being made meanwhile.
    """
    if found is None:
        return Markup("")
    job, picture = found
    name = picture_id(job.id, picture.index)
    buttons = [
        ("vary", texts.MORE_LIKE),
        ("settings", texts.SETTINGS),
        ("start", texts.AS_START),
        *([("now", texts.BACK_TO_NOW)] if is_elsewhere else []),
    ]
    shown = Markup("").join(
        Markup('<button type="button" data-do="{}" data-id="{}">{}</button>').format(do, name, text)
        for do, text in buttons
    )
    links = Markup("").join(
        Markup('<a href="{}" download="{}.{}">{}</a>').format(
            picture_url(name, more), name, suffix, title
        )
        for more, suffix, title in (
            ("", "png", texts.PNG),
            ("?format=jpeg", "jpg", texts.JPEG),
        )
    )
    return Markup('<p class="now-facts">{}</p><div class="now-actions">{}{}</div>').format(
        _facts(job, picture), shown, links
    )


def _facts(job: Job, picture: MadePicture) -> str:
    parts = [
        texts.SEED_OF.format(seed=picture.seed),
        f"{picture.width} x {picture.height}",
        *people_of(job.request),
    ]
    return " · ".join(parts)


def latest_html(
    pictures: Sequence[tuple[Job, MadePicture]], shown: tuple[Job, MadePicture] | None
) -> Markup:
    """Thumbnails of the newest pictures, to look at."""
    if len(pictures) < 2:
        return Markup("")
    names = [picture_id(job.id, picture.index) for job, picture in pictures]
    here = picture_id(shown[0].id, shown[1].index) if shown is not None else ""
    items = Markup("").join(
        Markup(
            '<li><button type="button" data-do="look" data-id="{}" data-card{}>'
            '<img src="{}" alt="{}" width="72" height="72" loading="lazy"></button></li>'
        ).format(
            name,
            Markup(' aria-current="true"') if name == here else "",
            picture_url(name, "/thumbnail"),
            prompt_of(job) or texts.PICTURE,
        )
        for name, (job, _) in zip(names, pictures, strict=True)
    )
    return Markup('<ul class="now-latest" aria-label="{}">{}</ul>').format(texts.LATEST, items)
