"""The six screens and the way from one to another: a rail, or a bar on a phone.

All screens are in one document; the address's part behind # is the one that is shown, so that the
browser's way back, bookmarks and links work.
"""

from __future__ import annotations

from importlib.resources import files

import gradio as gr
from markupsafe import Markup

from .texts import MORE, ON_BAR, PRODUCT, SCREENS, SKIP

__all__ = ["navigation", "screen_marker"]


def navigation() -> gr.HTML:
    """The rail. Its value is the name of the screen to go to."""
    return gr.HTML(
        "",
        html_template=str(_rail()),
        js_on_load=_script("navigation.js"),
        apply_default_css=False,
        elem_id="rail",
    )


def screen_marker(screen: str) -> gr.HTML:
    """Nothing to see; its event `select` is that a screen comes into sight."""
    return gr.HTML(
        "",
        html_template="",
        js_on_load=_script("screen_marker.js"),
        apply_default_css=False,
        elem_classes="marker",
        screen=screen,
    )


def _script(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


_ICONS = {  # paths in a square of 24
    "create": "M12 3v4M12 17v4M3 12h4M17 12h4M6 6l3 3M15 15l3 3M18 6l-3 3M9 15l-3 3",
    "people": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-4 3.6-6 8-6s8 2 8 6",
    "gallery": "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
    "grid": "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
    "queue": "M4 6h16M4 12h16M4 18h10",
    "models": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
    "more": "M5 12h.01M12 12h.01M19 12h.01",
}


def _rail() -> Markup:
    links = Markup("").join(
        Markup('<a class="to-{0}{1}" href="#{0}" data-screen="{0}">{2}<span>{3}</span></a>').format(
            name, "" if name in ON_BAR else " beyond", _icon(name), title
        )
        for name, title in SCREENS.items()
    )
    more = Markup('<button type="button" class="more" aria-expanded="false">{}<span>{}</span>')
    return Markup(
        '<button type="button" class="skip">{}</button><h1>{}</h1>'
        '<nav aria-label="{}">{}{}</button></nav>'
    ).format(SKIP, PRODUCT, PRODUCT, links, more.format(_icon("more"), MORE))


def _icon(name: str) -> Markup:
    thick = "3" if name == "more" else "1.8"
    return Markup(
        '<svg aria-hidden="true" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        'stroke-width="{}" stroke-linecap="round" stroke-linejoin="round"><path d="{}"/></svg>'
    ).format(thick, _ICONS[name])
