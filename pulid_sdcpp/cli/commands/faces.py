"""`pulid-sdcpp faces`: which faces are on a photo, to choose one with `--face`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import ImageFileError
from ...system.atomic_file import check_writable
from ...system.output_folders import output_folders
from ...system.output_names import check_is_no_input
from ...terminal_text import escaped_line
from ..flags.extraction import PhotoPath, models_options
from ..flags.table import FILE_PATH
from ..given.extraction_files import detector_file
from ..given.given_values import given_values

if TYPE_CHECKING:
    from ...extraction.faces import ListedFace

__all__ = ["faces"]


@click.command()
@click.argument("photo", type=PhotoPath())
@click.option(
    "-o",
    "--output",
    type=FILE_PATH,
    help="Picture to write; default: next to the photo, with -faces.png after its name.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace an existing picture, instead of using the next free name.",
)
@models_options
@click.pass_context
def faces(
    ctx: click.Context,
    photo: Path,
    output: Path | None,
    overwrite: bool,
    models_dir: Path,
    **_: Any,
) -> None:
    """Number the faces in PHOTO: write a picture, and print a line with the place of each.

    --face accepts these numbers and places. Needs the extra [extract] and, of the weights, only
    the face detector (17 MB): pulid-sdcpp models pull faces
    """
    from PIL import Image

    from ...extraction.faces import list_faces
    from ...pictures.face_preview import face_preview
    from ...pictures.png_text import check_picture_path, save_new_picture

    if not photo.exists():
        raise ImageFileError(f"{photo}: no such file; expected a photo")
    if photo.is_dir():
        raise ImageFileError(f"{photo}: expected a photo, found a folder; name one photo in it")
    path = output or photo.with_name(f"{photo.stem}-faces.png")
    check_picture_path(path)
    ctx.with_resource(output_folders([path]))
    check_writable(path)
    check_is_no_input(path, [photo])
    found = list_faces(photo, detector_file(given_values(ctx), models_dir))
    for number, face in enumerate(found.faces):
        click.echo(_line(number, face))
    preview = face_preview(Image.fromarray(found.pixels), [face.box for face in found.faces])
    path = save_new_picture(preview, path, overwrite=overwrite)
    click.echo(f"saved {escaped_line(path)}")


def _line(number: int, face: ListedFace) -> str:
    """`--face 0  at 120,80,64,70 (x, y, width, height)  score 0.97  largest, left`."""
    place = ",".join(f"{edge:.0f}" for edge in face.place)
    words = ", ".join(face.words)
    place = f"{place} (x, y, width, height)"
    return f"--face {number}  at {place}  score {face.score:.2f}  {words}".rstrip()
