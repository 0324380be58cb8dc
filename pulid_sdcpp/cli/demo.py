"""`pulid-sdcpp demo`: the whole way, without downloading anything."""

from __future__ import annotations

from pathlib import Path

import click

from .progress import Progress

__all__ = ["demo"]

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("-o", "--output", type=_PATH, default=Path("demo.png"), show_default=True,
              help="Picture to write.")  # fmt: skip
@click.option("--portrait", type=_PATH, help="Photo with a face; not given: scikit-image's "
              "astronaut. (The demo's small face detector knows few others.)")  # fmt: skip
@click.option("--folder", type=_PATH, help="Where to keep the weights; not given: the user's "
              "cache folder.")  # fmt: skip
def demo(output: Path, portrait: Path | None, folder: Path | None) -> None:
    """Show that everything works: a photo in, a picture out, on small random weights.

    The weights are made on the spot, so the picture is noise and no likeness.
    """
    from ..demo import find_portrait, run_demo
    from ..user_folders import cache_folder
    from .engine_log import show_engine_log
    from .extract import create_extractor
    from .generate import create_engine
    from .interrupt import second_interrupt_leaves

    progress = Progress()
    # Quiet: the engine would warn that the demo has no T5 text encoder.
    with show_engine_log(progress, verbose=False, quiet=True), second_interrupt_leaves():
        result = run_demo(
            folder or cache_folder() / "demo",
            portrait or find_portrait(),
            output,
            create_extractor=create_extractor,
            create_engine=create_engine,
            say=progress.stage,
            progress_callback=progress.step,
        )
    tokens, width = result.identity.tokens.shape
    click.echo(f"identity {result.identity.short_hash}: {tokens} tokens of {width}")
    click.echo(
        f"the identity changed the picture by {result.mean_difference:.1f} of 255 on average"
    )
    click.echo(f"saved {result.picture}: the photo, a picture of nobody, one with the identity")
    click.echo("These weights are random, so the pictures are noise: everything works, but for a")
    click.echo("likeness use the real weights with 'pulid-sdcpp extract' and 'generate'.")
