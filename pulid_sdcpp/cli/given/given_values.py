"""What the user said, asked of click once; what was not said is no part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...options.context import ContextOptions
from ...options.generation import GenerationOptions

if TYPE_CHECKING:
    from ...people.person_spec import PersonSpec
    from ...pictures.recipe import PictureRecipe
    from ...request.wildcards import Wildcards
    from ...store.model_store import PresetFiles
    from ..progress.progress import Progress

__all__ = ["asked", "find_model", "given_values", "plan_for", "preset_name", "wildcards"]


def given_values(ctx: click.Context) -> Mapping[str, Any]:
    """The parameters that the user gave, be it with their defaults' values.

    A flag that stands for several is replaced by them.
    """
    unsaid = (None, ParameterSource.DEFAULT)
    names = [name for name in ctx.params if ctx.get_parameter_source(name) not in unsaid]
    given = {name: ctx.params[name] for name in names}
    if given.pop("circular", False):
        given |= {"circular_x": True, "circular_y": True}
    return MappingProxyType(given)


def asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The part of it that `settle` takes.

    Raises:
        click.UsageError, ValueError: As `named_people`.
    """
    from ...request.generate_request import FIELDS
    from .people import named_people

    values = {name: value for name, value in given.items() if name in FIELDS}
    return {**values, "people": named_people(given)}


def wildcards(given: Mapping[str, Any]) -> Wildcards | None:
    """The folders of wildcards; None where prompts are to be taken as they are.

    Raises:
        click.UsageError: Flags that exclude each other, or a folder that is not there.
        ModelFileError: The config file cannot be used.
    """
    folders = given.get("wildcards_dirs", ())
    if given.get("no_wildcards"):
        if folders:
            raise click.UsageError("--wildcards-dir and --no-wildcards exclude each other")
        return None
    from ...request.wildcards import user_wildcards

    for folder in folders:
        if not folder.is_dir():
            raise click.UsageError(f"--wildcards-dir: there is no folder {folder}")
    return user_wildcards(folders)


def preset_name(given: Mapping[str, Any], recipe: PictureRecipe | None = None) -> str:
    """The preset that is named, here or by the picture that is made again; "": none."""
    if "preset" in given:
        return given["preset"] or ""
    return "" if recipe is None else recipe.preset


def find_model(
    given: Mapping[str, Any], name: str, *, may_be_absent: bool = False
) -> PresetFiles | None:
    """The files and settings of the preset, if one is named.

    Args:
        may_be_absent: As for `find_preset`.

    Raises:
        click.UsageError: Neither a preset nor a model is named.
        ValueError: An unknown preset.
        ModelFileError: Its files are not there.
    """
    if not name:
        if given.get("diffusion_model_path") is None and given.get("model_path") is None:
            raise click.UsageError(_no_model())
        return None
    from ...request.find_preset import find_preset

    folders = given.get("models_dirs", ())
    return find_preset(name, folders, given, may_be_absent=may_be_absent)


def plan_for(
    context: ContextOptions,
    generation: GenerationOptions,
    vram: Any,
    progress: Progress,
    *,
    people: Sequence[PersonSpec] = (),
) -> tuple[ContextOptions, GenerationOptions]:
    """The options with what makes them fit; flags that were given stay as they are."""
    from ...families.pulid_encoders import encoders_of_weights
    from ...memory.plan import plan_memory
    from ...people.id_tokens import most_tokens

    plan = plan_memory(
        context,
        generation,
        vram=vram,
        people=max(len(people), 1),
        id_tokens=most_tokens(people, encoders_of_weights(context.pulid_weights)),
        this_computer=True,
    )
    progress.stage(f"memory: {plan.summary}")
    return plan.apply(context, generation)


def _no_model() -> str:
    from ...store.registry import preset_names

    return (
        f"no model is named; add --preset with one of {', '.join(preset_names())} ('pulid-sdcpp "
        "models pull NAME' downloads its files), or --diffusion-model and the other files"
    )
