"""A kept person as clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...identity.encoder import models_of_encoder
from ...system.output_names import folded
from ..jobs.jobs import Job
from ..library.library_person import LibraryPerson

__all__ = ["identity_view", "uses_identity"]


def identity_view(person: LibraryPerson) -> dict[str, Any]:
    """The person as JSON; nothing in it says where the file is."""
    photos = [dict(one) for one in person.faces] or [{} for _ in person.photos]
    return {
        "id": person.id,
        "name": person.name,
        "created": int(person.created),
        "identities": [
            {
                "encoder": one.encoder,
                "models": models_of_encoder(one.encoder),
                "id": one.id,
                "has_unconditional": one.has_unconditional,
            }
            for one in person.identities
        ],
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


def uses_identity(job: Job, person: LibraryPerson) -> bool:
    """Whether a job's pictures need somebody; a grid's are in its `request`, as they were asked
    for."""
    names = {folded(person.name), *person.ids}
    hashes = [one.sha256 for one in person.identities]
    for request in (job.request, job.request.get("request")):
        people = request.get("people") if isinstance(request, Mapping) else None
        for one in people if isinstance(people, list) else ():
            wanted = one.get("identity") if isinstance(one, Mapping) else None
            if isinstance(wanted, str) and (
                folded(wanted) in names
                or (len(wanted) >= 10 and any(one.startswith(wanted) for one in hashes))
            ):
                return True
    return False
