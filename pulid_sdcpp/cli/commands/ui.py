"""`pulid-sdcpp ui`: a page in the browser, for people who do not type commands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from ..flags.serve import serve_options
from ..flags.table import GroupedCommand

__all__ = ["ui"]


@click.command(cls=GroupedCommand)
@serve_options
@click.pass_context
def ui(ctx: click.Context, **_: Any) -> int:
    """Make pictures on a page in the browser.

    \b
    pulid-sdcpp ui
    pulid-sdcpp ui --preset flux-dev-q4

    It is the server of `serve`, whose options it takes, and opens the page; with a key, by a link
    that logs in once. If the server runs already, the page is opened and that is all.
    """
    from ..given.server_start import settings_of, start_server
    from ..progress.open_page import open_page, running_server_url

    given = settings_of(ctx)
    if url := running_server_url(given.settings.host, given.settings.port):
        click.echo(f"the server runs already: {url}")
        open_page(url)
        return 0
    with_page = replace(given, settings=replace(given.settings, page=True))
    return start_server(ctx, with_page, when_listening=open_page_of)


def open_page_of(app: Any, url: str) -> None:
    """Open the page of a server that listens; with a key, by a link that is good once."""
    import time

    from ..progress.open_page import open_page

    prefix = app.state.service.settings.root_path
    link = app.state.auth.new_link(time.monotonic())
    open_page(f"{url}{prefix}/ui/login?link={link}" if link else f"{url}{prefix}/")
