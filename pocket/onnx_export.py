"""Torch networks as ONNX files, built node by node; the weights are kept in half precision.

Every half-precision weight passes a Cast to float32, which ONNX Runtime evaluates once while
loading: files are half as large and the arithmetic is single precision everywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from .convolution import Residual, UnitLength, fold_batch_norms

__all__ = ["OnnxGraph", "largest_difference", "readable", "write_onnx"]

OPSET = 13
IR_VERSION = 7

Shape = Sequence[int | str]
"""A name stands for a size known only when the model runs."""


class OnnxGraph:
    """Nodes and weights of a model under construction; values are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def constant(self, value: np.ndarray | torch.Tensor) -> str:
        """A weight: float32 is stored as float16, everything else as it is.

        Raises:
            ValueError: A number is too large for float16.
        """
        array = np.asarray(value.detach().numpy() if isinstance(value, torch.Tensor) else value)
        name = f"constant_{len(self._constants)}"
        if array.dtype != np.float32:
            self._constants[name] = numpy_helper.from_array(array, name)
            return name
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(f"weights reach {np.abs(array).max():g}: too much for float16")
        self._constants[name] = numpy_helper.from_array(half, name)
        return self.node("Cast", [name], to=TensorProto.FLOAT)

    def node(
        self, operator: str, inputs: Sequence[str], *, output: str | None = None, **options: Any
    ) -> str:
        """Add an operator with one output and give that output's name."""
        # Names of nodes begin with "node": insightface reads meaning into "Sub" and "Mul".
        name = f"node_{len(self._nodes)}_{operator}"
        output = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], name=name, **options))
        return output

    def run(self, network: nn.Module, x: str) -> str:
        """Add a network of the known kinds of modules.

        Raises:
            ValueError: A module of another kind.
        """
        match network:
            case nn.Identity():
                return x
            case nn.Sequential():
                for part in network:
                    x = self.run(part, x)
                return x
            case nn.Conv2d():
                weights = [self.constant(network.weight)]
                if network.bias is not None:
                    weights.append(self.constant(network.bias))
                return self.node(
                    "Conv",
                    [x, *weights],
                    kernel_shape=list(network.kernel_size),
                    strides=list(network.stride),
                    pads=list(network.padding) * 2,
                )
            case nn.AvgPool2d():
                size = [network.kernel_size] * 2
                return self.node("AveragePool", [x], kernel_shape=size, strides=size)
            case nn.ReLU():
                return self.node("Relu", [x])
            case nn.Flatten():
                return self.node("Flatten", [x], axis=1)
            case nn.Linear():
                weights = [self.constant(network.weight), self.constant(network.bias)]
                return self.node("Gemm", [x, *weights], transB=1)
            case Residual():
                return self.node("Relu", [self.node("Add", [x, self.run(network.body, x)])])
            case UnitLength():
                unit = self.node("LpNormalization", [x], axis=1, p=2)
                length = self.constant(np.array(network.length, np.float32))
                return self.node("Mul", [unit, length])
        raise ValueError(f"{type(network).__name__}: no ONNX operator is known for it")

    def model(
        self,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        metadata: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The finished model, checked and serialised.

        Args:
            inputs: Shapes by name, float32 all.
            outputs: The same; names given to `node`.
            metadata: Stored as JSON under each key.
        """

        def described(shapes: Mapping[str, Shape]) -> list[Any]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self._nodes,
            "pocket",
            described(inputs),
            described(outputs),
            list(self._constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="pulid-sdcpp",
        )
        helper.set_model_props(model, {k: json.dumps(v) for k, v in (metadata or {}).items()})
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def readable(network: nn.Module) -> nn.Module:
    """A trained network made ready for export: norms folded, weights rounded to float16."""
    return fold_batch_norms(network).half().float()


def write_onnx(path: Path, model: bytes) -> None:
    """Write a model; a reader never finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(model)
    os.replace(part, path)


@torch.no_grad()
def largest_difference(
    model: bytes, expected: Sequence[torch.Tensor], inputs: Mapping[str, torch.Tensor]
) -> float:
    """How far ONNX Runtime's outputs are from those expected, at most."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return max(
        float(np.abs(value.numpy() - got).max()) for value, got in zip(expected, found, strict=True)
    )
