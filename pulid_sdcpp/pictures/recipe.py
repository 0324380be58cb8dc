"""A saved picture's parameters, complete: with them the same picture is made again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import (
    IdentityFileError,
    ImageFileError,
    Message,
    ModelFileError,
    PulidError,
    named,
)
from ..identity.hashes import text_numbers
from ..identity.identity_file import Identity
from ..identity.store import find_identity
from ..model_files.description import is_full_checkpoint
from ..model_files.lora_tags import find_lora
from ..model_files.upscalers import second_pass_upscaler
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from ..people.person import Person
from ..people.region import Region
from ..system.given_content import FileContent
from ..system.image_file import picture_name
from ..system.package_version import package_version
from ..terminal_text import shown
from .model_hashes import (
    FileHashes,
    file_digits,
    files_known,
    hashes_from,
    hashes_now,
    lora_digits,
    loras_known,
)
from .parameters import (
    CONTEXT_FIELDS,
    PROGRAM,
    SHEET,
    context_values_from,
    file_names_from,
    generation_options_from,
    identity_values_from,
    image_names_from,
    picture_notes,
)
from .people_text import DescribedPerson, people_from
from .png_text import PictureText, parse_text, read_picture_text
from .text_entries import file_hash

__all__ = ["PictureRecipe", "recipe_from"]

# What every text of ours has; a default in the place of one that was cut off would be wrong.
# Distilled guidance is in those of Flux only.
_NEEDED = ("Steps", "Sampler", "CFG scale", "Seed", "Size", "Model")


@dataclass(frozen=True, eq=False)
class PictureRecipe:
    """All that a picture was made with, ready to be used again.

        recipe = recipe_from("alice.png")
        with PulidPipeline.from_preset(recipe.preset, **recipe.context) as pipeline:
            result = pipeline.generate(**recipe.arguments)  # the same pixels
            pipeline.generate(**{**recipe.arguments, "seed": 8})  # another one like it

    Attributes:
        text: As it is in the picture.
        preset: The preset's name; "" if the files were given one by one.
        generation: The picture's options, with images as paths of the files that were found.
        people: The people, with their identities; empty if they were not wanted.
        spans: Weight, start_step and end_step of each person of the picture.
        cfg_start_step: As for `PulidPipeline.generate`.
        context: Fields of `ContextOptions` that change pixels and differ from the defaults.
        files: Names of the model files by field of `ContextOptions`; the diffusion model's
            without its suffix.
        version: Version of the program that made it.
    """

    text: PictureText
    preset: str
    generation: GenerationOptions
    people: tuple[Person, ...]
    spans: tuple[Mapping[str, Any], ...]
    cfg_start_step: int | None
    context: Mapping[str, Any]
    files: Mapping[str, str]
    version: str

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show: what the text leaves open, and what is used for it."""
        return picture_notes(self.text)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `PulidPipeline.generate`."""
        values = {
            field.name: getattr(self.generation, field.name)
            for field in fields(self.generation)
            if field.name != "batch_count"
        }
        return {**values, "identity": self.people, "cfg_start_step": self.cfg_start_step}

    def find_files(self) -> dict[str, Path]:
        """Model files with the picture's hashes, by field of `ContextOptions`, under any name.

        They are where they were when they were hashed on this computer, or renamed in that folder.
        A full checkpoint stands under "model_path".
        """
        then = hashes_from(self.text.values).files
        of_context = {name: digits for name, digits in then.items() if name != "hires_upscaler"}
        found = files_known(FileHashes(of_context, {}))
        if (model := found.get("diffusion_model_path")) and is_full_checkpoint(model):
            found["model_path"] = found.pop("diffusion_model_path")
        return found

    def find_hires_upscaler(
        self, folder: str | os.PathLike[str] | None, *, is_chosen: bool = False
    ) -> Path | None:
        """The second pass's upscaling model, if it is not in a folder under its name.

        Args:
            folder: Where it is looked for, as `hires_upscalers_dir`.
            is_chosen: What has the name there is meant, even if it is another model.

        Returns:
            A file with the picture's hash, found as by `find_files`; None: none is needed or known.
        """
        digits = hashes_from(self.text.values).files.get("hires_upscaler")
        if digits is None:
            return None
        with contextlib.suppress(PulidError, ValueError):
            there = second_pass_upscaler(self.generation, folder)
            if there is None or is_chosen or file_digits(there) == digits:
                return None
        return files_known(FileHashes({"hires_upscaler": digits}, {})).get("hires_upscaler")

    def lora_files(
        self, folder: str | os.PathLike[str] | None, *, is_chosen: bool = False
    ) -> tuple[tuple[str, Path], ...]:
        """LoRAs of the picture that are not in a folder under their names, with where they are.

        Args:
            folder: Where LoRAs are, as `lora_model_dir`.
            is_chosen: What has the name there is meant, even if it is another LoRA.
        """
        then = hashes_from(self.text.values).loras
        elsewhere = []
        for name, path in loras_known(FileHashes({}, then)).items():
            try:
                there = find_lora(name, folder or ".")
            except (ValueError, ModelFileError):
                elsewhere.append((name, path))
                continue
            if not is_chosen and lora_digits(there) != then[name]:
                elsewhere.append((name, path))
        return tuple(elsewhere)

    def differences(
        self,
        context: ContextOptions,
        prompt: str | None = None,
        lora_files: Sequence[tuple[str, str | os.PathLike[str]]] = (),
        *,
        on_read: Callable[[], object] | None = None,
    ) -> tuple[str, ...]:
        """Why a pipeline may make other pixels: a line for each file or option that differs.

        Model files and LoRAs are compared by their hashes, or by their names if the picture is from
        before its text had hashes. A file is hashed once per computer, a second per gigabyte.

        Args:
            context: Of the pipeline.
            prompt: The prompt that names the LoRAs; None: the picture's own.
            lora_files: As those of `GenerationOptions`.
            on_read: Called before files are hashed, if any must be.
        """
        then = hashes_from(self.text.values)
        prompt = self.generation.prompt if prompt is None else prompt
        now = FileHashes({}, {})
        if then.files or then.loras:
            upscaler = _hires_upscaler(self.generation, context)
            now = hashes_now(context, prompt, lora_files, hires_upscaler=upscaler, on_read=on_read)
        found = []
        for name, was in self.files.items():
            path = getattr(context, name)
            if name == "diffusion_model_path":
                path = path or context.model_path
                is_now = Path(path or "").stem
            else:
                is_now = Path(path or "").name
            hash_then, hash_now = then.files.get(name), now.files.get(name)
            if hash_then and hash_now:
                if hash_then != hash_now:
                    found.append(
                        f"{named(name)} was {was} ({hash_then}), and is {is_now} ({hash_now})"
                    )
            elif is_now != was:
                found.append(f"{named(name)} was {was}, and is {is_now or 'none'}")
        hash_then, hash_now = (of.files.get("hires_upscaler") for of in (then, now))
        if hash_then and hash_now and hash_then != hash_now:
            name = self.generation.hires_upscaler
            found.append(f"the upscaling model {name} was {hash_then}, and is {hash_now}")
        for name, hash_then in then.loras.items():
            hash_now = now.loras.get(name)
            if hash_now and hash_now != hash_then:
                found.append(f"the LoRA {name} was {hash_then}, and is {hash_now}")
        for name in CONTEXT_FIELDS:
            was_given = self.context.get(name, getattr(ContextOptions, name))
            if getattr(context, name) != was_given:
                found.append(
                    f"{named(name)} was {shown(was_given)}, and is {shown(getattr(context, name))}"
                )
        if self.version != package_version():
            found.append(f"{PROGRAM} was {self.version}, and is {package_version()}")
        return tuple(Message(difference) for difference in found)


def _hires_upscaler(generation: GenerationOptions, context: ContextOptions) -> Path | None:
    """The upscaling model of the second pass, if it is there."""
    try:
        return second_pass_upscaler(generation, context.hires_upscalers_dir)
    except (PulidError, ValueError):
        return None  # whoever makes the picture says so


def recipe_from(
    path: str | os.PathLike[str] | FileContent, *, find_people: bool = True
) -> PictureRecipe:
    """Read how a picture was made, and find the files that it was made from.

    Identities are found by their hash, in the user's cache folder (where `PulidPipeline` keeps
    those it uses), next to the picture and in the current folder. Images are found by their name,
    next to the picture and in the current folder, and must be exactly the same files.

    Args:
        path: A picture that this program saved: the file, what is in it (bytes), or an open file,
            which lies next to no other.
        find_people: Whether to find the people; otherwise the recipe has none.

    Raises:
        ImageFileError: The file has no text of this program, or a damaged one; or an image that it
            was made from is missing or has changed.
        IdentityFileError: An identity was not found.
    """
    picture = picture_name(path)
    text = _own_text(path)
    beside = [Path(path).absolute().parent] if isinstance(path, str | os.PathLike) else []
    folders = tuple(dict.fromkeys((*beside, Path.cwd())))
    try:
        generation = generation_options_from(text)
        described = people_from(text)
        cfg_start_step = identity_values_from(text).get("cfg_start_step")
        context = context_values_from(text)
        names = image_names_from(text)
    except ValueError as error:
        raise ImageFileError(f"{picture}: {error}") from None
    images = {
        role: tuple(_find_image(picture, f"{role} image", *image, folders) for image in several)
        for role, several in names.items()
    }
    people = tuple(_find_person(picture, person, folders) for person in described if find_people)
    return PictureRecipe(
        text=text,
        preset=text.values.get("Preset", ""),
        generation=replace(
            _with_images(picture, generation, images),
            lora_files=tuple(loras_known(hashes_from(text.values)).items()),
        ),
        people=people,
        spans=tuple(person.span for person in described),
        cfg_start_step=cfg_start_step,
        context=context,
        files=file_names_from(text),
        version=text.values["Version"].removeprefix(PROGRAM).strip(),
    )


def _own_text(path: str | os.PathLike[str] | FileContent) -> PictureText:
    found = read_picture_text(path)
    picture = picture_name(path)
    if found is None:
        raise ImageFileError(
            f"{picture}: expected a picture with the parameters it was made with, found none in it"
        )
    text = parse_text(found)
    if SHEET in text.values or found.startswith(SHEET.lower()):
        raise ImageFileError(
            f"{picture}: expected one picture, found a contact sheet; name one of its pictures"
        )
    if not text.values.get("Version", "").startswith(PROGRAM):
        raise ImageFileError(
            f"{picture}: expected a picture made by {PROGRAM}, found the text of another program "
            "or a damaged one"
        )
    for key in _NEEDED:
        if key not in text.values:
            raise ImageFileError(f"{picture}: the picture's text is damaged: it has no {key}")
    return text


def _find_image(
    picture: str | os.PathLike[str], what: str, name: str, digest: str, folders: Sequence[Path]
) -> Path:
    if not digest:
        raise ImageFileError(
            f"{picture}: its {what} was in memory only, so the picture cannot be made again"
        )
    if name != Path(name).name:
        raise ImageFileError(f"{picture}: the picture's text is damaged: {what} is {shown(name)}")
    changed = None
    for candidate in (folder / name for folder in folders):
        if candidate.is_file():
            if file_hash(candidate) == digest:
                return candidate
            changed = changed or candidate
    if changed is not None:
        raise ImageFileError(
            f"{changed} is not the {what} that {picture} was made with: expected SHA-256 "
            f"{digest}..., found {file_hash(changed)}...; put the former file in its place"
        )
    places = " or ".join(str(folder) for folder in folders)
    raise ImageFileError(f"{picture} was made with the {what} {name}, which is not in {places}")


def _with_images(
    picture: str | os.PathLike[str],
    generation: GenerationOptions,
    images: Mapping[str, tuple[Path, ...]],
) -> GenerationOptions:
    try:
        return replace(
            generation,
            init_image=next(iter(images["init"]), None),
            control_image=next(iter(images["control"]), None),
            mask_image=next(iter(images["mask"]), None),
            ref_images=images["ref"],
        )
    except ValueError as error:
        raise ImageFileError(f"{picture}: the picture's text is damaged: {error}") from None


def _find_person(
    picture: str | os.PathLike[str], described: DescribedPerson, folders: Sequence[Path]
) -> Person:
    region = None
    try:
        if described.mask is not None:
            region = Region(mask=_find_image(picture, "mask of a person", *described.mask, folders))
        elif described.box is not None:
            region = Region(box=described.box)  # type: ignore[arg-type]
        identity = _find_identity(picture, described, folders)
        return Person(identity, **described.span, region=region)
    except ValueError as error:
        raise ImageFileError(f"{picture}: the picture's text is damaged: {error}") from None


def _find_identity(
    picture: str | os.PathLike[str], described: DescribedPerson, folders: Sequence[Path]
) -> Identity:
    def has_the_numbers(identity: Identity) -> bool:
        uses = (identity.uncond_tokens, None)
        numbers = (text_numbers(identity.tokens, uncond_tokens) for uncond_tokens in uses)
        return not described.numbers or described.numbers in numbers

    identity = find_identity(described.identity_hash, folders, has_the_numbers)
    if identity is not None:
        return identity
    places = " or ".join(str(folder) for folder in folders)
    if find_identity(described.identity_hash, folders) is None:
        raise IdentityFileError(
            f"{picture} was made with the identity {described.identity_hash}, which is not kept "
            f"on this computer, nor in {places}; put its file (.pulidembd) there, or give the "
            "photos again with --portrait"
        )
    raise IdentityFileError(
        f"{picture} was made with another copy of the identity {described.identity_hash} than the "
        "one found here, which is rounded or has another unconditional part; put the former file "
        f"(.pulidembd) into {places}"
    )
