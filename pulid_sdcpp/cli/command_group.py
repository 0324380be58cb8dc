"""A click group that imports its commands when needed and turns errors into exit statuses.

    0    done
    1    a PulidError: a file, a device, the disk, the engine; stdout is full; or a defect of ours
    2    a mistake in how the command was called
    130  interrupted
    141  nobody reads stdout any more, as in `| head -1`

An error is one line on stderr, "error: what; what to do"; the traceback needs --debug.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import click

from ..errors import GenerationCancelled, PulidError, spelled
from ..terminal_text import hint, meant, shortened, shown
from .flags.completions import COMPLETE_VARIABLE
from .flags.spelling import flag_of
from .progress.engine_log import show_warnings
from .progress.interrupt import Interrupted
from .progress.streams import EXIT_READER_GONE, ReaderGone, command_streams, stdout_problem

__all__ = ["CommandGroup", "Settings"]

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT
_INTERRUPTED = "interrupted; nothing was left half-written"


@dataclass
class Settings:
    """What the options before the command say; `context.obj` of every command."""

    debug: bool = False
    as_json: bool = False


class CommandGroup(click.Group):
    """See the module.

    Args:
        commands_in: The package of the commands; each is in a module that has its name.
        summaries: What the list of commands says of each, by name, in the list's order. A
            command's own words would be no shorter, and all commands would have to be imported.
    """

    def __init__(
        self, *args: Any, commands_in: str, summaries: Mapping[str, str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._commands_in = commands_in
        self._summaries = summaries
        self._running: click.Command | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._summaries:
            return None
        module = importlib.import_module(f"{self._commands_in}.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        self._running = command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._summaries and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(
                f"No such command {shown(name)}; {meant(name, self._summaries)}", ctx
            )
        return super().resolve_command(ctx, args)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Commands by their summaries: they are not imported."""
        items = click.Command.shell_complete(self, ctx, incomplete)
        return items + [
            click.shell_completion.CompletionItem(name, help=summary)
            for name, summary in self._summaries.items()
            if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if os.environ.get(COMPLETE_VARIABLE):  # a shell asks, and reads bytes
            from .flags import shell_completion  # noqa: F401  click learns of PowerShell

            return super().main(args, prog_name, COMPLETE_VARIABLE, True, **extra)
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        settings = extra.setdefault("obj", Settings())
        with command_streams(), show_warnings():
            sys.exit(self._status(settings, args, prog_name, complete_var, **extra))

    def _status(
        self,
        settings: Settings,
        args: Sequence[str] | None,
        prog_name: str | None,
        complete_var: str | None,
        **extra: Any,
    ) -> int:
        """Run, and say what went wrong; the exit status."""

        def spell(name: str) -> str:
            params = self._running.params if self._running is not None else ()
            return flag_of(name, params, sys.argv[1:] if args is None else args)

        try:
            returned = super().main(args, prog_name, complete_var, False, **extra)
        except SystemExit:
            raise
        except ReaderGone:
            return EXIT_READER_GONE
        except BaseException as error:
            if settings.debug:
                traceback.print_exc()
                _say("\n".join(getattr(error, "log_lines", ())))
            if isinstance(error, click.UsageError) and error.ctx is None:
                error.command_path = self._path_of(args)  # type: ignore[attr-defined]
            try:
                return _report(error, settings.as_json, spell)
            except ReaderGone:
                return EXIT_READER_GONE
        status = returned if isinstance(returned, int) else 0
        if problem := stdout_problem():
            _say(f"error: cannot write to stdout: {problem}; the rest is on stderr")
            status = status or EXIT_ERROR
        return status

    def _path_of(self, args: Sequence[str] | None) -> str:
        """The command that is called: click's parser does not say whose option lacks its value."""
        path, command = ["pulid-sdcpp"], cast(click.Command, self)
        for word in sys.argv[1:] if args is None else args:
            if not isinstance(command, click.Group):
                break
            inner = command.get_command(click.Context(command), word)
            if inner is not None:
                path, command = [*path, word], inner
        return " ".join(path)


def _report(error: BaseException, as_json: bool, spell: Callable[[str], str]) -> int:
    """Say in one line what went wrong; returns the exit status."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return EXIT_USAGE
    status, line = _described(error, spell)
    _say(line)
    if as_json and not stdout_problem():
        from .progress.json_progress import json_line

        message = line.removeprefix("error: ")
        click.echo(json_line("error", status=status, message=message), nl=False)
    return status


def _described(error: BaseException, spell: Callable[[str], str]) -> tuple[int, str]:
    """The exit status, and one line for the user."""
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED, str(error)
    if isinstance(error, click.Abort | KeyboardInterrupt | GenerationCancelled):
        return EXIT_INTERRUPTED, _INTERRUPTED
    if isinstance(error, click.UsageError):
        named = getattr(error, "command_path", "pulid-sdcpp")
        path = named if error.ctx is None else error.ctx.command_path
        text = _one_line(_usage_text(error)).rstrip(".")
        return EXIT_USAGE, f"error: {text}; see '{path} --help'"
    if isinstance(error, click.ClickException):
        return error.exit_code, f"error: {_one_line(error.format_message())}"
    text = _one_line(spelled(error, spell))
    if isinstance(error, ValueError):
        return EXIT_USAGE, f"error: {text}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = _one_line(f"{os.fsdecode(error.filename)}: {error.strerror}")
    if isinstance(error, PulidError | OSError):
        return EXIT_ERROR, f"error: {text}"
    if _is_of_an_interrupt(error):
        return EXIT_INTERRUPTED, _INTERRUPTED
    if isinstance(error, MemoryError):
        return EXIT_ERROR, "error: out of memory; make a smaller picture, or use smaller weights"
    return EXIT_ERROR, (
        f"error: {type(error).__name__}: {text}; this is a defect of pulid-sdcpp: please report it "
        f"with what 'pulid-sdcpp --debug ...' shows"
    )


def _usage_text(error: click.UsageError) -> str:
    """click's words; ours of an option that is not there or stands behind the command."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        root = error.ctx.find_root()
        if any(error.option_name in parameter.opts for parameter in root.command.params):
            return (
                f"{error.option_name} belongs before the command, as in 'pulid-sdcpp "
                f"{error.option_name} {error.ctx.info_name}'"
            )
    if isinstance(error, click.NoSuchOption):
        near = hint(error.option_name, error.possibilities or ())
        return f"No such option '{error.option_name}'{near}"
    # Of a command in a group of its own.
    return re.sub(r"\. Did you mean '(.+)'\?$", r"; did you mean \1?", error.format_message())


def _is_of_an_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: an import may turn that into an error of its own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _one_line(text: str) -> str:
    return shortened(" ".join(text.split()))


def _say(line: str) -> None:
    click.echo(line, err=True)
