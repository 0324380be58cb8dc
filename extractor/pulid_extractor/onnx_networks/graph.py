"""A graph of ONNX operators, written in code.

A network is a few small graphs, each run with the weights of one place in it after the other: its
weights are inputs. So ONNX Runtime neither copies nor widens a network's weights when it is
loaded, a graph of a repeated block is read once, and of half precision one block at a time is
float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dependencies import require_module

__all__ = ["OPSET", "GraphBuilder"]

OPSET = 17
"""The first version of ONNX's operators that has LayerNormalization."""
_IR_VERSION = 8
"""What goes with it: older ones than ONNX Runtime's newest are read by all of its releases."""

_TYPES = {"f32": "FLOAT", "f16": "FLOAT16", "bf16": "BFLOAT16"}


class GraphBuilder:
    """Writes one graph. Values are known by their names; every method gives that of a new one.

    Args:
        dtype_of: The type that a weight has in its file: "f32", "f16" or "bf16".

    Attributes:
        weights: Shapes of the weights that the graph takes, by name.
        outputs: Names of what it gives.
    """

    def __init__(self, dtype_of: Callable[[str], str] = lambda name: "f32") -> None:
        onnx = require_module("onnx", "photos")
        self._onnx = onnx
        self._helper = onnx.helper
        self._dtype_of = dtype_of
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._constants: list[Any] = []
        self._count = 0
        self.weights: dict[str, tuple[int, ...]] = {}
        self.outputs: list[str] = []

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        """A float32 input; sizes that vary have a name."""
        self._inputs.append(self._value_info(name, "FLOAT", shape))
        return name

    def output(self, value: str) -> None:
        """Give a value back."""
        self.outputs.append(value)

    def weight(self, name: str, *shape: int) -> str:
        """A weight, in float32."""
        dtype = self._dtype_of(name)
        known = name in self.weights
        self.weights[name] = shape
        if not known:
            self._inputs.append(self._value_info(name, _TYPES[dtype], shape))
        if dtype == "f32":
            return name
        return self.op("Cast", name, to=self._onnx.TensorProto.FLOAT)

    def constant(self, values: NDArray[Any]) -> str:
        """Numbers that are part of the graph."""
        name = self._new_name()
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def scalar(self, value: float) -> str:
        return self.constant(np.float32(value))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One operator with one result."""
        (name,) = self.ops(kind, 1, *inputs, **attributes)
        return name

    def ops(self, kind: str, n_outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """One operator with several results."""
        names = [self._new_name() for _ in range(n_outputs)]
        self._nodes.append(self._helper.make_node(kind, inputs, names, **attributes))
        return names

    def reshape(self, value: str, *shape: int) -> str:
        """The same numbers in another shape; -1 is what is left."""
        return self.op("Reshape", value, self.constant(np.array(shape, np.int64)))

    def linear(self, value: str, name: str, inside: int, outside: int, *, bias: bool = True) -> str:
        """(n, inside) -> (n, outside), as PyTorch's Linear `name`."""
        inputs = [value, self.weight(f"{name}.weight", outside, inside)]
        if bias:
            inputs.append(self.weight(f"{name}.bias", outside))
        return self.op("Gemm", *inputs, transB=1)

    def layer_norm(self, value: str, name: str, width: int, eps: float) -> str:
        """(n, width) -> (n, width), as PyTorch's LayerNorm `name`."""
        weight = self.weight(f"{name}.weight", width)
        return self.op(
            "LayerNormalization", value, weight, self.weight(f"{name}.bias", width), epsilon=eps
        )

    def attention(self, query: str, key: str, value: str) -> str:
        """softmax(q k) v for each head.

        Args:
            query: (heads, t, width), scaled already.
            key: (heads, width, s).
            value: (heads, s, width).

        Returns:
            (t, heads * width).
        """
        seen = self.op("MatMul", self.op("Softmax", self.op("MatMul", query, key)), value)
        joined = self.op("Transpose", seen, perm=[1, 0, 2])
        # Zero: the size that is there; -1: both others.
        return self.reshape(joined, 0, -1)

    def model(self) -> bytes:
        """The graph as a file of ONNX would have it."""
        results = [self._helper.make_empty_tensor_value_info(name) for name in self.outputs]
        for result in results:
            result.type.tensor_type.elem_type = self._onnx.TensorProto.FLOAT
        graph = self._helper.make_graph(self._nodes, "part", self._inputs, results, self._constants)
        version = self._helper.make_opsetid("", OPSET)
        model = self._helper.make_model(graph, opset_imports=[version], ir_version=_IR_VERSION)
        serialized: bytes = model.SerializeToString()
        return serialized

    def _value_info(self, name: str, dtype: str, shape: Sequence[int | str]) -> Any:
        kind = getattr(self._onnx.TensorProto, dtype)
        return self._helper.make_tensor_value_info(name, kind, list(shape))

    def _new_name(self) -> str:
        self._count += 1
        return f"v{self._count}"
