"""The folder of one job, as a server that was killed may have left it.

job.json            what the job is; written last
000.png, 001.png    its pictures
*.png               pictures to start from, masks, references, where recipes look for them
inputs/             photos, until their identities are extracted
job.json.bad        a job.json that was damaged
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

from ...errors import ImageFileError, OutputFileError
from ...pictures.png_text import parse_text, read_picture_text
from ...system.atomic_file import atomic_file
from ...system.picture_decoding import MAX_PICTURE_BYTES, opened_picture
from ...system.regular_file import read_regular
from .job_json import job_from_record, job_json
from .jobs import Job, MadePicture

__all__ = [
    "JOB_FILE",
    "PHOTOS_FOLDER",
    "found_picture",
    "picture_file",
    "picture_index",
    "recovered_job",
    "write_job",
]

LOGGER = logging.getLogger("pulid_sdcpp.server")

JOB_FILE = "job.json"
PHOTOS_FOLDER = "inputs"

_BAD = f"{JOB_FILE}.bad"
_MAX_JOB_BYTES = 8 << 20
_PICTURE = re.compile(r"([0-9]{3,6})\.png")


def picture_file(index: int) -> str:
    """The name of a picture's file: 000.png for the first."""
    return f"{index:03}.png"


def picture_index(name: str) -> int | None:
    """Which picture a file's name is that of; None: of none."""
    match = _PICTURE.fullmatch(name)
    index = int(match[1]) if match else -1
    return index if name == picture_file(index) else None


def write_job(folder: Path, job: Job) -> None:
    """Write a job's job.json.

    Raises:
        OutputFileError: It cannot be written; the former one stays.
    """
    content = job_json(job)
    with atomic_file(folder / JOB_FILE, private=True) as file:
        file.write(content)


def found_picture(path: Path, index: int, seed: int) -> MadePicture | None:
    """The picture that a file is, if its own text says that it is the one; else None.

    Args:
        path: A file of the job's folder.
        index: Which picture of the job it should be.
        seed: What that one is made with.
    """
    try:
        content = read_regular(path, MAX_PICTURE_BYTES)
        text = read_picture_text(content)
        with opened_picture(content, path.name) as image:
            width, height = image.size
    except (ImageFileError, OSError):
        return None
    if text is None or parse_text(text).values.get("Seed") != str(seed):
        return None
    return MadePicture(index, seed, width, height)


def recovered_job(folder: Path) -> Job | None:
    """The job of a folder, with the pictures that are in it; what a killed server left is removed.

    Nobody else may use the folder meanwhile. None: there is no job. Then the folder is removed,
    unless its job.json is damaged: that is set aside.
    """
    names = set(os.listdir(folder))
    _remove_temporaries(folder, names)
    if JOB_FILE not in names:
        if _BAD not in names:
            LOGGER.info("%s: removed, no job was accepted in it", folder.name)
            shutil.rmtree(folder, ignore_errors=True)
        return None
    job = _read(folder)
    if job is None:
        return None
    if PHOTOS_FOLDER in names:
        photos = folder / PHOTOS_FOLDER
        if job.is_finished:
            shutil.rmtree(photos, ignore_errors=True)
        else:
            _remove_temporaries(photos, os.listdir(photos))
    found = _with_pictures(job, folder, names)
    if found != job:
        try:
            write_job(folder, found)
        except OutputFileError as error:  # a full disk: it is found again next time
            LOGGER.error("%s", error)
    return found


def _read(folder: Path) -> Job | None:
    path = folder / JOB_FILE
    try:
        content = read_regular(path, _MAX_JOB_BYTES)
    except OSError as error:
        LOGGER.error("%s: cannot be read, and is left out: %s", path, error)
        return None
    try:
        job = job_from_record(json.loads(content))
        if job.id != folder.name:
            raise ValueError(f"it is that of {job.id}")
    except (ValueError, RecursionError) as error:
        LOGGER.error("%s: damaged, and set aside as %s: %s", path, _BAD, error)
        with contextlib.suppress(OSError):
            os.replace(path, folder / _BAD)
        return None
    return job


def _with_pictures(job: Job, folder: Path, names: set[str]) -> Job:
    """The job with pictures that it does not know yet, and without those that are gone."""
    here = tuple(one for one in job.pictures if picture_file(one.index) in names)
    if here != job.pictures:
        job = replace(job, pictures=here)
    known = {picture.index for picture in here}
    for name in sorted(names):
        index = picture_index(name)
        if index is None or index in known:
            continue
        picture = None
        if index < len(job.seeds):
            picture = found_picture(folder / name, index, job.seeds[index])
        if picture is None:
            LOGGER.warning("%s/%s: removed, it is no picture of this job", job.id, name)
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        else:
            job = job.with_picture(picture)
    return job


def _remove_temporaries(folder: Path, names: set[str] | list[str]) -> None:
    for name in names:
        if name.startswith(".") and name.endswith(".part"):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
