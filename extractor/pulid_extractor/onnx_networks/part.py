"""A part of a network: a graph, and the weights that it is run with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from ..dependencies import load_onnxruntime
from ..onnx_session import new_session, running
from .graph import GraphBuilder

__all__ = ["Array", "NetworkPart", "OnnxWeights"]

Array = NDArray[np.float32]

_HELD = ("f32", "f16", "bf16")


class OnnxWeights:
    """A network's weights as ONNX Runtime takes them: not copied where the file's type allows it.

    Args:
        tensors: By name.
        path: Their file, for errors.
        providers: ONNX Runtime execution providers, the preferred one first.
    """

    def __init__(
        self,
        tensors: Mapping[str, StoredTensor],
        path: Path,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.path = path
        self.providers = tuple(providers)
        self._ort = load_onnxruntime()
        self._values = {name: self._value(tensor) for name, tensor in tensors.items()}
        self._dtypes = {
            name: tensor.dtype if tensor.dtype in _HELD else "f32"
            for name, tensor in tensors.items()
        }

    def dtype(self, name: str) -> str:
        """What a weight is held in: "f32", "f16" or "bf16"."""
        return self._dtypes[name]

    def value(self, name: str) -> Any:
        """The weight as an `OrtValue`."""
        return self._values[name]

    def _value(self, tensor: StoredTensor) -> Any:
        if tensor.dtype not in _HELD:
            return self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor.float32()))
        values = np.ascontiguousarray(tensor.values)
        if tensor.dtype == "bf16":
            # NumPy's number of it in ONNX: onnx.TensorProto.BFLOAT16.
            return self._ort.OrtValue.ortvalue_from_numpy_with_onnx_type(values, 16)
        return self._ort.OrtValue.ortvalue_from_numpy(values)


class NetworkPart:
    """A graph that is run with the weights of one place in a network after the other.

    Args:
        write: Writes the graph.
    """

    def __init__(self, write: Callable[[GraphBuilder], None]) -> None:
        self._write = write
        self._sessions: dict[tuple[str, ...], tuple[Any, list[str]]] = {}
        outline = GraphBuilder()
        write(outline)
        self._shapes = outline.weights

    def wanted(self, *prefixes: str) -> dict[str, tuple[Sequence[int], bool]]:
        """The weights that it takes at some places, as `check_tensors` has it."""
        return {
            f"{prefix}{name}": (shape, True)
            for prefix in prefixes
            for name, shape in self._shapes.items()
        }

    def run(self, weights: OnnxWeights, prefix: str, **inputs: Array) -> list[Array]:
        """Compute.

        Args:
            weights: The network's.
            prefix: Of their names at this place.
            inputs: By the names that the graph has for them.

        Raises:
            ModelFileError: ONNX Runtime cannot compute it.
        """
        names = {name: f"{prefix}{name}" for name in self._shapes}
        dtypes = tuple(weights.dtype(name) for name in names.values())
        ort = load_onnxruntime()
        fed = {name: weights.value(full) for name, full in names.items()}
        for name, values in inputs.items():
            fed[name] = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values, np.float32))
        with running(weights.path):
            if dtypes not in self._sessions:
                stored = dict(zip(names, dtypes, strict=True))
                self._sessions[dtypes] = self._session(stored, weights)
            session, outputs = self._sessions[dtypes]
            return [value.numpy() for value in session.run_with_ort_values(outputs, fed)]

    def _session(self, dtypes: Mapping[str, str], weights: OnnxWeights) -> tuple[Any, list[str]]:
        graph = GraphBuilder(dtypes.__getitem__)
        self._write(graph)
        return new_session(graph.model(), weights.providers), graph.outputs
