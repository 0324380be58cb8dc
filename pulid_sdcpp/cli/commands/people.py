"""`pulid-sdcpp people`: people who are kept by name, to use wherever a photo goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import FaceNotFoundError, IdentityFileError
from ...identity.encoder import ENCODERS, FLUX, Encoder, encoder_words
from ...identity.face_choice import FaceChoice
from ...identity.fusion import DEFAULT_FUSION, FUSION_HELP, FUSIONS, Fusion
from ...terminal_text import alternatives, escaped_line
from ..flags.completions import complete_person
from ..flags.extraction import (
    PhotoPath,
    models_options,
    pulid_weights_option,
    refuse_warnings,
    strict_option,
)
from ..flags.face_choice import FaceChoiceType
from ..flags.table import FILE_PATH
from ..progress.json_progress import json_text
from ..progress.progress import Progress

if TYPE_CHECKING:
    from ...identity.identity_file import Identity
    from ...identity.kept_people import KeptPerson

__all__ = ["people"]

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_overwrite = click.option("--overwrite", is_flag=True, help="Replace the person who has this name.")


@click.group()
def people() -> None:
    """Keep people by name: the name then works wherever a photo does.

    \b
    pulid-sdcpp people add alice monday.jpg holiday.jpg
    pulid-sdcpp generate --preset flux-schnell-q4 --portrait alice -p "a portrait in oil"

    They are kept in your data folder, which only you can read; no cache command removes them.
    """


@people.command()
@click.argument("name")
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=PhotoPath())
@click.option(
    "--face",
    type=FaceChoiceType(),
    default="largest",
    show_default=True,
    help="Face to use if a photo has several: largest, left, right, center, a number (counting "
    "from 0 at the left), or a box x,y,w,h in pixels. It is the same for every photo.",
)
@click.option(
    "--fusion",
    type=click.Choice(FUSIONS),
    default=DEFAULT_FUSION,
    show_default=True,
    help=FUSION_HELP,
)
@models_options
@pulid_weights_option
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="PyTorch device: auto, cpu, cuda, cuda:1, mps.",
)
@_overwrite
@strict_option
@click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
@click.pass_context
def add(
    ctx: click.Context,
    name: str,
    photos: tuple[Path, ...],
    face: FaceChoice,
    fusion: Fusion,
    models_dir: Path,
    pulid_weights: Path | None,
    device: str,
    overwrite: bool,
    strict: bool,
    quiet: bool,
    **_: Any,
) -> None:
    """Keep the person in PHOTO... by NAME.

    PHOTO is a photo, several of one person, a folder of them, or an identity file. Photos need
    the extra [extract].

    Flux, SDXL v1 and SDXL v1.1 each need an identity of their own. Add the same photos once for
    each, with the preset or the --pulid-weights of the model: NAME then has all of them, and the
    one that fits is used.
    """
    from ...extraction.enrolment import Enroller
    from ...extraction.keep_photos import keep_photos
    from ...identity.identity_file import is_identity_file
    from ...identity.photo_files import photo_list
    from ..given.extraction_files import enroller_files
    from ..given.given_values import given_values
    from ..given.people import face_note

    progress = Progress(quiet)
    given = given_values(ctx)
    files = photo_list(photos)
    if pulid_weights is not None and any(map(is_identity_file, files)):
        raise click.UsageError("--pulid-weights is about photos; an identity file has its own")

    def enroller() -> Enroller:
        found = enroller_files(given, models_dir, pulid_weights)
        return Enroller(found, device=device)

    def enroll(paths: Sequence[Path]) -> Identity:
        with enroller() as opened:
            return opened.enroll(
                paths,
                face=face,
                fusion=fusion,
                on_face=face_note(progress),
                on_extract=lambda: progress.stage("extracting"),
            )

    kept = keep_photos(
        name,
        files,
        enroll,
        overwrite=overwrite,
        accept=(lambda identity: refuse_warnings(identity, files)) if strict else None,
        encoder=lambda: enroller().encoder,
    )
    if not quiet:
        click.echo(f"kept {escaped_line(kept.name)}: {_words(kept.identity)}")


@people.command("list")
@_json
def list_people(as_json: bool) -> None:
    """Show everybody who is kept."""
    from ...identity.kept_people import kept_people, people_folder

    everybody = kept_people()
    if as_json:
        click.echo(json_text([_described(person) for person in everybody], indent=2))
        return
    if not everybody:
        click.echo("no person is kept; add one with: pulid-sdcpp people add NAME PHOTO")
        return
    width = max(len(person.name) for person in everybody)
    for person in everybody:
        count = len(person.photos)
        photos = "" if not count else "1 photo" if count == 1 else f"{count} photos"
        encoders = "" if person.encoders == (FLUX,) else ", ".join(person.encoders)
        click.echo(
            f"{escaped_line(person.name):<{width}}  {person.identity.short_hash}  "
            f"{person.added[:10]:<10}  {photos:<{9 if encoders else 0}}  {encoders}".rstrip()
        )
    click.echo(f"in {escaped_line(people_folder())}")


@people.command()
@click.argument("name", shell_complete=complete_person)
@click.option("--preview", type=FILE_PATH, help="JPEG file to write the kept face to.")
@_json
def show(name: str, preview: Path | None, as_json: bool) -> None:
    """Show what is kept of NAME."""
    from ...identity.kept_people import kept_person
    from ...system.atomic_file import atomic_file

    person = kept_person(name)
    if preview is not None:
        if preview.suffix.lower() not in (".jpg", ".jpeg"):
            raise click.UsageError(f"--preview {preview}: the face is a JPEG; name a .jpg")
        if not person.preview:
            raise FaceNotFoundError(
                f"there is no picture of {person.name}: only photos leave one; add them again"
            )
        with atomic_file(preview, overwrite=False, private=True) as file:
            file.write(person.preview)
    described = _described(person)
    if as_json:
        click.echo(json_text(described, indent=2))
        return
    warnings = described.pop("warnings")
    for key, value in described.items():
        click.echo(f"{key.replace('_', ' ')}: {escaped_line(_shown(value))}")
    for warning in warnings:
        click.echo(f"warning: {warning['message']}")


@people.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_person)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rm(names: tuple[str, ...], yes: bool) -> None:
    """Forget NAME...: what is kept, and what the cache has of them.

    Pictures stay, and so do files that you exported. 'generate --from' then no longer finds the
    person of a picture.
    """
    from ...identity.further_identities import further_identities
    from ...identity.kept_people import find_person, kept_people, kept_person, remove_person
    from ...store.kept_files import find_of_person, remove_files
    from ..given.model_pull import ask

    identities: dict[str, list[Identity | None]] = {}
    for name in names:
        try:
            person = kept_person(name)
            identities[person.name] = [person.identity, *further_identities(person.path)]
        except IdentityFileError:
            if (damaged := find_person(name)) is None:
                raise
            identities[damaged.stem] = [None, *further_identities(damaged)]
    if not yes:
        ask(f"Forget {', '.join(identities)}?", "--yes")
    for name in identities:
        remove_person(name)
        click.echo(f"forgot {escaped_line(name)}")
    still = {
        identity.short_hash
        for person in kept_people()
        for identity in (person.identity, *further_identities(person.path))
    }
    for name, identity in ((name, one) for name, several in identities.items() for one in several):
        if identity is None:
            click.echo(
                f"note: the file of {escaped_line(name)} was damaged, so the cache was not looked "
                "through; 'pulid-sdcpp cache clear identities folded' removes everybody's",
                err=True,
            )
        elif identity.short_hash not in still:
            remove_files(find_of_person(identity))


@people.command()
@click.argument("name", shell_complete=complete_person)
@click.argument("new_name")
def rename(name: str, new_name: str) -> None:
    """Give NAME the name NEW_NAME."""
    from ...identity.kept_people import rename_person

    person = rename_person(name, new_name)
    click.echo(f"{escaped_line(name)} is now {escaped_line(person.name)}")


@people.command()
@click.argument("name", shell_complete=complete_person)
@click.argument("output", metavar="[FILE]", required=False, type=FILE_PATH)
@click.option(
    "--encoder",
    type=click.Choice(ENCODERS),
    help="Which of several identities: of Flux, SDXL v1 or SDXL v1.1; by default that of Flux, or "
    "the first.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def export(name: str, output: Path | None, encoder: Encoder | None, overwrite: bool) -> None:
    """Write NAME into an identity file, by default NAME.pulidembd: no photo is in it."""
    from ...identity.further_identities import identity_for
    from ...identity.kept_people import IDENTITY_SUFFIXES, kept_person

    person = kept_person(name)
    identity = identity_for(person.path, (encoder or FLUX,))
    if encoder is not None and identity.encoder != encoder:
        raise IdentityFileError(
            f"{person.name} has no identity for {encoder_words(encoder)}, but for "
            f"{alternatives(list(map(encoder_words, person.encoders)))}; add the photos with the "
            "weights of that model"
        )
    path = output or Path(f"{person.name}{IDENTITY_SUFFIXES[0]}")
    if path.suffix.lower() not in IDENTITY_SUFFIXES:
        raise click.UsageError(
            f"the output is {path}, but an identity file's name ends in "
            f"{' or '.join(IDENTITY_SUFFIXES)}"
        )
    identity.save(path, "f32" if identity.dtype == "f32" else "f16", overwrite=overwrite)
    click.echo(f"saved {escaped_line(path)}")


@people.command("import")
@click.argument("file", type=FILE_PATH)
@click.argument("name", required=False)
@_overwrite
def import_person(file: Path, name: str | None, overwrite: bool) -> None:
    """Keep the person of an identity FILE by NAME, by default the file's name."""
    from ...identity.identity_file import Identity
    from ...identity.kept_people import keep_person

    person = keep_person(
        file.stem if name is None else name, Identity.load(file), overwrite=overwrite
    )
    click.echo(f"kept {escaped_line(person.name)}: {_words(person.identity)}")


def _words(identity: Identity) -> str:
    """`identity 0123456789`, and for which model, where it is not Flux."""
    model = "" if identity.encoder == FLUX else f" for {encoder_words(identity.encoder)}"
    return f"identity {identity.short_hash}{model}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = ", ".join(value)
    return "unknown" if value in (None, "") else str(value)


def _described(person: KeptPerson) -> dict[str, Any]:
    identity = person.identity
    return {
        "name": person.name,
        "id": identity.short_hash,
        "encoders": list(person.encoders),
        "created": person.added,
        "photos": list(person.photos),
        "has_preview": bool(person.preview),
        "has_unconditional": identity.uncond_tokens is not None,
        "agreement": identity.metadata.get("agreement"),
        "warnings": [
            {"code": one.code, "photos": list(one.photos), "message": one.message(person.photos)}
            for one in identity.photo_warnings
        ],
        "weights_sha256": identity.metadata.get("weights_sha256"),
        "path": str(person.path),
    }
