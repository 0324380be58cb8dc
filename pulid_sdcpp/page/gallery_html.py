"""The gallery as HTML: thumbnails, one picture with its recipe, and what is asked before removing.

A picture is a mapping, as `GET /pulid/v1/pictures` answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from . import screen_texts as texts
from .live import html, joined
from .score_html import scores_html

__all__ = ["alt_of", "ask_delete_html", "gallery_html", "picture_html", "recipe_html"]

_MAX_ALT_CHARS = 120

_CARD = """<li class="ps-card">
<button type="button" class="ps-open" data-card data-do="open" data-id="{id}" aria-label="{open}">
<img src="{thumbnail}" alt="" loading="lazy" width="{width}" height="{height}"></button>
<label class="ps-pick"><input type="checkbox" data-pick="{id}" data-url="{url}"
aria-label="{pick}"></label>
{favourite}</li>"""

_GALLERY = """<div class="ps-bar" data-picked hidden><span><b data-count>0</b> {picked}</span>
<button type="button" data-local="zip" data-failed="{failed}">{zip}</button>
<button type="button" data-do="ask-delete">{delete}</button>
<button type="button" data-local="all">{all}</button>
<button type="button" data-local="clear">{none}</button><span role="status"></span></div>
<ul class="ps-cards" aria-label="{label}">{cards}</ul>{more}"""

_MORE = '<button type="button" class="ps-more" data-more data-do="more">{more}</button>'

_PICTURE = """<dialog open class="ps-dialog ps-wide" aria-label="{label}">
<div class="ps-picture"><img src="{url}" alt="{alt}" width="{width}" height="{height}"></div>
<div class="ps-facts">
<div class="ps-row"><button type="button" data-back data-do="back" data-id="{id}"
{no_back}>&lsaquo;
<span class="ps-hidden">{previous}</span></button>
<button type="button" data-next data-do="next" data-id="{id}" {no_next}>&rsaquo;
<span class="ps-hidden">{next}</span></button>
<button type="button" data-do="favourite" data-id="{id}"
aria-pressed="{is_favourite}">{star} {favourite}</button>
<button type="button" class="ps-end" data-close>{close}</button></div>
{recipe}
<div class="ps-row"><button type="button" class="ps-primary" data-do="use"
data-id="{id}">{use}</button>
<button type="button" data-do="other-seed" data-id="{id}">{other_seed}</button>
<button type="button" data-do="again" data-id="{id}">{again}</button>
<button type="button" data-do="start" data-id="{id}">{start}</button>
</div>
<div class="ps-row"><a class="ps-button" href="{url}" download="{id}.png">{png}</a>
<a class="ps-button" href="{jpeg_url}" download="{id}.jpg">{jpeg}</a>
<button type="button" data-do="measure" data-id="{id}">{measure}</button>
<button type="button" class="ps-danger" data-do="ask-delete"
data-id="{id}">{delete}</button></div>
{note}{scores}</div></dialog>"""

_ASK = """<dialog open class="ps-dialog" role="alertdialog" aria-labelledby="ps-ask"
aria-describedby="ps-ask-what">
<h2 id="ps-ask">{question}</h2><p id="ps-ask-what">{what}</p>
<div class="ps-row"><button type="button" data-close autofocus>{no}</button>
<button type="button" class="ps-danger" data-do="{do}"
data-id="{id}">{yes}</button></div></dialog>"""


def alt_of(picture: Mapping[str, Any]) -> str:
    """What a picture shows, for those who do not see it: its prompt, and who is in it."""
    prompt = " ".join(str(picture.get("prompt", "")).split())
    short = prompt if len(prompt) <= _MAX_ALT_CHARS else prompt[:_MAX_ALT_CHARS].rstrip() + "…"
    names = ", ".join(one["name"] for one in picture.get("people", ()) if one.get("name"))
    return f"{short} ({names})" if names else short or texts.PICTURE


def gallery_html(pictures: Sequence[Mapping[str, Any]], *, more: bool, searched: bool) -> Markup:
    """Thumbnails.

    Args:
        more: Whether there are older ones.
        searched: Whether those that do not fit a search are left out.
    """
    if not pictures:
        return html(
            '<p class="ps-empty">{text}</p>',
            text=texts.NOTHING_FOUND if searched else texts.NO_PICTURES,
        )
    return html(
        _GALLERY,
        picked=texts.PICKED,
        failed=texts.ZIP_FAILED,
        zip=texts.ZIP,
        delete=texts.DELETE,
        all=texts.PICK_ALL,
        none=texts.PICK_NONE,
        label=texts.GALLERY,
        cards=joined([_card(one) for one in pictures]),
        more=html(_MORE, more=texts.MORE) if more else "",
    )


def _card(picture: Mapping[str, Any]) -> Markup:
    alt = alt_of(picture)
    return html(
        _CARD,
        id=picture["id"],
        url=picture["url"],
        open=texts.OPEN_PICTURE.format(alt=alt),
        pick=texts.PICK_PICTURE.format(alt=alt),
        thumbnail=picture["thumbnail_url"],
        width=picture["width"],
        height=picture["height"],
        favourite=html('<span class="ps-star" title="{text}">★</span>', text=texts.FAVOURITE)
        if picture.get("favourite")
        else "",
    )


def picture_html(
    picture: Mapping[str, Any], *, first: bool = True, last: bool = True, note: str = ""
) -> Markup:
    """One picture, with its recipe, likeness, and what can be done with it.

    Args:
        first, last: Whether no newer, and no older one is shown.
        note: What has just happened.
    """
    is_favourite = bool(picture.get("favourite"))
    url = str(picture["url"])
    return html(
        _PICTURE,
        label=texts.PICTURE,
        id=picture["id"],
        url=url,
        jpeg_url=f"{url}{'&' if '?' in url else '?'}format=jpeg",
        alt=alt_of(picture),
        width=picture["width"],
        height=picture["height"],
        no_back="disabled" if first else "",
        no_next="disabled" if last else "",
        previous=texts.PREVIOUS,
        next=texts.NEXT,
        is_favourite=str(is_favourite).lower(),
        star="★" if is_favourite else "☆",
        favourite=texts.FAVOURITE,
        close=texts.CLOSE,
        recipe=recipe_html(picture),
        use=texts.USE_SETTINGS,
        other_seed=texts.OTHER_SEED,
        again=texts.EXACTLY_AGAIN,
        start=texts.START_FROM_IT,
        png=texts.PNG,
        jpeg=texts.JPEG,
        measure=texts.MEASURE_AGAIN if picture.get("scores") else texts.MEASURE,
        delete=texts.DELETE,
        note=html('<p role="status">{note}</p>', note=note) if note else "",
        scores=scores_html(picture.get("scores"), picture.get("people", ())),
    )


def recipe_html(picture: Mapping[str, Any]) -> Markup:
    """What a picture was made with, as a list of terms."""
    created = picture.get("created")
    facts: list[tuple[str, object]] = [
        (texts.PROMPT, picture.get("prompt")),
        (texts.WITH, _people(picture.get("people", ()))),
        (texts.SEED, picture.get("seed")),
        (
            texts.SIZE,
            f"{picture['width']} \N{MULTIPLICATION SIGN} {picture['height']}"
            if "width" in picture
            else "",
        ),
        (texts.MODEL, picture.get("preset")),
        (texts.MADE, f"{datetime.fromtimestamp(created):%Y-%m-%d %H:%M}" if created else ""),
    ]
    rows = [
        html("<div><dt>{name}</dt><dd>{value}</dd></div>", name=name, value=value)
        for name, value in facts
        if value not in (None, "")
    ]
    return html("<dl>{rows}</dl>", rows=joined(rows))


def _people(people: Sequence[Mapping[str, Any]]) -> Markup:
    named = [
        html("{name}", name=one["name"])
        if one.get("name")
        else html("<em>{name}</em>", name=texts.UNKNOWN_PERSON.format(id=str(one["id"])[:10]))
        for one in people
    ]
    unknown = any(not one.get("known", True) for one in people)
    asked = html(" <small>{ask}</small>", ask=texts.ASK_PERSON) if unknown else Markup("")
    return Markup(", ").join(named) + asked if named else Markup("")


def ask_delete_html(question: str, what: str, do: str, its_id: str = "", yes: str = "") -> Markup:
    """What is asked before something is removed.

    Args:
        do: What the button that says yes tells.
        yes: What stands on it; "": "Delete".
    """
    return html(
        _ASK,
        question=question,
        what=what,
        do=do,
        id=its_id,
        no=texts.CANCEL,
        yes=yes or texts.DELETE,
    )
