"""HTML that Python writes, whose buttons tell Python that they were pressed.

    cards = live(search="gallery-search")
    cards.act(pressed, inputs=[...], outputs=[...])      # def pressed(event: gr.EventData, ...)

`live.js` says what attributes mean what. What was pressed comes from the browser: `pressed_in`
takes it as text, and whoever uses it looks it up among what the caller may see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import gradio as gr
from markupsafe import Markup

__all__ = ["Pressed", "html", "joined", "live", "pressed_in"]

_MOST = 1000
"""Things picked, or values of a field: more than any screen shows."""


def live(value: str = "", *, search: str = "none", **settings: Any) -> gr.HTML:
    """A piece of HTML with buttons; its event `act` is that any of them was pressed.

    Args:
        value: The HTML.
        search: The id of the field that the key / goes to, while it is in sight.
        settings: Of `gr.HTML`.
    """
    script = files(__package__).joinpath("live.js").read_text(encoding="utf-8")
    return gr.HTML(value, js_on_load=script, apply_default_css=False, search=search, **settings)


@dataclass(frozen=True)
class Pressed:
    """What was pressed.

    Attributes:
        do: The button's `data-do`; "closed" is of dialogs.
        id: Its `data-id`.
        value: Of a field; a check box has "true" or "false".
        fields: The values of each field of its form.
        picked: Ids of all that is picked.
    """

    do: str
    id: str = ""
    value: str = ""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    picked: tuple[str, ...] = ()

    def text(self, name: str) -> str:
        """The first value of a field; "" without."""
        return next(iter(self.fields.get(name, ())), "").strip()


def pressed_in(event: gr.EventData) -> Pressed:
    """What was pressed, whatever a browser sends."""
    data = event._data if isinstance(event._data, Mapping) else {}
    fields = data.get("fields")
    value = data.get("value")
    return Pressed(
        do=_text(data.get("do")),
        id=_text(data.get("id")),
        value=str(value).lower() if isinstance(value, bool) else _text(value),
        fields={
            _text(name): _texts(values)
            for name, values in (fields.items() if isinstance(fields, Mapping) else ())
        },
        picked=_texts(data.get("picked")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        return ()
    return tuple(value for value in values[:_MOST] if isinstance(value, str))


def html(template: str, *values: object, **named: object) -> Markup:
    """HTML with values in it, which are escaped unless they are HTML of ours."""
    return Markup(template).format(*values, **named)


def joined(parts: Sequence[str]) -> Markup:
    """Pieces of HTML one after another."""
    return Markup("").join(parts)
