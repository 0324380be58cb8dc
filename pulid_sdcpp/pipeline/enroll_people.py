"""From people who are asked for to people with an identity: read, or extracted of photos."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..families.pulid_encoders import encoders_of_weights
from ..identity.identity_file import Identity
from ..people.identity_use import as_identity
from ..people.person import Person
from ..people.person_spec import PersonSpec

if TYPE_CHECKING:
    from .pulid_pipeline import PulidPipeline

__all__ = ["enroll_each", "enroll_people"]


def enroll_people(
    pipeline: PulidPipeline,
    specs: Iterable[PersonSpec],
    *,
    on_face: Callable[..., object] | None = None,
) -> tuple[Person, ...]:
    """Everybody with an identity, in order; equal sources are read or extracted once.

    Args:
        pipeline: Whose `enroll` extracts.
        on_face: Called with the `FoundFace` that is used of each new photo.

    Raises:
        As `PulidPipeline.enroll`.
    """
    everybody = enroll_each(pipeline, specs, on_face=on_face)
    return tuple(person for person in everybody if isinstance(person, Person))


def enroll_each(
    pipeline: PulidPipeline,
    specs: Iterable[PersonSpec],
    *,
    on_face: Callable[..., object] | None = None,
    kept: tuple[type[Exception], ...] = (),
) -> Iterator[Person | Exception]:
    """As `enroll_people`, one after another, where one who fails does not end it.

    Args:
        kept: Kinds of errors that are given in the place of the person; others are raised.
    """
    found: dict[Hashable, Identity | Exception] = {}
    alive: list[PersonSpec] = []  # a source may be the id of an object
    for spec in specs:
        alive.append(spec)
        if spec.source not in found:
            try:
                found[spec.source] = _identity(pipeline, spec, on_face)
            except kept as error:
                # Its frames hold the extractor's networks, and the photo.
                error.__traceback__ = error.__context__ = error.__cause__ = None
                found[spec.source] = error
        identity = found[spec.source]
        yield identity if isinstance(identity, Exception) else spec.with_identity(identity)


def _identity(
    pipeline: PulidPipeline, spec: PersonSpec, on_face: Callable[..., object] | None
) -> Identity:
    if spec.identity is not None:
        return as_identity(spec.identity, encoders_of_weights(pipeline.context.pulid_weights))
    photos = list(spec.files) if len(spec.files) > 1 else spec.files[0]
    told: dict[str, Any] = {} if on_face is None else {"on_face": on_face}
    return pipeline.enroll(photos, face=spec.face, fusion=spec.fusion, **told)
