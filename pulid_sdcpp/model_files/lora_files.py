"""The LoRA files that an engine reads: the user's, checked and written anew in its own names."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import GenerationError, ModelFileError, OutputFileError
from ..tensors.tensor_file import TensorFile
from .lora_checks import checked_lora
from .lora_conversion import changes_whole_weights, write_engine_lora
from .lora_layout import LoraModule, lora_layout
from .lora_places import LoraPlaces

__all__ = ["LoraFiles"]

MAX_FILES = 8
"""Of those that no picture is made with; the next use of another one costs a second per GB."""


class LoraFiles:
    """Converted LoRAs of one engine, in a folder of its own that goes with it. Thread-safe.

    Args:
        places: Of the engine's model.
        is_repacked: Whether weights are in a layout that nothing can be added to.
        are_merged: Whether the engine adds LoRAs to its weights, and takes them out by the file.
    """

    def __init__(
        self, places: LoraPlaces, is_repacked: bool = False, are_merged: bool = False
    ) -> None:
        self._places = places
        self._is_repacked = is_repacked
        self._are_merged = are_merged
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._count = 0
        self._files: dict[tuple[str, tuple[int, ...]], Path] = {}  # the last used last
        self._in_engine: list[set[Path]] = [set(), set()]

    def convert(self, paths: Iterable[Path]) -> dict[str, str]:
        """Have LoRAs converted.

        Args:
            paths: The user's files.

        Returns:
            The files to give to the engine, by the user's.

        Raises:
            ModelFileError: A file that does not fit the model, wholly; or that changes nothing.
            OutputFileError: There is no room for the converted file.
        """
        with self._lock:
            found = {str(path): self._converted(path) for path in paths}
            self._make_room(set(found.values()))
        return {name: str(path) for name, path in found.items()}

    def in_use(self, paths: Iterable[str]) -> None:
        """These are what the engine reads now; what it read before it may have to take out.

        Raises:
            GenerationError: One of them is gone. The engine would go on without it.
        """
        with self._lock:
            wanted = {Path(path) for path in paths}
            for path in wanted.union(self._in_engine[1] if self._are_merged else ()):
                if not path.is_file():
                    raise GenerationError(
                        f"{path}, which this engine reads a LoRA from, is gone; load the engine "
                        "again (TMPDIR names another folder for such files)"
                    )
            self._in_engine = [self._in_engine[1], wanted]

    def _converted(self, path: Path) -> Path:
        checked = checked_lora(path, self._places)
        key = (str(path), checked.stamp)
        known = self._files.pop(key, None)
        if known is not None and known.is_file():  # temporary folders get cleaned
            self._files[key] = known
            return known
        with TensorFile(path, (checked.stamp, checked.header)) as file:
            modules: Sequence[LoraModule] = checked.modules
            if file.stamp != checked.stamp:  # another one in this moment
                key = (str(path), file.stamp)
                modules = lora_layout(file.header, self._places, str(path))
            if self._is_repacked and changes_whole_weights(modules):
                raise ModelFileError(
                    f"{path}: this LoRA changes whole weights, which cannot be done in the layout "
                    "that the processor computes fastest with; use --no-repack, in Python "
                    "repack=False"
                )
            self._count += 1
            converted = self._own_folder() / f"{self._count}-{path.stem[:40]}.safetensors"
            try:
                with converted.open("wb") as output:
                    write_engine_lora(file, modules, output, str(path))
            except BaseException as error:
                with contextlib.suppress(OSError):
                    converted.unlink()
                if isinstance(error, OSError):
                    raise OutputFileError(
                        f"cannot write {converted}, which the engine reads {path} from: "
                        f"{error.strerror or error}; TMPDIR names another folder"
                    ) from error
                raise
        self._files[key] = converted
        return converted

    def _make_room(self, wanted: set[Path]) -> None:
        kept = wanted.union(*self._in_engine)
        spare = [key for key, path in self._files.items() if path not in kept]
        for key in spare[: max(0, len(spare) - MAX_FILES)]:
            with contextlib.suppress(OSError):
                os.unlink(self._files.pop(key))

    def _own_folder(self) -> Path:
        if self._folder is None:
            try:
                self._folder = Path(tempfile.mkdtemp(prefix="pulid-sdcpp-loras-"))
            except OSError as error:
                raise OutputFileError(
                    f"cannot make a folder for LoRAs: {error.strerror or error}; TMPDIR names "
                    "another place for it"
                ) from error
            self._remove = weakref.finalize(self, _remove, self._folder, os.getpid())
        return self._folder

    def close(self) -> None:
        """Remove the files; the engine must be gone. Closing twice is harmless."""
        with self._lock:
            self._files.clear()
            if self._folder is not None:
                self._remove()
                self._folder = None


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # and not a fork of it that ends
        shutil.rmtree(folder, ignore_errors=True)
