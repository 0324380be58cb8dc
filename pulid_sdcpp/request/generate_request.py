"""What is asked for, settled: given > recipe > preset > defaults, decided here and nowhere else."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import named, option_error
from ..families.pulid_encoders import encoders_of_weights
from ..identity.named_person import named_person
from ..memory.plan import Vram
from ..model_files.lora_files_named import with_lora_tags, with_preset_loras
from ..model_files.model_family import is_sdxl_model
from ..options import second_pass
from ..options.context import ContextOptions
from ..options.facts import of
from ..options.generation import GenerationOptions, check_side, with_checked
from ..options.identity_mode import IdentityModeOptions, identity_weight
from ..options.size_multiple import size_multiple_px
from ..people.identity_options import IdentityOptions, check_people
from ..people.person import Person
from ..people.person_spec import PersonSpec
from ..pictures.parameters import templates_from
from ..terminal_text import shown
from .read_images import ImageNames, read_images
from .wildcards import WrittenPrompts

if TYPE_CHECKING:
    from ..pictures.recipe import PictureRecipe
    from ..store.model_store import PresetFiles

__all__ = [
    "FIELDS",
    "GenerateRequest",
    "Source",
    "choose",
    "generation_as_said",
    "recipe_values",
    "settle",
    "settle_context",
]

Source = Literal["given", "picture", "recipe", "preset", "default"]
"""Who said what a field is; "picture": the size is that of the picture to start from."""

_SPAN = tuple(of(Person))
"""How strongly and when: of everybody who does not say otherwise."""
_PHOTOS = tuple(name for name in of(PersonSpec) if name not in _SPAN)
_CONTEXT = tuple(field.name for field in dataclasses.fields(ContextOptions))
_GENERATION = tuple(field.name for field in dataclasses.fields(GenerationOptions))
_NOT_OF_A_PICTURE = {"batch_count"}

_MODE, *_NAMED_BY_MODE = of(IdentityModeOptions)
_PROMPTS = ("wildcards", "templates")

FIELDS = (
    *(*_CONTEXT, *_GENERATION, *_SPAN, *_PHOTOS, *_PROMPTS),
    *("cfg_start_step", "preset", "vram", "people"),
)
"""What may be given."""


@dataclass(frozen=True, eq=False)
class GenerateRequest:
    """Pictures of one prompt, with nothing left open but who the people are.

    Attributes:
        context: The model files, and how they are loaded.
        generation: With a fixed seed and size, and images that are read.
        people: Who is in them, each with a weight; nobody's photos or identity files are read.
        cfg_start_step: As that of `PulidPipeline.generate`.
        preset: The preset's name; "" if the files were given one by one.
        vram: As that of `PulidPipeline`.
        sources: Who said what each field of `context`, `generation` and everybody's span is.
        written: The prompts of each picture.
        image_names: Files of the images.
        image_files: Their paths.
    """

    context: ContextOptions
    generation: GenerationOptions
    people: tuple[PersonSpec, ...] = ()
    cfg_start_step: int | None = None
    preset: str = ""
    vram: Vram | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    written: tuple[WrittenPrompts, ...] = ()
    image_names: ImageNames = field(default_factory=dict)
    image_files: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The pictures, photos and identity files that are read."""
        masks = [person.region.mask for person in self.people if person.region is not None]
        return (
            *self.image_files,
            *(path for person in self.people for path in person.paths),
            *_paths_among(masks),
        )

    @property
    def each(self) -> tuple[GenerateRequest, ...]:
        """One request for each picture: the same, with the seeds that follow each other."""
        return tuple(
            dataclasses.replace(
                self,
                generation=with_checked(
                    self.generation,
                    prompt=written.prompt,
                    negative_prompt=written.negative_prompt,
                    seed=seed,
                    batch_count=1,
                ),
                written=(written,),
            )
            for seed, written in zip(self.generation.seeds, self.written, strict=True)
        )


def settle(
    given: Mapping[str, Any],
    *,
    recipe: PictureRecipe | None = None,
    preset: PresetFiles | None = None,
    context: ContextOptions | None = None,
) -> GenerateRequest:
    """Decide what holds, field by field, and check it; images are read, models are not.

    Who names a picture to start from and no size gets its size, over the recipe's and the
    preset's.

    Args:
        given: What was said, and nothing else: of FIELDS by name. "people" are mappings with
            fields of `PersonSpec`, or such; weight, steps, face and fusion beside them hold for
            everybody who does not say otherwise, people of the recipe too. With "wildcards" the
            choices in prompts that are given are made for each picture, else a prompt is taken as
            it is; "templates": what it was before its choices were made.
        recipe: The picture that is made again; its people, when nobody is given.
        preset: With its files found, as by `find_preset`.
        context: Of a model that is decided already: it is taken, and none of it can be given.

    Raises:
        TypeError: A name that is no option.
        ValueError: A value out of range, or what does not go together.
        ImageFileError: A picture to start from, a mask or a reference cannot be read.
    """
    for name in given:
        if name not in FIELDS or (context is not None and name in _CONTEXT):
            raise TypeError(f"there is no option {shown(name)}")
    layers: dict[Source, Mapping[str, Any]] = {
        "given": given,
        "recipe": {} if recipe is None else recipe_values(recipe),
        "preset": _of_preset(preset),
    }
    values, sources = choose(layers)
    if "prompt" not in values:
        raise option_error(f"{named('prompt')} is missing; say what to show")
    if context is None:
        context = _context(values, second_pass.reads_pictures(values))
    if recipe is not None and "lora_files" not in given:
        folder, is_chosen = context.lora_model_dir, "lora_model_dir" in given
        values["lora_files"] = recipe.lora_files(folder, is_chosen=is_chosen)
    asked = with_lora_tags(
        GenerationOptions(**_part(values, _GENERATION)),  # before any image is read
        instead=sources["prompt"] == "recipe",
    )
    if preset is not None:
        asked = with_preset_loras(asked, preset.settings.get("lora_files", ()))
    generation, names = read_images(asked)
    if given.get("init_image") is not None:
        encoders = encoders_of_weights(context.pulid_weights)
        multiple_px = size_multiple_px(encoders, is_sdxl=is_sdxl_model(vars(context)))
        size = _size_of(generation.init_image, given, multiple_px)
        generation = with_checked(generation, **size)
        sources |= dict.fromkeys(size, "picture")
    everybody = _part(values, _SPAN)
    cfg_start_step = values.get("cfg_start_step")
    IdentityOptions(**everybody, cfg_start_step=cfg_start_step)  # refuses what is out of range
    generation = generation.with_fixed_seed()
    written = _written(generation, given, recipe)
    first = {"prompt": written[0].prompt, "negative_prompt": written[0].negative_prompt}
    return GenerateRequest(
        context=context,
        generation=with_checked(generation, **first),
        written=written,
        people=_with_weights(
            _people(given, recipe, {**everybody, **_part(values, _PHOTOS)}), context
        ),
        cfg_start_step=cfg_start_step,
        preset="" if preset is None else preset.name,
        vram=given.get("vram"),
        sources=sources,
        image_names=names,
        image_files=_paths_among(
            [asked.init_image, asked.mask_image, *asked.ref_images, asked.control_image]
        ),
    )


def _written(
    generation: GenerationOptions, given: Mapping[str, Any], recipe: PictureRecipe | None
) -> tuple[WrittenPrompts, ...]:
    """The prompts of each picture. Those of a recipe have their choices made already."""
    said = {"prompt": generation.prompt, "negative_prompt": generation.negative_prompt}
    kept = dict(given.get("templates", {}))
    if recipe is not None:
        kept |= {k: text for k, text in templates_from(recipe.text).items() if k not in given}
    wildcards = given.get("wildcards")
    if wildcards is None:
        return (WrittenPrompts(**said, templates=kept),) * generation.batch_count
    words = {name: given[name] for name in said if name in given}
    # The tags behind them are names of files, in which there is nothing to choose.
    tags = {name: said[name].removeprefix(text) for name, text in words.items()}
    found = []
    for seed in generation.seeds:
        new = wildcards.write(words, seed)
        texts = said | {name: getattr(new, name) + tag for name, tag in tags.items()}
        found.append(WrittenPrompts(**texts, templates={**kept, **new.templates}))
    return tuple(found)


def settle_context(
    given: Mapping[str, Any], preset: PresetFiles | None, *, reads_pictures: bool
) -> ContextOptions:
    """What the model is loaded with, of many pictures.

    Args:
        given: What was said; names that are no fields of `ContextOptions` are passed over.
        preset: As for `settle`.
        reads_pictures: Whether one of them starts from a picture, has references, or
            enlarges pixels.

    Raises:
        ValueError: A value out of range, or what does not go together.
    """
    values, _ = choose({"given": given, "preset": _of_preset(preset)})
    return _context(values, reads_pictures or second_pass.reads_pictures(values))


def generation_as_said(given: Mapping[str, Any], settings: Mapping[str, Any]) -> GenerationOptions:
    """A picture's options as `settle` decides them, before it reads images, size and seed.

    Args:
        given: What was said; names that are no fields of `GenerationOptions` are passed over.
        settings: The preset's settings.

    Raises:
        ValueError: A value out of range, or what does not go together.
    """
    values, _ = choose({"given": given, "preset": settings})
    asked = with_lora_tags(GenerationOptions(**_part(values, _GENERATION)))
    return with_preset_loras(asked, settings.get("lora_files", ()))


def choose(
    layers: Mapping[Source, Mapping[str, Any]],
) -> tuple[dict[str, Any], dict[str, Source]]:
    """Of each field the value of the first layer that has one, and which layer that is.

    What no layer has is left to the default of its dataclass. A mode of the identity goes before
    what layers below it say of that which it is a name for.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name in (*_CONTEXT, *_GENERATION, *_SPAN, *_PHOTOS, "cfg_start_step"):
        sources[name] = "default"
        for source, layer in layers.items():
            if name in layer:
                values[name], sources[name] = layer[name], source
                break
    if values.get(_MODE) is not None:
        ranks = list(layers)
        for name in _NAMED_BY_MODE:
            if name in values and ranks.index(sources[name]) > ranks.index(sources[_MODE]):
                del values[name]
                sources[name] = "default"
    return values, sources


def _context(values: Mapping[str, Any], reads: bool) -> ContextOptions:
    decode_only = {"vae_decode_only": not reads}
    return ContextOptions(**{**decode_only, **_part(values, _CONTEXT)})


def _of_preset(preset: PresetFiles | None) -> dict[str, Any]:
    return {} if preset is None else {**preset.settings, **preset.context}


def recipe_values(recipe: PictureRecipe) -> dict[str, Any]:
    """What a picture was made with."""
    values = {
        name: getattr(recipe.generation, name)
        for name in _GENERATION
        if name not in _NOT_OF_A_PICTURE
    }
    # Its only person's weight and steps hold for somebody else, too.
    span = recipe.spans[0] if len(recipe.spans) == 1 else {}
    return {**values, **recipe.context, "cfg_start_step": recipe.cfg_start_step, **span}


def _people(
    given: Mapping[str, Any], recipe: PictureRecipe | None, everybody: Mapping[str, Any]
) -> tuple[PersonSpec, ...]:
    people = given.get("people") or ()
    check_people(len(people))
    if people:
        return tuple(
            one if isinstance(one, PersonSpec) else _spec({**everybody, **one}) for one in people
        )
    now = _part(given, _SPAN)
    return tuple(
        PersonSpec(
            person.identity.short_hash,  # type: ignore[union-attr]
            identity=person.identity,
            region=person.region,
            **{**{name: getattr(person, name) for name in _SPAN}, **now},
        )
        for person in (() if recipe is None else recipe.people)
    )


def _with_weights(
    people: tuple[PersonSpec, ...], context: ContextOptions
) -> tuple[PersonSpec, ...]:
    """Everybody with a weight: that of the PuLID weights where none is said."""
    if all(person.weight is not None for person in people):
        return people
    encoders = encoders_of_weights(context.pulid_weights)
    return tuple(
        dataclasses.replace(person, weight=identity_weight(encoders, person.weight))
        for person in people
    )


def _spec(values: Mapping[str, Any]) -> PersonSpec:
    """A person whose name, if none is given, is that of the first file, or the identity's hash.

    Names of people who are kept, and folders, become their files here.
    """
    named = values.get("files", ())
    named = (named,) if isinstance(named, str | os.PathLike) else named
    people = [named_person(one) for one in named]
    files = tuple(file for person in people for file in person.files)
    spec = PersonSpec(**{"name": "", **values, "files": files})
    if spec.name:
        return spec
    name = spec.paths[0].stem if spec.paths else getattr(spec.identity, "short_hash", "person")
    return dataclasses.replace(spec, name=people[0].name if people else name)


def _size_of(image: Any, given: Mapping[str, Any], step: int) -> dict[str, int]:
    """The sides that are not given: those of the picture, in whole multiples."""
    size = {}
    for name, side in zip(("width", "height"), image.size, strict=True):
        if name not in given:
            size[name] = max(round(side / step), 1) * step
            check_side(name, size[name])
    return size


def _paths_among(images: Any) -> tuple[Path, ...]:
    """Those of the images that are files."""
    return tuple(Path(one) for one in images if isinstance(one, str | os.PathLike))


def _part(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}
