"""`pulid-sdcpp inspect`: what a file is, from its header."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import PulidError
from ...system.size_text import described_size
from ...terminal_text import escaped_line
from ..flags.table import FILE_PATH
from ..progress.json_progress import json_text

if TYPE_CHECKING:
    from ...model_files.description import FileInfo

__all__ = ["inspect"]

_FACE_BOX = "pulid.face_box"


@click.command()
@click.argument("file", type=FILE_PATH)
@click.option("--tensors", is_flag=True, help="List every tensor.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: Path, tensors: bool, as_json: bool) -> None:
    """Show what FILE is: an identity, PuLID weights, a Flux model, a text encoder, a LoRA, ...

    For a picture, shows the parameters it was made with. Nothing is loaded or executed.
    """
    from ...batch.formats import FORMATS
    from ...model_files.description import describe_file
    from ...pictures.png_text import PICTURE_SUFFIXES

    if file.suffix.lower() in PICTURE_SUFFIXES:
        _print_picture(file, as_json)
        return
    if file.suffix.lower() in FORMATS and file.is_file():
        raise PulidError(
            f"{file}: expected a picture, an identity or a model file; if it has jobs, "
            f"'pulid-sdcpp batch {file} --dry-run' shows them"
        )
    info = describe_file(file)
    if as_json:
        shown = dataclasses.asdict(info)
        if not tensors:
            shown["tensors"] = len(info.tensors)
        click.echo(json_text(shown, indent=2, default=str))
    else:
        _print_file(info, tensors)


def _print_file(info: FileInfo, tensors: bool) -> None:
    click.echo(f"{escaped_line(info.path)}: {info.summary}")
    click.echo(f"  format: {info.format}, {described_size(info.size_bytes)}")
    for name, value in info.details.items():
        click.echo(f"  {name}: {_value(value)}")
    if info.metadata:
        click.echo("metadata:")
        for name, value in info.metadata.items():
            said = _place(value) if name == _FACE_BOX else _value(value)
            click.echo(f"  {_value(name)}: {said}")
    if tensors and info.tensors:
        click.echo("tensors:")
        for tensor in info.tensors:
            shape = " x ".join(str(side) for side in tensor.shape) or "scalar"
            click.echo(f"  {_value(tensor.name)}  {tensor.dtype}  {shape}")


def _print_picture(file: Path, as_json: bool) -> None:
    from ...pictures.parameters import picture_notes
    from ...pictures.png_text import parse_text, read_picture_text

    text = read_picture_text(file)
    parsed = None if text is None else parse_text(text)
    notes = () if parsed is None else picture_notes(parsed)
    if as_json:
        parameters = None if parsed is None else dataclasses.asdict(parsed)
        shown = {"kind": "picture", "path": str(file), "parameters": parameters, "notes": notes}
        click.echo(json_text(shown))
    elif text is None:
        click.echo(f"{escaped_line(file)}: a picture without parameters")
    else:
        click.echo(f"{escaped_line(file)}: a picture, made with")
        click.echo(text)
        for note in notes:
            click.echo(f"note: {note}")


def _place(box: Any) -> str:
    """A face's corners, as the file has them, in the form that --face takes."""
    if not isinstance(box, tuple) or [type(edge) for edge in box] != [int] * 4:
        return _value(box)
    left, top, right, bottom = box
    return f"{left},{top},{right - left},{bottom - top} (x, y, width, height)"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return " x ".join(str(item) for item in value)
    return escaped_line(str(value))
