"""How many tokens identities have that are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PulidError
from ..identity.encoder import SDXL_V1, SDXL_V1_TOKENS
from ..identity.fusion import Fusion, resolved_fusion
from ..identity.identity_file import is_identity_file
from .identity_use import IdentityLike, as_identity
from .person_spec import PersonSpec

__all__ = ["most_tokens", "photo_tokens"]

_FURTHER_TOKENS = 5
"""What `concat` takes of each photo but the first: see `Fusion`."""


def photo_tokens(n_photos: int, fusion: Fusion, encoders: Sequence[str]) -> int:
    """Tokens of the identity that photos of one person make.

    Args:
        n_photos: How many.
        fusion: How they are joined.
        encoders: Whose identities the model takes.

    Returns:
        0 where they are as many as one photo makes.
    """
    if SDXL_V1 not in encoders or n_photos < 2:
        return 0
    try:
        joined = resolved_fusion(fusion, SDXL_V1)
    except ValueError:  # which extraction refuses
        return 0
    if joined == "concat":
        return SDXL_V1_TOKENS + (n_photos - 1) * _FURTHER_TOKENS
    return SDXL_V1_TOKENS * n_photos if joined == "mix" else 0


def most_tokens(people: Sequence[PersonSpec], encoders: Sequence[str] = ()) -> int:
    """Tokens of the largest identity among those that are given, or made of photos.

    Args:
        encoders: As for `as_identity`.

    Returns:
        0 where all are as large as what one photo makes. An identity that cannot be used, which
        making a picture refuses, is left out.
    """
    most = 0
    for person in people:
        given: list[IdentityLike] = [path for path in person.files if is_identity_file(path)]
        most = max(most, photo_tokens(len(person.files) - len(given), person.fusion, encoders))
        if person.identity is not None:
            given.append(person.identity)
        for identity in given:
            try:
                most = max(most, len(as_identity(identity, encoders).tokens))
            except PulidError:
                continue
    return most
