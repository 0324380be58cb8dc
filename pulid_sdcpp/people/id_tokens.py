"""How many tokens identities have that are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PulidError
from ..identity.identity_file import is_identity_file
from .identity_use import IdentityLike, as_identity
from .person_spec import PersonSpec

__all__ = ["most_tokens"]


def most_tokens(people: Sequence[PersonSpec], encoders: Sequence[str] = ()) -> int:
    """Tokens of the largest identity among those that are given.

    Args:
        encoders: As for `as_identity`.

    Returns:
        0 where all are photos. An identity that cannot be used, which making a picture refuses,
        is left out.
    """
    given: list[IdentityLike] = [
        path for person in people for path in person.files if is_identity_file(path)
    ]
    given += [person.identity for person in people if person.identity is not None]
    most = 0
    for identity in given:
        try:
            most = max(most, len(as_identity(identity, encoders).tokens))
        except PulidError:
            continue
    return most
