"""Quantize a model file with the engine's own converter, and check what it wrote."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import (
    GenerationCancelled,
    GenerationError,
    MemoryPlanError,
    ModelFileError,
    OutputFileError,
)
from ..families.flux.layout import flux_layout
from ..families.flux.pulid_weights import PulidWeights
from ..families.sdxl.pulid_weights import SdxlPulidWeights
from ..families.sdxl.unet_layout import unet_layout
from ..native.calls import NativeCall, base, current_call
from ..native.library import last_error, library
from ..native.loading import run_loading
from ..native.log import LastLines
from ..options.checks import check_choice, check_path
from ..options.context import ContextOptions
from ..system.atomic_file import atomic_path, check_new, check_writable
from ..system.output_names import check_is_no_input
from ..system.system_memory import total_memory_bytes
from ..tensors.file_kinds import classify
from ..tensors.tensor_file import TensorFile
from ..terminal_text import quoted
from .check import check_conversion
from .plan import CONVERSION_TYPES, ConversionPlan, plan_conversion
from .torch_checkpoint import readable_weights

__all__ = ["CONVERSION_TYPES", "Conversion", "convert_file"]

KINDS = ("flux", "sdxl", "clip-l", "clip-g", "t5xxl", "pulid-flux", "pulid-sdxl")
"""What can be converted."""

_SUFFIXES = (".gguf", ".safetensors")
_PLAIN_TYPES = ("f32", "f16", "bf16")
_GB = 1e9

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Conversion:
    """What was converted, and how well.

    Attributes:
        path: The file that was written.
        what: What it is, in words.
        input_bytes, output_bytes: Sizes of the files.
        types: How many tensors of the result have which type.
        relative_error: The largest of a tensor, ||result - source|| / ||source||, over the rows
            that were looked at; 0 where nothing was rounded.
    """

    path: Path
    what: str
    input_bytes: int
    output_bytes: int
    types: Mapping[str, int] = field(default_factory=dict)
    relative_error: float = 0.0


def convert_file(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    wtype: str,
    *,
    tensor_type_rules: str = "",
    overwrite: bool = False,
    on_plan: Callable[[ConversionPlan], object] = lambda plan: None,
    progress: Progress | None = None,
) -> Conversion:
    """Convert the weights of a file to another type.

    Tensor names stay as they are. Biases, norms and embeddings keep their precision, and so does
    a matrix whose rows are no multiple of the type's block (32 or 256 values). The output appears
    when it is whole and has passed its check, or not at all.

    Args:
        source: Flux, SDXL, text encoder or PuLID weights; safetensors or gguf. PuLID weights for
            SDXL may be a torch checkpoint.
        output: `.gguf`, or `.safetensors` for the types f32, f16 and bf16.
        wtype: One of CONVERSION_TYPES.
        tensor_type_rules: "PATTERN=TYPE,...": other types for some tensors.
        overwrite: Replace an existing output.
        on_plan: Told what will be done, when nothing speaks against it.
        progress: Called with (tensors done, tensors, seconds each) on the engine's thread; it
            must not raise.

    Raises:
        ValueError: A type or rule that does not exist; the output is the source, or of a format
            that cannot hold what keeps its type.
        ModelFileError: The source is missing, damaged, or not one of these.
        OutputFileError: The output exists, cannot be written, or the disk has too little room.
        MemoryPlanError: The result is larger than this computer's memory, where it is made.
        GenerationError: The engine failed, or its result did not pass the check.
        NativeLibraryError: The compiled engine is missing.
        MissingDependencyError: A torch checkpoint, and no PyTorch.
    """
    target = _checked_target(source, output, wtype, tensor_type_rules, overwrite)
    with readable_weights(source, target) as readable, TensorFile(readable) as opened:
        what = _checked_kind(opened)
        plan = plan_conversion(opened.header, opened.path, wtype, tensor_type_rules)
        _check_holds(target, plan)
        _check_room(target, plan)
        on_plan(plan)
        # With its suffix: the engine tells the format from it.
        suffix = f".part{target.suffix.lower()}"
        with atomic_path(target, overwrite=overwrite, suffix=suffix) as temporary:
            _run(opened.path, temporary, plan, progress)
            with TensorFile(temporary) as result:
                error = check_conversion(opened, result, plan)
                _check_use(result, opened)
                size = result.size_bytes
        types = dict(Counter(plan.types.values()).most_common())
        return Conversion(target, what, opened.size_bytes, size, types, error)


def _checked_target(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    wtype: str,
    rules: str,
    overwrite: bool,
) -> Path:
    check_path("source", source)
    check_path("output", output)
    check_choice("type", wtype, CONVERSION_TYPES)
    ContextOptions(model_path="any", tensor_type_rules=rules, clip_l_path="any", vae_path="any")
    target = Path(output)
    if target.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"the output is {target.name!r}, but must end in {' or '.join(_SUFFIXES)}")
    types = {wtype, *(rule.rpartition("=")[2] for rule in rules.split(",") if rule)}
    if target.suffix.lower() == ".safetensors" and not types <= set(_PLAIN_TYPES):
        raise ValueError(
            f"a .safetensors file holds {', '.join(_PLAIN_TYPES)}, not {wtype}; name a .gguf"
        )
    check_writable(target)
    check_is_no_input(target, [source])
    if not overwrite:
        check_new(target)
    return target


def _checked_kind(opened: TensorFile) -> str:
    kind = classify(opened.header)
    if kind.kind not in KINDS:
        raise ModelFileError(
            f"{opened.path}: expected Flux, SDXL, text encoder or PuLID weights to convert, "
            f"found {kind.words}"
        )
    _check_use(opened, opened)
    return kind.words


def _check_use(file: TensorFile, source: TensorFile) -> None:
    """The reader of its kind must take it, and find what it finds in the source."""
    kind = classify(file.header)
    if kind != classify(source.header):
        raise GenerationError(f"the engine's conversion is not what it was, but {kind.words}")
    if kind.kind == "flux":
        flux_layout(file.header, file.path)
    if kind.kind == "sdxl":
        unet_layout(file.header, file.path)
    if kind.kind == "pulid-flux":
        PulidWeights(file.path).close()
    if kind.kind == "pulid-sdxl":
        SdxlPulidWeights(file.path).close()


def _check_holds(target: Path, plan: ConversionPlan) -> None:
    """What keeps its quantized type, as embeddings do, is for a gguf."""
    if target.suffix.lower() != ".safetensors":
        return
    for name, kind in plan.types.items():
        if kind not in (*_PLAIN_TYPES, "i32"):
            raise ValueError(
                f"a .safetensors file holds {', '.join(_PLAIN_TYPES)}, but {quoted(name)} keeps its"
                f" type {kind}; name a .gguf"
            )


def _check_room(target: Path, plan: ConversionPlan) -> None:
    needed = plan.output_bytes
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise OutputFileError(
            f"cannot write {target}: it needs {needed / _GB:.1f} GB, the disk has "
            f"{free / _GB:.1f} GB free"
        )
    memory = total_memory_bytes()
    if memory is not None and needed > memory:
        raise MemoryPlanError(
            f"converting makes the result of {needed / _GB:.1f} GB in memory, and this computer "
            f"has {memory / _GB:.1f} GB; choose a smaller type"
        )


def _run(source: str, target: Path, plan: ConversionPlan, progress: Progress | None) -> None:
    module = base()
    number = module.stable_diffusion.GGML_TYPE_MAP[plan.pool_type.lower()]
    call = NativeCall(None, progress)

    def convert() -> None:
        with LastLines() as log, current_call(call):
            # Names stay: readers of the input are readers of the output.
            done = module.stable_diffusion_cpp.convert(
                *(os.path.abspath(source).encode(), b"", os.path.abspath(target).encode()),
                *(int(number), plan.rules.encode(), False),
            )
        if call.failure is not None:
            raise call.failure
        if library().pulid_was_cancelled():
            raise GenerationCancelled("cancelled", log.lines)
        if not done:
            reason = last_error() or log.first_error or "it does not say why"
            raise GenerationError(f"the engine could not convert {source}: {reason}", log.lines)

    run_loading(convert)
