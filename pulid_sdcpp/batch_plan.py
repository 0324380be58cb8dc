"""What is left to do of a batch: which pictures are there already, and in which order to go on."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .batch_job import Batch, BatchJob
from .batch_key import JobKeys
from .errors import ImageFileError, OutputFileError
from .options import ContextOptions
from .png_text import parse_text, read_picture_text

__all__ = ["KEY_NAME", "PlannedPicture", "make_folders", "plan_batch", "remove_unfinished",
           "working_order"]  # fmt: skip

KEY_NAME = "Batch job"
"""Of the job's key in a picture's text."""

_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.part", re.DOTALL)  # as `atomic_file` names them
_NAME_KEPT = 100
_BESIDE = re.compile(r"contact-sheet(-\d+)?\.png|summary\.json")


@dataclass(frozen=True)
class PlannedPicture:
    """One picture of a batch.

    Attributes:
        job: What it shows.
        path: Where it goes.
        key: See `JobKeys`.
        state: "new": to be made; "there": finished before; "taken": another file has its name.
        problem: Why the name is taken.
    """

    job: BatchJob
    path: Path
    key: str
    state: Literal["new", "there", "taken"]
    problem: str = ""


def plan_batch(
    batch: Batch,
    context: ContextOptions,
    settings: Mapping[str, Any],
    extractor: Mapping[str, str | os.PathLike[str]],
    *,
    overwrite: bool = False,
) -> tuple[PlannedPicture, ...]:
    """Check every job and look for its picture; no model is loaded, nothing is written.

    Args:
        batch: The jobs.
        context, settings, extractor: As for `JobKeys`.
        overwrite: Make pictures anew whose names are taken.

    Returns:
        A picture for each job, in the batch's order.

    Raises:
        PulidError: As `JobKeys.key`.
    """
    keys = JobKeys(context, settings, extractor)
    planned = []
    for job in batch.jobs:
        path, key = batch.output_dir / job.file_name, keys.key(job)
        problem = _problem(path, key)
        if problem is None:
            planned.append(PlannedPicture(job, path, key, "there"))
        elif not problem or (overwrite and not path.is_dir()):
            planned.append(PlannedPicture(job, path, key, "new"))
        else:
            planned.append(PlannedPicture(job, path, key, "taken", problem))
    return tuple(planned)


def working_order(
    pictures: Iterable[PlannedPicture], settings: Mapping[str, Any]
) -> list[PlannedPicture]:
    """The pictures to be made, in the order that saves most.

    Those of one size together, for another size may need the model placed in another way; in
    them, those of one prompt together. An identity that comes again is read, folded, from the
    cache (126 MB); a prompt that comes again has to be encoded again, which takes a T5 seconds,
    and its gigabytes back onto the card where memory is planned. So prompts are outside, people
    inside, and each prompt is encoded once.
    """
    waiting = [picture for picture in pictures if picture.state == "new"]
    ranks: list[dict[object, int]] = [{}, {}, {}]

    def place(picture: PlannedPicture) -> tuple[int, ...]:
        options = picture.job.generation(settings)
        values = (
            (options.width, options.height, options.cfg_scale != 1, options.init_image,
             tuple(options.ref_images)),
            (options.prompt, options.negative_prompt, options.clip_skip),
            tuple(person.source for person in picture.job.people),
        )  # fmt: skip
        return tuple(
            rank.setdefault(value, len(rank)) for rank, value in zip(ranks, values, strict=True)
        )

    return sorted(waiting, key=place)


def make_folders(folders: Collection[Path]) -> None:
    """Make the folders that are not there.

    Raises:
        OutputFileError: One cannot be made.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFileError(
                f"cannot make the folder {folder}: {error.strerror or error}; name another with "
                "--output-dir"
            ) from error


def remove_unfinished(output_dir: Path, paths: Sequence[Path]) -> None:
    """Remove what a killed run left of a batch's files: temporary ones, never finished.

    Args:
        output_dir: Where the contact sheets and the summary are.
        paths: Of the pictures.
    """
    kept = {(path.parent, path.name[:_NAME_KEPT]) for path in paths}
    for folder in {output_dir, *(parent for parent, _ in kept)}:
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(folder)):
                match = _TEMPORARY.fullmatch(entry.name)
                if match is None:
                    continue
                is_own = folder == output_dir and _BESIDE.fullmatch(match[1])
                if is_own or (folder, match[1]) in kept:
                    os.unlink(entry.path)


def _problem(path: Path, key: str) -> str | None:
    """Why a name is taken; "": it is free; None: the picture is there."""
    if not os.path.lexists(path):
        return ""
    advice = "move it away, name another folder, or allow to replace it with --overwrite"
    if path.is_dir():
        return f"{path} is a folder; name another one for the pictures"
    try:
        text = read_picture_text(path)
    except ImageFileError:
        return f"{path} is there, and is no picture; {advice}"
    found = parse_text(text or "").values.get(KEY_NAME)
    if found == key:
        return None
    if found:
        return f"{path} is there, made with other settings; {advice}"
    return f"{path} is there, and is not of a batch; {advice}"
