"""A LoRA of any spelling as the one file that the engine reads exactly.

The engine knows a part of the names, adds parts of a matrix in the order in which it finds them,
multiplies factors of Kronecker products in the wrong order, and knows nothing of halves exchanged
or of scales in metadata. What it does right in every mode is this: a product of two matrices, a
matrix, a bias, a Kronecker product of two whole matrices. So every LoRA is written as these.

Sources: Hu et al. 2021, arXiv 2106.09685 (products, alpha / rank); Yeh et al. 2023, arXiv
2309.14859 (Hadamard and Kronecker products, and when these are scaled).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from ..errors import ModelFileError
from ..tensors.lora_names import HADAMARD
from ..tensors.tensor_file import TensorFile
from ..terminal_text import quoted
from .lora_convolutions import convolution, kronecker_factor
from .lora_layout import LoraModule, matrix_shape
from .lora_places import Place
from .lora_places_flux import diffusers_names
from .lora_tensors import LoraReader, Values, Written, kept_type, write_tensors

__all__ = ["changes_whole_weights", "write_engine_lora"]

MAX_CHANGE = 1000.0
"""Trained ones stay below 5; merged into float16, this much cannot be taken out again."""
_NAMED_BLOCKS = {"double": 19, "single": 38}  # that the engine has diffusers' names of


def changes_whole_weights(modules: Sequence[LoraModule]) -> bool:
    """Whether the engine has to add matrices to the weights themselves, even at run time."""
    return any(
        module.form == "dense" or (module.form == "hadamard" and not _is_short(module))
        for module in modules
        if not module.place.kernel  # convolutions stay in the layout of the file
    )


def write_engine_lora(
    file: TensorFile, modules: Sequence[LoraModule], output: BinaryIO, source: str
) -> None:
    """Write what a LoRA changes, in the engine's names.

    Args:
        file: The LoRA.
        modules: All that is in it, of `lora_layout`.
        output: Where to; a safetensors file.
        source: The LoRA's name, for error messages.

    Raises:
        ModelFileError: It has numbers that are not finite, or changes nothing at all, or parts of
            one matrix that do not go together.
        OSError: It cannot be written.
    """
    reader = LoraReader(file, source)
    sizes = [reader.size(module) for module in modules]
    if not any(sizes):
        raise ModelFileError(
            f"{source}: the LoRA changes nothing: one of the two matrices of every product in it "
            "is all zeros; it was saved before it was trained, or is damaged"
        )
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    if sizes[largest] > MAX_CHANGE:
        name = next(iter(modules[largest].tensors.values())).name
        raise ModelFileError(
            f"{source}: damaged LoRA: {quoted(name)} and what it is multiplied with change weights "
            f"by up to {sizes[largest]:.0e}; the weights themselves are below 10"
        )
    matrices: dict[tuple[str, str], list[LoraModule]] = {}
    for module in modules:
        matrices.setdefault((module.place.part, module.place.module), []).append(module)
    written: list[Written] = []
    for parts in matrices.values():
        written += _weight(reader, parts)
        written += _bias(reader, parts)
    write_tensors(written, output, source)


def _weight(reader: LoraReader, modules: list[LoraModule]) -> list[Written]:
    """What changes one weight matrix: as a whole, or part below part, without gaps."""
    parts = {module.place.index: module for module in modules if module.form}
    if not parts:
        return []
    place = next(iter(parts.values())).place
    if place.kernel:
        return convolution(reader, parts[None])
    forms = _forms(list(parts.values()))
    if len(forms) > 1:
        first, *_, last = (next(iter(module.tensors.values())).name for module in parts.values())
        raise ModelFileError(
            f"{reader.source}: the LoRA changes parts of {place.module} in different ways, which "
            f"cannot be applied: {quoted(first)} and {quoted(last)}"
        )
    (form,) = forms
    if place.part_modules:
        return _separate(reader, parts, form)
    if form == "dense":
        return [_dense(reader, list(parts.values()))]
    make = _MAKERS[form]
    if None in parts:
        return make(reader, parts[None], _Names(place.engine_name, 0))
    if form != "low rank" and _block(place) >= _NAMED_BLOCKS[place.module.split("_")[0]]:
        raise ModelFileError(
            f"{reader.source}: the LoRA changes parts of {place.module} by Kronecker or Hadamard "
            "products, which cannot be applied to a model of so many blocks"
        )
    names = {index: name for name, index in diffusers_names(place.module)}
    written = []
    for index, rows in enumerate(place.parts):
        part = _Names(place.engine_name, index, names[index])
        if index in parts:
            written += make(reader, parts[index], part)
        else:
            written += _nothing(form, rows, place.inputs, part)
    return written


def _separate(
    reader: LoraReader, parts: Mapping[int | None, LoraModule], form: str
) -> list[Written]:
    """All parts of a matrix by names of their own."""
    place = next(iter(parts.values())).place
    written: list[Written] = []
    for index, (rows, module) in enumerate(zip(place.parts, place.part_modules, strict=True)):
        names = _Names(place.prefix + module, 0)
        if index not in parts:
            written += _nothing(form, rows, place.inputs, names)
        elif form == "dense":
            written.append(_whole_diff(reader, parts[index], names))
        else:
            written += _MAKERS[form](reader, parts[index], names)
    return written


def _whole_diff(reader: LoraReader, module: LoraModule, names: _Names) -> Written:
    info = module.tensors["diff"]
    shape = (module.place.rows, module.place.inputs)
    return Written(names.of("diff"), shape, kept_type(info), lambda: reader.matrix(info))


def _forms(modules: Sequence[LoraModule]) -> set[str]:
    """What products the file to write has for one matrix; short Hadamard products become others."""
    forms = {module.form for module in modules}
    if all(_is_short(module) for module in modules if module.form == "hadamard"):
        forms = {"low rank" if form == "hadamard" else form for form in forms}
    return forms


def _block(place: Place) -> int:
    return int(place.module.split(".")[1])


@dataclass(frozen=True)
class _Names:
    """How the tensors of a part have to be called so that the engine finds them there."""

    module: str
    index: int
    diffusers: str = ""

    def of(self, role: str) -> str:
        """Of a tensor of a product."""
        if role in ("lora_down", "lora_up"):
            at = f".weight.{self.index}" if self.index else ""
            return f"{self.module}{at}.{role}" + ("" if self.index else ".weight")
        if not self.index:
            return f"{self.module}.{role}"
        # The engine's names for these know no parts; its names of diffusers do.
        return f"transformer.{self.diffusers}.{role}"


def _low_rank(reader: LoraReader, module: LoraModule, names: _Names) -> list[Written]:
    if module.form == "hadamard":
        return _hadamard_as_low_rank(reader, module, names)
    down, up = module.tensors["down"], module.tensors["up"]
    rank = matrix_shape(down)[0]
    scale = reader.scale(module)
    # With an alpha of its own the engine scales, and the numbers stay the file's; but it takes
    # the rank of a single row for its length, and knows no alpha of a part.
    has_alpha = scale != 1.0 and rank > 1 and not names.index
    is_scaled = scale != 1.0 and not has_alpha
    written = [
        Written(
            names.of("lora_down"),
            matrix_shape(down),
            "f32" if is_scaled else kept_type(down),
            lambda: reader.matrix(down) * np.float32(scale if is_scaled else 1.0),
        ),
        Written(
            names.of("lora_up"),
            matrix_shape(up),
            kept_type(up),
            lambda: _exchanged(reader.matrix(up), module.place),
        ),
    ]
    if has_alpha:
        alpha = np.full(1, scale * rank, np.float32)
        written.append(Written(f"{names.module}.alpha", (1,), "f32", lambda: alpha))
    return written


def _kronecker(reader: LoraReader, module: LoraModule, names: _Names) -> list[Written]:
    factor = functools.partial(kronecker_factor, reader, module)

    def shape(name: str) -> tuple[int, ...]:
        if name in module.tensors:
            return matrix_shape(module.tensors[name])
        first, second = (matrix_shape(module.tensors[f"{name}_{part}"]) for part in "ab")
        return first[0], second[1]

    def stored(name: str) -> str:
        is_kept = name in module.tensors and (scale == 1.0 or name == "lokr_w2")
        return kept_type(module.tensors[name]) if is_kept else "f32"

    scale = np.float32(reader.scale(module))
    return [
        Written(
            names.of("lokr_w1"),
            shape("lokr_w1"),
            stored("lokr_w1"),
            # The rows of the product's halves are those of the first factor's.
            lambda: _exchanged(factor("lokr_w1"), module.place) * scale,
        ),
        Written(
            names.of("lokr_w2"), shape("lokr_w2"), stored("lokr_w2"), lambda: factor("lokr_w2")
        ),
    ]


def _is_short(module: LoraModule) -> bool:
    """Whether a Hadamard product is smaller as a product of two matrices than as their sum."""
    first, second = (matrix_shape(module.tensors[name])[0] for name in ("hada_w1_b", "hada_w2_b"))
    rows, columns = module.place.rows, module.place.inputs
    return first * second * (rows + columns) < rows * columns


def _hadamard_as_low_rank(reader: LoraReader, module: LoraModule, names: _Names) -> list[Written]:
    """(A B) * (C D), element by element, is a product of the rank of both together."""
    a, b, c, d = (module.tensors[name] for name in HADAMARD)
    scale = np.float32(reader.scale(module))
    rows, columns = module.place.rows, module.place.inputs
    rank = matrix_shape(b)[0] * matrix_shape(d)[0]

    def up() -> Values:
        first, second = reader.matrix(a), reader.matrix(c)
        product = first[:, :, None] * second[:, None, :]
        return _exchanged(product.reshape(rows, rank), module.place)

    def down() -> Values:
        first, second = reader.matrix(b), reader.matrix(d)
        product: Values = scale * (first[:, None, :] * second[None, :, :])
        return product.reshape(rank, columns)

    return [
        Written(names.of("lora_down"), (rank, columns), "f32", down),
        Written(names.of("lora_up"), (rows, rank), "f32", up),
    ]


def _hadamard(reader: LoraReader, module: LoraModule, names: _Names) -> list[Written]:
    scale = np.float32(reader.scale(module))

    def factor(role: str) -> Values:
        values = reader.matrix(module.tensors[role])
        if role == "hada_w1_b":
            scaled: Values = values * scale
            return scaled
        return _exchanged(values, module.place) if role.endswith("_a") else values

    return [
        Written(
            names.of(role),
            matrix_shape(module.tensors[role]),
            "f32",
            functools.partial(factor, role),
        )
        for role in HADAMARD
    ]


def _nothing(form: str, rows: int, columns: int, names: _Names) -> list[Written]:
    """A part that stays as it is, in the form of the others."""
    factor = _divisor(rows), _divisor(columns)
    shapes: dict[str, tuple[int, int]] = {"lora_down": (1, columns), "lora_up": (rows, 1)}
    if form == "kronecker":
        shapes = {
            "lokr_w1": factor,
            "lokr_w2": (rows // factor[0], columns // factor[1]),
        }
    elif form == "dense":
        shapes = {"diff": (rows, columns)}
    elif form == "hadamard":
        shapes = {role: (rows, 1) if role.endswith("_a") else (1, columns) for role in HADAMARD}
    return [
        Written(names.of(role), shape, "f16", functools.partial(_zeros, shape))
        for role, shape in shapes.items()
    ]


def _zeros(shape: tuple[int, ...]) -> Values:
    return np.zeros(shape, np.float32)


def _divisor(number: int) -> int:
    """The largest that is not above the root."""
    return next(each for each in range(int(number**0.5), 0, -1) if number % each == 0)


def _dense(reader: LoraReader, modules: list[LoraModule]) -> Written:
    place = modules[0].place

    def values() -> Values:
        whole = np.zeros((place.outputs, place.inputs), np.float32)
        for module in modules:
            rows = whole[_rows_of(module.place)]
            rows += _exchanged(reader.matrix(module.tensors["diff"]), module.place)
        return whole

    types = {kept_type(module.tensors["diff"]) for module in modules}
    kept = types.pop() if len(types) == 1 else "f32"
    return Written(f"{place.engine_name}.diff", (place.outputs, place.inputs), kept, values)


def _bias(reader: LoraReader, modules: list[LoraModule]) -> list[Written]:
    place = modules[0].place
    having = [each for each in modules if "up_bias" in each.tensors or "diff_b" in each.tensors]
    if not having:
        return []

    def values() -> Values:
        whole = np.zeros(place.outputs, np.float32)
        for module in having:
            rows = whole[_rows_of(module.place)]
            if "diff_b" in module.tensors:
                rows += _exchanged(reader.matrix(module.tensors["diff_b"]), module.place)
            if "up_bias" in module.tensors:
                bias = reader.matrix(module.tensors["up_bias"]) * np.float32(reader.scale(module))
                rows += _exchanged(bias, module.place)
        return whole

    if not place.part_modules:
        return [Written(f"{place.engine_name}.diff_b", (place.outputs,), "f32", values)]

    def of_part(index: int) -> Written:
        part = replace(place, index=index)
        name = f"{place.prefix}{place.part_modules[index]}.diff_b"
        return Written(name, (part.rows,), "f32", lambda: values()[_rows_of(part)])

    return [of_part(index) for index in range(len(place.parts))]


def _rows_of(place: Place) -> slice:
    if place.index is None:
        return slice(0, place.outputs)
    start = sum(place.parts[: place.index])
    return slice(start, start + place.rows)


def _exchanged(values: Values, place: Place) -> Values:
    """With the halves of the rows in the engine's order."""
    if not place.swaps_halves:
        return values
    half = len(values) // 2
    return np.concatenate([values[half:], values[:half]])


_MAKERS: dict[str, Callable[[LoraReader, LoraModule, _Names], list[Written]]] = {
    "low rank": _low_rank,
    "hadamard": _hadamard,
    "kronecker": _kronecker,
}
