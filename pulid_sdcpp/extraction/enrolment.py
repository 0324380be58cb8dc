"""Photos to identities, each made once: what was made before is found in the user's cache folder.

An identity is kept under a hash of all it was made of (photos, choice of face, fusion, weights,
...), so none is ever out of date. The PyTorch half is loaded only for photos that are new.

An identity from here is rounded to float16, as `pulid-sdcpp extract` writes it: the same person
gives the same picture, to the byte, whether just extracted, from the cache or from a file.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError
from ..identity.encoder import Encoder
from ..identity.face_choice import FaceChoice, check_face_choice
from ..identity.fusion import DEFAULT_FUSION, Fusion, check_fusion
from ..identity.identity_file import Identity
from ..identity.photo_warning import log_photo_warnings
from ..identity.store import find_entry, store_folder, write_entry
from ..system.file_hash import remembered_sha256
from ..system.given_content import is_content
from ..system.image_file import picture_bytes
from ..system.package_version import package_version
from ..terminal_text import reason_of
from . import extractor
from .weights_encoder import encoder_of_weights

if TYPE_CHECKING:
    from pulid_extractor import FoundFace, PhotoSource

__all__ = ["Enroller", "contents_read"]

LOGGER = logging.getLogger("pulid_sdcpp.photos")

_KEY_DIGITS = 32


class Enroller:
    """Makes identities of photos, or finds them made. Any thread may call; they wait in line.

    Args:
        extractor_files: Where the extractor's weights are: `models_dir`, or `pulid_weights`, `eva`,
            `parsing`, `detector`, `recogniser` (and `retinaface`), as for `IdentityExtractor`.
        device, dtype, aligner: As for `IdentityExtractor`.
        cache: Look in the user's cache folder first, and keep there what is new.
        create_extractor: Makes the extractor; None: a `pulid_extractor.IdentityExtractor`.
    """

    def __init__(
        self,
        extractor_files: Mapping[str, str | os.PathLike[str]],
        *,
        device: str = "auto",
        dtype: str = "auto",
        aligner: str = "insightface",
        cache: bool = True,
        create_extractor: Callable[..., Any] | None = None,
    ) -> None:
        self._files = dict(extractor_files)
        self._options = {"aligner": aligner, "device": device, "dtype": dtype}
        self._cache = cache
        self._create_extractor = create_extractor or extractor.load_extractor
        self._extractor: Any = None
        self._loaded_weights: dict[str, str] = {}
        self._lock = threading.RLock()

    def enroll(
        self,
        photos: PhotoSource | Sequence[PhotoSource],
        *,
        face: FaceChoice = "largest",
        fusion: Fusion = DEFAULT_FUSION,
        on_face: Callable[[FoundFace], object] | None = None,
        on_extract: Callable[[], object] | None = None,
    ) -> Identity:
        """The identity of the person in one or several photos.

        Args:
            photos: A file, what is in it (bytes), an open file, a Pillow image or an array; or a
                list of them, of one person.
            face: Which face where there are several, see `check_face_choice`.
            fusion: How several photos become one identity; see `IdentityExtractor.extract`.
            on_face: Told which face was taken of each photo, when the photos are new.
            on_extract: Told once, before the networks are loaded, when the photos are new.

        Raises:
            ImageFileError: A photo cannot be used.
            FaceNotFoundError: A photo has no face, or not the one that was asked for.
            ModelFileError: Weights are missing or of the wrong kind.
            MissingDependencyError: The extra [extract] is not installed.
            ValueError: No photos, no such choice of face, or no such fusion, or one that the
                encoder cannot do.
        """
        photos = contents_read(photos)
        sources: list[Any] = list(photos) if isinstance(photos, (list, tuple)) else [photos]
        if not sources:
            raise ValueError("expected at least one photo, found an empty list")
        choice, fusion = check_face_choice(face), check_fusion(fusion)
        # Without a folder there is nothing to look up, so nothing is hashed either.
        folder = store_folder() if self._cache else None
        weights = {} if folder is None else self._weights(folder)
        hashes = [] if folder is None else _photo_hashes(sources)
        key = self._key(weights, hashes, choice, fusion if len(sources) > 1 else "")
        if (found := find_entry(folder, key)) is not None:
            return _said_again(found, sources)
        with self._lock:
            # Another thread may have been at it while this one waited.
            if (found := find_entry(folder, key)) is not None:
                return _said_again(found, sources)
            _check_photos(sources)
            if on_extract is not None:
                on_extract()
            photo = sources if len(sources) > 1 else sources[0]
            loaded = self._loaded(weights)
            identity = _rounded(loaded.extract(photo, face=choice, fusion=fusion, on_face=on_face))
            # A photo may have been replaced since it was hashed.
            expected = ",".join(hashes)
            if identity.metadata.get("source_sha256", expected) == expected:
                write_entry(folder, key, identity)
            return identity

    @property
    def encoder(self) -> Encoder | None:
        """Whose identities it makes, told by the weights' names of tensors; None: it cannot be.

        Raises:
            ModelFileError: Weights are missing.
        """
        return encoder_of_weights(self._found_files()["pulid"])

    def close(self) -> None:
        """Free the networks; they are loaded again when they are needed again."""
        with self._lock:
            if self._extractor is None:
                return
            self._extractor = None
            gc.collect()
            if "torch" in sys.modules:
                from pulid_extractor.compute import free_cached_memory

                free_cached_memory()

    def __enter__(self) -> Enroller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _weights(self, folder: Path) -> dict[str, str]:
        """Content hash of every weights file, by role."""
        return {role: _hash_of(path, folder) for role, path in self._found_files().items()}

    def _found_files(self) -> dict[str, Path]:
        """Every weights file, by role."""
        from pulid_extractor.models_folder import find_model_files

        given = dict(self._files)
        found = find_model_files(
            given.pop("models_dir", None),
            pulid=given.pop("pulid_weights", None),
            with_retinaface=self._options["aligner"] == "retinaface",
            **given,
        )
        return {role: path for role, path in vars(found).items() if path is not None}

    def _key(
        self, weights: Mapping[str, str], hashes: Sequence[str], face: FaceChoice, fusion: str
    ) -> str:
        parts = {
            "extractor": package_version(),
            "face": face,
            "fusion": fusion,
            "photos": hashes,
            "weights": weights,
            **self._options,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]

    def _loaded(self, weights: dict[str, str]) -> Any:
        if self._extractor is None or self._loaded_weights != weights:
            self.close()
            self._extractor = self._create_extractor(**self._files, **self._options)
            self._loaded_weights = weights
        return self._extractor


def contents_read(photos: Any) -> Any:
    """Photos with what is in open files in their place, which may not be read a second time.

    Raises:
        ImageFileError: Nothing is in one, or it cannot be read.
        ValueError: One gives no bytes.
    """
    if isinstance(photos, (list, tuple)):
        return [contents_read(photo) for photo in photos]
    return picture_bytes(photos) if is_content(photos) else photos


def _said_again(identity: Identity, sources: Sequence[Any]) -> Identity:
    """An identity that is known, with what was said when it was made."""
    names = [
        os.fspath(source) if isinstance(source, str | os.PathLike) else "the given picture"
        for source in sources
    ]
    log_photo_warnings(LOGGER, identity.photo_warnings, names)
    return identity


def _hash_of(path: Path, folder: Path) -> str:
    try:
        return remembered_sha256(path, folder)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot read it: {reason_of(error)}") from error


def _photo_hashes(sources: Sequence[Any]) -> list[str]:
    from pulid_extractor.photo import photo_sha256

    return [photo_sha256(source) for source in sources]


def _check_photos(sources: Sequence[Any]) -> None:
    """Refuse what is no photo before the networks are loaded, which takes seconds."""
    from pulid_extractor.photo import load_photo

    for source in sources:
        load_photo(source)


def _rounded(identity: Identity) -> Identity:
    """As it is read from a file in float16."""
    uncond = identity.uncond_tokens
    return replace(
        identity,
        tokens=identity.tokens.astype("<f2"),
        uncond_tokens=None if uncond is None else uncond.astype("<f2"),
        dtype="f16",
    )
