"""From photos, or an identity file, to a person who is kept by name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ImageFileError, ModelFileError
from ..identity.encoder import Encoder
from ..identity.identity_file import Identity, is_identity_file
from ..identity.kept_people import (
    KeptPerson,
    check_name_is_free,
    check_person_name,
    find_person,
    keep_person,
)
from ..pictures.face_thumbnail import face_thumbnail
from ..system.image_file import read_image

__all__ = ["keep_photos"]


def keep_photos(
    name: str,
    files: Sequence[str | os.PathLike[str]],
    enroll: Callable[[list[Path]], Identity],
    *,
    overwrite: bool = False,
    accept: Callable[[Identity], object] | None = None,
    encoder: Callable[[], Encoder | None] = lambda: None,
) -> KeptPerson:
    """Keep the person in some photos, or in one identity file.

    Args:
        name: See `check_person_name`.
        files: Photos of the person, or one identity file.
        enroll: Makes the identity of the photos.
        overwrite: Whether somebody of this name may be replaced.
        accept: Called with the identity before it is kept; an exception in it ends this.
        encoder: Tells whose identities `enroll` makes, as far as that is known before.

    Raises:
        ValueError: No such name is possible, or an identity file among several.
        OutputExistsError: Somebody has this name and an identity of this encoder, and `overwrite`
            is off: nothing was extracted. Or as `keep_person`.
        PulidError: As `enroll`, and as `keep_person`.
    """
    check_person_name(name)
    paths = [Path(file) for file in files]
    identity_files = [path for path in paths if is_identity_file(path)]
    if identity_files and len(paths) > 1:
        raise ValueError(
            f"{identity_files[0]} is an identity file: it is given alone, and cannot be fused with "
            "photos"
        )
    known = Identity.load(paths[0]) if identity_files else None
    if find_person(name) is not None:
        expected = None if known is None else known.encoder
        if known is None:
            with contextlib.suppress(ModelFileError):
                expected = encoder()
        check_name_is_free(name, overwrite=overwrite, encoder=expected)
    identity = enroll(paths) if known is None else known
    if accept is not None:
        accept(identity)
    return keep_person(
        name,
        identity,
        photos=[] if identity_files else [path.name for path in paths],
        preview=b"" if identity_files else _preview(paths[0], identity),
        overwrite=overwrite,
    )


def _preview(photo: Path, identity: Identity) -> bytes:
    box = identity.metadata.get("face_box")
    if not isinstance(box, tuple) or len(box) != 4:
        return b""
    try:
        return face_thumbnail(read_image(photo), [float(edge) for edge in box])
    except (ImageFileError, ValueError):  # it is only for looking at
        return b""
