"""A small face recogniser with the input and output of `glintr100.onnx`: random projections."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_extractor.dependencies import require_module

__all__ = ["recogniser_model"]

SIDE_PX = 112
EMBEDDING_DIM = 512
EMBEDDING_NORM = 22.0
"""About the length of a published ArcFace embedding."""
CHANNELS = (3, 12, 24)


def recogniser_model(seed: int = 0) -> bytes:
    """The model, serialised: input (n, 3, 112, 112) RGB, (x - 127.5) / 127.5; output (n, 512).

    Raises:
        MissingDependencyError: The package onnx is not installed.
    """
    onnx = require_module("onnx")
    helper = onnx.helper
    rng = np.random.default_rng([seed, 4])
    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {}
    x = "input.1"
    for index, (inside, outside) in enumerate(itertools.pairwise(CHANNELS)):
        filters = rng.standard_normal((outside, inside, 4, 4), np.float32)
        # Filters without a mean: brightness says nothing about who it is.
        filters -= filters.mean(axis=(2, 3), keepdims=True)
        constants[f"weight{index}"] = filters / np.float32((16 * inside) ** 0.5)
        nodes.append(
            helper.make_node(
                "Conv", [x, f"weight{index}"], [f"conv{index}"], name=f"Conv_{index}",
                kernel_shape=[4, 4], strides=[4, 4],
            )
        )  # fmt: skip
        nodes.append(
            helper.make_node("Tanh", [f"conv{index}"], [f"tanh{index}"], name=f"Tanh_{index}")
        )
        x = f"tanh{index}"
    inside = CHANNELS[-1] * (SIDE_PX // 16) ** 2
    projection = rng.standard_normal((inside, EMBEDDING_DIM), np.float32)
    constants["projection"] = projection / np.float32(inside**0.5)
    constants["length"] = np.array(EMBEDDING_NORM, np.float32)
    nodes += [
        helper.make_node("Flatten", [x], ["flat"], name="Flatten_0", axis=1),
        helper.make_node("MatMul", ["flat", "projection"], ["projected"], name="Gemm_0"),
        helper.make_node(
            "LpNormalization", ["projected"], ["direction"], name="LpNormalization_0", axis=1, p=2
        ),
        # insightface takes a Sub and a Mul among the first nodes for built-in normalisation.
        helper.make_node("Mul", ["direction", "length"], ["1333"], name="Scale_0"),
    ]
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "standin_glintr100",
        [helper.make_tensor_value_info("input.1", floats, ["None", 3, SIDE_PX, SIDE_PX])],
        [helper.make_tensor_value_info("1333", floats, ["None", EMBEDDING_DIM])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    return bytes(model.SerializeToString())
