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
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError
from ..tensors.lora_names import HADAMARD
from ..tensors.tensor_file import TensorFile
from ..tensors.tensor_header import TensorInfo
from ..terminal_text import quoted
from .lora_layout import LoraModule, matrix_shape
from .lora_places import Place, diffusers_names

__all__ = ["changes_whole_weights", "write_engine_lora"]

_NUMPY = {"f16": "<f2", "f32": "<f4", "bf16": "<u2"}
_SAFETENSORS = {"f16": "F16", "f32": "F32", "bf16": "BF16"}
MAX_CHANGE = 1000.0
"""Trained ones stay below 5; merged into float16, this much cannot be taken out again."""
_NAMED_BLOCKS = {"double": 19, "single": 38}  # that the engine has diffusers' names of
Values = NDArray[np.float32]


@dataclass(frozen=True)
class _Written:
    """A tensor of the file to write; its values are made when it is its turn."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: Callable[[], Values]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(_NUMPY[self.dtype]).itemsize


def changes_whole_weights(modules: Sequence[LoraModule]) -> bool:
    """Whether the engine has to add matrices to the weights themselves, even at run time."""
    return any(
        module.form == "dense" or (module.form == "hadamard" and not _is_short(module))
        for module in modules
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
    reader = _LoraReader(file, source)
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
    written: list[_Written] = []
    for parts in matrices.values():
        written += _weight(reader, parts)
        written += _bias(reader, parts)
    _write(written, output, source)


class _LoraReader:
    """Numbers of a LoRA file."""

    def __init__(self, file: TensorFile, source: str) -> None:
        self._file = file
        self.source = source

    def matrix(self, info: TensorInfo) -> Values:
        """A tensor in float32, without the ones at the end of its shape.

        Raises:
            ModelFileError: It has numbers that are not finite.
        """
        values: Values = self._file.read(info.name).reshape(matrix_shape(info))
        if not np.isfinite(values).all():
            raise ModelFileError(
                f"{self.source}: damaged LoRA: {quoted(info.name)} has numbers that are not finite"
            )
        return values

    def scale(self, module: LoraModule) -> float:
        """What the weight's change is multiplied by: alpha / rank, where there is an alpha."""
        tensors = module.tensors
        if "alpha" not in tensors or module.form in ("dense", ""):
            return module.metadata_scale
        for role, axis in (("down", 0), ("hada_w1_b", 0), ("lokr_w1_b", 0), ("lokr_w2_b", 0)):
            if role in tensors:
                rank = matrix_shape(tensors[role])[axis]
                return float(self.matrix(tensors["alpha"]).reshape(())) / rank
        return 1.0  # a Kronecker product of two whole matrices is taken as it is

    def size(self, module: LoraModule) -> float:
        """How much a number of the model may change, at most by one rank; 0: not at all."""
        largest = {
            role: float(np.abs(self.matrix(info)).max())
            for role, info in module.tensors.items()
            if role != "alpha"
        }
        scale = abs(self.scale(module))
        sizes = [
            largest.pop(role) * (scale if role == "up_bias" else 1.0)
            for role in ("up_bias", "diff_b")
            if role in largest
        ]
        if largest:
            sizes.append(math.prod(largest.values()) * scale)
        return max(sizes)


def _weight(reader: _LoraReader, modules: list[LoraModule]) -> list[_Written]:
    """What changes one weight matrix: as a whole, or part below part, without gaps."""
    parts = {module.place.index: module for module in modules if module.form}
    if not parts:
        return []
    place = next(iter(parts.values())).place
    forms = _forms(list(parts.values()))
    if len(forms) > 1:
        first, *_, last = (next(iter(module.tensors.values())).name for module in parts.values())
        raise ModelFileError(
            f"{reader.source}: the LoRA changes parts of {place.module} in different ways, which "
            f"cannot be applied: {quoted(first)} and {quoted(last)}"
        )
    (form,) = forms
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


def _low_rank(reader: _LoraReader, module: LoraModule, names: _Names) -> list[_Written]:
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
        _Written(
            names.of("lora_down"),
            matrix_shape(down),
            "f32" if is_scaled else _kept_type(down),
            lambda: reader.matrix(down) * np.float32(scale if is_scaled else 1.0),
        ),
        _Written(
            names.of("lora_up"),
            matrix_shape(up),
            _kept_type(up),
            lambda: _exchanged(reader.matrix(up), module.place),
        ),
    ]
    if has_alpha:
        alpha = np.full(1, scale * rank, np.float32)
        written.append(_Written(f"{names.module}.alpha", (1,), "f32", lambda: alpha))
    return written


def _kronecker(reader: _LoraReader, module: LoraModule, names: _Names) -> list[_Written]:
    def factor(name: str) -> Values:
        if name in module.tensors:
            return reader.matrix(module.tensors[name])
        return reader.matrix(module.tensors[f"{name}_a"]) @ reader.matrix(
            module.tensors[f"{name}_b"]
        )

    def shape(name: str) -> tuple[int, ...]:
        if name in module.tensors:
            return matrix_shape(module.tensors[name])
        first, second = (matrix_shape(module.tensors[f"{name}_{part}"]) for part in "ab")
        return first[0], second[1]

    def kept_type(name: str) -> str:
        is_kept = name in module.tensors and (scale == 1.0 or name == "lokr_w2")
        return _kept_type(module.tensors[name]) if is_kept else "f32"

    scale = np.float32(reader.scale(module))
    return [
        _Written(
            names.of("lokr_w1"),
            shape("lokr_w1"),
            kept_type("lokr_w1"),
            # The rows of the product's halves are those of the first factor's.
            lambda: _exchanged(factor("lokr_w1"), module.place) * scale,
        ),
        _Written(
            names.of("lokr_w2"), shape("lokr_w2"), kept_type("lokr_w2"), lambda: factor("lokr_w2")
        ),
    ]


def _is_short(module: LoraModule) -> bool:
    """Whether a Hadamard product is smaller as a product of two matrices than as their sum."""
    first, second = (matrix_shape(module.tensors[name])[0] for name in ("hada_w1_b", "hada_w2_b"))
    rows, columns = module.place.rows, module.place.inputs
    return first * second * (rows + columns) < rows * columns


def _hadamard_as_low_rank(reader: _LoraReader, module: LoraModule, names: _Names) -> list[_Written]:
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
        _Written(names.of("lora_down"), (rank, columns), "f32", down),
        _Written(names.of("lora_up"), (rows, rank), "f32", up),
    ]


def _hadamard(reader: _LoraReader, module: LoraModule, names: _Names) -> list[_Written]:
    scale = np.float32(reader.scale(module))

    def factor(role: str) -> Values:
        values = reader.matrix(module.tensors[role])
        if role == "hada_w1_b":
            scaled: Values = values * scale
            return scaled
        return _exchanged(values, module.place) if role.endswith("_a") else values

    return [
        _Written(
            names.of(role),
            matrix_shape(module.tensors[role]),
            "f32",
            functools.partial(factor, role),
        )
        for role in HADAMARD
    ]


def _nothing(form: str, rows: int, columns: int, names: _Names) -> list[_Written]:
    """A part that stays as it is, in the form of the others."""
    factor = _divisor(rows), _divisor(columns)
    shapes: dict[str, tuple[int, int]] = {"lora_down": (1, columns), "lora_up": (rows, 1)}
    if form == "kronecker":
        shapes = {
            "lokr_w1": factor,
            "lokr_w2": (rows // factor[0], columns // factor[1]),
        }
    elif form == "hadamard":
        shapes = {role: (rows, 1) if role.endswith("_a") else (1, columns) for role in HADAMARD}
    return [
        _Written(names.of(role), shape, "f16", functools.partial(_zeros, shape))
        for role, shape in shapes.items()
    ]


def _zeros(shape: tuple[int, ...]) -> Values:
    return np.zeros(shape, np.float32)


def _divisor(number: int) -> int:
    """The largest that is not above the root."""
    return next(each for each in range(int(number**0.5), 0, -1) if number % each == 0)


def _dense(reader: _LoraReader, modules: list[LoraModule]) -> _Written:
    place = modules[0].place

    def values() -> Values:
        whole = np.zeros((place.outputs, place.inputs), np.float32)
        for module in modules:
            rows = whole[_rows_of(module.place)]
            rows += _exchanged(reader.matrix(module.tensors["diff"]), module.place)
        return whole

    types = {_kept_type(module.tensors["diff"]) for module in modules}
    kept = types.pop() if len(types) == 1 else "f32"
    return _Written(f"{place.engine_name}.diff", (place.outputs, place.inputs), kept, values)


def _bias(reader: _LoraReader, modules: list[LoraModule]) -> list[_Written]:
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

    return [_Written(f"{place.engine_name}.diff_b", (place.outputs,), "f32", values)]


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


def _kept_type(info: TensorInfo) -> str:
    return info.dtype if info.dtype in _NUMPY else "f16" if info.dtype.startswith("f8") else "f32"


_MAKERS: dict[str, Callable[[_LoraReader, LoraModule, _Names], list[_Written]]] = {
    "low rank": _low_rank,
    "hadamard": _hadamard,
    "kronecker": _kronecker,
}


def _write(tensors: Sequence[_Written], output: BinaryIO, source: str) -> None:
    header, end = {}, 0
    for tensor in tensors:
        start, end = end, end + tensor.nbytes
        header[tensor.name] = {
            "dtype": _SAFETENSORS[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    output.write(len(text).to_bytes(8, "little") + text)
    for tensor in tensors:
        with np.errstate(over="ignore", invalid="ignore"):
            values = tensor.values()
        assert values.shape == tensor.shape
        if not np.isfinite(values).all():
            raise ModelFileError(
                f"{source}: damaged LoRA: the numbers that make {tensor.name} are too large"
            )
        if tensor.dtype == "bf16":  # was one, so that its lower half is empty
            output.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())
        else:
            output.write(values.astype(_NUMPY[tensor.dtype]).tobytes())
