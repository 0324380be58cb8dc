"""Downloading what presets lack, after saying what that is and asking."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..progress.interrupt import Interrupted

if TYPE_CHECKING:
    from ...store.registry import License
    from ..progress.progress import Progress

__all__ = ["ask", "pull_presets"]


def pull_presets(
    presets: Sequence[str],
    models_dirs: Sequence[Path],
    progress: Progress,
    *,
    extraction: bool,
    yes: bool = False,
    accept_licenses: bool = False,
    command: str = "",
) -> None:
    """Show sizes and licenses, ask, and download what is not there.

    Args:
        extraction: The extractor's files, too.
        yes: Do not ask before downloading.
        accept_licenses: Accept non-commercial terms, which `yes` does not.
        command: Where the options are that answer in the user's place; "": in this command.

    Raises:
        click.UsageError: There is no terminal to ask on.
        click.ClickException: The answer is no.
        Interrupted: What has arrived is kept.
        PulidError: It cannot be downloaded, or the disk has no room.
    """
    from huggingface_hub import logging

    from ...store.download import check_disk, download, plan_pull
    from ...store.license_acceptance import remember_accepted, unaccepted
    from ...store.model_store import ModelStore
    from ..progress.model_tables import show_pull

    logging.set_verbosity_error()  # its notes about retries would tear the bar
    where = f"'{command}' with " if command else ""
    plan = plan_pull(presets, ModelStore(models_dirs), extraction=extraction)
    show_pull(plan, progress.stage)
    if plan.missing:
        check_disk(plan)
        if terms := unaccepted(plan.licenses):
            if not accept_licenses:
                _ask_to_accept(terms, where, may_ask=not yes)
            remember_accepted(terms.values())
        if not yes:
            ask("Download?", f"{where}--yes")
    for number, source in enumerate(plan.missing, 1):
        if source.note:
            progress.note(source.note)
        progress.stage(f"{number}/{len(plan.missing)} {source.file.file_name}")
        try:
            download(source, _Pace(progress))
        except KeyboardInterrupt:
            progress.clear()
            raise Interrupted("interrupted; what has arrived is kept for the next pull") from None
    progress.stage(f"ready: {', '.join(presets)}")


def ask(question: str, option: str) -> None:
    """Ask on the terminal; leave if the answer is no.

    Raises:
        click.UsageError: There is no terminal to ask on; names the option that answers.
    """
    try:
        agreed = click.confirm(question, err=True, default=False)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError(f"{question} There is no terminal to ask on; use {option}") from None
    if not agreed:
        raise click.ClickException("not confirmed; nothing was done")


class _Pace:
    """Tells a progress bar of bytes, and how fast they come: earlier ones do not count."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int, total: int) -> None:
        now_s = time.monotonic()
        if self._first is None:
            self._first = done, now_s
        came = done - self._first[0]
        self._progress.step(done, total, (now_s - self._first[1]) / came if came > 0 else 0.0)


def _ask_to_accept(terms: dict[str, License], where: str, may_ask: bool) -> None:
    named = [f"{one.name} {one.url}".strip() for one in terms.values()]
    if not may_ask:
        raise click.UsageError(
            f"these terms forbid commercial use: {'; '.join(named)}. --yes does not accept them; "
            "--accept-licenses does"
        )
    click.echo("\n  ".join(["Not for commercial use:", *named]), err=True)
    ask("Do you accept these terms?", f"{where}--accept-licenses")
