"""A job's request with the files of its folder, as `settle` takes it.

A job is whole in its folder: it can be made again after a restart, though the library has
changed, and no request names another file of this computer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...people.region import Region
from ...terminal_text import shown

__all__ = ["file_in", "given_in"]

_PICTURES = ("init_image", "mask_image", "control_image")
_TUPLES = ("vae_tile_size", "vae_relative_tile_size")
_NAME = re.compile(r"[^\x00-\x1f\\/:]+")


def file_in(folder: Path, name: object) -> Path:
    """A file of a folder, or of a folder in it.

    Args:
        folder: The job's.
        name: Relative, with `/` between its parts.

    Raises:
        ValueError: It is no such name, or leads out of the folder, also through a link.
    """
    parts = name.split("/") if isinstance(name, str) else []
    if not parts or any(not _NAME.fullmatch(part) or part in (".", "..") for part in parts):
        raise ValueError(f"{shown(name)} is not the name of a file in the job's folder")
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{shown(name)} leads out of the job's folder")
    return path


def given_in(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """What `settle` takes: of JSON, and of names in the job's folder.

    Args:
        folder: The job's.
        request: Fields as `settle` takes them: init_image, mask_image, control_image, ref_images,
            and of `people` files, identity and `region` (`{"box": [x, y, w, h]}` or
            `{"mask": name}`) are names of files in the folder.

    Raises:
        ValueError: A name that is none; or a region that is none.
    """
    given = dict(request)
    for name in _PICTURES:
        if given.get(name) is not None:
            given[name] = file_in(folder, given[name])
    for name in _TUPLES:
        if isinstance(given.get(name), list):
            given[name] = tuple(given[name])
    if "ref_images" in given:
        given["ref_images"] = [file_in(folder, one) for one in given["ref_images"]]
    if "lora_files" in given:
        given["lora_files"] = [tuple(one) for one in given["lora_files"]]
    if "people" in given:
        given["people"] = [_person(folder, one) for one in given["people"]]
    return given


def _person(folder: Path, person: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(person)
    if found.get("files"):
        found["files"] = tuple(file_in(folder, one) for one in found["files"])
    if found.get("identity") is not None:
        found["identity"] = file_in(folder, found["identity"])
    if isinstance(found.get("face"), list):
        found["face"] = tuple(found["face"])
    region = found.get("region")
    if isinstance(region, Mapping):
        box, mask = region.get("box"), region.get("mask")
        found["region"] = Region(
            box=None if box is None else tuple(box),
            mask=None if mask is None else file_in(folder, mask),
        )
    return found
