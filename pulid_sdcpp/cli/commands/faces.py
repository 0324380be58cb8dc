"""`pulid-sdcpp faces`: which faces are on a photo, to choose one with `--face`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...identity.face_choice import FACE_WORDS
from ...system.atomic_file import check_writable
from ...system.output_names import check_is_no_input
from ...terminal_text import escaped_line
from ..flags.extraction import PhotoPath, detector_file, models_options
from ..flags.table import FILE_PATH

if TYPE_CHECKING:
    from pulid_extractor import Face
    from pulid_extractor.photo import Photo

__all__ = ["faces"]


@click.command()
@click.argument("photo", type=PhotoPath())
@click.option("-o", "--output", type=FILE_PATH, help="Picture to write; not "
              "given: beside the photo, with -faces.png after its name.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the picture where there is one, instead "
              "of taking the next free name.")  # fmt: skip
@models_options
def faces(
    photo: Path, output: Path | None, overwrite: bool, preset: str | None, models_dir: Path
) -> None:
    """Number the faces on PHOTO: on a picture, and a line for each with its place.

    Numbers and places are what --face takes. Needs the extra [extract] and the face detector
    (17 MB) only.
    """
    from PIL import Image

    from pulid_extractor.face_selection import from_left
    from pulid_extractor.faces import FaceDetector
    from pulid_extractor.photo import load_photo

    from ...pictures.face_preview import face_preview
    from ...pictures.png_text import check_picture_path, save_new_picture

    path = output or photo.with_name(f"{photo.stem}-faces.png")
    check_picture_path(path)
    check_writable(path)
    check_is_no_input(path, [photo])
    looked_at = load_photo(photo)
    found = from_left(FaceDetector(detector_file(preset, models_dir)).find(looked_at))
    for line in _lines(found, looked_at):
        click.echo(line)
    preview = face_preview(Image.fromarray(looked_at.pixels), [face.box for face in found])
    path = save_new_picture(preview, path, overwrite=overwrite)
    click.echo(f"saved {escaped_line(path)}")


def _lines(found: Sequence[Face], photo: Photo) -> list[str]:
    """`--face 0  at 120,80,64,70  score 0.97  largest, left`, for each."""
    from pulid_extractor.face_selection import select_face

    height, width = photo.pixels.shape[:2]
    words: dict[int, list[str]] = {}
    for word in FACE_WORDS:
        face = select_face(found, word, width_px=width, height_px=height)
        words.setdefault(id(face), []).append(word)
    lines = []
    for number, face in enumerate(found):
        box = ",".join(f"{edge:.0f}" for edge in face.box_in(photo.scale))
        named = ", ".join(words.get(id(face), ()))
        lines.append(f"--face {number}  at {box}  score {face.score:.2f}  {named}".rstrip())
    return lines
