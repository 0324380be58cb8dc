"""Finding the files of a preset: in the user's folders, the hub's cache, and our own.

Nothing is copied or moved: a file is used where it lies, whatever tree it is in (ComfyUI's,
Forge's, a plain folder, insightface's doubled antelopev2/antelopev2).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..options.context import ContextOptions
from ..options.facts import of
from ..system.size_text import described_size
from ..system.user_config import load_user_config
from ..system.user_folders import cache_folder, with_home
from .registry import (
    EXTRACTION_ROLES,
    GENERATION_ROLES,
    NEWEST,
    ROLES,
    Preset,
    Registry,
    RegistryFile,
    load_registry,
)

__all__ = [
    "INSTEAD",
    "FileFound",
    "ModelStore",
    "PresetFiles",
    "downloads_folder",
    "packaged_files",
    "resolve_preset",
]

LOGGER = logging.getLogger("pulid_sdcpp.model_store")

PathLike = str | os.PathLike[str]

_MAX_DEPTH = 6
"""Folders below a models folder: ComfyUI/models/insightface/models/antelopev2/antelopev2 is 5."""
_MAX_FOLDERS = 20_000
_SKIPPED = {".git", ".venv", "venv", "node_modules", "__pycache__", "site-packages"}
# Role: the option of ContextOptions; "loras" is a folder, of the pocket model only.
_CONTEXT_FIELDS = {fact.role: name for name, fact in of(ContextOptions).items() if fact.role}
_LORA_FIELD = "lora_files"  # of GenerationOptions
INSTEAD = {"vae_path": "taesd_path", "model_path": "diffusion_model_path"}
"""Who gives the one is without the preset's other: the engine would prefer that."""
# Role: the argument of IdentityExtractor, where it is another.
_EXTRACTOR_ARGUMENTS = {"pulid": "pulid_weights"}


@dataclass(frozen=True)
class FileFound:
    """What looking for a file found.

    Attributes:
        file: What was looked for.
        path: Where it is; None: nowhere.
        place: "folder" (the user's own), "hub" (the hub's cache), "downloads" (ours).
        problem: When it is not there but something of its name is: what is wrong with that.
    """

    file: RegistryFile
    path: Path | None = None
    place: str = ""
    problem: str = ""

    def describe_missing(self) -> str:
        """The file's name and size, and what is wrong with what bears its name."""
        words = f"{self.file.file_name} ({described_size(self.file.shown_bytes)})"
        return f"{words}, but {self.problem}" if self.problem else words


@dataclass(frozen=True)
class PresetFiles:
    """A preset, with the paths of its files.

    Attributes:
        name: The preset's name.
        settings: Fields of GenerationOptions that suit the preset; `lora_files` has its LoRA.
        context: Fields of ContextOptions.
        extractor: Keyword arguments of IdentityExtractor, for the files that exist.
        missing_for_extraction: What extraction lacks and how to get it; "" if nothing.
        absent: Files of `context` that are not here, by field, and the LoRA as "lora_files"; only
            if `resolve_preset` was told that they need not be.
        family: "flux" or "sdxl".
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Path] = field(default_factory=dict)
    extractor: dict[str, Path] = field(default_factory=dict)
    missing_for_extraction: str = ""
    absent: dict[str, FileFound] = field(default_factory=dict)
    family: str = "flux"


class ModelStore:
    """Looks for files; each of the user's folders is read once.

    Args:
        models_dirs: The user's folders, the first one first; the config file's come after them.
            One that is not there, as on a disk that is not plugged in, is logged and passed over.

    Raises:
        ModelFileError: The config file is wrong.
    """

    def __init__(self, models_dirs: Sequence[PathLike] = ()) -> None:
        config = load_user_config()
        self.registry: Registry = load_registry(config)
        given = tuple(map(with_home, models_dirs))
        self._listings: list[Mapping[str, Sequence[Path]]] = []
        self._unread: list[Path] = []
        for folder in (*given, *config.models_dirs):
            if os.path.isdir(folder):  # also of a name that no folder can have
                self._unread.append(folder)
                continue
            where = "" if folder in given else f" (models_dirs in {config.path})"
            found = "a file" if os.path.exists(folder) else "nothing there"
            LOGGER.warning("%s: expected a models folder, found %s%s", folder, found, where)

    def find(self, file: RegistryFile) -> FileFound:
        """Look for a file where it may be; the first place that has it, in its right size."""
        problem = ""
        for home in self.registry.homes(file):
            for place, path in self._candidates(home):
                wrong = _wrong_size(home, path)
                if not wrong:
                    return FileFound(file, path, place)
                problem = problem or wrong
        return FileFound(file, problem=problem)

    def find_all(self, preset: Preset, roles: Sequence[str] = ROLES) -> dict[str, FileFound]:
        """Look for the preset's files of these roles."""
        files = self.registry.files_of(preset, roles)
        return {role: self.find(file) for role, file in files.items()}

    def _candidates(self, file: RegistryFile) -> Iterator[tuple[str, Path]]:
        if not file.published and os.path.isabs(file.path):
            yield from (("folder", path) for path in (Path(file.path),) if path.is_file())
            return
        names = [name.lower() for name in (file.file_name, *file.names)]
        for listing in self._listed():
            yield from (("folder", path) for name in names for path in listing.get(name, ()))
        if file.repository and (cached := cached_on_hub(file)) is not None:
            yield "hub", cached
        if file.url and (path := downloads_folder() / file.file_name).is_file():
            yield "downloads", path

    def _listed(self) -> Iterator[Mapping[str, Sequence[Path]]]:
        yield from self._listings
        while self._unread:
            self._listings.append(_files_below(self._unread.pop(0)))
            yield self._listings[-1]


def resolve_preset(
    name: str,
    models_dirs: Sequence[PathLike] = (),
    *,
    extraction: bool = False,
    without: Collection[str] = (),
    may_be_absent: bool = False,
    store: ModelStore | None = None,
) -> PresetFiles:
    """Find the files of a preset, and say what is missing.

    Args:
        name: A preset from the package or the user's config file.
        models_dirs: Folders of model files, in addition to those of the config file and the hub's
            cache.
        extraction: Whether the extractor's files are required, too.
        without: Fields of ContextOptions that the caller sets: their files are not required, and
            left out.
        may_be_absent: Whether published files that are not here are named all the same, for a plan.
        store: Of these folders, to read them once for many presets; None: they are read.

    Raises:
        ModelFileError: Files are missing or damaged; names each with its size, and says how to get
            it.
        ValueError: There is no such preset.
    """
    store = ModelStore(models_dirs) if store is None else store
    preset = store.registry.preset(name)
    roles = [role for role in ROLES if _CONTEXT_FIELDS.get(role) not in without]
    found = store.find_all(preset, roles)
    fields = {**_CONTEXT_FIELDS, "lora": _LORA_FIELD}
    absent = {
        fields[role]: one
        for role, one in found.items()
        if may_be_absent and one.path is None and one.file.published and role in fields
    }
    needed = {role: one for role, one in found.items() if fields.get(role) not in absent}
    _raise_if_missing(name, needed, roles if extraction else GENERATION_ROLES)
    paths = packaged_files(preset)
    paths.update({role: file.path for role, file in found.items() if file.path is not None})
    paths = {r: path for r, path in paths.items() if _CONTEXT_FIELDS.get(r) not in without}
    unread = [file for role, file in found.items() if role in EXTRACTION_ROLES and not file.path]
    named = {
        field_name: Path(one.file.file_name)
        for field_name, one in absent.items()
        if field_name != _LORA_FIELD
    }
    settings = dict(preset.settings)
    if (lora := found.get("lora")) is not None:
        path = lora.path or Path(lora.file.file_name)
        settings[_LORA_FIELD] = ((lora.file.tag_name, path),)
    return PresetFiles(
        name=name,
        settings=settings,
        context={
            **{_CONTEXT_FIELDS[r]: path for r, path in paths.items() if r in _CONTEXT_FIELDS},
            **named,
        },
        extractor={
            _EXTRACTOR_ARGUMENTS.get(r, r): path
            for r, path in paths.items()
            if r in EXTRACTION_ROLES
        },
        missing_for_extraction=_missing(name, unread) if unread else "",
        absent=absent,
        family=preset.family,
    )


def packaged_files(preset: Preset) -> dict[str, Path]:
    """The pocket model's files by role, if the preset stands on them and names no other.

    Raises:
        ModelFileError: The package's files are damaged.
        OutputFileError: The user's cache folder, into which some are expanded, cannot be written.
    """
    if not preset.packaged:
        return {}
    from ..pocket.pack import pocket_files

    files = pocket_files()
    by_role = {
        "diffusion_model": files.diffusion_model,
        "taesd": files.taesd,
        "clip_l": files.clip_l,
        "pulid": files.pulid_weights,
        "loras": files.loras,
        "eva": files.models_dir / "EVA02_CLIP_L_336_psz14_s6B.safetensors",
        "parsing": files.models_dir / "parsing_bisenet.safetensors",
        "detector": files.detector,
        "recogniser": files.recogniser,
    }
    if preset.family == "sdxl":
        from ..pocket.sdxl_pack import pocket_sdxl_files

        own = pocket_sdxl_files()
        del by_role["loras"]
        by_role |= {
            "diffusion_model": own.diffusion_model,
            "taesd": own.taesd,
            "clip_g": own.clip_g,
            "pulid": own.pulid_weights,
        }
    return {role: path for role, path in by_role.items() if role not in preset.files}


def downloads_folder() -> Path:
    """Where files that are not on the hub are kept; it may not exist yet."""
    return cache_folder() / "models"


def cached_on_hub(file: RegistryFile) -> Path | None:
    """The file in huggingface_hub's cache; None when it is not there."""
    from huggingface_hub import try_to_load_from_cache

    # Of a file that is known by its hash, another revision may have the same.
    for revision in (file.revision, *([NEWEST] if file.sha256 else [])):
        path = try_to_load_from_cache(file.repository, file.path, revision=revision)
        # A link whose target was deleted is as good as absent.
        if isinstance(path, str) and os.path.isfile(path):
            return Path(path)
    return None


def _raise_if_missing(name: str, found: Mapping[str, FileFound], roles: Sequence[str]) -> None:
    missing = [file for role, file in found.items() if role in roles and file.path is None]
    if missing:
        raise ModelFileError(_missing(name, missing))


def _missing(name: str, files: Sequence[FileFound]) -> str:
    described = "; ".join(file.describe_missing() for file in files)
    how = f"get them with 'pulid-sdcpp models pull {name}'"
    if own := [found.file.path for found in files if not found.file.published]:
        how = f"the config file says that {' and '.join(own)} is there"
    return f"preset {name}: missing model files: {described}; {how}, or name a folder that has them"


def _wrong_size(file: RegistryFile, path: Path) -> str:
    """ "" or why the file at `path` is not the one looked for."""
    size = path.stat().st_size
    if file.size_bytes in (0, size):
        return ""
    return f"{path} has {size} bytes, not {file.size_bytes}: it is damaged, or another file"


def _files_below(folder: Path) -> dict[str, list[Path]]:
    """Files by their names in lower case, the least deep first.

    Links to folders are followed, as people keep models on other disks; each folder is read
    once, so that a link to a folder above does no harm.
    """
    found: dict[str, list[Path]] = {}
    seen: set[str] = set()
    level = [folder]
    for _ in range(_MAX_DEPTH + 1):
        below: list[Path] = []
        for place in level:
            real = os.path.realpath(place)
            if real in seen or len(seen) >= _MAX_FOLDERS:
                continue
            seen.add(real)
            try:
                entries = sorted(os.scandir(place), key=lambda entry: entry.name)
            except OSError:  # not ours to read
                continue
            for entry in entries:
                if entry.is_dir():
                    if entry.name not in _SKIPPED:
                        below.append(Path(entry.path))
                elif entry.is_file():
                    found.setdefault(entry.name.lower(), []).append(Path(entry.path))
        level = below
    return found
