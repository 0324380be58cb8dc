"""A server of what the user gave, in the config file and as flags."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ...errors import MissingDependencyError
from ...system.install_commands import install_extra_command
from .given_values import given_values

if TYPE_CHECKING:
    from ...server.given_settings import GivenSettings

__all__ = ["settings_of", "start_server"]

_SERVER = ("fastapi", "fastapi_offline", "uvicorn", "python_multipart", "prometheus_client")
_UI = "gradio"


def settings_of(ctx: click.Context) -> GivenSettings:
    """The settings of a server, from the config file and from flags, which win.

    Raises:
        ValueError: A setting is wrong.
        ModelFileError: The config file cannot be used.
    """
    from ...server.given_settings import given_settings
    from ...system.user_config import load_user_config

    return given_settings(load_user_config(), given_values(ctx))


def start_server(
    ctx: click.Context,
    given: GivenSettings,
    when_listening: Callable[[Any, str], None] = lambda app, url: None,
) -> int:
    """Serve until a signal; the exit status.

    Args:
        ctx: Of the command.
        given: As `settings_of` has it.
        when_listening: As that of `HowToServe`.

    Raises:
        MissingDependencyError: The extra [server], or [ui] where the page is asked for, is not
            installed.
        ValueError, PulidError: As `run_server`.
    """
    _check_installed("server", *_SERVER)
    from ...server.http.run_server import HowToServe, run_server

    values = given_values(ctx)
    how = HowToServe(
        models_dirs=tuple(str(folder) for folder in values.get("models_dirs", ())),
        vram=values.get("vram"),
        mount=_page_of(given),
        say=click.echo,
        when_listening=when_listening,
    )
    return run_server(given, how)


def _page_of(given: GivenSettings) -> Any:
    """What puts the page beside the API; None: there is none."""
    wanted = given.settings.page
    if wanted is None and importlib.util.find_spec(_UI) is None:
        return None
    if wanted is False:
        return None
    _check_installed("ui", _UI)

    def mount(app: Any, service: Any) -> None:  # Gradio takes seconds: wrong settings come first
        from ...page.build_page import mount_page

        mount_page(app, service)

    return mount


def _check_installed(extra: str, *modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingDependencyError(
                f"the Python package {module} is not installed; this command needs the extra "
                f"[{extra}]: {install_extra_command(extra)}"
            )
