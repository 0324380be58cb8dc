"""A kept person as clients see it."""

from __future__ import annotations

from typing import Any

from .jobs import Job
from .people_library import LibraryPerson

__all__ = ["identity_view", "uses_identity"]


def identity_view(person: LibraryPerson) -> dict[str, Any]:
    """The person as JSON; nothing in it says where the file is."""
    photos = [dict(one) for one in person.faces] or [{} for _ in person.photos]
    return {
        "id": person.id,
        "name": person.name,
        "created": int(person.created),
        "photos": photos,
        "weights_sha256": person.weights_sha256 or None,
        "has_unconditional": person.has_unconditional,
        "thumbnail_url": f"/pulid/v1/identities/{person.id}/thumbnail"
        if person.has_preview
        else None,
        "agreement": person.agreement,
        "warnings": [
            {"code": one.code, "field": "photos", "message": one.message()}
            for one in person.photo_warnings
        ],
    }


def uses_identity(job: Job, identity_id: str) -> bool:
    """Whether a job's pictures need somebody."""
    people = job.request.get("people")
    if not isinstance(people, list):
        return False
    return any(isinstance(one, dict) and one.get("identity") == identity_id for one in people)
