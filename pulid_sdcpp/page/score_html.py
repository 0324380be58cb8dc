"""The likeness of the people in a picture, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from . import screen_texts as texts
from .live import html, joined

__all__ = ["NONE", "likeness_text", "scores_html"]

NONE = "\N{EN DASH}"

_TABLE = """<table class="ps-scores"><caption>{likeness}
<details class="ps-help"><summary
aria-label="{about}">?</summary><p>{help}</p></details></caption>
<thead><tr><th scope="col">{people}</th><th scope="col">{own}</th>{judge}<th
scope="col">{best}</th></tr></thead>
<tbody>{rows}</tbody></table>"""


def likeness_text(similarity: float | None) -> str:
    """A likeness with two digits; a dash without."""
    if similarity is None:
        return NONE
    text = f"{similarity:.2f}"
    return {"-0.00": "0.00"}.get(text, text).replace("-", "\N{MINUS SIGN}")


def scores_html(
    scores: Mapping[str, Any] | None, people: Sequence[Mapping[str, Any]] = ()
) -> Markup:
    """What was measured of a picture; empty if nothing was.

    Args:
        scores: The result of a score job.
        people: Who is in the picture; for names.
    """
    if not scores:
        return Markup("")
    if scores.get("none"):
        return html("<p>{text}</p>", text=texts.NO_FACE_IN_PICTURE)
    names = {one["id"]: one.get("name") or str(one["id"])[:10] for one in people}
    found = scores.get("people", ())
    judged = any(one.get("judge") is not None for one in found)
    return html(
        _TABLE,
        likeness=texts.LIKENESS,
        about=f"{texts.LIKENESS}: ?",
        help=texts.LIKENESS_HELP,
        people=texts.WITH,
        own=texts.OWN_LIKENESS,
        judge=html('<th scope="col">{judge}</th>', judge=texts.JUDGE) if judged else "",
        best=texts.NEXT_BEST.format(name="").rstrip(": "),
        rows=joined([_row(one, names, judged) for one in found]),
    )


def _row(person: Mapping[str, Any], names: Mapping[str, str], judged: bool) -> Markup:
    other = person.get("best_other") or {}
    other_id = str(other.get("id", ""))
    return html(
        '<tr><th scope="row">{name}</th><td>{own}</td>{judge}<td>{best}</td></tr>',
        name=person.get("name") or names.get(person["id"], str(person["id"])[:10]),
        own=likeness_text(person.get("similarity")),
        judge=html("<td>{value}</td>", value=likeness_text(person.get("judge"))) if judged else "",
        best=f"{likeness_text(other.get('similarity'))} {other.get('name') or other_id[:10]}"
        if other
        else NONE,
    )
