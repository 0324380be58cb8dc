"""`pulid-sdcpp convert`: quantize a model file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...options.context import WEIGHT_TYPES
from ...system.output_folders import output_folders
from ...system.size_text import described_size
from ...terminal_text import escaped_line
from ..flags.table import FILE_PATH
from ..flags.types import NamedChoice
from ..progress.progress import Progress

if TYPE_CHECKING:
    from ...conversion.convert import Conversion
    from ...conversion.plan import ConversionPlan

__all__ = ["convert"]

_TYPES = WEIGHT_TYPES[1:]  # "default" is no type


class _WeightType(NamedChoice):
    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        message = super().get_invalid_choice_message(value, ctx)
        if re.fullmatch(r"q\d_k_[sml]", str(value).lower()):
            kind = f"q{str(value)[1]}_K"
            return f"{message} Files named {str(value).upper()} are mostly {kind}"
        return message


@click.command()
@click.argument("source", type=FILE_PATH, metavar="INPUT")
@click.option(
    "-o", "--output", type=FILE_PATH, required=True, help="File to write, .gguf or .safetensors."
)
@click.option(
    "--type",
    "wtype",
    required=True,
    type=_WeightType(_TYPES, case_sensitive=False),
    metavar="TYPE",
    help=f"Type of the weights: {', '.join(_TYPES)}.",
)
@click.option(
    "--tensor-type-rules",
    default="",
    metavar="PATTERN=TYPE,...",
    help="Other types for some tensors, by name, such as ^single_blocks=q8_0.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("--quiet", is_flag=True, help="Print only errors.")
def convert(
    source: Path, output: Path, wtype: str, tensor_type_rules: str, overwrite: bool, quiet: bool
) -> None:
    """Quantize INPUT: Flux, SDXL, text encoder or PuLID weights.

    It uses the engine's own converter. The result is compared with INPUT before the file gets its
    name. Biases, norms and embeddings keep their precision. Of the torch checkpoint pulid_v1.bin,
    --type f16 and a .safetensors OUTPUT make what extraction and generation read.
    """
    from ...conversion.convert import convert_file
    from ...model_files.description import describe_file

    click.get_current_context().with_resource(output_folders([output]))
    progress = Progress(quiet, unit="tensor")
    progress.stage(f"{source}: {describe_file(source).summary}")

    def begin(plan: ConversionPlan) -> None:
        for note in plan.notes:
            progress.note(note)
        progress.stage(f"converting to {wtype}")

    try:
        done = convert_file(
            *(source, output, wtype),
            tensor_type_rules=tensor_type_rules,
            overwrite=overwrite,
            on_plan=begin,
            progress=progress.step,
        )
    finally:
        progress.clear()
    if quiet:
        return
    types = ", ".join(f"{kind} x {count}" for kind, count in done.types.items())
    click.echo(f"saved {escaped_line(done.path)}")
    click.echo(
        f"  {described_size(done.input_bytes)} -> {described_size(done.output_bytes)}"
        f" ({done.output_bytes / done.input_bytes:.0%})"
    )
    click.echo(f"  tensors: {types}")
    click.echo(
        "  checked: names, shapes, types and values; the largest error of a "
        f"tensor is {done.relative_error:.2g} of its size"
    )
    if done.what.startswith("PuLID") and not _is_read_by_extraction(done):
        progress.note("keep INPUT: extraction can read only the published PuLID weights")


def _is_read_by_extraction(done: Conversion) -> bool:
    return "SDXL" in done.what and done.path.suffix == ".safetensors"
