"""`pulid-sdcpp cache`: what is kept on the disk for later, and removing it."""

from __future__ import annotations

import click

from ...terminal_text import counted, escaped_line
from ..flags.completions import complete_person_or_file
from ..flags.types import NamedChoice
from ..progress.json_progress import json_text

__all__ = ["cache"]

# As `store.kept_files` names them; a test compares.
_KINDS = ("identities", "folded", "hashes", "pocket", "downloads", "loras")


@click.group()
def cache() -> None:
    """Show and remove what is kept on the disk to save time.

    \b
    pulid-sdcpp cache info
    pulid-sdcpp cache forget me.jpg
    """


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Show what is kept where, and how much room it takes.

    Model files are shown by 'pulid-sdcpp models list'.
    """
    from ...store.kept_files import kept_files
    from ...system.size_text import described_size

    kinds = kept_files()
    if as_json:
        rows = [
            {
                "name": kept.name,
                "what": kept.what,
                "folder": str(kept.folder),
                "files": len(kept.paths),
                "bytes": kept.size_bytes,
                "private": kept.private,
            }
            for kept in kinds
        ]
        click.echo(json_text(rows, indent=2))
        return
    for kept in kinds:
        size = described_size(kept.size_bytes) if kept.paths else "nothing"
        private = ", personal data" if kept.private and kept.paths else ""
        files = f" in {counted(len(kept.paths), 'file')}" if kept.paths else ""
        click.echo(f"{kept.name:<12}{size:>8}{files}: {kept.what}{private}")
        click.echo(f"{'':<12}{escaped_line(kept.folder)}")
    total = sum(kept.size_bytes for kept in kinds)
    if not total:
        return
    click.echo(f"{described_size(total)} together; remove it with")
    click.echo("  pulid-sdcpp cache clear [NAME...]   all of it, or what is named")
    click.echo("  pulid-sdcpp cache forget PERSON     what is made from somebody's face")


@cache.command()
@click.argument("names", metavar="[NAME...]", nargs=-1, type=NamedChoice(_KINDS))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def clear(names: tuple[str, ...], yes: bool) -> None:
    """Remove what is kept: all of it, or what is named.

    Everything is made again when it is needed. Models that are downloaded whole stay (see
    'pulid-sdcpp models rm'), and so do people with a name.
    """
    from ...store.kept_files import clear_kept, kept_files
    from ..given.model_pull import ask

    kinds = [kept for kept in kept_files() if kept.paths and (not names or kept.name in names)]
    if not kinds:
        click.echo("nothing to remove")
        return
    for kept in kinds:
        files, size = counted(len(kept.paths), "file"), _size(kept.size_bytes)
        click.echo(f"goes:  {kept.name}, {files}, {size}, in {escaped_line(kept.folder)}")
    if not yes:
        ask("Remove?", "--yes")
    click.echo(f"freed {_size(clear_kept(kinds))}")


@cache.command()
@click.argument("person", shell_complete=complete_person_or_file)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def forget(person: str, yes: bool) -> None:
    """Remove the identities and folded layers of PERSON from the cache.

    PERSON is a photo, an identity file, the name of a kept person, or the hash of an identity, as
    pictures and 'inspect' show it. Your own files stay, and so do pictures, and people you keep
    (see 'pulid-sdcpp people rm').
    """
    from ...store.kept_files import remove_files
    from ..given.kept_person import files_of_person
    from ..given.model_pull import ask

    paths = files_of_person(person)
    for path in paths:
        click.echo(f"goes:  {escaped_line(path)}")
    if not paths:
        click.echo("nothing is kept of this person")
        return
    if not yes:
        ask("Remove?", "--yes")
    click.echo(f"freed {_size(remove_files(paths))}")


def _size(size_bytes: int) -> str:
    from ...system.size_text import described_size

    return described_size(size_bytes) if size_bytes else "nothing"
