"""The page, put beside the API: its screens, its look, and the route to it.

    app = create_app(service, access)
    mount_page(app, service)

Gradio has a queue of its own: the page's events only hand jobs to the server's queue and follow
them, so that a closed page, a second tab and an HTTP client all see the same jobs.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import gradio as gr

from .create_screen import create_screen
from .gallery_screen import gallery_screen
from .grid_screen import grid_screen
from .live import html
from .login_page import login_page
from .models_screen import models_screen
from .navigation import navigation, screen_marker
from .page_routes import PageRoutes
from .parts import PageParts
from .people_screen import people_screen
from .queue_screen import queue_screen
from .screen_parts import call_in
from .texts import LOG_OUT, PRODUCT, SCREENS
from .theme import page_css, page_theme

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["build_page", "mount_page"]

_SCREENS = {
    "create": create_screen,
    "people": people_screen,
    "gallery": gallery_screen,
    "grid": grid_screen,
    "queue": queue_screen,
    "models": models_screen,
}


def build_page(service: Any) -> gr.Blocks:
    """The page of all its users; what one of them sees is filled in when it is opened.

    Args:
        service: Whose jobs, pictures, people and models it shows.
    """
    page: gr.Blocks
    with gr.Blocks(title=PRODUCT, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        parts = PageParts(service, navigation())
        for name, fill in _SCREENS.items():
            with gr.Column(elem_id=f"screen-{name}", elem_classes="screen"):
                gr.HTML(f"<h2 tabindex='-1'>{SCREENS[name]}</h2>", apply_default_css=False)
                parts.markers[name] = screen_marker(name)
                fill(service, parts)
        account = gr.HTML("", apply_default_css=False, elem_id="account")
        parts.when_opened(_account, outputs=[account])
        parts.connect(page)
    page.queue(default_concurrency_limit=None, api_open=False)
    # Gradio looks for work 1,000 times a second, which costs 4 % of a core also at rest, and a
    # picture as much of its time; on Windows it does so at these intervals.
    page._queue.sleep_when_free, page._queue.progress_update_sleep_when_free = 0.05, 0.1
    for event in page.fns.values():  # nobody calls them but the page
        event.api_visibility = "private"
    return page


async def _account(request: gr.Request) -> str:
    """A way out for those who logged in."""
    if not call_in(request).caller.by_cookie:
        return ""
    return str(html('<button type="button" id="log-out">{}</button>', LOG_OUT))


def mount_page(app: FastAPI, service: Any) -> None:
    """Put the page at "/", behind all routes that `app` has already.

    Args:
        app: With the door that says who calls.
        service: As for `build_page`.
    """
    folder = service.settings.server_folder / "page"
    shutil.rmtree(folder, ignore_errors=True)  # of a former server
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Where Gradio puts files that are uploaded, until the event that they are for is through.
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    page = build_page(service)
    page.has_launched = True  # only then does Gradio refuse files that nobody uploaded
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=True,
        max_file_size=service.limits.max_image_bytes,
        theme=page_theme(),
        css=page_css(),
    )
    app.state.login_page = login_page
    mount = app.router.routes[-1]
    mount.app = PageRoutes(mount.app, folder)  # type: ignore[attr-defined]
