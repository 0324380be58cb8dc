"""Who is to be in the pictures: photos, identity files, or the people of an earlier picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ...identity.identity_file import is_identity_file
from ...people.identity_options import IdentityOptions, check_people
from ...people.person import parse_person
from ...people.person_spec import PersonSpec
from ...people.region import Region
from ...system.user_folders import with_home
from .given_values import is_given

if TYPE_CHECKING:
    from ...people.person import Person
    from ...pipeline.pulid_flux import PulidFlux
    from ..progress.progress import Progress

__all__ = ["SPAN", "enroll", "wanted_people"]

SPAN = ("weight", "start_step", "end_step")
"""How strongly and when: what flags say of everybody, and --person of one."""

_WAYS = {"portraits": "--portrait", "persons": "--person", "embedding": "--pulid-id-embedding"}


def wanted_people(ctx: click.Context, values: dict[str, Any]) -> list[PersonSpec]:
    """The people whom the flags name; files are not read yet.

    --pulid-id-weight and the steps hold for everybody whose --person does not say otherwise.

    Raises:
        click.UsageError: Flags that exclude each other, or need another.
        ValueError: A --person that cannot be understood.
    """
    given = [flag for name, flag in _WAYS.items() if values[name]]
    if len(given) > 1:
        raise click.UsageError(
            f"{' and '.join(given)} exclude each other; name several people with --person each"
        )
    span = {name: values[name] for name in SPAN}
    IdentityOptions(**span, cfg_start_step=values["cfg_start_step"])  # refuses what is out of range
    wanted = []
    check_people(len(values["persons"]))
    photos = {name: values[name] for name in ("face", "fusion")}
    if files := values["portraits"]:
        wanted = [PersonSpec(files[0].stem, files, **photos, **span)]
    elif file := values["embedding"]:  # sd-cli's flag names no photos
        wanted = [PersonSpec(file.stem, identity=file, **span)]
    for text in values["persons"]:
        source, arguments = parse_person(text)
        region = arguments.get("region")
        if region is not None and region.mask is not None:
            arguments["region"] = Region(mask=with_home(region.mask))
        path = with_home(source)
        wanted.append(PersonSpec(path.stem, (path,), **photos, **{**span, **arguments}))
    if wanted and values["pulid_weights"] is None:
        raise click.UsageError(f"{given[0]} needs --pulid-weights; add it, or leave both out")
    _check_photo_flags(ctx, wanted)
    return wanted


def enroll(
    pipeline: PulidFlux, wanted: Sequence[PersonSpec], progress: Progress
) -> tuple[Person, ...]:
    """Read or extract everybody's identity, and say which face it is where there are several.

    Raises:
        PulidError: As `PulidFlux.enroll`.
    """
    from ...pipeline.enroll_people import enroll_people

    def tell_which(found: Any) -> None:
        if found.n_faces > 1:
            progress.note(
                f"{found.photo} has {found.n_faces} faces, counted from the left from 0; "
                f"number {found.index} is taken (--face {found.index})"
            )

    return enroll_people(pipeline, wanted, on_face=tell_which)


def _check_photo_flags(ctx: click.Context, wanted: Sequence[PersonSpec]) -> None:
    """Refuse flags about photos where no photo is."""
    photos = [source for one in wanted for source in one.paths if not is_identity_file(source)]
    if is_given(ctx, "face") and not photos:
        raise click.UsageError("--face is about photos, and none is given; add --portrait PHOTO")
    if is_given(ctx, "fusion") and not any(len(one.files) > 1 for one in wanted):
        raise click.UsageError("--fusion is about several photos of a person; add --portrait PHOTO")
