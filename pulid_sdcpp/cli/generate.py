"""`pulid-sdcpp generate`: pictures of a person, with sd-cli's own flags."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..atomic_file import check_writable
from ..options import SIZE_MULTIPLE_PX, ContextOptions, GenerationOptions, IdentityOptions
from .generate_options import generate_options
from .option_table import GroupedCommand
from .output_paths import output_paths
from .progress import Progress

if TYPE_CHECKING:
    from PIL import Image

    from ..engine import StableDiffusion

__all__ = ["generate", "plan_for", "read_options"]


def create_engine(context: ContextOptions) -> StableDiffusion:
    """Load the models; tests put another engine here."""
    from ..engine import StableDiffusion

    # The log is shown around the progress bar, by show_engine_log.
    return StableDiffusion(**{**context.to_engine_kwargs(), "verbose": False})


@click.command(cls=GroupedCommand)
@generate_options
@click.pass_context
def generate(
    ctx: click.Context,
    output: Path,
    output_begin_idx: int,
    disable_image_metadata: bool,
    quiet: bool,
    vram: Any,
    **values: Any,
) -> None:
    """Make pictures, of a person where an identity is given.

    Takes the flags of stable-diffusion.cpp's sd-cli, so that its commands work with the
    program's name replaced; flags may be written with - or _.
    """
    from .engine_log import show_engine_log
    from .interrupt import second_interrupt_leaves

    # 1. What was asked for, refused here if it cannot be done.
    progress = Progress(quiet)
    image_names = _image_names(values)
    context, generation = read_options(ctx, values)
    if vram is not None:
        context, generation = plan_for(context, generation, vram, progress)
    identity = _read_identity(context, _options(IdentityOptions, values), generation, progress)
    paths = output_paths(output, generation.batch_count, output_begin_idx)
    texts = [""] * len(paths)
    if not disable_image_metadata:
        texts = _texts(context, generation, identity, image_names)
    _check_outputs(paths, texts)

    log = show_engine_log(progress, verbose=context.verbose, quiet=quiet)
    with log, second_interrupt_leaves():
        # 2. Load.
        progress.stage("loading the models")
        with create_engine(context) as engine:
            # 3. Generate.
            progress.stage(_summary(generation, identity))
            images = engine.generate_image(
                **generation.to_engine_kwargs(),
                **identity.to_engine_kwargs(),
                progress_callback=progress.step,
            )

    # 4. Save.
    _save(images, paths, texts, generation, quiet)


def read_options(
    ctx: click.Context, values: dict[str, Any]
) -> tuple[ContextOptions, GenerationOptions]:
    """The options that a command's values make; pictures are read."""
    _read_images(ctx, values)
    values["vae_decode_only"] = not values["init_image"] and not values["ref_images"]
    return (
        _options(ContextOptions, values),
        _options(GenerationOptions, values).with_fixed_seed(),
    )


def plan_for(
    context: ContextOptions, generation: GenerationOptions, vram: Any, progress: Progress
) -> tuple[ContextOptions, GenerationOptions]:
    """The options with what makes them fit; flags that were given stay as they are."""
    from ..plan import plan_memory

    plan = plan_memory(context, generation, vram=vram, this_computer=True)
    progress.stage(f"memory: {plan.summary}")
    return plan.apply(context, generation)


def _options(kind: Any, values: dict[str, Any]) -> Any:
    """An options object of the values that belong to it."""
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: values[name] for name in names if name in values})


def _image_names(values: dict[str, Any]) -> dict[str, list[Path]]:
    return {
        "init": [values["init_image"]] if values["init_image"] else [],
        "mask": [values["mask_image"]] if values["mask_image"] else [],
        "ref": list(values["ref_images"]),
    }


def _read_images(ctx: click.Context, values: dict[str, Any]) -> None:
    """Replace paths of images by the images; an init image gives the size not asked for."""
    from ..image_file import read_image

    values["ref_images"] = tuple(read_image(path) for path in values["ref_images"])
    if values.get("mask_image") is not None:
        values["mask_image"] = read_image(values["mask_image"])
    if values["init_image"] is not None:
        image = values["init_image"] = read_image(values["init_image"])
        for name, side in zip(("width", "height"), image.size, strict=True):
            if ctx.get_parameter_source(name) is ParameterSource.DEFAULT:
                rounded = round(side / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX
                values[name] = max(rounded, SIZE_MULTIPLE_PX)


def _read_identity(
    context: ContextOptions,
    identity: IdentityOptions,
    generation: GenerationOptions,
    progress: Progress,
) -> IdentityOptions:
    """Read the identity file: a bad one must not be found after loading the models."""
    if identity.embedding is None:
        if context.pulid_weights is not None:
            progress.stage("note: no --pulid-id-embedding given, so the picture is of nobody")
        return identity
    if context.pulid_weights is None:
        raise click.UsageError(
            "--pulid-id-embedding needs --pulid-weights; add it, or leave both out"
        )
    from ..identity import Identity

    if not identity.has_effect(generation.steps):
        progress.stage("note: this weight, start step and end step leave the identity out")
    path: Any = identity.embedding
    return dataclasses.replace(identity, embedding=Identity.load(path))


def _texts(
    context: ContextOptions,
    generation: GenerationOptions,
    identity: IdentityOptions,
    image_names: dict[str, list[Path]],
) -> list[str]:
    from ..package_version import package_version
    from ..picture_parameters import describe_picture
    from ..png_text import format_text

    return [
        format_text(
            describe_picture(
                context,
                generation,
                identity,
                index=index,
                identity_hash=getattr(identity.embedding, "short_hash", ""),
                image_names=image_names,
                version=package_version(),
            )
        )
        for index in range(generation.batch_count)
    ]


def _check_outputs(paths: list[Path], texts: list[str]) -> None:
    from ..png_text import check_picture_path

    for path, text in zip(paths, texts, strict=True):
        check_picture_path(path, text)
        check_writable(path)


def _summary(generation: GenerationOptions, identity: IdentityOptions) -> str:
    count = generation.batch_count
    what = "1 picture" if count == 1 else f"{count} pictures"
    whose = ""
    if identity.embedding is not None:
        whose = f", identity {getattr(identity.embedding, 'short_hash', '')} at {identity.weight:g}"
    return (
        f"generating {what}, {generation.width}x{generation.height}, "
        f"{generation.steps} steps, seed {generation.seed}{whose}"
    )


def _save(
    images: list[Image.Image],
    paths: list[Path],
    texts: list[str],
    generation: GenerationOptions,
    quiet: bool,
) -> None:
    from ..png_text import save_picture

    for image, path, text, seed in zip(images, paths, texts, generation.seeds, strict=True):
        save_picture(image, path, text)
        if not quiet:
            click.echo(f"saved {path} (seed {seed})")
