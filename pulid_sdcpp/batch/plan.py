"""What is left to do of a batch: which pictures are there already, and in which order to go on."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import BatchFileError, ImageFileError, OutputFileError
from ..options.context import ContextOptions
from ..pictures.png_text import parse_text, read_picture_text
from ..system.json_record import read_json
from ..terminal_text import reason_of
from .job import Batch, BatchJob
from .key import FileStamp, JobKey, JobKeys, batch_stamp

__all__ = [
    "KEY_NAME",
    "SHEET_TEXT",
    "SUMMARY_NAME",
    "PlannedPicture",
    "is_of_a_batch",
    "make_folders",
    "picture_problem",
    "plan_batch",
    "remove_unfinished",
    "working_order",
]

KEY_NAME = "Batch job"
"""Of the job's key in a picture's text."""
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.part", re.DOTALL)  # as `atomic_file` names them
_NAME_KEPT = 100
_MAX_SUMMARY_BYTES = 1 << 30
SUMMARY_NAME = "summary.json"
SHEET_TEXT = "contact sheet of a pulid-sdcpp batch"
"""In a contact sheet's file: what has it may be replaced by the next one."""

_BESIDE = re.compile(r"contact-sheet(-\d+)?\.png|summary\.json")
_ADVICE = "move it away, name another folder, or allow to replace it with --overwrite"


@dataclass(frozen=True)
class PlannedPicture:
    """One picture of a batch.

    Attributes:
        job: What it shows.
        path: Where it goes.
        key: See `JobKeys`.
        state: "new": to be made; "there": finished before; "taken": another file has its name.
        problem: Why the name is taken.
        replaces: Whether a file that is there is to be replaced.
        files: What it is made of, as it was when the key was made.
    """

    job: BatchJob
    path: Path
    key: JobKey
    state: Literal["new", "there", "taken"]
    problem: str = ""
    replaces: bool = False
    files: Mapping[Path, FileStamp] = field(default_factory=dict)

    @property
    def changed_file(self) -> Path | None:
        """A file that is not as it was, so that the key is not that of a picture made now."""
        changed = (path for path, stamp in self.files.items() if batch_stamp(path) != stamp)
        return next(changed, None)


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
        overwrite: Make pictures anew whose names are taken. A file that the batch reads is not
            replaced in any case.

    Returns:
        A picture for each job, in the batch's order.

    Raises:
        PulidError: As `JobKeys.key`.
        BatchFileError: A picture has the name of a file that is read; or what is beside the
            pictures would replace a file that is not of a batch.
    """
    keys = JobKeys(context, settings, extractor)
    planned = []
    for job in batch.jobs:
        path = batch.output_dir / job.file_name
        key, files = keys.key_and_files(job)
        problem = picture_problem(path, key)
        if problem is None:
            planned.append(PlannedPicture(job, path, key, "there", files=files))
        elif not problem or (overwrite and os.path.lexists(path) and not path.is_dir()):
            picture = PlannedPicture(job, path, key, "new", replaces=bool(problem), files=files)
            planned.append(picture)
        else:
            planned.append(PlannedPicture(job, path, key, "taken", problem, files=files))
    _check_keeps_inputs(batch, planned)
    if not overwrite:
        for path in _files_beside(batch.output_dir):
            if not is_of_a_batch(path):
                raise BatchFileError(
                    f"{batch.path}: {path} exists, but was not made by a batch; {_ADVICE}"
                )
    return tuple(planned)


def _files_beside(output_dir: Path) -> list[Path]:
    """What is in the folder under the names of contact sheets and the summary."""
    with contextlib.suppress(OSError):
        names = sorted(entry.name for entry in os.scandir(output_dir))
        return [output_dir / name for name in names if _BESIDE.fullmatch(name)]
    return []


def is_of_a_batch(path: Path) -> bool:
    """Whether a contact sheet or a summary was written by a batch, and may be by the next run."""
    if path.name == SUMMARY_NAME:
        return _summary(path) is not None
    with contextlib.suppress(ImageFileError):
        if read_picture_text(path) == SHEET_TEXT:
            return True
    # The sheets of earlier versions have no text.
    return path.name in (_summary(path.with_name(SUMMARY_NAME)) or {}).get("contact_sheets", ())


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
            (
                options.width,
                options.height,
                options.cfg_scale != 1,
                options.init_image,
                tuple(options.ref_images),
            ),
            (options.prompt, options.negative_prompt, options.clip_skip),
            tuple(person.source for person in picture.job.people),
        )
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
        if folder.is_file():
            raise OutputFileError(f"{folder} is a file; name a folder with --output-dir")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFileError(
                f"cannot make the folder {folder}: {reason_of(error)}; name another with "
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


def picture_problem(path: Path, key: JobKey) -> str | None:
    """Why a name is taken; "": it is free; None: the picture with this key is there."""
    if not os.path.lexists(path):
        above = next((folder for folder in path.parents if folder.is_file()), None)
        return f"{above} is a file; name another folder for the pictures" if above else ""
    if path.is_dir():
        return f"{path} is a folder; name another one for the pictures"
    try:
        text = read_picture_text(path)
    except ImageFileError:
        return f"{path} exists, but is not a picture; {_ADVICE}"
    found = parse_text(text or "").values.get(KEY_NAME)
    if found == key.now or (found == key.former and key.is_former):
        return None
    if found == key.former:
        return (
            f"{path} exists, but was made when another noise schedule was the default; to keep "
            f'that, add scheduler = "{key.former_schedule}" to the jobs; or {_ADVICE}'
        )
    if found:
        return f"{path} exists, but was made with other settings; {_ADVICE}"
    return f"{path} exists, but was not made by a batch; {_ADVICE}"


def _check_keeps_inputs(batch: Batch, pictures: Iterable[PlannedPicture]) -> None:
    """Refuse to replace what is read, even where files may be replaced."""
    inputs = {_place(path): path for picture in pictures for path in picture.files}
    outputs = [(one.job.where, one.path) for one in pictures if one.state == "new"]
    outputs += [(str(batch.path), path) for path in _files_beside(batch.output_dir)]
    for where, path in outputs:
        if (found := inputs.get(_place(path))) is not None and os.path.lexists(path):
            raise BatchFileError(
                f"{where}: it would be written to {path}, but {found} is read; name another folder"
            )


def _place(path: Path) -> object:
    """Equal for all paths of a file."""
    try:
        found = path.stat()
    except OSError:
        return path
    return found.st_dev, found.st_ino


def _summary(path: Path) -> dict[str, Any] | None:
    """A batch's own; None when it is anything else."""
    try:
        found = read_json(path, _MAX_SUMMARY_BYTES)
    except (OSError, ValueError):
        return None
    is_own = isinstance(found, dict) and {"batch", "contact_sheets", "pictures"} <= found.keys()
    return found if is_own and isinstance(found["contact_sheets"], list) else None
