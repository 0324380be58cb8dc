"""`pulid-sdcpp serve`: pictures of a person over HTTP, for other programs and a page."""

from __future__ import annotations

from typing import Any

import click

from ..flags.serve import serve_options
from ..flags.table import GroupedCommand

__all__ = ["serve"]


@click.command(cls=GroupedCommand)
@serve_options
@click.pass_context
def serve(ctx: click.Context, **_: Any) -> int:
    """Make pictures for other programs and a page, over HTTP.

    \b
    pulid-sdcpp serve --preset pocket
    curl http://127.0.0.1:7860/v1/images/generations -H "Content-Type: application/json" \\
      -d '{"prompt": "a portrait"}'

    Answers clients of OpenAI's images API, of AUTOMATIC1111's and of sd-server's, and has an API of
    its own. Only this computer reaches it, unless there is a key and --host. All options can stand
    in [server] of config.toml, too. See docs/server.md.
    """
    from ..given.server_start import settings_of, start_server

    return start_server(ctx, settings_of(ctx))
