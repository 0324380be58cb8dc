"""Who is to be in the pictures: photos, identity files, or the people of an earlier picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ...identity.identity_file import is_identity_file
from ...identity.named_person import named_person
from ...options.facts import of
from ...people.person import Person, parse_person
from ...people.person_spec import check_face_is_of_photos
from ...people.region import Region
from ...system.user_folders import with_home

if TYPE_CHECKING:
    from ...pipeline.pulid_pipeline import PulidPipeline
    from ...request.generate_request import GenerateRequest
    from ..progress.progress import Progress

__all__ = ["check_people_flags", "enroll", "named_people", "names_people", "names_photos"]

_WAYS = {"portraits": "--portrait", "persons": "--person", "embedding": "--pulid-id-embedding"}


def names_people(given: Mapping[str, Any]) -> bool:
    """Whether the flags name somebody."""
    return any(given.get(name) for name in _WAYS)


def named_people(given: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The people whom the flags name, with what is said of each; files are not read yet.

    Raises:
        click.UsageError: Flags that exclude each other.
        ValueError: A --person that cannot be understood.
    """
    ways = [flag for name, flag in _WAYS.items() if given.get(name)]
    if len(ways) > 1:
        raise click.UsageError(
            f"{' and '.join(ways)} exclude each other; name several people with --person each"
        )
    if given.get("portraits"):
        if "" in given["portraits"]:  # of a shell's variable that is not set: not the folder here
            raise click.UsageError("--portrait is empty, but must be a path or a name")
        return [{"files": given["portraits"]}]
    if given.get("embedding"):  # sd-cli's flag names no photos
        return [{"identity": given["embedding"]}]
    return [_person(text) for text in given.get("persons", ())]


def check_people_flags(given: Mapping[str, Any], request: GenerateRequest) -> None:
    """Refuse flags that need another, or are about photos where no photo is.

    Raises:
        click.UsageError: Names the flags.
    """
    way = next((flag for name, flag in _WAYS.items() if given.get(name)), None)
    if way is None and not request.people and (flags := _about_a_person(given)):
        raise click.UsageError(
            f"{flags[0]} is about a person, and none is given; add --portrait PHOTO"
        )
    if way is not None and request.context.pulid_weights is None:
        raise click.UsageError(f"{way} needs --pulid-weights; add it, or leave both out")
    files = [path for person in request.people for path in person.paths]
    if "face" in given and all(map(is_identity_file, files)):
        raise click.UsageError("--face is about photos, and none is given; add --portrait PHOTO")
    if "fusion" in given and not any(len(person.files) > 1 for person in request.people):
        raise click.UsageError("--fusion is about several photos of a person; add --portrait PHOTO")


def enroll(
    pipeline: PulidPipeline, request: GenerateRequest, progress: Progress
) -> tuple[Person, ...]:
    """Read or extract everybody's identity, and say which face it is where there are several.

    Raises:
        PulidError: As `PulidPipeline.enroll`.
    """
    from ...pipeline.enroll_people import enroll_people

    flag = ":face=" if len(request.people) > 1 else "--face "
    on_face = face_note(progress, flag)
    return enroll_people(pipeline, request.people, on_face=on_face)


def face_note(progress: Progress, flag: str = "--face ") -> Callable[[Any], None]:
    """Says of a found face which one it is, where a photo has several, and what chooses another."""

    def note(found: Any) -> None:
        if found.n_faces > 1:
            progress.note(
                f"{found.photo} has {found.n_faces} faces, counted from 0 at the left; "
                f"number {found.index} is used ({flag}{found.index})"
            )

    return note


def names_photos(given: Mapping[str, Any]) -> bool:
    """Whether the flags name a photo, of which an identity has to be made.

    Raises:
        click.UsageError, ValueError: As `named_people`.
        PulidError: As `named_person`.
    """
    named = [one for person in named_people(given) for one in person.get("files", ())]
    return any(not is_identity_file(file) for one in named for file in named_person(one).files)


def _about_a_person(given: Mapping[str, Any]) -> list[str]:
    """The flags that say how somebody is put into the picture, in their short form."""
    return [fact.flags.split()[-1] for name, fact in of(Person).items() if name in given]


def _person(text: str) -> dict[str, Any]:
    source, own = parse_person(text)
    check_face_is_of_photos(own, named_person(source).files, text)
    region = own.get("region")
    if region is not None and region.mask is not None:
        own["region"] = Region(mask=with_home(region.mask))
    return {"files": (source,), **own}
