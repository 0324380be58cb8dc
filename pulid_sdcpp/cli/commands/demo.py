"""`pulid-sdcpp demo`: people kept through changing prompts, without downloading anything."""

from __future__ import annotations

from pathlib import Path

import click

from ...terminal_text import escaped_line
from ..flags.table import FILE_PATH
from ..flags.types import PicturePath
from ..progress.progress import Progress

__all__ = ["demo"]


@click.command()
@click.option(
    "-o",
    "--output",
    type=PicturePath("demo.png"),
    default=Path("demo.png"),
    show_default=True,
    help="Picture to write, or a folder for it; if it exists, NAME-2, NAME-3, ...",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace an existing picture, instead of using the next free name.",
)
@click.option(
    "--portrait",
    "portraits",
    type=FILE_PATH,
    multiple=True,
    help="A drawn portrait; may be repeated. The default is those in the package.",
)
@click.option(
    "-s",
    "--seed",
    type=click.IntRange(min=0),
    default=42,
    show_default=True,
    help="Seed of the noise; the same seed gives the same pictures.",
)
@click.option("--open/--no-open", "show", default=False, help="Open the picture afterwards.")
@click.option("--pack", type=FILE_PATH, help="Folder of another pocket model.")
def demo(
    output: Path,
    overwrite: bool,
    portraits: tuple[Path, ...],
    seed: int,
    show: bool,
    pack: Path | None,
) -> None:
    """Show what the package can do, with the small model that comes with it.

    Makes one contact sheet: a row per person, which begins with the portrait, and a column per
    prompt. Under each picture is the likeness, by a recogniser that extraction does not use. The
    last row is without a person.
    """
    from ...evaluation.demo import run_demo
    from ...system.output_folders import output_folders
    from ..progress.engine_log import show_engine_log
    from ..progress.interrupt import second_interrupt_leaves

    progress = Progress(unit="picture")
    # The engine would warn that the pocket model has no T5 text encoder.
    log = show_engine_log(progress, verbose=False, quiet=False, quiet_engine=True)
    with log, second_interrupt_leaves(), output_folders([output]):
        result = run_demo(
            output,
            portraits,
            seed=seed,
            pack=pack,
            overwrite=overwrite,
            say=progress.stage,
            progress_callback=progress.step,
        )
    found = result.similarity
    click.echo(f"mean likeness {found.mean:.3f} (cosine with the portrait; 1 is identical)")
    if found.random_mean is not None:
        click.echo(f"for comparison, with other people's portraits: {found.random_mean:.3f}")
    click.echo(f"saved {escaped_line(result.picture)}")
    click.echo("This small model can draw only people like these. For photos of real people, use")
    click.echo("the published weights: pulid-sdcpp generate --preset flux-schnell-q4 --pull ...")
    if show and click.launch(str(result.picture)) != 0:
        click.echo(f"found no program to open {escaped_line(result.picture)}", err=True)
