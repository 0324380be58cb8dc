"""`pulid-sdcpp extract`: a photo in, a person's identity file out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ...errors import FaceNotFoundError, ImageFileError
from ...identity.encoder import FLUX, encoder_words
from ...identity.face_choice import FaceChoice
from ...identity.fusion import DEFAULT_FUSION, FUSION_HELP, FUSIONS, Fusion
from ...identity.photo_files import photo_list
from ...system.atomic_file import check_new, check_writable
from ...system.output_folders import output_folders
from ...system.output_names import check_is_no_input
from ...terminal_text import counted, escaped_line
from ..flags.extraction import (
    PhotoPath,
    models_options,
    pulid_weights_option,
    refuse_warnings,
    strict_option,
)
from ..flags.face_choice import FaceChoiceType
from ..flags.table import FILE_PATH
from ..given.extraction_files import enroller_files
from ..given.given_values import given_values
from ..progress.progress import Progress

if TYPE_CHECKING:
    from pulid_extractor import FoundFace

__all__ = ["extract", "identity_jobs"]

SUFFIXES = (".pulidembd", ".gguf")
"""Of identity files; the first one unless another is named."""


def identity_jobs(
    photos: Sequence[Path], output: Path | None, *, each: bool
) -> list[tuple[tuple[Path, ...], Path]]:
    """Which photos go into which identity file.

    Args:
        photos: At least one.
        output: A file, or a folder that exists; not given: the folder of the (first) photo.
        each: One file per photo, not one of all.

    Raises:
        click.UsageError: Two photos would go into one file, or its name is of no identity.
        ValueError: A photo would be overwritten.
    """
    groups = [(photo,) for photo in photos] if each else [tuple(photos)]
    if each and len(photos) > 1 and output is not None and not output.is_dir():
        raise click.UsageError(
            f"with --each, the output must be an existing folder; {output} is not"
        )
    jobs: dict[Path, tuple[Path, ...]] = {}
    for group in groups:
        if output is None:
            path = group[0].with_suffix(SUFFIXES[0])
        elif output.is_dir():
            path = output / group[0].with_suffix(SUFFIXES[0]).name
        else:
            path = output
        if path in jobs:
            raise click.UsageError(
                f"{jobs[path][0]} and {group[0]} would both be written to {path}; rename one"
            )
        check_is_no_input(path, photos)
        if path.suffix.lower() not in SUFFIXES:
            raise click.UsageError(
                f"the output is {path}, but an identity file's name ends in {' or '.join(SUFFIXES)}"
            )
        jobs[path] = group
    return [(group, path) for path, group in jobs.items()]


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=PhotoPath())
@click.option(
    "-o",
    "--output",
    type=FILE_PATH,
    help="Identity file to write, or an existing "
    "folder; default: the first photo's name with .pulidembd.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing identity files.")
@click.option(
    "--each",
    is_flag=True,
    help="Every photo shows another person: write one identity file per photo, named after it.",
)
@models_options
@pulid_weights_option
@click.option(
    "--face",
    type=FaceChoiceType(),
    default="largest",
    show_default=True,
    help="Face to use if a photo has several: largest, left, right, center, a number "
    "(counting from 0 at the left), or a box x,y,w,h in pixels of the photo; 'pulid-sdcpp "
    "faces' shows them. It is the same for every photo.",
)
@click.option(
    "--fusion",
    type=click.Choice(FUSIONS),
    default=DEFAULT_FUSION,
    show_default=True,
    help=FUSION_HELP,
)
@click.option(
    "--aligner",
    type=click.Choice(["insightface", "retinaface"]),
    default="insightface",
    show_default=True,
    help="Detector whose landmarks crop the face; retinaface is "
    "PuLID's own, but slower, and needs the extra [reference] and "
    "detection_Resnet50_Final.pth.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "onnx", "torch"]),
    default="auto",
    show_default=True,
    help="What computes the networks: onnx is ONNX Runtime, without PyTorch; torch is PyTorch; "
    "auto is PyTorch where it is installed. The identity file says which it was.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Where: auto, cpu, cuda; with PyTorch cuda:1 and mps, too.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Type to compute in; auto is bf16 on CUDA, otherwise fp32. "
    "fp16 is refused on a CPU, where it is slow.",
)
@click.option(
    "--save-dtype",
    type=click.Choice(["f16", "f32", "bf16"]),
    default="f16",
    show_default=True,
    help="Type of the numbers in the identity file.",
)
@strict_option
@click.option("--quiet", is_flag=True, help="Print only errors.")
@click.pass_context
def extract(
    ctx: click.Context,
    photos: tuple[Path, ...],
    output: Path | None,
    overwrite: bool,
    each: bool,
    models_dir: Path,
    pulid_weights: Path | None,
    face: FaceChoice,
    fusion: Fusion,
    aligner: str,
    engine: str,
    device: str,
    dtype: str,
    save_dtype: Literal["f16", "f32", "bf16"],
    strict: bool,
    quiet: bool,
    **others: Any,
) -> None:
    """Make an identity file of the person in PHOTO; several photos of one person are fused.

    A folder stands for all photos in it, by name.

    You need it only once per person, and per kind of PuLID weights: an identity for Flux does not
    fit SDXL. Needs the extra [photos] or [extract] and, of the weights, 2.3 GB:
    pulid-sdcpp models pull extraction. For SDXL it is extraction-sdxl (PuLID v1.1) or
    extraction-sdxl-v1, which --preset takes, too. The file contains no picture.
    """
    from ...extraction.extractor import load_extractor

    _refuse_kept(photos)
    jobs = identity_jobs(photo_list(photos), output, each=each)
    ctx.with_resource(output_folders(path for _, path in jobs))
    for _, path in jobs:
        check_writable(path)
        if not overwrite:
            check_new(path)
    files = enroller_files(given_values(ctx), models_dir, pulid_weights)
    for _, path in jobs:
        check_is_no_input(path, files.values())
    progress = Progress(quiet)

    progress.stage("loading the extractor")
    extractor = load_extractor(**files, aligner=aligner, engine=engine, device=device, dtype=dtype)
    n_failed = 0
    for group, path in jobs:
        started_s = time.monotonic()
        progress.stage(f"extracting from {', '.join(str(photo) for photo in group)}")
        try:
            identity = extractor.extract(
                list(group) if len(group) > 1 else group[0],
                face=face,
                fusion=fusion,
                on_face=None if quiet else lambda found: click.echo(_line(found)),
            )
            if strict:
                refuse_warnings(identity, group)
        except (FaceNotFoundError, ImageFileError) as error:
            if len(jobs) == 1:
                raise
            # Of a batch, one bad photo does not cost the others.
            click.echo(f"error: {error}", err=True)
            n_failed += 1
            continue
        identity.save(path, dtype=save_dtype, overwrite=overwrite)
        if not quiet:
            tokens, width = identity.tokens.shape
            size_kb, time_s = path.stat().st_size / 1000, time.monotonic() - started_s
            model = "" if identity.encoder == FLUX else f", for {encoder_words(identity.encoder)}"
            click.echo(
                f"identity {identity.short_hash}: {counted(tokens, 'token')} of {width}, "
                f"{save_dtype}{model}"
            )
            click.echo(f"saved {escaped_line(path)} ({size_kb:.0f} KB, {time_s:.1f} s)")
    if n_failed:
        click.echo(f"error: {n_failed} of {counted(len(jobs), 'photo')} failed", err=True)
        ctx.exit(1)


def _refuse_kept(photos: Sequence[Path]) -> None:
    """Say what to do for somebody whose identity is there already."""
    from ...identity.kept_people import find_person

    for photo in photos:
        if not photo.exists() and (kept := find_person(str(photo))) is not None:
            raise click.UsageError(
                f"{kept.stem} is a kept person, not a photo; 'pulid-sdcpp people export "
                f"{kept.stem}' writes an identity file"
            )


def _line(found: FoundFace) -> str:
    """`me.jpg: face at 10,20,100,120 (x, y, width, height), score 0.87`."""
    left, top, right, bottom = found.box
    place = f"{left},{top},{right - left},{bottom - top}"
    which = f", --face {found.index} of 0 to {found.n_faces - 1}" if found.n_faces > 1 else ""
    photo = escaped_line(found.photo)
    return f"{photo}: face at {place} (x, y, width, height), score {found.score:.2f}{which}"
