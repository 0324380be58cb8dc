"""The presets as HTML: what each is and needs, its licenses, and its download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..system.size_text import described_size
from . import screen_texts as texts
from .grid_state import time_text
from .live import html, joined

__all__ = ["download_html", "models_html"]

_CARD = """<li class="ps-model" {current}><h3>{name}</h3><p class="ps-tags">{tags}</p>
<p>{what}</p><p class="ps-note">{whom}</p>{fit}{missing}
<form>{licenses}<div class="ps-row">{buttons}</div></form>{download}</li>"""

_LICENSE = '<a href="{url}" target="_blank" rel="noreferrer noopener">{read}</a>'

_ACCEPT = """<div class="ps-accept"><label><input type="checkbox" name="accept" value="{key}">
<span>{accept} <b>({words})</b></span></label> {link}</div>"""

_BUTTON = """<button type="{type}" class="{look}" data-do="{do}" data-id="{id}"
aria-label="{text}: {id}">{text}</button>"""

_MISSING = """<details class="ps-missing"><summary>{title}</summary><ul>{files}</ul></details>"""

_FIRST = """<div class="ps-first" role="note"><p>{text}</p>
<div class="ps-row"><button type="button" class="ps-primary" data-do="try"
data-id="{name}">{try_it}</button></div></div>"""

_PROGRESS = """<div class="ps-download"><progress value="{done}" max="{size}"
aria-label="{label}"></progress>
<p role="status">{text}</p></div>"""


def models_html(
    presets: Sequence[Mapping[str, Any]],
    *,
    fits: Mapping[str, str] | None = None,
    recommended: str = "",
    downloads: Mapping[str, Mapping[str, Any]] | None = None,
    notes: Mapping[str, str] | None = None,
    may_download: bool = True,
    is_admin: bool = True,
) -> Markup:
    """A card for each preset.

    Args:
        presets: As `GET /pulid/v1/presets` answers.
        fits: The verdict of each on this computer, as `PresetFit.verdict`; None: not known yet.
        recommended: The one to take.
        downloads: Of those that are fetched now or stopped: file, done, size, running.
        notes: What has just happened to one.
        may_download: Whether this server downloads.
        is_admin: Whether the caller may change anything.
    """
    cards = [
        _card(
            one,
            fit=(fits or {}).get(one["name"], ""),
            is_recommended=one["name"] == recommended,
            download=(downloads or {}).get(one["name"]),
            note=(notes or {}).get(one["name"], ""),
            may_download=may_download and is_admin,
            is_admin=is_admin,
        )
        for one in sorted(presets, key=lambda one: _place(one, recommended))
    ]
    said = [] if is_admin else [texts.ADMIN_ONLY]
    if is_admin and not may_download:
        said.append(texts.DOWNLOADS_OFF)
    return html(
        '{first}{said}<ul class="ps-list" aria-label="{label}">{cards}</ul>',
        first=_first(presets),
        said=joined([html('<p class="ps-note">{text}</p>', text=text) for text in said]),
        label=texts.MODELS,
        cards=joined(cards),
    )


def _place(preset: Mapping[str, Any], recommended: str) -> tuple[bool, ...]:
    """What is used comes first, then what is here, then what is recommended."""
    return not preset["default"], not preset["complete"], preset["name"] != recommended


def _first(presets: Sequence[Mapping[str, Any]]) -> Markup:
    """What somebody without any model can do."""
    packaged = [one for one in presets if not one["size_bytes"]]
    if not packaged or any(one["complete"] for one in presets if one["size_bytes"]):
        return Markup("")
    return html(_FIRST, name=packaged[0]["name"], text=texts.FIRST_VISIT, try_it=texts.TRY_POCKET)


def _card(
    preset: Mapping[str, Any],
    *,
    fit: str,
    is_recommended: bool,
    download: Mapping[str, Any] | None,
    note: str,
    may_download: bool,
    is_admin: bool,
) -> Markup:
    missing = preset["missing"]
    wants = bool(missing) and may_download
    return html(
        _CARD,
        current='aria-current="true"' if preset["default"] else "",
        name=preset["name"],
        tags=_tags(preset, is_recommended),
        what=preset["what"],
        whom=preset.get("for_whom", ""),
        fit=html(
            '<p class="ps-fit ps-{kind}">{text}</p>', kind=fit.replace(" ", "-"), text=_fit(fit)
        )
        if fit
        else "",
        missing=_missing(missing),
        licenses=_licenses(preset["licenses"], asks=wants),
        buttons=joined(_buttons(preset, download, wants=wants, is_admin=is_admin)),
        download=download_html(download, note),
    )


def _fit(verdict: str) -> str:
    mark = {"fits": "✓ ", "offloaded": "✓ ", "does not fit": "✗ "}.get(verdict, "")
    return mark + texts.FITS.get(verdict, verdict)


def _tags(preset: Mapping[str, Any], is_recommended: bool) -> Markup:
    size = preset["size_bytes"]
    tags = [texts.SIZE_ALL.format(size=described_size(size)) if size else texts.PACKAGED]
    if preset["missing"]:
        tags.append(texts.TO_DOWNLOAD.format(size=described_size(preset["download_bytes"])))
    states = {
        texts.READY: preset["complete"],
        texts.LOADED: preset["loaded"],
        texts.DEFAULT: preset["default"],
        texts.RECOMMENDED: is_recommended,
    }
    tags += [text for text, is_so in states.items() if is_so]
    return joined([html("<span>{text}</span>", text=text) for text in tags])


def _missing(missing: Sequence[Mapping[str, Any]]) -> Markup:
    if not missing:
        return Markup("")
    files = [
        html(
            "<li>{file} ({size}){only}</li>",
            file=one["file"],
            size=described_size(one["bytes"]),
            only=f": {texts.FOR_PHOTOS_ONLY}" if one.get("photos_only") else "",
        )
        for one in missing
    ]
    title = f"{texts.MISSING}: {len(missing)}"
    if all(one.get("photos_only") for one in missing):
        title = f"{texts.FOR_PHOTOS_ONLY}: {len(missing)}"
    return html(_MISSING, title=title, files=joined(files))


def _licenses(licenses: Sequence[Mapping[str, Any]], *, asks: bool) -> Markup:
    """Where the terms are; those that have to be accepted with a box."""
    asked = [one for one in licenses if asks and not (one["commercial"] or one["accepted"])]
    others = [one for one in licenses if one not in asked]
    boxes = [
        html(
            _ACCEPT,
            key=one["key"],
            accept=texts.ACCEPT.format(name=one["name"]),
            words=texts.NON_COMMERCIAL,
            link=_link(one),
        )
        for one in asked
    ]
    if not others:
        return joined(boxes)
    rows = [
        html(
            "<li>{link}{words}</li>",
            link=_link(one),
            words="" if one["commercial"] else f" ({texts.NON_COMMERCIAL})",
        )
        for one in others
    ]
    title = texts.TERMS.format(count=len(others))
    return html(_MISSING, title=title, files=joined(rows)) + joined(boxes)


def _link(terms: Mapping[str, Any]) -> Markup:
    return html(_LICENSE, url=terms["url"], read=texts.READ_TERMS.format(name=terms["name"]))


def _buttons(
    preset: Mapping[str, Any], download: Mapping[str, Any] | None, *, wants: bool, is_admin: bool
) -> list[Markup]:
    name, buttons = preset["name"], []
    running = bool(download and download.get("running"))
    if running:
        buttons.append(_button("pause", name, texts.PAUSE))
    elif wants:
        text = texts.PULL_ON if download else texts.PULL
        buttons.append(_button("pull", name, text, type="submit", look="ps-primary"))
    if is_admin and preset["complete"]:
        if not preset["default"]:
            buttons.append(_button("use", name, texts.USE_MODEL, look="ps-primary"))
        if preset["loaded"]:
            buttons.append(_button("unload", name, texts.UNLOAD))
        buttons.append(_button("verify", name, texts.VERIFY))
    if is_admin and preset["size_bytes"] and preset["complete"] and not running:
        buttons.append(_button("ask-remove", name, texts.REMOVE, look="ps-danger"))
    return buttons


def _button(do: str, its_id: str, text: str, *, type: str = "button", look: str = "") -> Markup:
    return html(_BUTTON, do=do, id=its_id, text=text, type=type, look=look)


def download_html(download: Mapping[str, Any] | None, note: str = "") -> Markup:
    """How far a download is."""
    if not download:
        return html('<p role="status">{note}</p>', note=note) if note else Markup("")
    size = max(int(download.get("size", 0)), 1)
    done = min(int(download.get("done", 0)), size)
    text = texts.DOWNLOADING.format(
        file=download.get("file", ""), done=described_size(done), size=described_size(size)
    )
    if download.get("left_s"):
        text += ", " + texts.GRID_LEFT.format(time=time_text(download["left_s"]))
    if not download.get("running"):
        text = note or download.get("error") or texts.PAUSED
    return html(_PROGRESS, done=done, size=size, label=text, text=text)
