"""What a LoRA changes in a convolution, as tensors for the engine.

The engine multiplies out two factors exactly, the first with the convolution's kernels and the
second with kernels of one number. A third factor between them goes into the first; Hadamard and
Kronecker products, which it computes for kernels in some modes only, become what they are.

Sources: KohakuBlueleaf/LyCORIS (lycoris/modules/locon.py, loha.py, lokr.py) for the factors' axes.
"""

from __future__ import annotations

import numpy as np

from .lora_layout import LoraModule, matrix_shape
from .lora_tensors import LoraReader, Values, Written, kept_type

__all__ = ["convolution", "kronecker_factor"]


def convolution(reader: LoraReader, module: LoraModule) -> list[Written]:
    """The change of a convolution's kernels.

    Args:
        reader: Of the LoRA.
        module: Has kernels of one number or more.
    """
    place = module.place
    shape = (place.rows, place.inputs, place.kernel, place.kernel)
    name = place.engine_name
    scale = np.float32(reader.scale(module))
    if module.form == "low rank":
        return _low_rank(reader, module, scale)

    def values() -> Values:
        if module.form == "dense":
            return reader.matrix(module.tensors["diff"]).reshape(shape)
        if module.form == "hadamard":
            a, b, c, d = (
                reader.matrix(module.tensors[f"hada_w{number}_{part}"])
                for number in (1, 2)
                for part in "ab"
            )
            product = (a @ b) * (c @ d)
        else:
            first = kronecker_factor(reader, module, "lokr_w1")
            second = kronecker_factor(reader, module, "lokr_w2")
            # Kernels lie in the rows, so they are those of the second factor's.
            product = np.kron(first, second.reshape(len(second), -1))
        changed: Values = (product * scale).reshape(shape)
        return changed

    kept = kept_type(module.tensors["diff"]) if module.form == "dense" else "f32"
    return [Written(f"{name}.diff", shape, kept, values)]


def _low_rank(reader: LoraReader, module: LoraModule, scale: np.float32) -> list[Written]:
    place = module.place
    down, up = module.tensors["down"], module.tensors["up"]
    middle = module.tensors.get("mid")
    rank = matrix_shape(down if middle is None else middle)[0]
    down_shape = (rank, place.inputs, place.kernel, place.kernel)
    is_kept = scale == 1 and middle is None

    def first() -> Values:
        values = reader.matrix(down)
        if middle is not None:
            values = np.einsum("oihw,ic->ochw", reader.matrix(middle), values)
        scaled: Values = (values * scale).reshape(down_shape)
        return scaled

    return [
        Written(
            f"{place.engine_name}.lora_down.weight",
            down_shape,
            kept_type(down) if is_kept else "f32",
            first,
        ),
        Written(
            f"{place.engine_name}.lora_up.weight",
            (place.rows, rank, 1, 1),
            kept_type(up),
            lambda: reader.matrix(up).reshape(place.rows, rank, 1, 1),
        ),
    ]


def kronecker_factor(reader: LoraReader, module: LoraModule, name: str) -> Values:
    """One of the two factors, whole or itself a product."""
    tensors = module.tensors
    if name in tensors:
        return reader.matrix(tensors[name])
    return reader.matrix(tensors[f"{name}_a"]) @ reader.matrix(tensors[f"{name}_b"])
