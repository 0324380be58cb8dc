"""The weights that extraction needs, found in one folder under their published names."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from pulid_sdcpp.errors import ModelFileError

__all__ = [
    "PUBLISHED",
    "ModelFiles",
    "PublishedFile",
    "find_model_file",
    "find_model_files",
    "needed_model_file",
]


@dataclass(frozen=True)
class PublishedFile:
    """A file that extraction needs.

    Args:
        what: What it is.
        names: The names it is looked for under, the best first.
        folders: Folders of the models folder it may lie in, the best first.
        repository: Where it is published.
        copies: Further names, looked for first: of safetensors copies, which nobody publishes.
    """

    what: str
    names: tuple[str, ...]
    folders: tuple[str, ...]
    repository: str
    copies: tuple[str, ...] = ()


# insightface's own zip of antelopev2 unpacks to a folder in a folder of the same name, and
# insightface keeps its packs under models/.
_ANTELOPE = ("antelopev2", "antelopev2/antelopev2", "models/antelopev2", "")

PUBLISHED: dict[str, PublishedFile] = {
    "detector": PublishedFile(
        "SCRFD face detector",
        ("scrfd_10g_bnkps.onnx",),
        _ANTELOPE,
        "DIAMONIK7777/antelopev2",
    ),
    "recogniser": PublishedFile(
        "ArcFace recogniser",
        ("glintr100.onnx",),
        _ANTELOPE,
        "DIAMONIK7777/antelopev2",
    ),
    "eva": PublishedFile(
        "EVA02-CLIP vision tower",
        ("EVA02_CLIP_L_336_psz14_s6B.pt",),
        ("",),
        "QuanSun/EVA-CLIP",
        ("EVA02_CLIP_L_336_psz14_s6B.safetensors",),
    ),
    "parsing": PublishedFile(
        "BiSeNet face parser",
        ("parsing_bisenet.pth",),
        ("", "facexlib", "weights"),
        "the releases of xinntao/facexlib",
        ("parsing_bisenet.safetensors",),
    ),
    "pulid": PublishedFile(
        "PuLID weights",
        (
            "pulid_flux_v0.9.1.safetensors",
            "pulid_flux_v0.9.0.safetensors",
            # For SDXL: v1.1, v1, and both under the names that other programs know.
            "pulid_v1.1.safetensors",
            "ip-adapter_pulidv1.1_sdxl_fp16.safetensors",
            "pulid_v1.safetensors",
            "ip-adapter_pulid_sdxl_fp16.safetensors",
            "pulid_v1.bin",
        ),
        ("", "pulid"),
        "guozinan/PuLID",
    ),
    "retinaface": PublishedFile(
        "RetinaFace-R50 face detector",
        ("detection_Resnet50_Final.pth",),
        ("", "facexlib", "weights"),
        "the releases of xinntao/facexlib",
    ),
}
"""The published files by role; the roles are the fields of `ModelFiles`."""

_OPTIONAL = ("retinaface",)


@dataclass(frozen=True)
class ModelFiles:
    """The path of each file of the extractor."""

    detector: Path
    recogniser: Path
    eva: Path
    parsing: Path
    pulid: Path
    retinaface: Path | None = None
    """Only when it was asked for."""


def find_model_files(
    models_dir: str | os.PathLike[str] | None = None,
    *,
    detector: str | os.PathLike[str] | None = None,
    recogniser: str | os.PathLike[str] | None = None,
    eva: str | os.PathLike[str] | None = None,
    parsing: str | os.PathLike[str] | None = None,
    pulid: str | os.PathLike[str] | None = None,
    retinaface: str | os.PathLike[str] | None = None,
    with_retinaface: bool = False,
) -> ModelFiles:
    """Find every file, in the folder or where it is given.

    Args:
        models_dir: The models folder; not needed if every file is given.
        detector, recogniser, eva, parsing, pulid, retinaface: A file to use instead of searching
            for it.
        with_retinaface: Whether `retinaface` is needed, too.

    Raises:
        ModelFileError: The folder or a given file does not exist, or files are missing: the message
            names each, with the repository that it is published in.
    """
    given = {
        "detector": detector,
        "recogniser": recogniser,
        "eva": eva,
        "parsing": parsing,
        "pulid": pulid,
        "retinaface": retinaface,
    }
    folder = None if models_dir is None else Path(models_dir)
    if folder is not None and not folder.is_dir():
        raise ModelFileError(f"{folder}: expected the models folder, found {_found(folder)}")
    files: dict[str, Path] = {}
    missing: list[str] = []
    for role in (item.name for item in fields(ModelFiles)):
        explicit = given[role]
        published = PUBLISHED[role]
        if role in _OPTIONAL and explicit is None and not with_retinaface:
            continue
        if explicit is not None:
            path = Path(explicit)
            if not path.is_file():
                raise ModelFileError(f"{path}: expected the {published.what}, found {_found(path)}")
            files[role] = path
            continue
        candidate = None if folder is None else _look_for(folder, published)
        if candidate is None:
            missing.append(
                f"{_published_path(published)} ({published.what}, from {published.repository})"
            )
        else:
            files[role] = candidate
    if missing:
        where = "no models folder was given" if folder is None else str(folder)
        raise ModelFileError(f"{where}: missing model files: {'; '.join(missing)}")
    return ModelFiles(**files)


def find_model_file(models_dir: str | os.PathLike[str], role: str) -> Path | None:
    """One file of the models folder; None when it is not there.

    Args:
        models_dir: The models folder.
        role: A key of PUBLISHED.

    Raises:
        ModelFileError: The folder does not exist, or something else bears the file's name.
    """
    folder = Path(models_dir)
    if not folder.is_dir():
        raise ModelFileError(f"{folder}: expected the models folder, found {_found(folder)}")
    return _look_for(folder, PUBLISHED[role])


def needed_model_file(models_dir: str | os.PathLike[str], role: str) -> Path:
    """One file of the models folder.

    Args:
        models_dir: The models folder.
        role: A key of PUBLISHED.

    Raises:
        ModelFileError: It is not there; says where it is published.
    """
    path = find_model_file(models_dir, role)
    if path is None:
        published = PUBLISHED[role]
        raise ModelFileError(
            f"{models_dir}: the {published.what} {published.names[0]} is missing; it is published "
            f"in {published.repository}"
        )
    return path


def _look_for(folder: Path, published: PublishedFile) -> Path | None:
    """The first file there is; where none is, whatever else bears the name."""
    names = (*published.copies, *published.names)
    paths = [folder / sub / name for name in names for sub in published.folders]
    for path in paths:
        if path.is_file():
            return path
    for path in paths:
        if path.exists() or path.is_symlink():
            raise ModelFileError(f"{path}: expected the {published.what}, found {_found(path)}")
    return None


def _found(path: Path) -> str:
    """What is there instead of a file."""
    if path.is_dir():
        return "a folder"
    if path.is_symlink() and not path.exists():
        return f"a link to {os.readlink(path)}, where nothing is"
    if path.is_file():
        return "a file"
    return "a pipe or a device" if path.exists() else "nothing"


def _published_path(published: PublishedFile) -> str:
    """`antelopev2/glintr100.onnx`: the first folder with the name as published."""
    return "/".join(part for part in (published.folders[0], published.names[0]) if part)
