"""What the screens of the page share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

__all__ = ["PageParts", "owner_of"]


def owner_of(request: gr.Request) -> str:
    """Whose page an event is from; what it makes will be theirs."""
    call = request.request.scope["state"]["pulid_call"]  # type: ignore[union-attr]
    return str(call.owner)


@dataclass
class PageParts:
    """The page while it is built.

    Attributes:
        service: Whose jobs, pictures, people and models it shows.
        navigation: As an output of an event, with a screen's name, it goes to that screen.
        markers: By screen: tells when the screen comes into sight.
        fields: Components of the Create screen, in the order of `fill`'s values; the last is the
            picture to start from.
        shared: States that one screen sets and another reads, by name.
        shared_html: HTML of one screen that another fills, by name.
        fill: Given a body of `POST /sdcpp/v1/img_gen` and its owner, the values of `fields`.
    """

    service: Any
    navigation: gr.HTML
    markers: dict[str, gr.HTML] = field(default_factory=dict)
    fields: Sequence[gr.components.Component] = ()
    shared: dict[str, gr.State] = field(default_factory=dict)
    shared_html: dict[str, gr.HTML] = field(default_factory=dict)
    fill: Callable[[dict[str, Any], str], list[Any]] = lambda body, owner: []
    _loads: list[tuple[Callable[..., Any], dict[str, Any]]] = field(default_factory=list)

    def when_shown(self, screen: str, do: Callable[..., Any], **event: Any) -> None:
        """Have something done each time that a screen comes into sight.

        Args:
            screen: Its name.
            do: What is done.
            event: `inputs` and `outputs` of a Gradio event, and its other settings.
        """
        event.setdefault("show_progress", "hidden")
        self.markers[screen].select(do, **event)

    def when_opened(self, do: Callable[..., Any], **event: Any) -> None:
        """Have something done when the page is opened, with arguments as `when_shown`."""
        event.setdefault("show_progress", "hidden")
        self._loads.append((do, event))

    def connect(self, page: gr.Blocks) -> None:
        """Let the page do what `when_opened` was told."""
        for do, event in self._loads:
            page.load(do, **event)
