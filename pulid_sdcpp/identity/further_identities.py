"""Further identities of a kept person, made by other encoders from the same photos.

Weights read only identities of their own encoder, so somebody who is to be drawn with Flux and
with SDXL has an identity for each. The first is the person's file; a further one has the same name
in a folder beside it that is named after its encoder: `alice.pulidembd`, `sdxl-v1/alice.pulidembd`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import IdentityFileError
from .encoder import ENCODERS, Encoder
from .identity_file import Identity

__all__ = [
    "further_files",
    "further_identities",
    "further_path",
    "have_same_photos",
    "identity_for",
    "move_further",
    "remove_further",
]


def further_path(path: Path, encoder: Encoder) -> Path:
    """Where the identity of an encoder lies beside a person's file."""
    return path.parent / encoder / path.name


def further_files(path: Path) -> dict[Encoder, Path]:
    """The files of a person's further identities, by encoder."""
    found = {encoder: further_path(path, encoder) for encoder in ENCODERS}
    return {encoder: file for encoder, file in found.items() if file.is_file()}


def further_identities(path: Path) -> list[Identity]:
    """A person's further identities; damaged ones are left out."""
    found = []
    for file in further_files(path).values():
        with contextlib.suppress(IdentityFileError):
            found.append(Identity.load(file))
    return found


def have_same_photos(one: Identity, other: Identity) -> bool:
    """Whether both say that they were made from the same photos."""
    photos = one.metadata.get("source_sha256")
    return bool(photos) and photos == other.metadata.get("source_sha256")


def identity_for(path: str | os.PathLike[str], encoders: Sequence[str]) -> Identity:
    """The identity in a file, or the further one beside it that weights work with.

    Args:
        path: An identity file, of a kept person or any other.
        encoders: Which the weights work with.

    Returns:
        That of the file, if it fits, or if there is no other of the same photos that does: then
        who uses it says what does not fit.

    Raises:
        IdentityFileError: The file is missing or damaged.
    """
    identity = Identity.load(path)
    if identity.encoder in encoders:
        return identity
    further = further_files(Path(path))
    for encoder in ENCODERS:
        if encoder in encoders and encoder in further:
            with contextlib.suppress(IdentityFileError):
                other = Identity.load(further[encoder])
                if other.encoder == encoder and have_same_photos(identity, other):
                    return other
    return identity


def move_further(path: Path, target: Path) -> None:
    """Name a person's further identities after another file.

    Raises:
        OSError: A file cannot be moved.
    """
    for encoder, file in further_files(path).items():
        file.replace(further_path(target, encoder))


def remove_further(path: Path) -> None:
    """Remove a person's further identities.

    Raises:
        OSError: A file cannot be removed.
    """
    for file in further_files(path).values():
        file.unlink(missing_ok=True)
