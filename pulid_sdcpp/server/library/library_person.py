"""Somebody whom an owner of a server keeps, as read from the files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import IdentityFileError
from ...identity.encoder import Encoder
from ...identity.further_identities import further_files
from ...identity.identity_file import Identity
from ...identity.kept_people import KeptPerson
from ...identity.photo_warning import PhotoWarning

__all__ = [
    "IdentityOfPerson",
    "LibraryPerson",
    "library_person",
    "library_person_of",
    "photos_sha256_of",
]


@dataclass(frozen=True)
class IdentityOfPerson:
    """One of a person's identities.

    Attributes:
        encoder: What made it: it says for which models it is.
        id: `Identity.short_hash`.
        sha256: `Identity.sha256`.
        path: An identity file, for the engine.
        has_unconditional: Whether it has an unconditional part.
    """

    encoder: Encoder
    id: str
    sha256: str
    path: Path
    has_unconditional: bool = False


@dataclass(frozen=True)
class LibraryPerson:
    """Somebody whom an owner keeps.

    Attributes:
        id: `Identity.short_hash` of the first identity.
        name: As the owner wrote it; "" for an identity that is in the cache only.
        path: An identity file, for the engine.
        sha256: `Identity.sha256`; `id` is its beginning.
        created: When it was kept, unix seconds; 0 if that is not known.
        photos: Names of the photos.
        weights_sha256: Of the weights it was made with; "" if that is not known.
        has_unconditional: Whether it has an unconditional identity.
        agreement: The lowest cosine between the faces of its photos; None: there was one photo.
        photo_warnings: What may be wrong with its photos.
        has_preview: Whether there is a picture of the face.
        references: What face recognisers have for the face, (n,) float32 by recogniser.
        faces: What was seen on each photo.
        identities: All of this person, the first one first.
        photos_sha256: Of the photos, separated by commas; "" if that is not known.
    """

    id: str
    name: str
    path: Path
    sha256: str
    created: float = 0.0
    photos: tuple[str, ...] = ()
    weights_sha256: str = ""
    has_unconditional: bool = False
    agreement: float | None = None
    photo_warnings: tuple[PhotoWarning, ...] = ()
    has_preview: bool = False
    references: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    faces: tuple[Mapping[str, Any], ...] = ()
    identities: tuple[IdentityOfPerson, ...] = ()
    photos_sha256: str = ""

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """For which models the person is kept."""
        return tuple(one.encoder for one in self.identities)

    @property
    def ids(self) -> tuple[str, ...]:
        """`Identity.short_hash` of each identity."""
        return tuple(one.id for one in self.identities)


def library_person(kept: KeptPerson) -> LibraryPerson:
    """The person of a file, with the identities beside it; damaged ones are left out."""
    return library_person_of(
        kept.name,
        kept.path,
        kept.identity,
        created=_unix(kept.added),
        photos=kept.photos,
        has_preview=bool(kept.preview),
        references=kept.references,
        faces=kept.faces,
        further=_further(kept),
    )


def _further(kept: KeptPerson) -> list[IdentityOfPerson]:
    found = []
    for encoder, path in further_files(kept.path).items():
        with contextlib.suppress(IdentityFileError):
            identity = Identity.load(path)
            if identity.encoder == encoder != kept.identity.encoder:
                found.append(_identity_of(identity, path))
    return found


def _identity_of(identity: Identity, path: Path) -> IdentityOfPerson:
    return IdentityOfPerson(
        identity.encoder,
        identity.short_hash,
        identity.sha256,
        path,
        identity.uncond_tokens is not None,
    )


def photos_sha256_of(identity: Identity) -> str:
    """The hashes of the photos that an identity was made of, separated by commas; "": not known."""
    return str(identity.metadata.get("source_sha256", ""))


def library_person_of(
    name: str,
    path: Path,
    identity: Identity,
    further: Sequence[IdentityOfPerson] = (),
    **more: Any,
) -> LibraryPerson:
    """The person of an identity.

    Args:
        name: "": it is in the cache only.
        path: Its file.
        identity: What is in it.
        further: The others.
        **more: Fields of `LibraryPerson`.
    """
    agreement = identity.metadata.get("agreement")
    return LibraryPerson(
        id=identity.short_hash,
        name=name,
        path=path,
        sha256=identity.sha256,
        weights_sha256=str(identity.metadata.get("weights_sha256", "")),
        has_unconditional=identity.uncond_tokens is not None,
        agreement=float(agreement) if isinstance(agreement, int | float) else None,
        photo_warnings=identity.photo_warnings,
        identities=(_identity_of(identity, path), *further),
        photos_sha256=photos_sha256_of(identity),
        **more,
    )


def _unix(added: str) -> float:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(added.replace("Z", "+00:00")).timestamp()
    return 0.0
