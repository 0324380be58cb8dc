"""From flags to options: what is given goes before what a preset has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...options.context import ContextOptions
from ...options.generation import SIZE_MULTIPLE_PX, GenerationOptions

if TYPE_CHECKING:
    from ...store.model_store import PresetFiles
    from ..progress.progress import Progress

__all__ = ["apply_preset", "fill_in", "is_given", "plan_for", "read_options", "values_of"]


def is_given(ctx: click.Context, name: str) -> bool:
    """Whether the user gave a parameter, be it with its default's value."""
    source = ctx.get_parameter_source(name)
    return source not in (None, ParameterSource.DEFAULT)


def fill_in(ctx: click.Context, values: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Give a command's values those of `defaults` where the user gave none."""
    for name, value in defaults.items():
        if name in values and not is_given(ctx, name):
            values[name] = value


def apply_preset(ctx: click.Context, values: dict[str, Any]) -> PresetFiles | None:
    """Fill in the files and settings of the preset that is named, if one is.

    Raises:
        click.UsageError: Neither a preset nor a model is named.
        ValueError: An unknown preset.
        ModelFileError: Its files are not there.
    """
    if not values["preset"]:
        if values["diffusion_model_path"] is None and values["model_path"] is None:
            raise click.UsageError(_no_model())
        return None
    from ...store.model_store import INSTEAD, resolve_preset

    given = {field.name for field in dataclasses.fields(ContextOptions)}
    given = {name for name in given if is_given(ctx, name)}
    given |= {INSTEAD[name] for name in given if name in INSTEAD}
    files = resolve_preset(values["preset"], values["models_dirs"], without=given)
    if is_given(ctx, "pulid_weights"):
        files.extractor["pulid_weights"] = values["pulid_weights"]
    fill_in(ctx, values, {**files.settings, **files.context})
    return files


def read_options(
    ctx: click.Context, values: dict[str, Any]
) -> tuple[ContextOptions, GenerationOptions]:
    """The options that a command's values make; a picture to start from gives the size."""
    from ...system.image_file import read_image
    from ...system.mask_image import read_mask

    # A bad one is found before anything is loaded.
    if values.get("mask_image") is not None:
        read_mask(values["mask_image"])
    for path in values["ref_images"]:
        read_image(path)
    if values["init_image"] is not None:
        image = read_image(values["init_image"])
    if is_given(ctx, "init_image"):  # not by a picture that is made again: that has a size
        for name, side in zip(("width", "height"), image.size, strict=True):
            rounded = round(side / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX
            if not is_given(ctx, name):
                values[name] = max(rounded, SIZE_MULTIPLE_PX)
    values["vae_decode_only"] = not values["init_image"] and not values["ref_images"]
    return (
        ContextOptions(**values_of(ContextOptions, values)),
        GenerationOptions(**values_of(GenerationOptions, values)).with_fixed_seed(),
    )


def values_of(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are fields of an options dataclass."""
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: values[name] for name in names if name in values}


def plan_for(
    context: ContextOptions,
    generation: GenerationOptions,
    vram: Any,
    progress: Progress,
    *,
    people: int = 1,
) -> tuple[ContextOptions, GenerationOptions]:
    """The options with what makes them fit; flags that were given stay as they are."""
    from ...memory.plan import plan_memory

    plan = plan_memory(context, generation, vram=vram, people=people, this_computer=True)
    progress.stage(f"memory: {plan.summary}")
    return plan.apply(context, generation)


def _no_model() -> str:
    from ...store.registry import preset_names

    return (
        f"no model is named; add --preset with one of {', '.join(preset_names())} ('pulid-sdcpp "
        "models pull NAME' downloads its files), or --diffusion-model and the other files"
    )
