"""Stand-in files of one folder, made once and kept while their parameters stay the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pulid_sdcpp.errors import OutputFileError
from pulid_sdcpp.system.atomic_file import atomic_file
from pulid_sdcpp.system.json_record import read_json

__all__ = ["DESCRIPTION", "MANIFEST_NAME", "FileSet", "gguf_metadata"]

# Path -> the parameters of a file that this process was given, and may still rely on.
_in_use: dict[Path, dict[str, object]] = {}

MANIFEST_NAME = "standin.json"
REVISION = 2
"""Part of every file's parameters: count it up when the code makes other bytes."""
DESCRIPTION = "random weights made from a seed, for tests: pictures are noise"


def gguf_metadata(architecture: str) -> dict[str, str | int]:
    return {
        "general.architecture": architecture,
        "general.description": DESCRIPTION,
        "general.quantization_version": 2,
    }


class FileSet:
    """The files of a folder with the parameters each was made from, remembered in a manifest."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFileError(f"cannot make the folder {folder}: {error.strerror}") from error
        self.folder = folder
        self.paths: dict[str, Path] = {}
        self._made: dict[str, object] = {}
        try:
            known = read_json(folder / MANIFEST_NAME)
            self._made = known if isinstance(known, dict) else {}
        except (OSError, ValueError):
            pass  # No manifest, or not one of ours: everything is made anew.

    def make(
        self,
        role: str,
        name: str,
        parameters: Mapping[str, object],
        write: Callable[[Path], None],
    ) -> None:
        """Make the file, or keep the one of these parameters, and remember its path by `role`.

        Raises:
            OutputFileError: It cannot be written.
            ValueError: This process was given the file with other parameters, and may still have
                it open or load it again, for what it was: other parameters need another folder.
        """
        path = self.folder / name
        wanted = {"revision": REVISION, **parameters}
        given = _in_use.get(path.resolve(), wanted) if path.exists() else wanted
        if differing := {key for key in wanted | given if wanted.get(key) != given.get(key)}:
            raise ValueError(
                f"{path} is in use with other {', '.join(sorted(differing))}: expected a folder "
                "of its own for each set of parameters"
            )
        size = path.stat().st_size if path.is_file() else None
        if size is None or self._made.get(name) != {**wanted, "size": size}:
            write(path)
            self._made[name] = {**wanted, "size": path.stat().st_size}
            with atomic_file(self.folder / MANIFEST_NAME) as file:
                file.write(json.dumps(self._made, indent=1, sort_keys=True).encode())
        self.paths[role] = path
        _in_use[path.resolve()] = wanted
